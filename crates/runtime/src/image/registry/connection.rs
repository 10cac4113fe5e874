//! Connections to registries, with TLS where it is wanted.

use std::sync::Arc;

use http::Uri;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Authorities, Registry, RegistryError};

/// Where systems keep the certificates of the authorities they believe.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Connects to where a URI leads.
pub(super) async fn open(
    registry: &Registry<'_>,
    uri: &Uri,
) -> Result<SendRequest<Empty<Bytes>>, RegistryError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = uri.scheme_str() != Some("http");
    if !secure && registry.scheme() == "https" {
        return Err(RegistryError::Final(format!("{} leads from https to {uri}", registry.host)));
    }
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let unreachable =
        |error: std::io::Error| RegistryError::Passing(format!("cannot reach {host}:{port}: {error}"));
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
    // Requests are short; waiting to fill a segment only delays them.
    stream.set_nodelay(true).map_err(unreachable)?;
    if !secure {
        return speak(registry, TokioIo::new(stream)).await;
    }
    let name = ServerName::try_from(host.clone()).map_err(|error| RegistryError::Final(error.to_string()))?;
    let connector = TlsConnector::from(configuration(registry)?);
    let stream = connector.connect(name, stream).await;
    // A certificate that is not believed now will not be believed in a moment.
    let stream = stream.map_err(|error| RegistryError::Final(format!("TLS with {host}:{port}: {error}")))?;
    speak(registry, TokioIo::new(stream)).await
}

async fn speak<S>(registry: &Registry<'_>, stream: S) -> Result<SendRequest<Empty<Bytes>>, RegistryError>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let failed = |error| RegistryError::Passing(format!("cannot speak HTTP with {}: {error}", registry.host));
    let (sender, connection) = handshake(stream).await.map_err(failed)?;
    registry.env.tasks.spawn("registry connection", async move {
        // Who reads the answer hears of it.
        let _ = connection.await;
    });
    Ok(sender)
}

fn configuration(registry: &Registry<'_>) -> Result<Arc<ClientConfig>, RegistryError> {
    let failed = |error: &dyn std::fmt::Display| RegistryError::Final(format!("cannot set TLS up: {error}"));
    let config = &registry.config;
    if !config.skip_verify && config.authorities.is_none() {
        let Authorities { system } = registry.authorities;
        if let Some(known) = system.get() {
            return Ok(known.clone());
        }
        let made = Arc::new(
            build(roots(None).map_err(|error| failed(&error))?, false).map_err(|error| failed(&error))?,
        );
        return Ok(system.get_or_init(|| made).clone());
    }
    let roots = roots(config.authorities.as_deref()).map_err(|error| failed(&error))?;
    Ok(Arc::new(build(roots, config.skip_verify).map_err(|error| failed(&error))?))
}

/// The system's authorities, and those of a file.
fn roots(more: Option<&std::path::Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let system = SYSTEM_CERTIFICATES.iter().map(std::path::Path::new).find(|path| path.exists());
    for path in system.into_iter().chain(more) {
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
            // Systems carry some that are too old to be understood.
            let _ = roots.add(certificate.map_err(|error| unreadable(&error))?);
        }
    }
    Ok(roots)
}

fn build(roots: RootCertStore, skip_verify: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = if skip_verify {
        let verifier = Arc::new(BelieveAnyone { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// For registries that were configured so. What they send is still checked against digests.
#[derive(Debug)]
struct BelieveAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
