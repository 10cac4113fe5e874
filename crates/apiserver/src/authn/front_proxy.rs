//! The front proxy: who shows a certificate of its CA may speak for others, by headers.

use env::WallTime;
use http::HeaderMap;

use super::certificate::Certificates;
use crate::http::listener::Peer;
use crate::http::tls::TlsError;
use crate::identity::Identity;
use crate::query::percent_decode;

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Who may be a front proxy.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// PEM certificates of the CA that signs proxies' certificates; empty for no front proxy.
    pub ca: Vec<u8>,
    /// The common names that proxies may have; empty for any.
    pub names: Vec<String>,
}

/// Knows front proxies.
#[derive(Debug)]
pub struct FrontProxy {
    certificates: Certificates,
    names: Vec<String>,
}

impl FrontProxy {
    /// As configured.
    pub fn new(settings: &Settings) -> Result<Option<FrontProxy>, TlsError> {
        if settings.ca.is_empty() {
            return Ok(None);
        }
        let certificates = Certificates::new(&settings.ca)?;
        Ok(Some(FrontProxy { certificates, names: settings.names.clone() }))
    }

    /// Whether a front proxy is at the other end of a connection.
    pub fn is(&self, peer: &Peer, now: WallTime) -> bool {
        let [own, chain @ ..] = peer.certificates.as_slice() else { return false };
        let identified = self.certificates.identify(own, chain, now);
        identified.is_ok_and(|proxy| self.names.is_empty() || self.names.contains(&proxy.name))
    }
}

/// For whom a front proxy speaks; `None` if it does not say.
pub fn spoken_for(headers: &HeaderMap) -> Option<Identity> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(USER).is_empty() {
        return None;
    }
    let groups: Vec<&str> = headers.get_all(GROUP).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut identity = Identity::new(text(USER), &groups);
    identity.uid = text(UID).to_owned();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            let key = percent_decode(key, false).unwrap_or_else(|| key.to_owned());
            identity.extra.entry(key).or_default().push(value.to_owned());
        }
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_say_for_whom() {
        let mut headers = HeaderMap::new();
        assert_eq!(spoken_for(&headers), None);
        for (name, value) in [
            ("x-remote-user", "ann"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-a%2fb", "c"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let identity = spoken_for(&headers).unwrap();
        assert_eq!(identity.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(identity.extra["a/b"], ["c"]);
    }
}
