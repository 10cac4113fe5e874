//! Who we are, and who others are, by certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Config;

/// Whoever is at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// Its name; empty if it showed no certificate.
    pub name: String,
    /// Its identity, if it has one beside its name.
    pub uid: String,
    /// The groups in it.
    pub groups: Vec<String>,
    /// What else is known of it.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Shakes hands as the configuration says. Clients may come without a certificate; they need a
/// token then.
pub(crate) fn acceptor(config: &Config) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let read = |pem: &[u8], what: &str| {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| format!("{what} cannot be read: {error}"))?;
        if certificates.is_empty() {
            Err(format!("there is no certificate in {what}"))
        } else {
            Ok(certificates)
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in read(&config.client_ca, "the clients' authority")? {
        roots.add(certificate).map_err(|error| format!("the clients' authority is not one: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&config.key)
        .map_err(|error| format!("the key cannot be read: {error}"))?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(read(&config.certificate, "the server's certificate")?, key)
        .map_err(|error| format!("the server's certificate and key do not fit: {error}"))?;
    // Connections are upgraded, which only this version can be.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// Who is at the other end of a connection.
pub(super) fn caller(connection: &ServerConnection) -> Caller {
    let shown = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(Ok((_, certificate))) = shown.map(|der| X509Certificate::from_der(der)) else {
        return Caller::default();
    };
    let subject = certificate.subject();
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    Caller {
        uid: String::new(),
        extra: BTreeMap::new(),
        name: subject.iter_common_name().next().and_then(text).unwrap_or_default(),
        groups: subject.iter_organization().filter_map(text).collect(),
    }
}
