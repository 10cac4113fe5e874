//! The cluster's certificates and keys: made at the first start, renewed at a later one when they near their end.
//!
//! One CA signs servers and clients, and another one the certificate by which this cluster's API servers may say for whom
//! they ask: whoever has a certificate of the first must not be able to. The administrator has a token. Everything is a file in `pki/` that only the owner can read, so that a machine
//! can be moved, backed up or inspected with the usual tools.

mod files;
pub mod requests;

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::config::{CLUSTER_DOMAIN, Cluster};

pub use files::{Pair, fits, good_until, make_private_dir, read_pair, write_pair, write_private};

/// Days that a certificate is good for; the CA's.
const CA_DAYS: i64 = 3650;
/// Days that a certificate is good for; all others. Long, because they are renewed only at a start.
pub const LEAF_DAYS: i64 = 1095;
/// Days before its end at which a certificate is renewed.
pub const RENEW_DAYS: i64 = 400;

/// The names of the authorities, and of the one who may say for whom it asks.
const CA: &str = "ironclad";
const FRONT_PROXY_CA: &str = "ironclad-front-proxy";
pub const FRONT_PROXY: &str = "front-proxy-client";

/// Everything that is signed, as PEM.
#[derive(Clone, Debug)]
pub struct Pki {
    /// Signs all the others; clients trust it.
    pub ca: Pair,
    /// The API server's.
    pub server: Pair,
    /// By which the administrator is known. A token and no certificate: a client that shows a token beside a certificate
    /// is taken for the certificate's owner, so with one in the kubeconfig `kubectl --token` would do nothing.
    pub admin_token: String,
    /// What the API server shows to nodes.
    pub kubelet_client: Pair,
    /// What the node's server shows.
    pub kubelet_server: Pair,
    /// Signs what API servers show to those behind them.
    pub front_proxy_ca: Pair,
    /// What they show.
    pub front_proxy_client: Pair,
    /// Signs the tokens of service accounts (a key; the certificate is empty).
    pub service_accounts: String,
}

impl Pki {
    /// Reads what is in `dir`, and makes what is missing, nearly over or for other names.
    pub fn open(dir: &Path, cluster: &Cluster, now_secs: i64) -> anyhow::Result<Pki> {
        files::make_private_dir(dir)?;
        let read_ca = |file: &str, name: &'static str| -> anyhow::Result<Pair> {
            match files::read_pair(dir, file)? {
                Some(pair) => Ok(pair),
                None => files::write_pair(dir, file, make_ca(name, now_secs)?),
            }
        };
        let (ca, front_proxy_ca) = (read_ca("ca", CA)?, read_ca("front-proxy-ca", FRONT_PROXY_CA)?);
        let authority = Authority { ca: &ca, name: CA, now_secs, dir };
        let front = Authority { ca: &front_proxy_ca, name: FRONT_PROXY_CA, now_secs, dir };
        let node_user = format!("system:node:{}", cluster.node_name);
        Ok(Pki {
            server: authority.pair(
                "apiserver",
                &Subject {
                    name: "kube-apiserver",
                    group: "",
                    purpose: Purpose::Server,
                    names: server_names(cluster),
                },
            )?,
            admin_token: files::read_or_make(dir, "admin.token", make_token)?,
            kubelet_client: authority.pair(
                "apiserver-kubelet-client",
                &Subject::client("kube-apiserver-kubelet-client", "system:masters"),
            )?,
            kubelet_server: authority.pair(
                "kubelet",
                &Subject {
                    name: &node_user,
                    group: "system:nodes",
                    purpose: Purpose::Both,
                    names: node_names(cluster),
                },
            )?,
            front_proxy_client: front.pair("front-proxy-client", &Subject::client(FRONT_PROXY, ""))?,
            front_proxy_ca,
            service_accounts: files::read_or_make(dir, "service-accounts.key", make_key)?,
            ca,
        })
    }
}

/// Whom a certificate is for.
struct Subject<'a> {
    name: &'a str,
    group: &'a str,
    purpose: Purpose,
    names: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
    Both,
}

impl<'a> Subject<'a> {
    fn client(name: &'a str, group: &'a str) -> Subject<'a> {
        Subject { name, group, purpose: Purpose::Client, names: Vec::new() }
    }
}

/// The names and addresses that clients call the API server by.
fn server_names(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        .map(str::to_owned)
        .to_vec();
    names.push(format!("kubernetes.default.svc.{CLUSTER_DOMAIN}"));
    names.push(cluster.node_name.clone());
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    names.push(cluster.api_service_ip.to_string());
    names.extend(cluster.node_ips.iter().map(ToString::to_string));
    if !cluster.listen.ip().is_unspecified() {
        names.push(cluster.listen.ip().to_string());
    }
    names.sort();
    names.dedup();
    names
}

fn node_names(cluster: &Cluster) -> Vec<String> {
    let mut names = vec![cluster.node_name.clone(), "127.0.0.1".to_owned()];
    names.extend(cluster.node_ips.iter().map(ToString::to_string));
    names.sort();
    names.dedup();
    names
}

/// What signs, and where the results are kept.
struct Authority<'a> {
    ca: &'a Pair,
    name: &'static str,
    now_secs: i64,
    dir: &'a Path,
}

impl Authority<'_> {
    /// The pair in the directory if it still fits, else a new one.
    fn pair(&self, file: &str, subject: &Subject<'_>) -> anyhow::Result<Pair> {
        if let Some(pair) = files::read_pair(self.dir, file)?
            && files::fits(&pair, &subject.names, self.now_secs + RENEW_DAYS * 86_400)
        {
            return Ok(pair);
        }
        files::write_pair(self.dir, file, self.sign(subject).with_context(|| format!("certificate {file}"))?)
    }

    fn sign(&self, subject: &Subject<'_>) -> anyhow::Result<Pair> {
        let ca_key = KeyPair::from_pem(&self.ca.key).context("the CA's key cannot be read")?;
        let issuer = Issuer::new(ca_params(self.name, self.now_secs)?, ca_key);
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(subject.name, subject.group);
        params.subject_alt_names = subject.names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = match subject.purpose {
            Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, self.now_secs, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn san(name: &str) -> anyhow::Result<SanType> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().with_context(|| format!("{name:?} is no DNS name"))?),
    })
}

fn distinguished_name(name: &str, group: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    if !group.is_empty() {
        distinguished.push(DnType::OrganizationName, group);
    }
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn ca_params(name: &str, now_secs: i64) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name, "");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now_secs, CA_DAYS);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, now_secs: i64, days: i64) {
    let (first, last) = files::validity(now_secs, days);
    params.not_before = rcgen::date_time_ymd(first.year, first.month, first.day);
    params.not_after = rcgen::date_time_ymd(last.year, last.month, last.day);
}

fn make_ca(name: &str, now_secs: i64) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = ca_params(name, now_secs)?.self_signed(&key)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn make_key() -> anyhow::Result<String> {
    Ok(KeyPair::generate()?.serialize_pem())
}

fn make_token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests;
