//! The door, asked over its socket as others ask it.

use bytes::Bytes;
use cri::wire::Message;
use cri::{NamespaceMode, v1};
use env::Env;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::tests::{FakeRuntime, TempDir};

mod remote;

/// Nothing here takes this long, however busy the machine is.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Somebody who asks.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    runtime: Arc<FakeRuntime>,
    root: TempDir,
}

impl Client {
    async fn start(label: &str) -> Client {
        let (env, root) = (Env::real(), TempDir::new(label));
        let runtime = FakeRuntime::new(env.clone());
        let resolv_conf = root.0.join("resolv.conf");
        std::fs::write(&resolv_conf, "nameserver 192.0.2.53\n").unwrap();
        let config = EndpointConfig {
            socket: root.0.join("cri.sock"),
            files: root.0.join("files"),
            store: root.0.join("store"),
            resolv_conf,
        };
        let socket = config.socket.clone();
        serve_cri(config, runtime.clone(), env.clone()).await.unwrap();
        let stream = UnixStream::connect(&socket).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        env.tasks.spawn("client", async move { connection.await.unwrap() });
        Client { sender, runtime, root }
    }

    /// Asks; answers the messages, or the code of a refusal.
    async fn ask(&self, service: &str, method: &str, message: &impl Message) -> Result<Vec<Vec<u8>>, u8> {
        let message = message.encode();
        let mut frame = vec![0];
        frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frame.extend_from_slice(&message);
        let request = Request::post(format!("http://localhost/runtime.v1.{service}Service/{method}"))
            .header("content-type", "application/grpc")
            .body(Full::new(Bytes::from(frame)))
            .unwrap();
        let answer = self.sender.clone().send_request(request).await.unwrap();
        let early = answer.headers().get("grpc-status").cloned();
        // Others' clients believe an outcome among the headers only if nothing follows them, not even nothing.
        assert!(early.is_none() || answer.body().is_end_stream(), "a refusal is all there is");
        let body = answer.into_body().collect().await.unwrap();
        let code = early.or(body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()));
        let code: u8 = code.expect("every call has an outcome").to_str().unwrap().parse().unwrap();
        if code != 0 {
            return Err(code);
        }
        let (bytes, mut messages) = (body.to_bytes(), Vec::new());
        let mut rest = &bytes[..];
        while let Some((&[_, a, b, c, d], tail)) = rest.split_first_chunk::<5>() {
            let (message, tail) = tail.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
            messages.push(message.to_vec());
            rest = tail;
        }
        Ok(messages)
    }

    /// Asks for what is told as it happens; answers what it comes in.
    async fn listen(&self, method: &str) -> hyper::body::Incoming {
        let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .header("content-type", "application/grpc")
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
        let answer = self.sender.clone().send_request(request).await.unwrap();
        assert_eq!(answer.headers().get("grpc-status"), None);
        answer.into_body()
    }

    async fn one<M: Message>(&self, service: &str, method: &str, message: &impl Message) -> Result<M, u8> {
        let messages = self.ask(service, method, message).await?;
        assert_eq!(messages.len(), 1, "{method}");
        Ok(M::decode(&messages[0]).unwrap())
    }

    async fn pod(&self, name: &str) -> (String, String) {
        let sandbox: v1::PodSandboxId = self.one("Runtime", "RunPodSandbox", &sandbox(name)).await.unwrap();
        let spec = |image: &str| Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() });
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "app".to_owned(), attempt: 0 }),
            image: spec("img:1"),
            command: vec!["run".to_owned()],
            labels: [("app".to_owned(), name.to_owned())].into(),
            ..Default::default()
        };
        let _: v1::PullImageResponse = self
            .one("Image", "PullImage", &v1::PullImageRequest { image: spec("img:1"), auth: None })
            .await
            .unwrap();
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.pod_sandbox_id.clone(),
            config: Some(config),
            sandbox_config: None,
        };
        let made: v1::ContainerId = self.one("Runtime", "CreateContainer", &request).await.unwrap();
        let _: v1::Nothing = self.one("Runtime", "StartContainer", &made).await.unwrap();
        (sandbox.pod_sandbox_id, made.container_id)
    }
}

fn sandbox(name: &str) -> v1::RunPodSandboxRequest {
    let metadata = v1::PodSandboxMetadata {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        namespace: "default".to_owned(),
        attempt: 2,
    };
    let options = v1::NamespaceOption { pid: 1, ..Default::default() };
    let security = v1::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
    v1::RunPodSandboxRequest {
        config: Some(v1::PodSandboxConfig {
            metadata: Some(metadata),
            hostname: name.to_owned(),
            linux: Some(v1::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        }),
        runtime_handler: String::new(),
    }
}

#[tokio::test]
async fn pods_are_made_looked_at_and_taken_away() {
    let client = Client::start("cri-pods").await;
    let (sandbox, container) = client.pod("web").await;
    let id = v1::PodSandboxId { pod_sandbox_id: sandbox.clone() };
    let answer: v1::PodSandboxStatusResponse = client.one("Runtime", "PodSandboxStatus", &id).await.unwrap();
    let status = answer.status.unwrap();
    let metadata = status.metadata.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.attempt, status.state), ("web", 2, 0));
    assert_eq!(answer.containers_statuses.len(), 1);

    let asked = v1::ContainerId { container_id: container.clone() };
    let answer: v1::ContainerStatusResponse = client.one("Runtime", "ContainerStatus", &asked).await.unwrap();
    assert_eq!(answer.status.unwrap().state, 1);
    let mounts = client.runtime.config("app").mounts;
    assert_eq!(
        mounts.iter().map(|mount| mount.container_path.as_str()).collect::<Vec<_>>(),
        ["/etc/resolv.conf", "/etc/hostname"]
    );

    let stop = v1::StopContainerRequest { container_id: container, timeout: 1 };
    let _: v1::Nothing = client.one("Runtime", "StopContainer", &stop).await.unwrap();
    let answer: v1::ContainerStatusResponse = client.one("Runtime", "ContainerStatus", &asked).await.unwrap();
    let status = answer.status.unwrap();
    assert_eq!((status.state, status.exit_code), (2, 143));
    // Twice: what is gone is gone.
    for _ in 0..2 {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            let _: v1::Nothing = client.one("Runtime", method, &id).await.unwrap();
        }
    }
    let none: v1::ListPodSandboxResponse =
        client.one("Runtime", "ListPodSandbox", &v1::ListPodSandboxRequest::default()).await.unwrap();
    assert_eq!(none.items.len(), 0);
    assert_eq!(std::fs::read_dir(client.root.0.join("files")).unwrap().count(), 0, "its files go with it");
}

#[tokio::test]
async fn lists_are_whole_or_come_in_pieces_and_can_be_filtered() {
    let client = Client::start("cri-lists").await;
    client.pod("a").await;
    let (_, second) = client.pod("b").await;
    for method in ["ListContainers", "StreamContainers"] {
        let all: v1::ListContainersResponse =
            client.one("Runtime", method, &v1::ListContainersRequest::default()).await.unwrap();
        assert_eq!(all.containers.len(), 2, "{method}");
        let selector = [("app".to_owned(), "b".to_owned())].into();
        let filter = v1::ContainerFilter { label_selector: selector, ..Default::default() };
        let asked = v1::ListContainersRequest { filter: Some(filter) };
        let one: v1::ListContainersResponse = client.one("Runtime", method, &asked).await.unwrap();
        assert_eq!(one.containers.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [second.as_str()]);
    }
    let none = v1::ContainerFilter { id: "nothing".to_owned(), ..Default::default() };
    let asked = v1::ListContainersRequest { filter: Some(none) };
    assert_eq!(client.ask("Runtime", "StreamContainers", &asked).await, Ok(Vec::new()));
    let images: v1::ListImagesResponse =
        client.one("Image", "ListImages", &v1::ListImagesRequest::default()).await.unwrap();
    assert_eq!(images.images.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_its_code() {
    let client = Client::start("cri-refused").await;
    let id = v1::ContainerId { container_id: "nothing".to_owned() };
    for (service, method, code) in [
        ("Runtime", "ContainerStatus", grpc::NOT_FOUND),
        ("Runtime", "PodSandboxStatus", grpc::NOT_FOUND),
        ("Runtime", "StartContainer", grpc::NOT_FOUND),
        ("Runtime", "CheckpointContainer", 12),
        ("Image", "Nonsense", 12),
        ("Other", "Version", 12),
    ] {
        assert_eq!(client.ask(service, method, &id).await, Err(code), "{service} {method}");
    }
    let mut upwards = sandbox("web");
    upwards.config.as_mut().unwrap().linux.as_mut().unwrap().cgroup_parent = "/a/../../b".to_owned();
    for (request, why) in [
        (v1::RunPodSandboxRequest::default(), "no config"),
        (upwards, "a path that leads upwards"),
        (v1::RunPodSandboxRequest { runtime_handler: "nothing".to_owned(), ..sandbox("web") }, "no handler"),
    ] {
        let refused = client.ask("Runtime", "RunPodSandbox", &request).await;
        assert_eq!(refused, Err(grpc::INVALID_ARGUMENT), "{why}");
    }
    // A text is no number.
    assert_eq!(
        client
            .ask(
                "Runtime",
                "StopContainer",
                &v1::ExecSyncRequest { cmd: vec!["a".to_owned()], ..Default::default() }
            )
            .await,
        Err(grpc::INTERNAL)
    );
    let version: v1::VersionResponse =
        client.one("Runtime", "Version", &v1::VersionRequest::default()).await.unwrap();
    assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("fake", "v1"));
}

#[tokio::test]
async fn streams_are_to_be_had_once() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let client = Client::start("cri-streams").await;
    let (_, container) = client.pod("web").await;
    let exec = |tty: bool, stdout: bool| v1::ExecRequest {
        container_id: container.clone(),
        cmd: vec!["true".to_owned()],
        tty,
        stdout,
        stderr: tty,
        ..Default::default()
    };
    for (tty, stdout) in [(true, true), (false, false)] {
        let refused = client.ask("Runtime", "Exec", &exec(tty, stdout)).await;
        assert_eq!(refused, Err(grpc::INVALID_ARGUMENT), "{tty} {stdout}");
    }
    let address: v1::StreamAddress = client.one("Runtime", "Exec", &exec(false, true)).await.unwrap();
    let (host, path) = address.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    for wanted in ["101", "404"] {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\
             x-stream-protocol-version: v5.channel.k8s.io\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&line[9..]), wanted);
    }
}

#[test]
fn what_is_to_be_made_comes_over_whole() {
    let spec = |image: &str| Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() });
    let options = v1::NamespaceOption { pid: 3, target_id: "c0".to_owned(), ..Default::default() };
    let context = v1::LinuxContainerSecurityContext {
        namespace_options: Some(options),
        run_as_user: Some(v1::Int64Value { value: 0 }),
        supplemental_groups: vec![5, 6],
        supplemental_groups_policy: 1,
        seccomp: Some(v1::SecurityProfile { profile_type: 2, localhost_ref: "/p.json".to_owned() }),
        ..Default::default()
    };
    let limits = v1::LinuxContainerResources { cpu_shares: 512, oom_score_adj: -5, ..Default::default() };
    let config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".to_owned(), attempt: 3 }),
        image: spec("sha256:1"),
        envs: vec![v1::KeyValue { key: "A".to_owned(), value: b"b".to_vec() }],
        mounts: vec![v1::Mount { container_path: "/i".to_owned(), image: spec("img"), ..Default::default() }],
        linux: Some(v1::LinuxContainerConfig { resources: Some(limits), security_context: Some(context) }),
        stop_signal: 29,
        ..Default::default()
    };
    let made = v1::container(v1::ContainerConfig::decode(&config.encode()).unwrap()).unwrap();
    assert_eq!((made.name.as_str(), made.attempt, made.stop_signal.as_str()), ("app", 3, "SIGUSR1"));
    assert_eq!((made.image.as_str(), made.user_image.as_str()), ("sha256:1", "sha256:1"));
    assert_eq!(made.envs, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(made.mounts[0].image, "img");
    assert_eq!((made.resources.cpu_shares, made.resources.oom_score_adj), (512, -5));
    let security = made.security;
    assert_eq!(security.namespaces.pid, NamespaceMode::Target("c0".to_owned()));
    assert_eq!((security.run_as_user, security.strict_supplemental_groups), (Some(0), true));
    assert_eq!(security.seccomp, cri::Seccomp::Localhost("/p.json".into()));
    type Change = fn(&mut v1::ContainerConfig);
    let changes: [(&str, Change); 6] = [
        ("a variable that is no text", |config| config.envs[0].value = vec![0xff]),
        ("a signal that is none", |config| config.stop_signal = 99),
        ("no metadata", |config| config.metadata = None),
        ("a propagation that is none", |config| config.mounts[0].propagation = 9),
        ("a device by a name", |config| config.cdi_devices = vec![v1::CDIDevice::default()]),
        ("a negative weight", |config| {
            config.linux.as_mut().unwrap().resources.as_mut().unwrap().cpu_shares = -1;
        }),
    ];
    for (what, change) in changes {
        let mut config = config.clone();
        change(&mut config);
        assert!(matches!(v1::container(config), Err(RuntimeError::Invalid(_))), "{what}");
    }
}

#[tokio::test]
async fn what_happens_is_told_to_who_listens() {
    let client = Client::start("events").await;
    let _: v1::PodSandboxId = client.one("Runtime", "RunPodSandbox", &sandbox("before")).await.unwrap();
    let mut told = client.listen("GetContainerEvents").await;
    let (sandbox, container) = client.pod("web").await;
    client.runtime.crash("app", 3);
    let wanted = [
        (&sandbox, v1::CREATED),
        (&sandbox, v1::STARTED),
        (&container, v1::CREATED),
        (&container, v1::STARTED),
        (&container, v1::STOPPED),
    ];
    expect(&mut told, &wanted).await;
    let id = v1::PodSandboxId { pod_sandbox_id: sandbox.clone() };
    let _: v1::Nothing = client.one("Runtime", "RemovePodSandbox", &id).await.unwrap();
    let wanted = [(&container, v1::DELETED), (&sandbox, v1::STOPPED), (&sandbox, v1::DELETED)];
    expect(&mut told, &wanted).await;
}

/// Reads events until all that are wanted came, in whatever order those of different things come.
async fn expect(told: &mut hyper::body::Incoming, wanted: &[(&String, i32)]) {
    let mut missing = wanted.to_vec();
    let mut bytes = Vec::new();
    while !missing.is_empty() {
        let frame = Env::real().clock.timeout(PATIENCE, told.frame()).await;
        let frame = frame.unwrap_or_else(|| panic!("{missing:?} does not come"));
        let frame = frame.expect("more is to come").unwrap();
        bytes.extend_from_slice(&frame.into_data().expect("it has not ended"));
        while let Some((&[_, a, b, c, d], tail)) = bytes.split_first_chunk::<5>()
            && let Some((message, rest)) = tail.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
        {
            let event = v1::ContainerEventResponse::decode(message).unwrap();
            assert_eq!(event.pod_sandbox_status.unwrap().metadata.unwrap().name, "web");
            let found = (&event.container_id, event.container_event_type);
            let place = missing.iter().position(|one| *one == found);
            missing.remove(place.unwrap_or_else(|| panic!("{found:?} was not to come, {missing:?} was")));
            bytes = rest.to_vec();
        }
    }
}
