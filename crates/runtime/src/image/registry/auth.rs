//! How a registry lets one in: it names a place that gives tokens for user names, or wants the user name itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{Registry, RegistryError};

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry<'_> {
    /// What to show, given the answer that asked for it.
    pub(super) async fn authorize(&self, answer: &HeaderMap) -> Result<HeaderValue, RegistryError> {
        let denied = || {
            RegistryError::Denied(
                "pull access denied, repository does not exist or may require authorization".into(),
            )
        };
        let asked = answer.get_all(header::WWW_AUTHENTICATE);
        let challenge =
            asked.iter().filter_map(|value| parse(value.to_str().ok()?)).next().ok_or_else(denied)?;
        let basic = self.basic();
        match challenge {
            Challenge::Basic => basic.ok_or_else(denied),
            Challenge::Bearer { realm, service, scope } => {
                let scope =
                    if scope.is_empty() { format!("repository:{}:pull", self.repository) } else { scope };
                let mut headers = HeaderMap::new();
                headers.extend(basic.map(|basic| (header::AUTHORIZATION, basic)));
                let separator = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{separator}service={}&scope={}", escape(&service), escape(&scope));
                let uri = url.parse().map_err(|_| RegistryError::Final(format!("{url:?} is no address")))?;
                let response = self.send(&uri, headers).await?;
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(denied()),
                    status if status.is_server_error() => {
                        return Err(RegistryError::Passing(format!("{realm} says: {status}")));
                    }
                    status => return Err(RegistryError::Final(format!("{realm} says: {status}"))),
                }
                let bytes = self.document(response).await?;
                let broken = |error: &dyn std::fmt::Display| {
                    RegistryError::Final(format!("the token of {realm}: {error}"))
                };
                let token: Token = serde_json::from_slice(&bytes).map_err(|error| broken(&error))?;
                let token = token.token.or(token.access_token).ok_or_else(|| broken(&"there is none"))?;
                secret(&format!("Bearer {token}")).ok_or_else(|| broken(&"it cannot be sent"))
            }
        }
    }

    fn basic(&self) -> Option<HeaderValue> {
        let credentials = self.credentials?;
        let pair = match (credentials.username.as_str(), credentials.identity_token.as_str()) {
            ("", "") => return None,
            ("", token) => format!("oauth2accesstoken:{token}"),
            (user, _) => format!("{user}:{}", credentials.password),
        };
        secret(&format!("Basic {}", STANDARD.encode(pair)))
    }
}

/// A header that is not logged.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn parse(text: &str) -> Option<Challenge> {
    let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (String::new(), String::new(), String::new());
    let mut rest = parameters.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "realm" => Some(&mut realm),
            "service" => Some(&mut service),
            "scope" => Some(&mut scope),
            _ => None,
        };
        if let Some(slot) = slot {
            *slot = value.to_owned();
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    (!realm.is_empty()).then_some(Challenge::Bearer { realm, service, scope })
}

/// Percent-encodes what has a meaning in a query.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                escaped.push(byte.into())
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_understood() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.into() })
        };
        let cases = [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull\"",
                bearer("https://auth.docker.io/token", "registry.docker.io", "repository:a/b:pull"),
            ),
            ("bearer realm=\"http://x/t\", service=y", bearer("http://x/t", "y", "")),
            ("Bearer service=\"y\"", None),
            ("Negotiate abc", None),
            ("Bearer realm=\"open", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escape("repository:a/b:pull,push &x"), "repository:a/b:pull%2Cpush%20%26x");
    }
}
