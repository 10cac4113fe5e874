//! Bootstrap tokens: secrets in `kube-system` with which nodes join.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Value;
use machinery::time::Timestamp;

use crate::core::Core;
use crate::identity::{AUTHENTICATED, Identity};

const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
const GROUP: &str = "system:bootstrappers";

/// Who shows the token; `None` if it is no bootstrap token, or none that counts.
pub(super) fn identify(core: &Core, token: &str) -> Option<Identity> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    if id.len() != ID_LENGTH || secret.len() != SECRET_LENGTH || !is_plain(id) || !is_plain(secret) {
        return None;
    }
    let held = core.caches.collection("core/secrets")?.get(&format!("kube-system/bootstrap-token-{id}"))?;
    if held.object().header().deleting {
        return None;
    }
    read(&held.object().to_value().ok()?, id, secret, core.env.clock.now().secs())
}

fn read(held: &Value, id: &str, secret: &str, now: i64) -> Option<Identity> {
    let data = |name: &str| -> Option<String> {
        String::from_utf8(STANDARD.decode(held.at(&["data", name]).as_str()?).ok()?).ok()
    };
    if held.get("type").str_or_empty() != "bootstrap.kubernetes.io/token" || data("token-id")? != id {
        return None;
    }
    verify_slices_are_equal(data("token-secret")?.as_bytes(), secret.as_bytes()).ok()?;
    if data("usage-bootstrap-authentication")? != "true" {
        return None;
    }
    if let Some(expires) = data("expiration")
        && Timestamp::parse(&expires).is_none_or(|expires| expires.secs <= now)
    {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    let extra = data("auth-extra-groups").unwrap_or_default();
    let extra = extra.split(',').map(str::trim).filter(|group| group.starts_with("system:bootstrappers:"));
    groups.extend(extra.map(str::to_owned));
    groups.push(AUTHENTICATED.to_owned());
    Some(Identity { name: format!("system:bootstrap:{id}"), groups, ..Identity::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(change: impl FnOnce(&mut Vec<(&'static str, &'static str)>)) -> Value {
        let mut data = vec![
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("expiration", "2030-01-01T00:00:00Z"),
            ("auth-extra-groups", "system:bootstrappers:node,others"),
        ];
        change(&mut data);
        let mut held = Value::from([("type", Value::from("bootstrap.kubernetes.io/token"))]);
        for (name, text) in data {
            *held.at_mut(&["data", name]) = Value::from(STANDARD.encode(text));
        }
        held
    }

    #[test]
    fn only_tokens_that_count_count() {
        let now = Timestamp::parse("2029-01-01T00:00:00Z").unwrap().secs;
        let identify = |held: &Value| read(held, "abcdef", "0123456789abcdef", now);
        let identity = identify(&held(|_| {})).unwrap();
        assert_eq!(identity.name, "system:bootstrap:abcdef");
        assert_eq!(identity.groups, [GROUP, "system:bootstrappers:node", AUTHENTICATED]);
        for (name, text) in [
            ("token-secret", "0123456789abcdee"),
            ("token-id", "abcdee"),
            ("usage-bootstrap-authentication", "false"),
            ("expiration", "2028-01-01T00:00:00Z"),
            ("expiration", "soon"),
        ] {
            let changed =
                held(|data| data.iter_mut().filter(|(key, _)| *key == name).for_each(|pair| pair.1 = text));
            assert_eq!(identify(&changed), None, "{name}={text}");
        }
        assert!(identify(&held(|data| data.retain(|(name, _)| *name != "expiration"))).is_some());
    }
}
