//! A server on the memory store, with certificates made on the spot: `serve [PORT] > admin.kubeconfig`.
//!
//! Prints a kubeconfig once it is ready, and serves until it is interrupted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use apiserver::{Config, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use env::Env;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa};

type Failure = Box<dyn std::error::Error>;

fn authority() -> Result<CertifiedIssuer<'static, rcgen::KeyPair>, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "example CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?)
}

fn issue(
    authority: &CertifiedIssuer<'static, rcgen::KeyPair>,
    name: &str,
    group: &str,
    serves: bool,
) -> Result<KeyPair, Failure> {
    let names = if serves { vec!["localhost".to_owned(), "127.0.0.1".to_owned()] } else { Vec::new() };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages.push(if serves {
        ExtendedKeyUsagePurpose::ServerAuth
    } else {
        ExtendedKeyUsagePurpose::ClientAuth
    });
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(KeyPair { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let port = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let authority = authority()?;
    let mut config = Config::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    config.serving = issue(&authority, "kube-apiserver", "", true)?;
    config.client_ca = authority.pem().into_bytes();
    config.issuer = "https://kubernetes.default.svc".to_owned();
    config.token_key = rcgen::KeyPair::generate()?.serialize_pem().into_bytes();
    config.advertise = "192.0.2.10".parse()?;
    config.service_cidrs = vec!["10.0.0.0/16".parse()?];
    let admin = issue(&authority, "kubernetes-admin", "system:masters", false)?;
    let env = Env::real();
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: https://{}\n    \
         certificate-authority-data: {}\nusers:\n- name: u\n  user:\n    client-certificate-data: {}\n    \
         client-key-data: {}\ncontexts:\n- name: c\n  context:\n    cluster: c\n    user: u\ncurrent-context: c\n",
        server.addr,
        STANDARD.encode(authority.pem()),
        STANDARD.encode(&admin.chain),
        STANDARD.encode(&admin.key),
    );
    server.ready().await;
    println!("{kubeconfig}");
    tokio::signal::ctrl_c().await?;
    server.shutdown();
    env.tasks.stop(std::time::Duration::from_secs(5)).await;
    server.ended().await;
    Ok(())
}
