//! A server known by nothing but the fingerprint of the authority that signed its certificate: what a machine that joins
//! a cluster is told.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use env::Env;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Config, Connection, Error};

/// SHA-256 of an authority's certificate.
pub type Fingerprint = [u8; 32];

/// The fingerprint of an authority's certificate.
pub fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    sum
}

/// Asks a server for its authority's certificate (DER), which must have this fingerprint and have signed the server's
/// own certificate for the name it is called by.
pub async fn authority(server: &str, expected: Fingerprint, env: &Env) -> Result<Vec<u8>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pinned = Arc::new(Pinned { provider: provider.clone(), expected, found: Mutex::default() });
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::BadCredentials { what: "TLS provider", why: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(pinned.clone())
        .with_no_client_auth();
    let connection = Connection::new(&Config { server: server.to_owned(), ..Config::default() }, env)?;
    connection.shake_hands(Arc::new(tls)).await?;
    let found = pinned.found.lock().unwrap_or_else(PoisonError::into_inner).take();
    found.ok_or_else(|| Error::BadServer(server.to_owned()))
}

/// Believes servers whose chain leads to the authority that is expected.
#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    expected: Fingerprint,
    found: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = chain.iter().find(|shown| fingerprint(shown) == self.expected);
        let authority = authority.ok_or_else(|| {
            rustls::Error::General("the server's authority is not the one the token is for".into())
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(own, chain, name, ocsp, now)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority.to_vec());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
