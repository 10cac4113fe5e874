//! Authentication: who makes a request?

mod bootstrap_token;
mod certificate;
pub mod config;
pub mod front_proxy;
pub(crate) mod jwt;
pub mod oidc;
mod service_account;
mod webhook;

use std::time::Duration;

use env::Env;
use http::HeaderMap;

pub use certificate::CertificateError;

use self::front_proxy::FrontProxy;
use crate::config::Config;
use crate::core::Core;
use crate::http::listener::Peer;
use crate::identity::Identity;
use crate::remote::Remote;
use crate::tokens::TokenError;

/// How long the token webhook may take.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(30);

/// Why credentials were refused. What the client sees is 401 and no more.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The client certificate does not lead to a CA we know, or is not valid now.
    #[error("the client certificate was refused")]
    Certificate(#[from] CertificateError),
    /// The token is not ours, or damaged.
    #[error("the token was refused")]
    Token(#[from] TokenError),
    /// The token is no longer valid, or not yet.
    #[error("the token is not valid now")]
    Expired,
    /// The token is meant for somebody else.
    #[error("the token is meant for somebody else")]
    Audience,
    /// What the token is bound to is gone.
    #[error("what the token is bound to is gone")]
    Gone,
    /// No credentials were shown, and without them nobody is heard here.
    #[error("no credentials were shown")]
    Nobody,
    /// An issuer's token is not to be believed.
    #[error("the issuer's token was refused")]
    Issuer(#[from] oidc::Refused),
    /// Who knows tokens could not be asked.
    #[error("the token webhook failed: {0}")]
    Webhook(String),
    /// The credentials are of no kind that is accepted.
    #[error("the authorization header holds nothing that is accepted")]
    UnknownCredentials,
}

/// Why nobody can be identified as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::http::tls::TlsError),
    /// Somebody who is to be asked cannot be.
    #[error("{0}")]
    Remote(String),
}

/// Establishes identities.
#[derive(Debug)]
pub struct Authenticator {
    certificates: Option<certificate::Certificates>,
    front_proxy: Option<FrontProxy>,
    issuers: Vec<oidc::Issuer>,
    webhook: Option<webhook::Webhook>,
    anonymous: config::Anonymous,
}

impl Authenticator {
    /// As configured.
    pub fn new(config: &Config, env: &Env) -> Result<Authenticator, SetupError> {
        let certificates = if config.client_ca.is_empty() {
            None
        } else {
            Some(certificate::Certificates::new(&config.client_ca)?)
        };
        let issuers = config.authentication.issuers.iter();
        let issuers =
            issuers.map(|issuer| oidc::Issuer::new(env, issuer.clone()).map_err(SetupError::Remote));
        let webhook = match &config.token_webhook {
            None => None,
            Some(target) => {
                let remote = Remote::new(env, target.server.clone(), WEBHOOK_PATIENCE);
                Some(webhook::Webhook::new(remote.map_err(SetupError::Remote)?, target.path.clone()))
            }
        };
        Ok(Authenticator {
            certificates,
            front_proxy: FrontProxy::new(&config.front_proxy)?,
            issuers: issuers.collect::<Result<_, _>>()?,
            webhook,
            anonymous: config.authentication.anonymous.clone(),
        })
    }

    /// Whether the other end of a connection may speak for others.
    pub fn is_front_proxy(&self, peer: &Peer, now: env::WallTime) -> bool {
        self.front_proxy.as_ref().is_some_and(|known| known.is(peer, now))
    }

    /// Who is at the other end of a connection, by its certificate; `None` if it showed none.
    pub fn connected(&self, peer: &Peer, now: env::WallTime) -> Result<Option<Identity>, Refused> {
        match (&self.certificates, peer.certificates.as_slice()) {
            (Some(known), [own, chain @ ..]) => Ok(Some(known.identify(own, chain, now)?)),
            _ => Ok(None),
        }
    }

    /// Who makes a request without a certificate.
    pub async fn identify(&self, core: &Core, headers: &HeaderMap, path: &str) -> Result<Identity, Refused> {
        let Some(authorization) = headers.get(http::header::AUTHORIZATION) else {
            return if self.anonymous.is_heard(path) {
                Ok(Identity::anonymous())
            } else {
                Err(Refused::Nobody)
            };
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(Refused::UnknownCredentials)?;
        self.token(core, token, &[core.config.issuer.as_str()]).await
    }

    /// Who a token is from, if it is meant for one of the audiences.
    pub async fn token(&self, core: &Core, token: &str, audiences: &[&str]) -> Result<Identity, Refused> {
        if let Some(identity) = service_account::identify(core, token, audiences)? {
            return Ok(identity);
        }
        let known = core.config.known_tokens.iter().find(|known| known.is(token));
        let known = known.map(|known| known.identity.clone());
        // Tokens that name no audience are for this server and for nobody else.
        let for_us = audiences.contains(&core.config.issuer.as_str());
        if let Some(identity) = known.or_else(|| bootstrap_token::identify(core, token)) {
            return if for_us { Ok(identity) } else { Err(Refused::Audience) };
        }
        if let Some(token) = jwt::Token::parse(token)
            && let Some(issuer) = self.issuers.iter().find(|issuer| issuer.issued(&token))
        {
            let identity = Box::pin(issuer.identify(&token)).await?;
            return if for_us { Ok(identity) } else { Err(Refused::Audience) };
        }
        let Some(webhook) = &self.webhook else { return Err(Refused::UnknownCredentials) };
        let found = Box::pin(webhook.identify(token, audiences, core.env.clock.monotonic())).await;
        found.map_err(Refused::Webhook)?.ok_or(Refused::UnknownCredentials)
    }
}
