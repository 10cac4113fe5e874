//! What a connection to etcd trusts and what it shows.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::StoreError;

/// Certificates and keys, all PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who may have signed the members' certificates.
    pub ca: Vec<u8>,
    /// Our own certificate, and its key, if the members ask for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tls({})", if self.client.is_some() { "with a client certificate" } else { "anonymous" })
    }
}

impl Tls {
    /// As the TLS library wants it.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, StoreError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("TLS provider", &error))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("certificate authority of etcd", &self.ca)? {
            roots.add(certificate).map_err(|error| unusable("certificate authority of etcd", &error))?;
        }
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| unusable("client key for etcd", &error))?;
                builder
                    .with_client_auth_cert(certificates("client certificate for etcd", chain)?, key)
                    .map_err(|error| unusable("client certificate for etcd", &error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unusable(what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { detail: format!("the {what} cannot be used: {why}") }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(what, &"it holds no PEM certificate")),
        Err(error) => Err(unusable(what, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        for (tls, named) in [
            (Tls::default(), "certificate authority of etcd"),
            (
                Tls { ca: b"-----BEGIN CERTIFICATE-----\nAAAA\n".to_vec(), client: None },
                "certificate authority",
            ),
        ] {
            let refused = tls.config().map(drop).expect_err("there is no authority");
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }
}
