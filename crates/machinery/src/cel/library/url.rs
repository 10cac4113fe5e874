//! Addresses of the web, read as Go reads them.

use std::sync::Arc;

use super::super::failure::{Failure, Outcome};
use super::super::value::{Entries, Key, Map, Opaque, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("string_to_url", "url(string) kubernetes.URL", url),
    ("is_url_string", "isURL(string) bool", is_url),
    ("url_get_scheme", "(kubernetes.URL).getScheme() string", |arguments| {
        ask(arguments, |url| url.scheme.clone())
    }),
    ("url_get_host", "(kubernetes.URL).getHost() string", |arguments| ask(arguments, |url| url.host.clone())),
    ("url_get_hostname", "(kubernetes.URL).getHostname() string", |arguments| {
        ask(arguments, |url| url.host_and_port().0.to_owned())
    }),
    ("url_get_port", "(kubernetes.URL).getPort() string", |arguments| {
        ask(arguments, |url| url.host_and_port().1.to_owned())
    }),
    ("url_get_escaped_path", "(kubernetes.URL).getEscapedPath() string", |arguments| {
        ask(arguments, |url| escape_path(&url.path))
    }),
    ("url_get_query", "(kubernetes.URL).getQuery() map(string, list(string))", query),
];

/// The parts of an address. Path and query are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

impl Url {
    /// Reads an absolute address or an absolute path.
    pub fn parse(text: &str) -> Result<Url, String> {
        let failed = |why: &str| format!("parse {}: {why}", crate::field::go_quote(text));
        if text.is_empty() {
            return Err(failed("empty url"));
        }
        if text.chars().any(char::is_control) {
            return Err(failed("net/url: invalid control character in URL"));
        }
        let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = scheme_of(whole).map_err(|why| failed(&why))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            if scheme.is_empty() {
                return Err(failed("invalid URI for request"));
            }
            let path = rest.to_owned();
            return Ok(Url {
                scheme,
                host: String::new(),
                path,
                query: query.to_owned(),
                fragment: fragment.to_owned(),
            });
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() || !rest.starts_with('/') => {
                let end = rest.find('/').unwrap_or(rest.len());
                (authority(&rest[..end]).map_err(|why| failed(&why))?, &rest[end..])
            }
            _ => (String::new(), rest),
        };
        check_escapes(path).map_err(|why| failed(&why))?;
        Ok(Url {
            scheme,
            host,
            path: path.to_owned(),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
        })
    }

    /// The host without brackets, and the port.
    fn host_and_port(&self) -> (&str, &str) {
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.contains(']') => {
                (host, port)
            }
            _ => (self.host.as_str(), ""),
        };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (inner.unwrap_or(host), port)
    }
}

fn scheme_of(text: &str) -> Result<(String, &str), String> {
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if position > 0 => {}
            b':' if position == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((text[..position].to_ascii_lowercase(), &text[position + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

/// The host and port of an authority; who logs in is left out.
fn authority(text: &str) -> Result<String, String> {
    let host = match text.rsplit_once('@') {
        Some((user, host)) => {
            let is_valid =
                |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
            if !user.chars().all(is_valid) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            host
        }
        None => text,
    };
    let after = match host.strip_prefix('[') {
        Some(inner) => {
            let (_, after) = inner.split_once(']').ok_or("missing ']' in host")?;
            after
        }
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    let is_port = match after.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => after.is_empty(),
    };
    if !is_port {
        return Err(format!("invalid port {} after host", crate::field::go_quote(after)));
    }
    if let Some(letter) = host
        .chars()
        .find(|letter| matches!(letter, ' ' | '"' | '<' | '>' | '^' | '`' | '{' | '}' | '|' | '\\'))
    {
        return Err(format!(
            "invalid character {} in host name",
            crate::field::go_quote(&letter.to_string())
        ));
    }
    check_escapes(host)?;
    Ok(host.to_owned())
}

fn check_escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (position, _) in text.match_indices('%') {
        let is_valid = (1..=2).all(|offset| bytes.get(position + offset).is_some_and(u8::is_ascii_hexdigit));
        if !is_valid {
            let shown: String = text[position..].chars().take(3).collect();
            return Err(format!("invalid URL escape {}", crate::field::go_quote(&shown)));
        }
    }
    Ok(())
}

/// A path with everything escaped that must be.
fn escape_path(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/%[]".contains(&byte);
        if is_plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A part of a query, without its escapes; `None` if they are wrong.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn url<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text)] = arguments else { return misfit() };
    match Url::parse(text) {
        Ok(url) => Ok(Val::Opaque(Opaque::Url(Arc::new(url)))),
        Err(why) => Err(Failure::new(format!("URL parse error during conversion from string: {why}"))),
    }
}

fn is_url<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Bool(Url::parse(text).is_ok())),
        _ => misfit(),
    }
}

fn ask<'a>(arguments: &[Val<'a>], part: impl Fn(&Url) -> String) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Url(url))] => Ok(Val::string(part(url))),
        _ => misfit(),
    }
}

fn query<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Opaque(Opaque::Url(url))] = arguments else { return misfit() };
    let mut values: std::collections::BTreeMap<String, Vec<Val<'a>>> = std::collections::BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
            values.entry(key).or_default().push(Val::string(value));
        }
    }
    let entries: Entries<'a> =
        values.into_iter().map(|(key, values)| (Key::String(key.into()), Val::list(values))).collect();
    Ok(Val::Map(Map::Entries(Arc::new(entries))))
}
