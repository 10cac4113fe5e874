//! Authentication: who makes a request?

mod bootstrap_token;
mod certificate;
mod service_account;

use http::HeaderMap;

pub use certificate::CertificateError;

use crate::config::Config;
use crate::core::Core;
use crate::http::listener::Peer;
use crate::identity::Identity;
use crate::tokens::TokenError;

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
    /// The credentials are of no kind that is accepted.
    #[error("the authorization header holds nothing that is accepted")]
    UnknownCredentials,
}

/// Establishes identities.
#[derive(Debug)]
pub struct Authenticator {
    certificates: Option<certificate::Certificates>,
}

impl Authenticator {
    /// As configured.
    pub fn new(config: &Config) -> Result<Authenticator, crate::http::tls::TlsError> {
        let certificates = if config.client_ca.is_empty() {
            None
        } else {
            Some(certificate::Certificates::new(&config.client_ca)?)
        };
        Ok(Authenticator { certificates })
    }

    /// Who is at the other end of a connection, by its certificate; `None` if it showed none.
    pub fn connected(&self, peer: &Peer, now: env::WallTime) -> Result<Option<Identity>, Refused> {
        match (&self.certificates, peer.certificates.as_slice()) {
            (Some(known), [own, chain @ ..]) => Ok(Some(known.identify(own, chain, now)?)),
            _ => Ok(None),
        }
    }

    /// Who makes a request without a certificate.
    pub async fn identify(&self, core: &Core, headers: &HeaderMap) -> Result<Identity, Refused> {
        let Some(authorization) = headers.get(http::header::AUTHORIZATION) else {
            return Ok(Identity::anonymous());
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(Refused::UnknownCredentials)?;
        self.token(core, token, &[core.config.issuer.as_str()])
    }

    /// Who a token is from, if it is meant for one of the audiences.
    pub fn token(&self, core: &Core, token: &str, audiences: &[&str]) -> Result<Identity, Refused> {
        if let Some(identity) = service_account::identify(core, token, audiences)? {
            return Ok(identity);
        }
        let known = core.config.known_tokens.iter().find(|known| known.is(token));
        let known = known.map(|known| known.identity.clone());
        let identity = known.or_else(|| bootstrap_token::identify(core, token));
        let identity = identity.ok_or(Refused::UnknownCredentials)?;
        // Tokens that name no audience are for this server and for nobody else.
        if audiences.contains(&core.config.issuer.as_str()) { Ok(identity) } else { Err(Refused::Audience) }
    }
}
