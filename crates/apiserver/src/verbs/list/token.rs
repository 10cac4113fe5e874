//! The place in a list where the next page begins, as clients carry it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::Status;
use serde::{Deserialize, Serialize};

/// How long the pages of one list are all of one revision. The store remembers longer, but clients are used to a
/// server that forgets after some minutes, and a list that takes longer is better told so.
const LIFE_SECS: i64 = 5 * 60;
const VERSION: &str = "meta.k8s.io/v1";

/// Where to go on.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Token {
    v: String,
    /// The revision of the first page; -1 for one that goes on with whatever is newest.
    rv: i64,
    /// The key of the next object, without what all keys of the list have in common.
    pub start: String,
    /// When the first page was made.
    #[serde(default)]
    since: i64,
}

impl Token {
    /// A token for what follows the first page, which is made now.
    pub fn new(revision: u64, now_secs: i64) -> Token {
        let rv = i64::try_from(revision).unwrap_or(i64::MAX);
        Token { v: VERSION.to_owned(), rv, start: String::new(), since: now_secs }
    }

    /// The revision that all pages show, unless this one goes on with whatever is newest.
    pub fn revision(&self) -> Option<u64> {
        u64::try_from(self.rv).ok()
    }

    /// Whether its list has taken too long.
    pub fn is_old(&self, now_secs: i64) -> bool {
        now_secs.saturating_sub(self.since) >= LIFE_SECS
    }

    /// The same list, from another key on.
    pub fn at(&self, start: &str) -> Token {
        Token { v: self.v.clone(), start: start.to_owned(), ..*self }
    }

    /// From the same key on, with whatever is newest.
    pub fn with_the_newest(&self) -> Token {
        Token { v: self.v.clone(), rv: -1, start: self.start.clone(), since: self.since }
    }

    /// As clients carry it.
    pub fn encode(&self) -> String {
        // A structure of text and numbers always has a JSON form.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what a client brings.
    pub fn decode(text: &str) -> Result<Token, Status> {
        let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| invalid(&error.to_string()))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
        if token.v != VERSION {
            return Err(invalid("server does not recognize this encoded version"));
        }
        if token.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        Ok(token)
    }
}

/// Refuses a page of a list that is forgotten, with a token for those who take what there is now.
pub fn too_old(token: &Token) -> Status {
    let mut status = Status::expired(TOO_OLD);
    status.continue_token = token.with_the_newest().encode();
    status
}

const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You \
    can start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_and_forgeries_do_not() {
        let token = Token::new(17, 1_000).at("a/b");
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        assert_eq!((token.revision(), token.start.as_str()), (Some(17), "a/b"));
        for bad in ["x", "e30", &Token::new(0, 0).encode()] {
            assert_eq!(Token::decode(bad).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn a_list_is_forgotten_after_some_minutes_and_goes_on_with_the_newest() {
        let token = Token::new(17, 1_000).at("a/b");
        assert!(!token.is_old(1_000) && !token.is_old(1_299) && token.is_old(1_300));
        // Pages that come later do not make the list any younger.
        assert!(token.at("c/d").is_old(1_300));
        let status = too_old(&token);
        let rest = Token::decode(&status.continue_token).unwrap();
        assert_eq!((status.code, rest.revision(), rest.start.as_str()), (410, None, "a/b"));
    }
}
