//! OpenID Connect: tokens of issuers that the configuration trusts, and who they say somebody is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use env::Env;
use machinery::Value;
use tokio::sync::Mutex;

use super::jwt::{Key, Token};
use crate::identity::Identity;
use crate::remote::{Remote, split_url};

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys are not asked for again sooner than this.
const PAUSE: Duration = Duration::from_secs(10);
/// Seconds that clocks may differ.
const LEEWAY: i64 = 0;

/// An issuer, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its address, as tokens name it.
    pub url: String,
    /// Where its configuration is, if not below its address.
    pub discovery: Option<String>,
    /// PEM certificates that may have signed its certificate.
    pub ca: Vec<u8>,
    /// For whom tokens must be.
    pub audiences: Vec<String>,
    /// The claim with the user's name, and what is put before it.
    pub username: (String, String),
    /// The claim with the groups, and what is put before each.
    pub groups: Option<(String, String)>,
    /// The claim with the identity.
    pub uid: Option<String>,
    /// Claims that must have a value.
    pub required: Vec<(String, String)>,
}

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    settings: Settings,
    remote: Remote,
    /// The path of its configuration.
    path: String,
    keys: ArcSwap<Vec<Key>>,
    /// When the keys were last asked for; held while they are.
    asked: Mutex<Option<Duration>>,
    env: Env,
}

/// Why a token was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Issuer {
    /// As configured.
    pub fn new(env: &Env, settings: Settings) -> Result<Issuer, String> {
        let place = settings.discovery.clone().unwrap_or_else(|| {
            format!("{}/.well-known/openid-configuration", settings.url.trim_end_matches('/'))
        });
        let (server, path) = split_url(&place)?;
        let config = client::https::Config { server, ca: settings.ca.clone(), ..Default::default() };
        let remote = Remote::new(env, config, PATIENCE)?;
        Ok(Issuer {
            settings,
            remote,
            path,
            keys: ArcSwap::default(),
            asked: Mutex::default(),
            env: env.clone(),
        })
    }

    /// Whether it issued a token, by what that says.
    pub fn issued(&self, token: &Token<'_>) -> bool {
        token.claims.get("iss").as_str() == Some(self.settings.url.as_str())
    }

    /// Who a token of this issuer is from.
    pub async fn identify(&self, token: &Token<'_>) -> Result<Identity, Refused> {
        if !token.is_signed_by(&self.keys.load()) {
            // It may have new keys.
            self.fetch_keys().await.map_err(Refused)?;
            if !token.is_signed_by(&self.keys.load()) {
                return Err(Refused("no key of the issuer signed the token".to_owned()));
            }
        }
        believe(&self.settings, &token.claims, self.env.clock.now().secs()).map_err(Refused)
    }

    async fn fetch_keys(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        let now = self.env.clock.monotonic();
        if asked.is_some_and(|before| now < before + PAUSE) {
            return Ok(());
        }
        *asked = Some(now);
        let configuration = self.remote.get(&self.path).await?;
        let issuer = configuration.get("issuer").str_or_empty();
        if issuer != self.settings.url {
            return Err(format!("the issuer calls itself {issuer:?}, not {:?}", self.settings.url));
        }
        let (server, path) = split_url(configuration.get("jwks_uri").str_or_empty())?;
        let config = client::https::Config { server, ca: self.settings.ca.clone(), ..Default::default() };
        let set = Remote::new(&self.env, config, PATIENCE)?.get(&path).await?;
        self.keys.store(Arc::new(Key::read_set(&set)));
        Ok(())
    }
}

/// Who the claims of a token that is genuine speak of.
fn believe(settings: &Settings, claims: &Value, now: i64) -> Result<Identity, String> {
    let seconds = |name: &str| claims.get(name).as_int();
    if seconds("exp").is_none_or(|end| now > end + LEEWAY) {
        return Err("the token is expired".to_owned());
    }
    if seconds("nbf").is_some_and(|start| now + LEEWAY < start) {
        return Err("the token is not valid yet".to_owned());
    }
    let meant_for = texts(claims.get("aud"));
    if !meant_for.iter().any(|audience| settings.audiences.contains(audience)) {
        return Err("the token is meant for somebody else".to_owned());
    }
    for (claim, value) in &settings.required {
        if claims.get(claim).as_str() != Some(value) {
            return Err(format!("the token does not have {value:?} as its {claim}"));
        }
    }
    let (claim, prefix) = &settings.username;
    let name = claims.get(claim).as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("the token has no {claim}"))?;
    if claim == "email" && claims.get("email_verified").as_bool() == Some(false) {
        return Err("the token's email is not verified".to_owned());
    }
    let groups: Vec<String> = match &settings.groups {
        Some((claim, prefix)) => {
            texts(claims.get(claim)).into_iter().map(|group| format!("{prefix}{group}")).collect()
        }
        None => Vec::new(),
    };
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut identity = Identity::new(&format!("{prefix}{name}"), &groups);
    if let Some(claim) = &settings.uid {
        identity.uid = claims.get(claim).str_or_empty().to_owned();
    }
    let mut extra = BTreeMap::new();
    if let Some(id) = claims.get("jti").as_str() {
        extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={id}")]);
    }
    identity.extra = extra;
    Ok(identity)
}

/// One text or several.
fn texts(value: &Value) -> Vec<String> {
    match value.as_str() {
        Some(one) => vec![one.to_owned()],
        None => value.items().iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests;
