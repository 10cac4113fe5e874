//! OpenID Connect: tokens of issuers that the configuration trusts, and who they say somebody is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use env::Env;
use machinery::Value;
use tokio::sync::Mutex;

use super::jwt::{Key, Token};
use crate::expression::{Expression, Rule};
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
    /// Where the user's name comes from.
    pub username: Source,
    /// Where the groups come from.
    pub groups: Option<Source>,
    /// Where the identity comes from.
    pub uid: Option<Source>,
    /// What else is said of the user: keys, and where their values come from.
    pub extra: Vec<(String, Expression)>,
    /// Claims that must have a value.
    pub required: Vec<(String, String)>,
    /// What must be true of the claims.
    pub claim_rules: Vec<Rule>,
    /// What must be true of the user they make.
    pub user_rules: Vec<Rule>,
}

/// Where something about a user comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A claim, and what is put before its value.
    Claim(String, String),
    /// What an expression over the claims comes to.
    Expression(Expression),
}

impl Default for Source {
    fn default() -> Source {
        Source::Claim("sub".to_owned(), String::new())
    }
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
    for rule in &settings.claim_rules {
        let refused = |why| format!("oidc: error evaluating claim validation expression: {why}");
        rule.check(claims).map_err(refused)?;
    }
    let identity = mapped(settings, claims)?;
    let user = user_of(&identity);
    for rule in &settings.user_rules {
        let refused = |why| format!("oidc: error evaluating user info validation rule: {why}");
        rule.check(&user).map_err(refused)?;
    }
    Ok(identity)
}

fn name_in(source: &Source, claims: &Value) -> Result<String, String> {
    let (claim, prefix) = match source {
        Source::Claim(claim, prefix) => (claim, prefix),
        Source::Expression(expression) => {
            let failed = |why: String| format!("oidc: error evaluating username claim expression: {why}");
            let name = expression.text_of(claims).map_err(failed)?;
            let name =
                name.ok_or_else(|| failed("username claim expression must return a string".to_owned()))?;
            if name.is_empty() {
                return Err("oidc: empty username via CEL expression is not allowed".to_owned());
            }
            return Ok(name);
        }
    };
    let name = claims.get(claim).as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("the token has no {claim}"))?;
    if claim == "email" && claims.get("email_verified").as_bool() == Some(false) {
        return Err("the token's email is not verified".to_owned());
    }
    Ok(format!("{prefix}{name}"))
}

/// The user that claims make.
fn mapped(settings: &Settings, claims: &Value) -> Result<Identity, String> {
    let name = name_in(&settings.username, claims)?;
    let groups: Vec<String> = match &settings.groups {
        Some(Source::Claim(claim, prefix)) => {
            texts(claims.get(claim)).into_iter().map(|group| format!("{prefix}{group}")).collect()
        }
        Some(Source::Expression(expression)) => expression
            .texts_of(claims)
            .map_err(|why| format!("oidc: error evaluating group claim expression: {why}"))?,
        None => Vec::new(),
    };
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut identity = Identity::new(&name, &groups);
    match &settings.uid {
        Some(Source::Claim(claim, _)) => identity.uid = claims.get(claim).str_or_empty().to_owned(),
        Some(Source::Expression(expression)) => {
            let failed = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
            let uid = expression.text_of(claims).map_err(failed)?;
            identity.uid =
                uid.ok_or_else(|| failed("uid claim expression must return a string".to_owned()))?;
        }
        None => {}
    }
    let mut extra = BTreeMap::new();
    for (key, expression) in &settings.extra {
        let failed =
            |why| format!("oidc: error evaluating extra claim expression: {}: {why}", expression.text());
        let values = expression.texts_of(claims).map_err(failed)?;
        if !values.is_empty() {
            extra.insert(key.clone(), values);
        }
    }
    if let Some(id) = claims.get("jti").as_str() {
        extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={id}")]);
    }
    identity.extra = extra;
    Ok(identity)
}

/// A user as rules see it.
fn user_of(identity: &Identity) -> Value {
    let texts =
        |list: &[String]| Value::from(list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
    let mut extra = Value::object();
    for (key, values) in &identity.extra {
        extra.set(key, texts(values));
    }
    // Everybody who proved who they are is in one more group, which is put there after the rules were asked.
    let groups: Vec<String> =
        identity.groups.iter().filter(|group| *group != crate::identity::AUTHENTICATED).cloned().collect();
    Value::from([
        ("username", Value::from(identity.name.as_str())),
        ("uid", Value::from(identity.uid.as_str())),
        ("groups", texts(&groups)),
        ("extra", extra),
    ])
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
