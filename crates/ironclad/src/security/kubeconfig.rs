//! Where a webhook is: the server that the context of a kubeconfig leads to, and the path there.

use std::path::Path;

use apiserver::remote::{Target, split_url};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::https::{Config, Credentials};
use machinery::Value;

/// Reads the file, and those that it names.
pub fn read(file: &Path) -> Result<Target, String> {
    let shown = file.display();
    let text = std::fs::read(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let document = machinery::yaml::decode(&text).map_err(|error| format!("{shown}: {error}"))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut target = target(&document, folder).map_err(|why| format!("{shown}: {why}"))?;
    if target.server.ca.is_empty() {
        target.server.ca = super::system_roots();
    }
    Ok(target)
}

fn target(document: &Value, folder: &Path) -> Result<Target, String> {
    let named = |list: &str, member: &str, name: &str| {
        let found = document.get(list).items().iter().find(|entry| entry.get("name").str_or_empty() == name);
        found.map(|entry| entry.get(member).clone())
    };
    let current = document.get("current-context").str_or_empty();
    let context = match named("contexts", "context", current) {
        Some(context) => context,
        // Upstream's examples often have one context and do not name it as the current one.
        None => document
            .get("contexts")
            .items()
            .first()
            .map(|entry| entry.get("context").clone())
            .ok_or("it has no context")?,
    };
    let cluster = named("clusters", "cluster", context.get("cluster").str_or_empty())
        .ok_or("it has no cluster that its context names")?;
    let user = named("users", "user", context.get("user").str_or_empty()).unwrap_or_default();
    let (address, path) = split_url(cluster.get("server").str_or_empty())?;
    let bytes = |from: &Value, name: &str| -> Result<Vec<u8>, String> {
        if let Some(data) = from.get(&format!("{name}-data")).as_str() {
            return STANDARD.decode(data).map_err(|error| format!("{name}-data: {error}"));
        }
        match from.get(name).as_str() {
            Some(file) => std::fs::read(folder.join(file)).map_err(|error| format!("{file}: {error}")),
            None => Ok(Vec::new()),
        }
    };
    let (chain, key) = (bytes(&user, "client-certificate")?, bytes(&user, "client-key")?);
    let credentials = match user.get("token").as_str() {
        Some(token) => Credentials::Token(token.to_owned()),
        None if chain.is_empty() => Credentials::Anonymous,
        None => Credentials::Certificate { chain, key },
    };
    let server = Config {
        server: address,
        ca: bytes(&cluster, "certificate-authority")?,
        insecure: cluster.get("insecure-skip-tls-verify").is_true(),
        server_name: cluster.get("tls-server-name").as_str().map(str::to_owned),
        credentials,
        user_agent: String::new(),
    };
    Ok(Target { server, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_leads_to_a_server() {
        let document = machinery::yaml::decode(
            b"clusters: [{name: c, cluster: {server: 'https://h:1/a?b=c', certificate-authority-data: 'YQ=='}}]\n\
              users: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n",
        )
        .unwrap();
        let Target { server: config, path } = target(&document, Path::new(".")).unwrap();
        assert_eq!(
            (config.server.as_str(), path.as_str(), config.ca.as_slice()),
            ("https://h:1", "/a?b=c", &b"a"[..])
        );
        assert!(matches!(config.credentials, Credentials::Token(token) if token == "t"));
        assert!(target(&Value::object(), Path::new(".")).is_err());
    }
}
