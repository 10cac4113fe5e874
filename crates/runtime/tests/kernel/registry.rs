//! Images fetched from a registry that the test runs itself, and that misbehaves in every way registries do.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use cri::{ContainerConfig, Credentials, Runtime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::*;

/// What a registry has, and how it behaves.
#[derive(Default)]
struct Registry {
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// `user:password` it wants, by way of a token.
    password: Option<&'static str>,
    /// Breaks each connection after this many bytes of a blob…
    break_after: Option<usize>,
    /// …this many times.
    breaks: u32,
    /// Requests it got.
    log: Vec<String>,
    port: u16,
}

type Shared = Arc<Mutex<Registry>>;

async fn serve(mut registry: Registry) -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    registry.port = listener.local_addr().unwrap().port();
    let host = format!("127.0.0.1:{}", registry.port);
    let shared = Arc::new(Mutex::new(registry));
    let served = shared.clone();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer(stream, served.clone()));
        }
    });
    (shared, host)
}

async fn answer(stream: TcpStream, registry: Shared) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let header =
        |name: &str| head.iter().find_map(|line| line.to_lowercase().starts_with(name).then(|| line.clone()));
    let (response, limit) =
        respond(&mut registry.lock().unwrap(), &path, header("authorization:"), header("range:"));
    let cut = limit.unwrap_or(response.len()).min(response.len());
    let _ = stream.write_all(&response[..cut]).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn respond(
    registry: &mut Registry,
    path: &str,
    authorization: Option<String>,
    range: Option<String>,
) -> (Vec<u8>, Option<usize>) {
    registry.log.push(path.to_owned());
    let plain = |status: &str, headers: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    if path.starts_with("/token?") {
        use base64::Engine as _;
        let wanted = registry.password.map(|pair| {
            format!("authorization: basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let given = authorization.map(|line| line.replacen("Basic", "basic", 1));
        let right = wanted == given && path.contains("scope=repository:library/app:pull");
        return match right {
            true => (plain("200 OK", "", br#"{"token":"secret-token"}"#), None),
            false => (plain("401 Unauthorized", "", b""), None),
        };
    }
    // Blobs are elsewhere, where nobody wants to see a token.
    if let Some(digest) = path.strip_prefix("/elsewhere/") {
        if authorization.is_some() && registry.password.is_some() {
            return (plain("400 Bad Request", "", b""), None);
        }
        let from = range
            .and_then(|line| line.split('=').nth(1)?.trim_end_matches('-').parse::<usize>().ok())
            .unwrap_or(0);
        let blob = registry.blobs[digest].clone();
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let body = plain(status, "", &blob[from..]);
        let limit = registry.break_after.filter(|_| registry.breaks > 0);
        registry.breaks = registry.breaks.saturating_sub(u32::from(limit.is_some()));
        return (body, limit);
    }
    if registry.password.is_some()
        && authorization.as_deref().is_none_or(|line| !line.ends_with("Bearer secret-token"))
    {
        let realm = format!("http://127.0.0.1:{}/token", registry.port);
        let challenge = format!(
            "www-authenticate: Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:library/app:pull\"\r\n"
        );
        return (plain("401 Unauthorized", &challenge, b""), None);
    }
    let name = path.rsplit('/').next().unwrap();
    if path.contains("/manifests/") {
        return match registry.manifests.get(name) {
            Some((kind, bytes)) => (plain("200 OK", &format!("content-type: {kind}\r\n"), bytes), None),
            None => (plain("404 Not Found", "", b"{}"), None),
        };
    }
    match registry.blobs.contains_key(name) {
        true => {
            let to = format!("location: http://localhost:{}/elsewhere/{name}\r\n", registry.port);
            (plain("307 Temporary Redirect", &to, b""), None)
        }
        false => (plain("404 Not Found", "", b"{}"), None),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image of a gzip and a zstd layer, behind a list for several machines.
fn app() -> Registry {
    let marker = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(5);
        tar.append_data(&mut header, "marker", &b"here\n"[..]).unwrap();
        tar.into_inner().unwrap()
    };
    let layers = [busybox_layer(), marker];
    let packed = [gzip(&layers[0]), zstd::encode_all(layers[1].as_slice(), 3).unwrap()];
    let config = image_config(&layers);
    let kinds =
        ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"];
    let layers: Vec<serde_json::Value> = packed
        .iter()
        .zip(kinds)
        .map(|(layer, kind)| serde_json::json!({ "mediaType": kind, "digest": sha256(layer), "size": layer.len() }))
        .collect();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len() },
        "layers": layers,
    }))
    .unwrap();
    let platform = |machine: &str| serde_json::json!({ "os": "linux", "architecture": machine });
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let list = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            { "mediaType": "x", "digest": sha256(b"other"), "size": 1, "platform": platform("s390x") },
            { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(&manifest), "size": manifest.len(), "platform": platform(own) },
        ],
    }))
    .unwrap();
    let mut registry = Registry::default();
    let index = "application/vnd.oci.image.index.v1+json".to_owned();
    registry.manifests.insert(sha256(&list), (index.clone(), list.clone()));
    registry.manifests.insert("v1".into(), (index, list));
    registry
        .manifests
        .insert(sha256(&manifest), ("application/vnd.oci.image.manifest.v1+json".into(), manifest));
    for blob in packed.into_iter().chain([config]) {
        registry.blobs.insert(sha256(&blob), blob);
    }
    registry
}

/// Runs a test that serves a registry beside the node: in the node's network namespace.
fn with_registry<W: Future<Output = Node>>(
    registry: Registry,
    test: impl FnOnce(Node, Shared, String) -> W + Send,
) {
    on_a_node(async |node| {
        loopback_up();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (shared, host) = serve(registry).await;
                test(node, shared, host).await
            })
            .await
    });
}

#[test]
fn an_image_is_fetched_checked_and_run() {
    with_registry(app(), async |node, registry, host| {
        let name = format!("{host}/library/app:v1");
        let id = node.engine().pull_image(name.clone(), vec![]).await.unwrap();
        let image = node.engine().image(name.clone()).await.unwrap().unwrap();
        assert_eq!((image.id.as_str(), image.tags.len(), image.digests.len()), (id.as_str(), 1, 1));
        let sandbox = node.sandbox("web").await;
        let with = |config: &mut ContainerConfig| config.image = name.clone();
        let (ended, output) = node.script_with(&sandbox, "cat /marker", with).await;
        assert_eq!((output.as_str(), ended.image_ref.as_str()), ("here\n", image.digests[0].as_str()));
        let requests = registry.lock().unwrap().log.len();
        assert_eq!(node.engine().pull_image(name, vec![]).await.unwrap(), id);
        let by_digest = image.digests[0].clone();
        assert_eq!(node.engine().pull_image(by_digest, vec![]).await.unwrap(), id);
        let log = registry.lock().unwrap().log[requests..].to_vec();
        assert!(log.iter().all(|path| path.contains("/manifests/")), "nothing is fetched twice: {log:?}");
        node
    });
}

#[test]
fn a_fetch_goes_on_where_it_broke_off() {
    let registry = Registry { break_after: Some(300_000), breaks: 3, ..app() };
    with_registry(registry, async |node, registry, host| {
        node.engine().pull_image(format!("{host}/library/app:v1"), vec![]).await.unwrap();
        let registry = registry.lock().unwrap();
        assert_eq!(registry.breaks, 0);
        node
    });
}

#[test]
fn credentials_open_and_their_lack_is_told() {
    with_registry(Registry { password: Some("me:secret"), ..app() }, async |node, _registry, host| {
        let name = format!("{host}/library/app:v1");
        let pull = |password: &str| {
            let credentials =
                Credentials { username: "me".into(), password: password.into(), ..Credentials::default() };
            node.engine().pull_image(name.clone(), vec![credentials])
        };
        let expected = format!(
            "failed to pull and unpack image {name:?}: pull access denied, repository does not exist or may require authorization"
        );
        assert_eq!(pull("wrong").await.unwrap_err().to_string(), expected);
        assert_eq!(node.engine().pull_image(name.clone(), vec![]).await.unwrap_err().to_string(), expected);
        pull("secret").await.unwrap();
        node
    });
}

#[test]
fn what_is_not_there_or_not_right_is_told() {
    let mut registry = app();
    let largest =
        registry.blobs.iter().max_by_key(|(_, blob)| blob.len()).map(|(digest, _)| digest.clone()).unwrap();
    registry.blobs.get_mut(&largest).unwrap()[1000] ^= 1;
    with_registry(registry, async |node, registry, host| {
        let missing = format!("{host}/library/app:v2");
        let error = node.engine().pull_image(missing.clone(), vec![]).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "failed to pull and unpack image {missing:?}: failed to resolve reference {missing:?}: not found"
            )
        );
        let error =
            node.engine().pull_image(format!("{host}/library/app:v1"), vec![]).await.unwrap_err().to_string();
        assert!(error.contains(&format!("what came for {largest} has the digest sha256:")), "{error}");
        registry.lock().unwrap().blobs.get_mut(&largest).unwrap()[1000] ^= 1;
        node.engine().pull_image(format!("{host}/library/app:v1"), vec![]).await.unwrap();
        let refused = node.engine().pull_image("127.0.0.1:1/x".into(), vec![]).await.unwrap_err().to_string();
        assert!(refused.contains("cannot reach 127.0.0.1:1: "), "{refused}");
        node
    });
}
