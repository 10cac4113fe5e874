//! The kubeconfig: which server, who we are, which namespace.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::https::{Config, Credentials};
use machinery::Value;

use crate::args::Global;
use crate::{Defaults, Failure};

/// What a kubeconfig says for one context.
#[derive(Debug)]
pub struct Context {
    /// The server and who we are to it.
    pub config: Config,
    /// The namespace; `default` if none is named.
    pub namespace: String,
}

/// Reads the kubeconfig that flags, environment and habit name, in that order.
pub fn read(global: &Global, defaults: &Defaults) -> Result<Context, Failure> {
    let Some(path) = find(global, defaults) else {
        return Err(Failure::client(
            "there is no kubeconfig: start a cluster with `ironclad up`, or name one with --kubeconfig",
        ));
    };
    let shown = path.display().to_string();
    let text = std::fs::read(&path).map_err(|error| Failure::client(format!("{shown}: {error}")))?;
    let document = machinery::yaml::decode(&text)
        .map_err(|error| Failure::client(format!("error loading config file \"{shown}\": {error}")))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    context(&document, global, folder).map_err(|problem| Failure::client(format!("{shown}: {problem}")))
}

fn find(global: &Global, defaults: &Defaults) -> Option<PathBuf> {
    if let Some(path) = &global.kubeconfig {
        return Some(path.clone());
    }
    if let Some(named) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        return std::env::split_paths(&named).find(|path| path.exists());
    }
    let habit = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    habit.into_iter().chain(defaults.kubeconfig.clone()).find(|path| path.exists())
}

fn context(document: &Value, global: &Global, folder: &Path) -> Result<Context, String> {
    let current = document.get("current-context").str_or_empty();
    let name = global.context.as_deref().unwrap_or(current);
    let context = named(document, "contexts", "context", name)
        .ok_or_else(|| format!("there is no context named {name:?}; see `current-context` and --context"))?;
    let cluster_name = context.get("cluster").str_or_empty();
    let cluster = named(document, "clusters", "cluster", cluster_name)
        .ok_or_else(|| format!("there is no cluster named {cluster_name:?}"))?;
    let user =
        named(document, "users", "user", context.get("user").str_or_empty()).cloned().unwrap_or_default();
    let config = Config {
        server: cluster.get("server").str_or_empty().to_owned(),
        ca: data(cluster, "certificate-authority", folder)?.unwrap_or_default(),
        insecure: cluster.get("insecure-skip-tls-verify").is_true(),
        server_name: cluster.get("tls-server-name").as_str().map(str::to_owned),
        credentials: credentials(&user, folder)?,
        user_agent: "kubectl/v1.36".to_owned(),
    };
    let named_namespace = global.namespace.as_deref().or(context.get("namespace").as_str());
    Ok(Context {
        config,
        namespace: named_namespace.filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
    })
}

fn credentials(user: &Value, folder: &Path) -> Result<Credentials, String> {
    if let (Some(chain), Some(key)) =
        (data(user, "client-certificate", folder)?, data(user, "client-key", folder)?)
    {
        return Ok(Credentials::Certificate { chain, key });
    }
    if let Some(token) = user.get("token").as_str() {
        return Ok(Credentials::Token(token.to_owned()));
    }
    if let Some(path) = user.get("tokenFile").as_str() {
        let token = std::fs::read_to_string(folder.join(path)).map_err(|error| format!("{path}: {error}"))?;
        return Ok(Credentials::Token(token.trim().to_owned()));
    }
    if !user.get("exec").is_null() || !user.get("auth-provider").is_null() {
        return Err("credentials from a plugin are not known here; use kubectl for this context".to_owned());
    }
    Ok(Credentials::Anonymous)
}

/// `NAME-data` decoded, or the content of the file that `NAME` names.
fn data(document: &Value, name: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    let inline = document.get(&format!("{name}-data")).str_or_empty();
    if !inline.is_empty() {
        return STANDARD.decode(inline).map(Some).map_err(|error| format!("{name}-data: {error}"));
    }
    match document.get(name).str_or_empty() {
        "" => Ok(None),
        path => std::fs::read(folder.join(path)).map(Some).map_err(|error| format!("{path}: {error}")),
    }
}

fn named<'a>(document: &'a Value, list: &str, member: &str, name: &str) -> Option<&'a Value> {
    let found = document.get(list).items().iter().find(|item| item.get("name").as_str() == Some(name))?;
    Some(found.get(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
current-context: a
contexts:
- {name: a, context: {cluster: one, user: me, namespace: shop}}
- {name: b, context: {cluster: one, user: me}}
clusters:
- {name: one, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: Y2E=}}
users:
- {name: me, user: {token: secret}}
";

    fn global(context: Option<&str>, namespace: Option<&str>) -> Global {
        Global {
            kubeconfig: None,
            context: context.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let document = machinery::yaml::decode(TEXT.as_bytes()).expect("YAML");
        let read = |context_name, namespace| {
            context(&document, &global(context_name, namespace), Path::new("/")).expect("a right file")
        };
        let current = read(None, None);
        assert_eq!((current.namespace.as_str(), current.config.ca.as_slice()), ("shop", b"ca".as_slice()));
        assert!(matches!(current.config.credentials, Credentials::Token(token) if token == "secret"));
        assert_eq!(read(Some("b"), None).namespace, "default");
        assert_eq!(read(None, Some("x")).namespace, "x");
        assert!(context(&document, &global(Some("c"), None), Path::new("/")).is_err());
    }
}
