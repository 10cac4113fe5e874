//! Who asks: whoever a certificate names, or whoever the API server knows a token to be.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use client::{Call, Client, Write, resources};
use env::Clock;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, UserInfo};
use machinery::Status;
use serde_json::json;

use super::tls::Caller;

/// How many tokens are remembered; then all are forgotten.
const REMEMBERED: usize = 1_000;
/// For how long, in seconds: upstream's limit. Tokens that were refused are asked about again.
const KNOWN_SECS: i64 = 120;

/// Knows callers, and remembers those that the API server knew.
#[derive(Debug)]
pub(super) struct Identities {
    client: Client,
    clock: Clock,
    known: Mutex<BTreeMap<String, (Caller, i64)>>,
}

impl Identities {
    /// Asks through `client`.
    pub fn new(client: Client, clock: Clock) -> Identities {
        Identities { client, clock, known: Mutex::default() }
    }

    /// Who sends a request with these headers over a connection of `shown`.
    pub async fn of(&self, shown: &Caller, headers: &HeaderMap) -> Result<Caller, Status> {
        if !shown.name.is_empty() {
            return Ok(shown.clone());
        }
        let token = bearer(headers).ok_or_else(Status::unauthorized)?;
        let now = self.clock.now().secs();
        if let Some((caller, until)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(token)
            && now < *until
        {
            return Ok(caller.clone());
        }
        let caller = self.ask(token).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(token.to_owned(), (caller.clone(), now + KNOWN_SECS));
        Ok(caller)
    }

    async fn ask(&self, token: &str) -> Result<Caller, Status> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        });
        let body = Write::Create(review.to_string().into());
        let answer = self.client.write(resources::TOKEN_REVIEWS, Call::default(), body).await?;
        let answer = answer.view::<TokenReview>()?;
        let status = answer.status.as_ref().filter(|status| status.authenticated == Some(true));
        let user = status.and_then(|status| status.user.clone()).ok_or_else(Status::unauthorized)?;
        let UserInfo { username, uid, groups, extra } = user;
        let name = username.filter(|name| !name.is_empty()).ok_or_else(Status::unauthorized)?;
        Ok(Caller {
            name,
            uid: uid.unwrap_or_default(),
            groups: groups.unwrap_or_default(),
            extra: extra.unwrap_or_default(),
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (kind, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (kind.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
