//! The client and a real containerd with runc, in a directory of its own: where they are not installed, or the one who runs this
//! is not root, it says so and proves nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cri::{
    ContainerConfig, ContainerState, ExecRequest, NamespaceMode, Namespaces, PodId, Runtime, SandboxConfig,
};
use env::Env;
use remote::{Config, Remote};

/// Groups of pods that nobody makes: runc does when it makes those of containers.
#[derive(Debug)]
struct Groups;

impl cri::PodGroups for Groups {
    fn make(&self, _: &str, _: &cri::Resources) -> cri::Result<()> {
        Ok(())
    }

    fn limit(&self, _: &str, _: &cri::Resources) -> cri::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) {}

    fn keep_only(&self, _: &[String]) {}
}

const IMAGE: &str = "local.test/sleeper:1";
/// Nothing here takes this long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a containerd that is only just starting is asked what runs.
const TRIES: u32 = 150;

fn quietly(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command
}

struct Containerd {
    root: PathBuf,
    process: Child,
}

impl Containerd {
    fn is_possible() -> bool {
        let runs = |program, flag| quietly(program).arg(flag).status().is_ok_and(|status| status.success());
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let all =
            [("containerd", "--version"), ("runc", "--version"), ("ctr", "--version"), ("busybox", "--list")];
        is_root && all.into_iter().all(|(program, flag)| runs(program, flag))
    }

    fn start(root: &Path) -> Containerd {
        std::fs::create_dir_all(root.join("cni")).unwrap();
        let at = root.display();
        let configuration = format!(
            r#"version = 2
root = "{at}/root"
state = "{at}/state"
[grpc]
address = "{at}/containerd.sock"
[ttrpc]
address = "{at}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "{IMAGE}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{at}/cni"
conf_dir = "{at}/cni"
"#
        );
        std::fs::write(root.join("config.toml"), configuration).unwrap();
        Containerd { root: root.to_owned(), process: Self::spawn(root) }
    }

    fn spawn(root: &Path) -> Child {
        quietly("containerd").arg("--config").arg(root.join("config.toml")).spawn().unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.root.join("containerd.sock")
    }

    fn import(&self) {
        let archive = self.root.join("image.tar");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images/busybox.py");
        let made = Command::new("python3")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .arg(&archive)
            .args([IMAGE, "--command", "sleep", "--command", "1000000"])
            .status();
        assert!(made.unwrap().success());
        assert!(self.ctr(&["images", "import", &archive.display().to_string()]).is_some());
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Containerd {
    fn ctr(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        let output = command.stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends whatever runs, also when the test failed while nobody was there to be asked.
    fn end_tasks(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            self.process = Self::spawn(&self.root);
        }
        let tasks = (0..TRIES).find_map(|_| {
            self.ctr(&["tasks", "list", "--quiet"]).or_else(|| {
                std::thread::sleep(Duration::from_millis(200));
                None
            })
        });
        for task in tasks.unwrap_or_default().lines() {
            self.ctr(&["tasks", "delete", "--force", task]);
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.end_tasks();
        let _ = self.process.kill();
        let _ = self.process.wait();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(&self.root)) {
            let _ = quietly("umount").args(["--lazy", point]).status();
        }
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // Where none was made there is none.
            let _ = std::fs::remove_dir(hierarchy.path().join(cgroup().trim_start_matches('/')));
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn cgroup() -> String {
    format!("/ic-remote-{}", std::process::id())
}

fn pod(root: &Path) -> SandboxConfig {
    let namespaces =
        Namespaces { network: NamespaceMode::Node, pid: NamespaceMode::Container, ..Namespaces::default() };
    SandboxConfig {
        pod: PodId { namespace: "default".to_owned(), name: "web".to_owned(), uid: "uid-web".to_owned() },
        log_directory: root.join("logs"),
        namespaces,
        cgroup_parent: cgroup(),
        ..SandboxConfig::default()
    }
}

fn app(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "app".to_owned(),
        image: IMAGE.to_owned(),
        user_image: IMAGE.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        log_path: "app.log".into(),
        security: cri::Security {
            namespaces: Namespaces {
                network: NamespaceMode::Node,
                pid: NamespaceMode::Container,
                ..Namespaces::default()
            },
            ..cri::Security::default()
        },
        ..ContainerConfig::default()
    }
}

/// Waits until a container has ended.
async fn ended(remote: &Remote, id: &str, env: &Env) -> cri::Container {
    let waiting = async {
        loop {
            let container = remote.container(id.to_owned()).await.unwrap();
            if container.state == ContainerState::Exited {
                return container;
            }
            env.clock.sleep(Duration::from_millis(100)).await;
        }
    };
    env.clock.timeout(PATIENCE, waiting).await.expect("it ends")
}

#[tokio::test]
async fn containerd_runs_our_pods_and_is_found_again_after_it_was_killed() {
    if !Containerd::is_possible() {
        eprintln!("left out: containerd, runc and busybox, and root, are needed");
        return;
    }
    let root = std::env::temp_dir().join(format!("ic-remote-{}", std::process::id()));
    let mut containerd = Containerd::start(&root);
    let env = Env::real();
    let config =
        Config { socket: containerd.socket(), owner: "n1".to_owned(), groups: std::sync::Arc::new(Groups) };
    let remote = Remote::connect(config, env.clone()).await.unwrap();
    assert_eq!(remote.version().0, "containerd");
    let obstacles = remote.obstacles().await;
    assert!(
        obstacles[0].starts_with("container runtime network not ready: NetworkReady=false reason:"),
        "{obstacles:?}"
    );
    containerd.import();
    let image = remote.image(IMAGE.to_owned()).await.unwrap().expect("it was imported");
    assert!(image.tags.contains(&IMAGE.to_owned()), "{image:?}");

    std::fs::create_dir_all(root.join("logs")).unwrap();
    let sandbox = remote.run_sandbox(pod(&root)).await.unwrap();
    let id = remote.create_container(sandbox.clone(), app("echo hello; exec sleep 1000")).await.unwrap();
    remote.start_container(id.clone()).await.unwrap();
    let seen = remote.container(id.clone()).await.unwrap();
    assert_eq!((seen.state, seen.pod), (ContainerState::Running, pod(&root).pod));
    let output =
        remote.exec_sync(id.clone(), ["echo", "said"].map(str::to_owned).to_vec(), 60).await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.exit_code), (&b"said\n"[..], 0));
    assert!(std::fs::read_to_string(&seen.log_path).unwrap().contains("stdout F hello"));
    let command = ["sh", "-c", "cat; exit 7"].map(str::to_owned).to_vec();
    let request = ExecRequest { command, stdin: true, stdout: true, ..ExecRequest::default() };
    let mut session = remote.exec(id.clone(), request).await.unwrap();
    session.stdin.take().unwrap().send(b"typed".to_vec()).await.unwrap();
    let mut printed = Vec::new();
    while let Some(bytes) = session.stdout.as_mut().unwrap().recv().await {
        printed.extend(bytes);
    }
    assert_eq!((printed.as_slice(), session.exit.await.unwrap()), (&b"typed"[..], Ok(7)));

    containerd.kill();
    assert_eq!(remote.obstacles().await, ["container runtime is down"]);
    containerd.process = Containerd::spawn(&root);
    let back = async {
        while remote.list_containers().await.is_err() {
            env.clock.sleep(Duration::from_millis(100)).await;
        }
    };
    env.clock.timeout(PATIENCE, back).await.expect("it comes back");
    assert_eq!(remote.container(id.clone()).await.unwrap().started_at, seen.started_at, "it was left alone");
    remote.stop_container(id.clone(), 0).await.unwrap();
    assert_eq!(ended(&remote, &id, &env).await.exit_code, 137);
    remote.remove_container(id).await.unwrap();
    let again = ContainerConfig { attempt: 1, ..app("exit 3") };
    let id = remote.create_container(sandbox, again).await.unwrap();
    remote.start_container(id.clone()).await.unwrap();
    let container = ended(&remote, &id, &env).await;
    assert_eq!((container.exit_code, container.reason.as_str(), container.attempt), (3, "Error", 1));
    remote.teardown().await.unwrap();
    assert_eq!(remote.list_sandboxes().await, Ok(Vec::new()));
}
