//! Authentication: who makes a request?

mod certificate;

use http::HeaderMap;

pub use certificate::CertificateError;

use crate::config::Config;
use crate::http::listener::Peer;
use crate::identity::Identity;

/// Why credentials were refused. What the client sees is 401 and no more.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The client certificate does not lead to a CA we know, or is not valid now.
    #[error("the client certificate was refused")]
    Certificate(#[from] CertificateError),
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
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Refused> {
        if headers.contains_key(http::header::AUTHORIZATION) {
            return Err(Refused::UnknownCredentials);
        }
        Ok(Identity::anonymous())
    }
}
