//! TLS: our certificate, and whatever certificate the client shows.
//!
//! A client certificate is asked for, not demanded, and not judged in the handshake: whether it leads to a CA we know
//! is for authentication to say, which answers 401 in words instead of cutting the connection.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

use crate::config::KeyPair;

/// The name by which HTTP/2 is agreed on.
pub const HTTP_2: &[u8] = b"h2";

/// What is wrong with certificates or keys we were given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM is malformed or empty.
    #[error("the {what} is no PEM: {detail}")]
    Pem {
        /// Which piece.
        what: &'static str,
        /// What was found.
        detail: String,
    },
    /// The TLS library refuses it.
    #[error("the {what} cannot be used")]
    Unusable {
        /// Which piece.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates of a PEM text.
pub fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err(TlsError::Pem { what, detail: "no certificate in it".into() }),
        Ok(list) => Ok(list),
        Err(error) => Err(TlsError::Pem { what, detail: error.to_string() }),
    }
}

/// The private key of a PEM text.
pub fn private_key(pem: &[u8], what: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| TlsError::Pem { what, detail: error.to_string() })
}

/// The CAs of a PEM text.
pub fn roots(pem: &[u8], what: &'static str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(|source| TlsError::Unusable { what, source })?;
    }
    Ok(Arc::new(roots))
}

/// How the server speaks TLS.
pub fn server_config(serving: &KeyPair) -> Result<Arc<ServerConfig>, TlsError> {
    let what = "serving certificate";
    let unusable = |source| TlsError::Unusable { what, source };
    let chain = certificates(&serving.chain, what)?;
    let key = private_key(&serving.key, "serving key")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(Arc::new(AnyClient { provider: provider() }))
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes any client certificate whose owner holds its key.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
