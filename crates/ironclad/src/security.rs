//! Who is known, what they may do, what is written down of it and what is sealed: the flags, and what they mean to the
//! API server.
//!
//! The files are those of Kubernetes, so that those of an existing cluster serve unchanged.

mod audit_log;
mod kubeconfig;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use apiserver::admission::pod_security;
use apiserver::{Identity, KnownToken, Source, audit, authn, authz};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use crate::pki::write_private;

/// Bytes of the key that seals secrets.
const KEY: usize = 32;
/// How many logs are kept beside the present one.
const BACKUPS: usize = 10;

/// Who is known, what they may do, what is written down and what is sealed
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Security")]
pub struct Flags {
    /// Tokens and whose they are, one per line: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Issuers of tokens (OpenID Connect) and what is heard without credentials: an AuthenticationConfiguration
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// A webhook that knows tokens (TokenReview): a kubeconfig that leads to it
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// The CA of front proxies, which speak for others by the headers X-Remote-User, -Group and -Extra-
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// The names that the certificates of front proxies may have [default: any]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    /// Who is asked whether something may be done, and in which order: an AuthorizationConfiguration [default: Node, RBAC]
    #[arg(long, value_name = "FILE")]
    pub authorization_config: Option<PathBuf>,
    /// Who issues the tokens of service accounts [default: https://kubernetes.default.svc]
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Option<String>,
    /// Which pod security standards hold where namespaces say nothing: a PodSecurityConfiguration
    #[arg(long, value_name = "FILE")]
    pub pod_security_config: Option<PathBuf>,
    /// What is written to the audit log: a Policy of audit.k8s.io/v1; without it there is no audit log
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// The audit log [default: DIR/audit.log]
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
    /// Megabytes after which the audit log begins anew; ten old ones are kept
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    pub audit_log_maxsize: u64,
    /// Which kinds are sealed on the disk, and how, by keys in the file or by a plugin that keeps them (KMS v2): an
    /// EncryptionConfiguration; it is read again when it changes
    /// [default: DIR/pki/encryption.yaml, made at the first start, which seals Secrets]
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
}

/// Where systems keep the certificates of the authorities they believe.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The certificates that the system trusts; empty if it has none, and then nobody is trusted.
fn system_roots() -> Vec<u8> {
    SYSTEM_ROOTS.iter().find_map(|file| std::fs::read(file).ok()).unwrap_or_default()
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Reads a file; what is wrong with it is told with its name.
fn parsed<T>(file: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> anyhow::Result<T> {
    let text = text(file)?;
    parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))
}

impl Flags {
    /// The same with the files' full paths: the process in the background runs elsewhere.
    pub fn absolute(&self) -> anyhow::Result<Flags> {
        let mut flags = self.clone();
        let files = [
            &mut flags.token_auth_file,
            &mut flags.authentication_config,
            &mut flags.authentication_token_webhook_config_file,
            &mut flags.requestheader_client_ca_file,
            &mut flags.authorization_config,
            &mut flags.pod_security_config,
            &mut flags.audit_policy_file,
            &mut flags.audit_log_path,
            &mut flags.encryption_provider_config,
        ];
        for file in files.into_iter().flatten() {
            *file = std::path::absolute(&*file)?;
        }
        Ok(flags)
    }

    /// Tells the API server. `data_dir` is the cluster's.
    pub fn apply(&self, config: &mut apiserver::Config, data_dir: &Path) -> anyhow::Result<()> {
        config.system_roots = system_roots();
        if let Some(file) = &self.token_auth_file {
            config.known_tokens.extend(parsed(file, tokens)?);
        }
        if let Some(file) = &self.authentication_config {
            config.authentication = parsed(file, authn::config::parse)?;
            for issuer in config.authentication.issuers.iter_mut().filter(|issuer| issuer.ca.is_empty()) {
                issuer.ca = system_roots();
            }
        }
        if let Some(file) = &self.authentication_token_webhook_config_file {
            config.token_webhook = Some(kubeconfig::read(file).map_err(anyhow::Error::msg)?);
        }
        if let Some(file) = &self.requestheader_client_ca_file {
            // Those of the user, beside the cluster's own. If theirs may have any name, so may ours.
            let own = &mut config.front_proxy;
            own.ca.extend_from_slice(text(file)?.as_bytes());
            match self.requestheader_allowed_names.as_slice() {
                [] => own.names.clear(),
                names => own.names.extend_from_slice(names),
            }
        }
        if let Some(file) = &self.authorization_config {
            let folder = file.parent().unwrap_or(Path::new("."));
            let find = |name: &str| kubeconfig::read(&folder.join(name));
            config.authorization = parsed(file, |text| authz::config::parse(text, &find))?;
        }
        if let Some(issuer) = &self.service_account_issuer {
            ensure!(!issuer.is_empty(), "--service-account-issuer must not be empty");
            config.issuer.clone_from(issuer);
        }
        if let Some(file) = &self.pod_security_config {
            config.pod_security = parsed(file, pod_security::Settings::parse)?;
        }
        if let Some(policy) = &self.audit_policy_file {
            let place = audit_log::Place {
                log: self.audit_log_path.clone().unwrap_or_else(|| data_dir.join("audit.log")),
                max_size: self.audit_log_maxsize.saturating_mul(1_000_000),
                max_backups: BACKUPS,
            };
            let open = move || {
                let writer = audit_log::Writer::open(place.clone())?;
                Ok(Box::new(writer) as Box<dyn audit::Lines>)
            };
            config.audit = Some(audit::Settings { policy: text(policy)?, open: Arc::new(open) });
        }
        let sealed = match &self.encryption_provider_config {
            Some(file) => file.clone(),
            None => made_at_first_start(&data_dir.join("pki").join("encryption.yaml"))?,
        };
        config.encryption = Some(Source { read: Arc::new(move || std::fs::read_to_string(&sealed)) });
        Ok(())
    }
}

/// The file that seals Secrets with a key of this cluster's own.
fn made_at_first_start(file: &Path) -> anyhow::Result<PathBuf> {
    if !file.exists() {
        let mut key = [0; KEY];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
        let text = format!(
            "# How objects are sealed on the disk. Whoever has this file can read them; without it nobody can.\n\
             kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  \
             providers:\n  - secretbox:\n      keys:\n      - name: key1\n        secret: {}\n  - identity: {{}}\n",
            STANDARD.encode(key)
        );
        write_private(file, text.as_bytes())?;
    }
    Ok(file.to_owned())
}

/// Reads tokens and whose they are.
fn tokens(text: &str) -> Result<Vec<KnownToken>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let columns = columns(line);
            let [token, user, uid, rest @ ..] = columns.as_slice() else {
                return Err(format!(
                    "line {number} must have at least 3 columns (token, user name, user uid)"
                ));
            };
            if token.is_empty() || user.is_empty() {
                return Err(format!("line {number} has an empty token or user name"));
            }
            let groups: Vec<&str> =
                rest.first().map_or("", String::as_str).split(',').map(str::trim).collect();
            let groups: Vec<&str> = groups.into_iter().filter(|group| !group.is_empty()).collect();
            let identity = Identity { uid: uid.clone(), ..Identity::new(user, &groups) };
            Ok(KnownToken::new(token.clone(), identity))
        })
        .collect()
}

/// Takes a line of comma-separated values apart; what is quoted may have commas in it.
fn columns(line: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            letter => {
                if let Some(column) = columns.last_mut() {
                    column.push(letter);
                }
            }
        }
    }
    columns.into_iter().map(|column| column.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_users_and_groups() {
        let read = tokens("# comment\n\nt1,ann,u1,\"a, b\"\nt2,bob,\n").unwrap();
        assert!(read[0].is("t1") && !read[0].is("t2"));
        let identity = &read[0].identity;
        assert_eq!((identity.name.as_str(), identity.uid.as_str()), ("ann", "u1"));
        assert_eq!(identity.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(read[1].identity.groups, ["system:authenticated"]);
        assert!(tokens("t,u").unwrap_err().contains("line 1"));
        assert!(tokens(",u,1").unwrap_err().contains("empty token"));
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("ironclad-security-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("encryption.yaml");
        made_at_first_start(&file).unwrap();
        let first = text(&file).unwrap();
        assert!(apiserver::encryption::config::parse(&first).is_ok());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        made_at_first_start(&file).unwrap();
        assert_eq!(text(&file).unwrap(), first);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
