//! A cluster's certificates, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// An authority and what it signed.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    pub ca: Vec<u8>,
    pub server: Pair,
    /// A client that may do everything.
    pub master: Pair,
    /// A client that may do what the API server says.
    pub other: Pair,
}

fn pair(issuer: &Issuer<'_, KeyPair>, name: &str, group: &str, usage: ExtendedKeyUsagePurpose) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.extended_key_usages = vec![usage];
    params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
    let certificate = params.signed_by(&key, issuer).unwrap();
    Pair { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
}

impl Pki {
    pub fn new() -> Pki {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem().into_bytes();
        let issuer = Issuer::new(params, key);
        Pki {
            ca,
            server: pair(&issuer, "system:node:node-1", "system:nodes", ExtendedKeyUsagePurpose::ServerAuth),
            master: pair(
                &issuer,
                "kube-apiserver-kubelet-client",
                "system:masters",
                ExtendedKeyUsagePurpose::ClientAuth,
            ),
            other: pair(&issuer, "alice", "people", ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}
