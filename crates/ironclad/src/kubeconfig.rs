//! The administrator's kubeconfig: written beside the data, and put where kubectl looks if nothing is there yet.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::Cluster;
use crate::pki::{Pki, make_private_dir, write_private};

/// Writes the kubeconfig to the cluster's place for it. If the user named no place and has no kubeconfig at all, it
/// becomes theirs too.
pub fn write(cluster: &Cluster, pki: &Pki, named_by_user: bool) -> anyhow::Result<()> {
    let text = text(cluster, pki);
    if let Some(parent) = cluster.kubeconfig.parent()
        && !parent.exists()
    {
        make_private_dir(parent)?;
    }
    write_private(&cluster.kubeconfig, text.as_bytes())?;
    if named_by_user {
        return Ok(());
    }
    // A file that an earlier `up` put there is kept up to date; anybody else's is left alone.
    if let Some(users) = users_file()
        && (!users.exists() || is_ours(&users, cluster))
    {
        if let Some(parent) = users.parent() {
            make_private_dir(parent)?;
        }
        write_private(&users, text.as_bytes())?;
    }
    Ok(())
}

/// Whether kubectl, told nothing, talks to this cluster.
pub fn plain_kubectl_finds_it(cluster: &Cluster) -> bool {
    users_file().is_some_and(|users| is_ours(&users, cluster))
}

/// Where kubectl looks when it is told nothing.
fn users_file() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named)).filter(|path| !path.to_string_lossy().contains(':'));
    }
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"))
}

fn is_ours(file: &Path, cluster: &Cluster) -> bool {
    let marker = marker(cluster);
    std::fs::read_to_string(file).is_ok_and(|text| text.starts_with(&marker))
}

fn marker(cluster: &Cluster) -> String {
    format!("# Written by ironclad for {}.\n", cluster.instance.data_dir.display())
}

fn text(cluster: &Cluster, pki: &Pki) -> String {
    format!(
        "{marker}apiVersion: v1
kind: Config
clusters:
- name: ironclad
  cluster:
    server: {server}
    certificate-authority-data: {ca}
contexts:
- name: ironclad
  context:
    cluster: ironclad
    user: ironclad-admin
current-context: ironclad
users:
- name: ironclad-admin
  user:
    token: {token}
",
        marker = marker(cluster),
        server = cluster.server_url,
        ca = STANDARD.encode(&pki.ca.certificate),
        token = pki.admin_token,
    )
}
