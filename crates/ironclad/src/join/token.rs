//! The token: a bootstrap token of the cluster, and the fingerprint of its authority, so that a machine that joins knows
//! that it speaks to the right server.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, ensure};
use client::https::pinned::Fingerprint;
use client::{Call, Client, Write, resources};
use machinery::time::Timestamp;
use serde_json::json;

/// The group of those who show a token: they may ask for the certificates of a node.
pub const GROUP: &str = "system:bootstrappers:ironclad:nodes";
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// `abcdef.0123456789abcdef.<64 hexadecimal digits>`
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    id: String,
    secret: String,
    /// Of the cluster's authority.
    pub authority: Fingerprint,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JoinToken({}.…)", self.id)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.", self.bearer())?;
        self.authority.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl FromStr for JoinToken {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<JoinToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let is_plain = |part: &str| part.bytes().all(|byte| LETTERS.contains(&byte));
        let wrong = "this is no token: `ironclad token create` on the server prints one";
        let [id, secret, digits] = parts.as_slice() else { anyhow::bail!(wrong) };
        ensure!(id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH, wrong);
        ensure!(is_plain(id) && is_plain(secret) && is_plain(digits) && digits.len() == 64, wrong);
        let mut authority = Fingerprint::default();
        for (byte, position) in authority.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[position..position + 2], 16).context(wrong)?;
        }
        Ok(JoinToken { id: (*id).to_owned(), secret: (*secret).to_owned(), authority })
    }
}

impl JoinToken {
    /// A new one for the cluster with this authority.
    pub fn new(authority: Fingerprint) -> anyhow::Result<JoinToken> {
        Ok(JoinToken { id: letters(ID_LENGTH)?, secret: letters(SECRET_LENGTH)?, authority })
    }

    /// What the server is shown.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// Makes it count, until `expires_secs`.
    pub async fn publish(&self, client: &Client, expires_secs: i64) -> anyhow::Result<()> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": format!("bootstrap-token-{}", self.id), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {
                "token-id": self.id,
                "token-secret": self.secret,
                "expiration": Timestamp::from_secs(expires_secs).to_rfc3339(),
                "usage-bootstrap-authentication": "true",
                "auth-extra-groups": GROUP,
                "description": "lets machines join as nodes",
            },
        });
        let body = Write::Create(secret.to_string().into());
        client
            .write(resources::SECRETS, Call::all("kube-system"), body)
            .await
            .context("the token cannot be made known")?;
        Ok(())
    }
}

/// Random letters and digits.
fn letters(count: usize) -> anyhow::Result<String> {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut random = [0u8; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("there are no random numbers"))?;
        // Numbers that would make some letters more likely than others are passed over.
        let even = random.iter().filter(|number| **number < 252);
        text.extend(
            even.take(count - text.len()).map(|number| char::from(LETTERS[usize::from(*number) % 36])),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = JoinToken::new(std::array::from_fn(|byte| byte as u8 * 7)).expect("random numbers");
        let again: JoinToken = format!("  {token}\n").parse().expect("a token");
        assert_eq!(again, token);
        assert_eq!(token.bearer().len(), 23);
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let digits = "0".repeat(64);
        for text in [
            String::new(),
            "abcdef.0123456789abcdef".to_owned(),
            format!("abcde.0123456789abcdef.{digits}"),
            format!("abcdef.0123456789abcde.{digits}"),
            format!("abcdef.0123456789abcdef.{digits}0"),
            format!("abcdef.0123456789abcdeF.{digits}"),
            format!("abcdef.0123456789abcdef.{}", "z".repeat(64)),
            format!("abcdef.0123456789abcdef.{}", "é".repeat(32)),
            format!("abcdef.0123456789abcdef.{digits}.x"),
        ] {
            assert!(text.parse::<JoinToken>().is_err(), "{text}");
        }
    }
}
