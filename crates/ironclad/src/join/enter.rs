//! A machine that joins: finds out that the server is the right one, and gets the certificates of a node.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::https::{Config, Connection, Credentials, pinned};
use client::{Call, Client, Key, Write, resources};
use env::Env;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Object;
use serde_json::json;

use super::admit::{CLIENT_SIGNER, NODE, NODES, SERVER_SIGNER};
use super::token::JoinToken;
use crate::pki::{self, Pair, RENEW_DAYS, requests};

/// How long a certificate may take: the server signs at once, but people may have to.
const SIGNING_LIMIT: Duration = Duration::from_secs(600);
/// How often it is asked for.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How many tries are nothing unusual.
const PATIENCE: u32 = 50;

/// Who a node is.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The cluster's authority, as PEM.
    pub ca: String,
    /// What the node shows to the server.
    pub client: Pair,
    /// What the node's own server shows.
    pub serving: Pair,
}

/// A node that wants its papers.
#[derive(Clone, Debug)]
pub struct Applicant<'a> {
    /// The server.
    pub server: &'a str,
    /// The token, if there is one.
    pub token: Option<&'a JoinToken>,
    /// The name of the node.
    pub name: &'a str,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// Where the papers are kept.
    pub directory: &'a Path,
}

impl Applicant<'_> {
    /// The papers in the directory if they still fit; what is missing or nearly over is asked for.
    pub async fn papers(&self, env: &Env) -> anyhow::Result<Papers> {
        pki::make_private_dir(self.directory)?;
        let until = env.clock.now().secs() + RENEW_DAYS * 86_400;
        let ca = self.authority(env).await?;
        let client = match pki::read_pair(self.directory, "client")? {
            Some(pair) if pki::good_until(&pair, until) => pair,
            old => {
                let credentials = match (self.token, old) {
                    (Some(token), _) => Credentials::Token(token.bearer()),
                    (None, Some(old)) => credentials(&old),
                    (None, None) => bail!("a machine that joins needs a token: give one with --token"),
                };
                let asking = self.client(&ca, credentials, env)?;
                let pair = self.sign(&asking, CLIENT_SIGNER, &[], env).await?;
                pki::write_pair(self.directory, "client", pair)?
            }
        };
        let mut names: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        names.push(self.name.to_owned());
        names.sort();
        let serving = match pki::read_pair(self.directory, "serving")? {
            Some(pair) if pki::fits(&pair, &names, until) => pair,
            _ => {
                let asking = self.client(&ca, credentials(&client), env)?;
                let pair = self.sign(&asking, SERVER_SIGNER, &names, env).await?;
                pki::write_pair(self.directory, "serving", pair)?
            }
        };
        Ok(Papers { ca, client, serving })
    }

    /// The cluster's authority: as it was found out the first time.
    async fn authority(&self, env: &Env) -> anyhow::Result<String> {
        let file = self.directory.join("ca.crt");
        if let Ok(known) = std::fs::read_to_string(&file) {
            return Ok(known);
        }
        let token = self.token.context("a machine that joins needs a token: give one with --token")?;
        let der = pinned::authority(self.server, token.authority, env)
            .await
            .map_err(|error| anyhow::anyhow!("{}", error.chain()))?;
        let pem = pem(&der);
        pki::write_private(&file, pem.as_bytes())?;
        Ok(pem)
    }

    fn client(&self, ca: &str, credentials: Credentials, env: &Env) -> anyhow::Result<Client> {
        connect(self.server, ca, credentials, env)
    }

    /// Asks for a certificate, and waits for it.
    async fn sign(&self, asking: &Client, signer: &str, names: &[String], env: &Env) -> anyhow::Result<Pair> {
        let (request, key) = requests::make(&format!("{NODE}{}", self.name), NODES, names)?;
        let usage = if signer == SERVER_SIGNER { "server auth" } else { "client auth" };
        let document = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "node-"},
            "spec": {
                "request": STANDARD.encode(&request),
                "signerName": signer,
                "usages": ["digital signature", usage],
            },
        });
        let made = self.ask(asking, &document.to_string(), env).await?;
        let key_of_request = Key::of(&made);
        let wait = self.wait(asking, &key_of_request, env);
        let certificate = env.clock.timeout(SIGNING_LIMIT, wait).await.with_context(|| {
            let name = &key_of_request.name;
            format!("nobody has signed the request {name}; `kubectl certificate approve {name}` does")
        })??;
        Ok(Pair { certificate, key })
    }

    /// Hands in a request. A server that has just started gives out its roles a moment later.
    async fn ask(&self, asking: &Client, document: &str, env: &Env) -> anyhow::Result<Object> {
        let mut tries = 0;
        loop {
            let body = Write::Create(document.to_owned().into());
            match asking.write(resources::CERTIFICATE_SIGNING_REQUESTS, Call::default(), body).await {
                Err(status) if tries < PATIENCE && (status.code == 403 || status.code >= 500) => {
                    tracing::debug!(%status, "the server takes no request yet");
                }
                result => return result.context("the server takes no request; is the token still good?"),
            }
            tries += 1;
            env.clock.sleep(ASK_AGAIN).await;
        }
    }

    async fn wait(&self, asking: &Client, request: &Key, env: &Env) -> anyhow::Result<String> {
        let mut tries = 0;
        loop {
            let object = asking.get::<CertificateSigningRequest>("", &request.name).await?;
            let status = object.status.clone().unwrap_or_default();
            if let Some(certificate) = status.certificate {
                return String::from_utf8(certificate.0).context("the certificate is no text");
            }
            let conditions = status.conditions.unwrap_or_default();
            let refused = conditions.iter().find(|one| one.type_ == "Denied" || one.type_ == "Failed");
            if let Some(refused) = refused {
                bail!(
                    "the request {} was not signed: {}",
                    request.name,
                    refused.message.as_deref().unwrap_or("no reason is given")
                );
            }
            tries += 1;
            if tries == PATIENCE {
                tracing::warn!(request = %request.name, "waiting for a certificate to be approved");
            }
            env.clock.sleep(ASK_AGAIN).await;
        }
    }
}

/// A way to the server.
pub fn connect(server: &str, ca: &str, credentials: Credentials, env: &Env) -> anyhow::Result<Client> {
    let config = Config {
        server: server.to_owned(),
        ca: ca.as_bytes().to_vec(),
        credentials,
        user_agent: "kubelet/v1.36".to_owned(),
        ..Config::default()
    };
    Ok(Client::new(std::sync::Arc::new(Connection::new(&config, env)?)))
}

/// What a certificate lets one do.
pub fn credentials(pair: &Pair) -> Credentials {
    Credentials::Certificate {
        chain: pair.certificate.clone().into_bytes(),
        key: pair.key.clone().into_bytes(),
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
