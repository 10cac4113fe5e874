//! Client certificates: the common name is the user, the organizations are its groups.

use std::sync::Arc;
use std::time::Duration;

use env::WallTime;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer;

use crate::http::tls::{self, TlsError};
use crate::identity::Identity;

/// What is wrong with a client certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It leads to no CA we know, or is not valid now.
    #[error("it does not verify")]
    Unverified(#[source] rustls::Error),
    /// It cannot be read.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// It names nobody.
    #[error("its subject has no common name")]
    Nameless,
}

/// The CAs whose certificates say who a client is.
#[derive(Debug)]
pub struct Certificates {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Certificates {
    /// From the CAs of a PEM text.
    pub fn new(pem: &[u8]) -> Result<Certificates, TlsError> {
        let what = "client CA";
        let roots = tls::roots(pem, what)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build().map_err(|error| {
                TlsError::Unusable { what, source: rustls::Error::General(error.to_string()) }
            })?;
        Ok(Certificates { verifier })
    }

    /// Who a verified certificate names.
    pub fn identify(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: WallTime,
    ) -> Result<Identity, CertificateError> {
        let seconds = u64::try_from(now.secs()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.verifier.verify_client_cert(own, chain, now).map_err(CertificateError::Unverified)?;
        let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(own)
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let subject = certificate.subject();
        let name = subject
            .iter_common_name()
            .find_map(|attribute| attribute.as_str().ok())
            .filter(|name| !name.is_empty())
            .ok_or(CertificateError::Nameless)?;
        let groups: Vec<&str> =
            subject.iter_organization().filter_map(|attribute| attribute.as_str().ok()).collect();
        Ok(Identity::new(name, &groups))
    }
}
