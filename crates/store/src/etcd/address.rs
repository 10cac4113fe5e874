//! Where an etcd cluster is, as it is typed: `etcd://HOST:PORT,HOST:PORT/PREFIX`, or `etcds://` for TLS.

use std::fmt;

use rustls::pki_types::ServerName;

use crate::etcd::tls::Tls;

/// Below which prefix our keys stand, if nothing else is said.
const PREFIX: &str = "/ironclad";
/// Where etcd listens for clients.
const PORT: u16 = 2379;
/// More members than any cluster has.
const MEMBERS: usize = 64;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port for clients.
    pub port: u16,
}

/// A cluster, and our place in it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The members, in the order they are asked.
    pub endpoints: Vec<Endpoint>,
    /// What all our keys begin with; others may use the rest. Without a slash at its end.
    pub prefix: String,
    /// What is trusted and shown; `None` for connections in the clear.
    pub tls: Option<Tls>,
}

impl Endpoint {
    /// As a connection wants it.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What the member's certificate must be for.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
        ServerName::try_from(self.host.clone())
    }
}

impl Config {
    /// Reads an address. `tls` is needed for `etcds://`, and refused for `etcd://`.
    pub fn parse(address: &str, tls: Option<Tls>) -> Result<Config, String> {
        let (rest, secure) = match (address.strip_prefix("etcd://"), address.strip_prefix("etcds://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => {
                return Err(format!(
                    "{address:?} is no address of etcd: it looks like etcd://HOST:PORT,HOST:PORT"
                ));
            }
        };
        match (secure, &tls) {
            (true, None) => return Err(format!("{address} needs the certificate authority of etcd")),
            (false, Some(_)) => {
                return Err(format!("certificates are for etcds://, and {address} is in the clear"));
            }
            _ => {}
        }
        let (members, prefix) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let endpoints: Vec<Endpoint> = members.split(',').map(endpoint).collect::<Result<_, _>>()?;
        if endpoints.len() > MEMBERS {
            return Err(format!(
                "{} members are more than the {MEMBERS} a cluster may have",
                endpoints.len()
            ));
        }
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        Ok(Config { endpoints, prefix: prefix.to_owned(), tls })
    }
}

impl fmt::Display for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        let members: Vec<String> = self.endpoints.iter().map(Endpoint::address).collect();
        write!(out, "{scheme}://{}{}", members.join(","), self.prefix)
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let wrong = || format!("{text:?} is no member of etcd: it looks like HOST:PORT or [ADDRESS]:PORT");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-:_%".contains(letter);
    if host.is_empty() || port == 0 || !host.chars().all(plain) {
        return Err(wrong());
    }
    Ok(Endpoint { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_told_again() {
        for (typed, told) in [
            ("etcd://a", "etcd://a:2379/ironclad"),
            ("etcd://a:1,b.example:2,10.0.0.1", "etcd://a:1,b.example:2,10.0.0.1:2379/ironclad"),
            ("etcd://[::1]:5,[fe80::1]", "etcd://[::1]:5,[fe80::1]:2379/ironclad"),
            ("etcd://a/", "etcd://a:2379/ironclad"),
            ("etcd://a/team/one/", "etcd://a:2379/team/one"),
        ] {
            let config = Config::parse(typed, None).expect(typed);
            assert_eq!(config.to_string(), told);
        }
        let secure = Config::parse("etcds://a", Some(Tls::default())).expect("TLS is there");
        assert_eq!(secure.to_string(), "etcds://a:2379/ironclad");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for typed in [
            "",
            "a:2379",
            "http://a",
            "etcd://",
            "etcd://a,",
            "etcd://a:0",
            "etcd://a:x",
            "etcd://a:70000",
            "etcd://[::1",
            "etcd://[::1]5",
            "etcd://a b",
            "etcd://::1",
            "etcds://a",
        ] {
            assert!(Config::parse(typed, None).is_err(), "{typed}");
        }
        assert!(
            Config::parse("etcd://a", Some(Tls::default())).is_err(),
            "in the clear although TLS is meant"
        );
    }
}
