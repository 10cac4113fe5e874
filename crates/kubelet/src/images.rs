//! Images: whether to pull one, with whose credentials, and how to tell.

pub(crate) mod collect;

use std::time::Duration;

use base64::Engine;
use cri::{Credentials, Image, Runtime, RuntimeError};
use env::Env;
use machinery::field::go_quote;

use crate::memory::Waiting;

/// What the user is told while an image is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// As it should be: reason and message.
    Good(&'static str, String),
    /// Not: reason and message.
    Bad(&'static str, String),
}

/// An image that a container needs.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// As the user wrote it.
    pub reference: &'a str,
    /// `Always`, `IfNotPresent`, `Never`; empty for what the tag implies.
    pub policy: &'a str,
    /// What opens registries.
    pub credentials: Vec<Credentials>,
}

impl Wanted<'_> {
    fn policy(&self) -> &str {
        match self.policy {
            "" if moves(self.reference) => "Always",
            "" => "IfNotPresent",
            given => given,
        }
    }
}

/// Whether the reference has no tag, or one that is meant to move.
fn moves(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or_default();
    !reference.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// Whether a reference can name an image at all.
fn is_reference(reference: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+[]".contains(&byte);
    let path = reference.split('@').next().unwrap_or_default();
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let (host, name) = path.split_at(name_at);
    let name = name.split(':').next().unwrap_or_default();
    let lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    // The part before the first slash may be a host, which may be written in any case.
    let rest = host.split_once('/').map_or("", |(_, rest)| rest);
    !name.is_empty()
        && reference.bytes().all(allowed)
        && lower(name)
        && lower(rest)
        && !reference.contains("//")
}

/// Sees to it that the image is there. The error is why the container waits.
pub(crate) async fn ensure(
    runtime: &dyn Runtime,
    env: &Env,
    wanted: &Wanted<'_>,
    tell: &(dyn Fn(News) + Send + Sync),
) -> Result<Image, Waiting> {
    let reference = wanted.reference;
    let quoted = go_quote(reference);
    if !is_reference(reference) {
        let message = format!(
            "Failed to apply default image tag {quoted}: couldn't parse image name {quoted}: invalid reference format"
        );
        tell(News::Bad("InspectFailed", message.clone()));
        return Err(Waiting::new("InvalidImageName", message));
    }
    let there = runtime.image(reference.to_owned()).await.map_err(|error| {
        let message = format!("Failed to inspect image {quoted}: {error}");
        tell(News::Bad("InspectFailed", message.clone()));
        Waiting::new("ImageInspectError", message)
    })?;
    match (wanted.policy(), there) {
        ("Never", None) => {
            let message = format!("Container image {quoted} is not present with pull policy of Never");
            tell(News::Bad("ErrImageNeverPull", message.clone()));
            Err(Waiting::new("ErrImageNeverPull", message))
        }
        ("Never" | "IfNotPresent", Some(image)) => {
            let message =
                format!("Container image {quoted} already present on machine and can be accessed by the pod");
            tell(News::Good("Pulled", message));
            Ok(image)
        }
        _ => pull(runtime, env, wanted, tell).await,
    }
}

async fn pull(
    runtime: &dyn Runtime,
    env: &Env,
    wanted: &Wanted<'_>,
    tell: &(dyn Fn(News) + Send + Sync),
) -> Result<Image, Waiting> {
    let quoted = go_quote(wanted.reference);
    tell(News::Good("Pulling", format!("Pulling image {quoted}")));
    let began = env.clock.monotonic();
    let pulled = runtime.pull_image(wanted.reference.to_owned(), wanted.credentials.clone()).await;
    let took = env.clock.monotonic().saturating_sub(began);
    let failed = |error: RuntimeError| {
        let message = format!("failed to pull image {quoted}: {error}");
        tell(News::Bad("Failed", format!("Failed to pull image {quoted}: {error}")));
        Waiting::new("ErrImagePull", message)
    };
    let id = pulled.map_err(failed)?;
    let image = runtime.image(id.clone()).await.map_err(failed)?;
    let image = image.ok_or_else(|| failed(RuntimeError::NotFound { what: "image", id }))?;
    tell(News::Good(
        "Pulled",
        format!(
            "Successfully pulled image {quoted} in {took} ({took} including waiting). Image size: {} bytes.",
            image.size,
            took = seconds(took)
        ),
    ));
    Ok(image)
}

/// A duration as Go prints it, to the millisecond: `1.234s`, `56ms`.
fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The credentials that a secret of a registry holds for an image.
pub(crate) fn credentials(secret: &crate::environment::Data, reference: &str) -> Vec<Credentials> {
    let config =
        secret.get(".dockerconfigjson").and_then(|bytes| parse(bytes)).map(|config| config["auths"].clone());
    let config = config.or_else(|| secret.get(".dockercfg").and_then(|bytes| parse(bytes)));
    let Some(serde_json::Value::Object(auths)) = config else { return Vec::new() };
    let mut found: Vec<(usize, Credentials)> =
        auths.iter().filter_map(|(server, auth)| Some((matches(server, reference)?, read(auth)?))).collect();
    // The most particular entry is tried first.
    found.sort_by_key(|entry| std::cmp::Reverse(entry.0));
    found.into_iter().map(|(_, credentials)| credentials).collect()
}

fn parse(bytes: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(bytes).ok()
}

fn read(auth: &serde_json::Value) -> Option<Credentials> {
    let text = |name: &str| auth[name].as_str().unwrap_or_default().to_owned();
    let mut credentials = Credentials {
        username: text("username"),
        password: text("password"),
        identity_token: text("identitytoken"),
    };
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text.trim()).ok();
    if let Some(decoded) = auth["auth"].as_str().and_then(decode)
        && let Ok(decoded) = String::from_utf8(decoded)
        && let Some((username, password)) = decoded.split_once(':')
    {
        credentials.username = username.to_owned();
        credentials.password = password.trim_matches('\0').to_owned();
    }
    (credentials != Credentials::default()).then_some(credentials)
}

/// How well an entry fits the image: the length of what it says, if it fits at all.
fn matches(server: &str, reference: &str) -> Option<usize> {
    let server = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let server = server.strip_suffix("/v1").or_else(|| server.strip_suffix("/v2")).unwrap_or(server);
    let server = if server == "index.docker.io" { "docker.io" } else { server };
    let (first, _) = reference.split_once('/').unwrap_or(("", reference));
    let has_host = first.contains(['.', ':']) || first == "localhost";
    let full = if has_host { reference.to_owned() } else { format!("docker.io/{reference}") };
    let (host, path) = full.split_once('/')?;
    let (server_host, server_path) = server.split_once('/').unwrap_or((server, ""));
    let parts = |host: &str| host.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (wanted, given) = (parts(host), parts(server_host));
    let host_fits =
        wanted.len() == given.len() && wanted.iter().zip(&given).all(|(wanted, given)| glob(given, wanted));
    (host_fits && path.starts_with(server_path)).then_some(server.len())
}

/// A pattern in which `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| glob(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_move_are_pulled_always() {
        for (reference, always) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.25", false),
            ("localhost:5000/a/b", true),
            ("localhost:5000/a/b:v1", false),
            ("a@sha256:00", false),
        ] {
            assert_eq!(moves(reference), always, "{reference}");
        }
    }

    #[test]
    fn references_are_checked() {
        for (reference, good) in [
            ("nginx", true),
            ("Registry.example/a/b:TAG", true),
            ("a/B", false),
            ("Nginx", false),
            ("", false),
            ("a b", false),
            ("a//b", false),
            ("localhost:5000/x@sha256:0a", true),
        ] {
            assert_eq!(is_reference(reference), good, "{reference}");
        }
    }

    #[test]
    fn the_most_particular_credentials_come_first() {
        let secret = |json: &str| {
            crate::environment::Data::from([(".dockerconfigjson".to_owned(), json.as_bytes().to_vec())])
        };
        let found = credentials(
            &secret(
                r#"{"auths":{"example.com":{"username":"u","password":"p"},
                 "https://example.com/team/v1":{"auth":"dGVhbTpzZWNyZXQ="},"other.com":{"username":"x"}}}"#,
            ),
            "example.com/team/app:1",
        );
        let names: Vec<&str> = found.iter().map(|credentials| credentials.username.as_str()).collect();
        assert_eq!(names, ["team", "u"]);
        assert_eq!(found[0].password, "secret");
        assert!(
            credentials(&secret(r#"{"auths":{"*.example.com":{"username":"u"}}}"#), "a.example.com/x").len()
                == 1
        );
        assert!(credentials(&secret("nonsense"), "x").is_empty());
        let docker = secret(r#"{"auths":{"https://index.docker.io/v1/":{"username":"d"}}}"#);
        assert_eq!(credentials(&docker, "nginx").len(), 1);
    }

    #[test]
    fn durations_read_as_people_know_them() {
        assert_eq!(seconds(Duration::from_millis(56)), "56ms");
        assert_eq!(seconds(Duration::from_millis(1_230)), "1.23s");
        assert_eq!(seconds(Duration::from_secs(2)), "2s");
    }
}
