//! Tokens of service accounts, bound to the pod, asked for anew before they run out.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Call, Client, Write, resources};
use env::{Env, WallTime};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use machinery::Status;

use super::content::TokenWish;
use crate::pod::PodView;

/// However long a token is good for, it is renewed after a day.
const LONGEST_USE: Duration = Duration::from_secs(24 * 3_600);

#[derive(Clone, Debug)]
struct Token {
    text: String,
    issued: WallTime,
    expires: WallTime,
}

impl Token {
    /// After four fifths of its life.
    fn renew_at(&self) -> WallTime {
        let life = self.expires.since(self.issued);
        self.issued.plus((life * 4 / 5).min(LONGEST_USE))
    }
}

/// The tokens of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenStore {
    tokens: BTreeMap<TokenWish, Token>,
}

impl TokenStore {
    /// The tokens wished for, those that are due asked for anew, and when the first of them is due again.
    pub async fn get(
        &mut self,
        client: &Client,
        env: &Env,
        pod: &PodView,
        wishes: impl Iterator<Item = TokenWish>,
    ) -> Result<(BTreeMap<TokenWish, String>, Option<WallTime>), Status> {
        let mut texts = BTreeMap::new();
        let mut renew_at: Option<WallTime> = None;
        for wish in wishes {
            let now = env.clock.now();
            let due = self.tokens.get(&wish).is_none_or(|token| token.renew_at() <= now);
            if due {
                match ask(client, pod, &wish, now).await {
                    Ok(token) => {
                        self.tokens.insert(wish.clone(), token);
                    }
                    // The old one serves as long as it is good; it is asked for again soon.
                    Err(status) => match self.tokens.get(&wish).filter(|token| token.expires > now) {
                        Some(_) => {
                            tracing::warn!(pod = %pod.long_name(), "a token could not be renewed: {status}");
                            renew_at = Some(now.plus(Duration::from_secs(60)));
                        }
                        None => return Err(status),
                    },
                }
            }
            if let Some(token) = self.tokens.get(&wish) {
                texts.insert(wish, token.text.clone());
                let at = token.renew_at();
                if at > now {
                    renew_at = Some(renew_at.map_or(at, |before| before.min(at)));
                }
            }
        }
        Ok((texts, renew_at))
    }
}

async fn ask(client: &Client, pod: &PodView, wish: &TokenWish, now: WallTime) -> Result<Token, Status> {
    let account =
        pod.spec().service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: (!wish.audience.is_empty()).then(|| vec![wish.audience.clone()]),
            expiration_seconds: Some(wish.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
            }),
        }),
        ..TokenRequest::default()
    };
    let body = serde_json::to_vec(&request).map_err(Status::internal)?;
    let call = Call::object(pod.namespace(), account).subresource("token");
    let answer = client.write(resources::SERVICE_ACCOUNTS, call, Write::Create(body.into())).await?;
    let answer = answer.view::<TokenRequest>()?;
    let empty = || Status::internal("the server answered without a token");
    let status = answer.status.as_ref().ok_or_else(empty)?;
    let text = status.token.clone().filter(|token| !token.is_empty()).ok_or_else(empty)?;
    let life = Duration::from_secs(u64::try_from(wish.seconds).unwrap_or(3_600));
    let expires = status.expiration_timestamp.as_ref().map_or(now.plus(life), |at| client::time::wall(at.0));
    Ok(Token { text, issued: now, expires })
}
