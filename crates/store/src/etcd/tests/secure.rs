//! A member that speaks TLS and asks for certificates.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate for a name, and its key.
fn signed(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = parameters.signed_by(&key, authority).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[tokio::test]
async fn a_member_is_trusted_by_its_certificate_and_trusts_us_by_ours() {
    let directory = Directory(std::env::temp_dir().join(format!("store-secure-{}", std::process::id())));
    std::fs::create_dir_all(&directory.0).expect("a directory");
    let (ours, others) = (authority(), authority());
    let (certificate, key) = signed(&ours, "127.0.0.1");
    let at = |name, text| written(&directory.0, name, text);
    let members = Members::start_secure(&[
        &format!("--cert-file={}", at("server.pem", &certificate)),
        &format!("--key-file={}", at("server.key", &key)),
        &format!("--trusted-ca-file={}", at("ca.pem", &ours.pem())),
        "--client-cert-auth",
    ]);
    let pem = |(certificate, key): (String, String)| Some((certificate.into_bytes(), key.into_bytes()));
    let config = |authority: &CertifiedIssuer<'static, KeyPair>, client| {
        let tls = Tls { ca: authority.pem().into_bytes(), client };
        Config { tls: Some(tls), ..members.config(0, "/secure") }
    };
    let store = open_patiently(config(&ours, pem(signed(&ours, "client"))), tight()).await;
    assert_eq!(store.commit(put("a", "1")).await, Ok(Outcome::Committed(1)));
    let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
    assert!(matches!(watch.next().await, Ok(WatchItem::Events(events)) if events.len() == 1));

    for (why, config) in [
        ("we show nothing", config(&ours, None)),
        ("we show what nobody knows", config(&ours, pem(signed(&others, "client")))),
        ("the member is not trusted", config(&others, pem(signed(&ours, "client")))),
        ("the member is spoken to in the clear", Config { tls: None, ..config(&ours, None) }),
    ] {
        let cluster = Cluster::new(config, Env::real()).expect("the certificates can be read");
        let refused = cluster.connection().await.map(drop);
        assert!(matches!(refused, Err(Failure::NotSent(_))), "{why}: {refused:?}");
    }
}
