//! The door, asked by the client that this house has for others' runtimes: what goes in at the port comes out at the other
//! end as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use ::remote::{Config, Remote};
use cri::{
    AttachRequest, Container, ContainerConfig, ContainerState, Event, ExecOutput, ExecRequest, PodGroups,
    PodId, Resources, SandboxConfig, SandboxState, Session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// The groups of pods that there are, with their limits.
#[derive(Debug, Default)]
struct Groups(Mutex<BTreeMap<String, Resources>>);

impl Groups {
    fn all(&self) -> Vec<(String, Resources)> {
        self.0.lock().unwrap().clone().into_iter().collect()
    }
}

impl PodGroups for Groups {
    fn make(&self, group: &str, resources: &Resources) -> cri::Result<()> {
        self.limit(group, resources)
    }

    fn limit(&self, group: &str, resources: &Resources) -> cri::Result<()> {
        self.0.lock().unwrap().insert(group.to_owned(), resources.clone());
        Ok(())
    }

    fn remove(&self, group: &str) {
        self.0.lock().unwrap().remove(group);
    }

    fn keep_only(&self, groups: &[String]) {
        self.0.lock().unwrap().retain(|group, _| groups.contains(group));
    }
}

async fn connect(client: &Client, owner: &str) -> Remote {
    connect_with(client, owner, Arc::default()).await
}

async fn connect_with(client: &Client, owner: &str, groups: Arc<Groups>) -> Remote {
    let config = Config { socket: client.root.0.join("cri.sock"), owner: owner.to_owned(), groups };
    Remote::connect(config, Env::real()).await.unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pod(name: &str) -> SandboxConfig {
    SandboxConfig {
        pod: PodId { namespace: "default".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") },
        attempt: 2,
        hostname: name.to_owned(),
        log_directory: PathBuf::from("/logs").join(name),
        labels: [("app".to_owned(), name.to_owned())].into(),
        annotations: [("note".to_owned(), "x".to_owned())].into(),
        cgroup_parent: format!("/kubepods/pod{name}"),
        resources: Resources { cpu_quota: 100_000, cpu_period: 100_000, ..Resources::default() },
        ..SandboxConfig::default()
    }
}

fn app(command: &[&str]) -> ContainerConfig {
    ContainerConfig {
        name: "app".to_owned(),
        attempt: 1,
        image: "img:1".to_owned(),
        user_image: "img:1".to_owned(),
        command: texts(command),
        labels: [("tier".to_owned(), "web".to_owned())].into(),
        resources: Resources { memory_limit: 1 << 20, ..Resources::default() },
        ..ContainerConfig::default()
    }
}

async fn started(remote: &Remote, name: &str, command: &[&str]) -> (String, String) {
    let sandbox = remote.run_sandbox(pod(name)).await.unwrap();
    let container = remote.create_container(sandbox.clone(), app(command)).await.unwrap();
    remote.start_container(container.clone()).await.unwrap();
    (sandbox, container)
}

/// A container without what CRI does not tell.
fn told(container: Container) -> Container {
    Container { pid: 0, ..container }
}

#[tokio::test]
async fn pods_live_and_end_as_they_do_in_process() {
    let client = Client::start("remote-pods").await;
    let remote = connect(&client, "n1").await;
    assert_eq!(remote.version(), client.runtime.version());
    assert_eq!(remote.handlers(), client.runtime.handlers());
    assert!(remote.obstacles().await.is_empty());
    let (sandbox, container) = started(&remote, "web", &["run"]).await;

    let seen = remote.list_sandboxes().await.unwrap();
    let mut real = client.runtime.sandboxes();
    real[0].labels = pod("web").labels;
    real[0].annotations = pod("web").annotations;
    assert_eq!(seen, real, "labels and annotations of our own are not shown");
    let mut real = told(client.runtime.containers().remove(0));
    real.labels = app(&[]).labels;
    real.annotations.clear();
    assert_eq!(remote.list_containers().await, Ok(vec![real.clone()]));
    assert_eq!(remote.container(container.clone()).await, Ok(real));
    // Another that starts anew sees the same, and can go on with it.
    let again = connect(&client, "n1").await;
    assert_eq!(again.list_containers().await, remote.list_containers().await);
    let second = again.create_container(sandbox.clone(), app(&["run"])).await.unwrap();
    again.remove_container(second).await.unwrap();
    // Somebody else sees nothing of it.
    let other = connect(&client, "n2").await;
    assert_eq!(other.list_sandboxes().await, Ok(Vec::new()));
    assert_eq!(other.list_containers().await, Ok(Vec::new()));

    let more = Resources { memory_limit: 2 << 20, ..Resources::default() };
    remote.update_resources(container.clone(), more.clone()).await.unwrap();
    assert_eq!(remote.container(container.clone()).await.unwrap().resources, more);
    assert_eq!(remote.container_stats(container.clone()).await.unwrap().cpu_usage_nanos, 1_500_000_000);

    remote.stop_container(container.clone(), 1).await.unwrap();
    let ended = remote.container(container.clone()).await.unwrap();
    assert_eq!((ended.state, ended.exit_code), (ContainerState::Exited, 143));
    // Twice: what is gone is gone.
    for _ in 0..2 {
        remote.stop_sandbox(sandbox.clone()).await.unwrap();
        remote.stop_container(container.clone(), 1).await.unwrap();
        remote.remove_container(container.clone()).await.unwrap();
    }
    assert_eq!(remote.list_sandboxes().await.unwrap()[0].state, SandboxState::NotReady);
    remote.teardown().await.unwrap();
    assert_eq!(client.runtime.sandboxes(), Vec::new());
}

#[tokio::test]
async fn a_pods_group_lives_as_long_as_the_last_of_its_sandboxes() {
    let client = Client::start("remote-groups").await;
    let groups = Arc::new(Groups::default());
    groups.make("/kubepods/podlost", &Resources::default()).unwrap();
    let remote = connect_with(&client, "n1", groups.clone()).await;
    assert_eq!(groups.all(), [], "what an earlier process left is removed");
    let first = remote.run_sandbox(pod("web")).await.unwrap();
    let group = pod("web").cgroup_parent;
    assert_eq!(groups.all(), [(group.clone(), pod("web").resources)]);
    let more = Resources { cpu_quota: 200_000, cpu_period: 100_000, ..Resources::default() };
    remote.update_sandbox_resources(first.clone(), more.clone()).await.unwrap();
    assert_eq!(groups.all(), [(group.clone(), more)]);
    remote.stop_sandbox(first.clone()).await.unwrap();
    let second = remote.run_sandbox(SandboxConfig { attempt: 3, ..pod("web") }).await.unwrap();
    remote.remove_sandbox(first).await.unwrap();
    assert_eq!(groups.all().len(), 1, "the second needs it");
    connect_with(&client, "n1", groups.clone()).await;
    assert_eq!(groups.all().len(), 1, "a process that is started again leaves it alone");
    for _ in 0..2 {
        remote.remove_sandbox(second.clone()).await.unwrap();
        assert_eq!(groups.all(), []);
    }
}

#[tokio::test]
async fn errors_keep_their_kind() {
    let client = Client::start("remote-errors").await;
    let remote = connect(&client, "n1").await;
    let nothing = || "nothing".to_owned();
    let missing = |what| RuntimeError::NotFound { what, id: nothing() };
    assert_eq!(remote.start_container(nothing()).await, Err(missing("container")));
    assert_eq!(remote.container(nothing()).await, Err(missing("container")));
    assert_eq!(remote.create_container(nothing(), app(&["run"])).await, Err(missing("sandbox")));
    assert_eq!(remote.exec_sync(nothing(), texts(&["true"]), 1).await, Err(missing("container")));
    let odd = SandboxConfig { handler: "none".to_owned(), ..pod("odd") };
    assert!(matches!(remote.run_sandbox(odd).await, Err(RuntimeError::Invalid(_))));
    let (_, broken) = {
        let sandbox = remote.run_sandbox(pod("broken")).await.unwrap();
        let id = remote.create_container(sandbox.clone(), app(&["broken"])).await.unwrap();
        (sandbox, id)
    };
    let refused = remote.start_container(broken).await;
    assert_eq!(refused, Err(RuntimeError::Failed("no such executable".to_owned())));
    client.runtime.set_missing("img:none", true);
    let refused = remote.pull_image("img:none".to_owned(), Vec::new()).await;
    assert_eq!(refused, Err(RuntimeError::Image("no such image".to_owned())));
}

#[tokio::test]
async fn images_are_fetched_found_and_removed() {
    let client = Client::start("remote-images").await;
    let remote = connect(&client, "n1").await;
    let name = || "img:7".to_owned();
    assert_eq!(remote.image(name()).await, Ok(None));
    let keys = vec![cri::Credentials { username: "u".to_owned(), ..Default::default() }];
    assert_eq!(remote.pull_image(name(), keys).await, Ok(name()));
    assert_eq!(remote.image(name()).await, client.runtime.image(name()).await);
    assert_eq!(remote.list_images().await, client.runtime.list_images().await);
    assert_eq!(remote.image_usage().await, Ok(0));
    for _ in 0..2 {
        remote.remove_image(name()).await.unwrap();
    }
    assert_eq!(remote.image(name()).await, Ok(None));
}

#[tokio::test]
async fn what_changes_is_told() {
    let client = Client::start("remote-events").await;
    let remote = connect(&client, "n1").await;
    let mut events = remote.events().await.unwrap();
    let (_, container) = started(&remote, "web", &["run"]).await;
    let env = Env::real();
    let web = Event::Pod(pod("web").pod);
    assert_eq!(env.clock.timeout(PATIENCE, events.next()).await, Some(Some(web.clone())));
    client.runtime.crash("app", 3);
    let seen = env.clock.timeout(PATIENCE, async {
        while remote.container(container.clone()).await.unwrap().state == ContainerState::Running {
            assert_eq!(events.next().await, Some(web.clone()));
        }
    });
    assert!(seen.await.is_some());
    assert_eq!(remote.container(container.clone()).await.unwrap().exit_code, 3);
}

#[tokio::test]
async fn a_runtime_that_went_and_came_is_found_again() {
    let (root, first, second) = (TempDir::new("remote-again"), Env::real(), Env::real());
    let runtime = FakeRuntime::new(Env::real());
    let door = |env: &Env| {
        let config = EndpointConfig {
            socket: root.0.join("cri.sock"),
            files: root.0.join("files"),
            store: root.0.join("store"),
            resolv_conf: root.0.join("resolv.conf"),
        };
        serve_cri(config, runtime.clone(), env.clone())
    };
    door(&first).await.unwrap();
    let config = Config {
        socket: root.0.join("cri.sock"),
        owner: "n1".to_owned(),
        groups: Arc::new(Groups::default()),
    };
    let remote = Remote::connect(config, Env::real()).await.unwrap();
    assert_eq!(remote.obstacles().await, Vec::<String>::new());
    first.tasks.stop(PATIENCE).await;
    assert_eq!(remote.obstacles().await, ["container runtime is down"]);
    assert!(remote.list_containers().await.is_err());
    door(&second).await.unwrap();
    assert_eq!(remote.obstacles().await, Vec::<String>::new());
    assert_eq!(remote.list_containers().await, Ok(Vec::new()));
}

/// What a command said, complained of, and how it ended.
async fn end(session: Session) -> (String, String, Result<i32, String>) {
    let read = |receiver: Option<tokio::sync::mpsc::Receiver<Vec<u8>>>| async move {
        let mut all = Vec::new();
        if let Some(mut receiver) = receiver {
            while let Some(bytes) = receiver.recv().await {
                all.extend(bytes);
            }
        }
        String::from_utf8(all).unwrap()
    };
    let (stdout, stderr) = tokio::join!(read(session.stdout), read(session.stderr));
    (stdout, stderr, session.exit.await.unwrap())
}

#[tokio::test]
async fn commands_are_connected() {
    let client = Client::start("remote-exec").await;
    let remote = connect(&client, "n1").await;
    let (_, container) = started(&remote, "web", &["run"]).await;
    let output = remote.exec_sync(container.clone(), texts(&["ls"]), 5).await;
    let wanted = ExecOutput { stdout: b"said".to_vec(), stderr: Vec::new(), exit_code: 0 };
    assert_eq!(output, Ok(wanted));

    let all = ExecRequest { stdout: true, stderr: true, ..ExecRequest::default() };
    for (command, code) in [(&["fail", "7"][..], 7), (&["well", "0"], 0)] {
        let request = ExecRequest { command: texts(command), ..all.clone() };
        let session = remote.exec(container.clone(), request).await.unwrap();
        assert_eq!(end(session).await, (command.join(" "), "complaint".to_owned(), Ok(code)));
    }
    let request = ExecRequest { command: texts(&["cat"]), stdin: true, ..all.clone() };
    let mut session = remote.exec(container.clone(), request).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    let long = vec![b'x'; 200_000];
    stdin.send(long.clone()).await.unwrap();
    stdin.send(b"end".to_vec()).await.unwrap();
    drop(stdin);
    let (stdout, _, exit) = end(session).await;
    assert_eq!((stdout.len(), exit), (long.len() + 3, Ok(0)));

    let request =
        ExecRequest { command: texts(&["size"]), tty: true, stdout: true, ..ExecRequest::default() };
    let session = remote.exec(container.clone(), request).await.unwrap();
    session.resize.as_ref().unwrap().send((80, 24)).await.unwrap();
    assert_eq!(end(session).await.0, "80x24");

    let request = AttachRequest { stdin: true, stdout: true, ..AttachRequest::default() };
    let mut session = remote.attach(container.clone(), request).await.unwrap();
    session.stdin.take().unwrap().send(b"hello".to_vec()).await.unwrap();
    assert_eq!(end(session).await.0, "hello");
}

#[tokio::test]
async fn ports_are_connected() {
    let client = Client::start("remote-ports").await;
    let remote = connect(&client, "n1").await;
    let (sandbox, _) = started(&remote, "web", &["run"]).await;
    let mut connection = remote.port_forward(sandbox.clone(), 80).await.unwrap();
    let sent = vec![7; 300_000];
    let (mut read, mut write) = tokio::io::split(&mut connection);
    let send = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut echoed = Vec::new();
    let (_, read) = tokio::join!(send, read.read_to_end(&mut echoed));
    read.unwrap();
    assert!(echoed == sent, "{} bytes came back", echoed.len());
    // One that nobody listens at ends at once.
    let mut refused = remote.port_forward(sandbox, 1).await.unwrap();
    assert_eq!(refused.read(&mut [0; 8]).await.unwrap(), 0);
}
