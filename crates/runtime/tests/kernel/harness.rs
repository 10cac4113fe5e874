//! Engines for tests: a namespace to play in, a network that does nothing, an image made of busybox.
#![expect(unsafe_code, reason = "entering new namespaces")]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cri::{
    BoxFuture, Container, ContainerConfig, ContainerState, NamespaceMode, Namespaces, NetworkRequest, PodId,
    PodNetwork, Runtime, SandboxConfig, Security,
};
use runtime::{Config, Engine};

pub const IMAGE: &str = "test.local/busybox:1";

/// A network that hands out addresses and remembers who has one.
#[derive(Debug, Default)]
pub struct FakeNetwork {
    pub attached: Mutex<BTreeSet<String>>,
}

impl PodNetwork for FakeNetwork {
    fn attach(&self, request: NetworkRequest) -> BoxFuture<'_, cri::Result<Vec<IpAddr>>> {
        assert!(fs::File::open(&request.netns).is_ok(), "the network namespace can be opened");
        self.attached.lock().unwrap().insert(request.sandbox);
        Box::pin(std::future::ready(Ok(vec![IpAddr::from([10, 0, 0, 7])])))
    }

    fn detach(&self, sandbox: String) -> BoxFuture<'_, cri::Result<()>> {
        self.attached.lock().unwrap().remove(&sandbox);
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep_only(&self, sandboxes: Vec<String>) -> BoxFuture<'_, cri::Result<()>> {
        self.attached.lock().unwrap().retain(|sandbox| sandboxes.contains(sandbox));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One instance of the runtime. Its engine can be killed and started again.
pub struct Node {
    pub root: PathBuf,
    pub instance: String,
    pub network: Arc<FakeNetwork>,
    pub engine: Option<Arc<Engine>>,
    tasks: Option<env::Tasks>,
    pub configure: fn(&mut Config),
}

static NODES: AtomicU32 = AtomicU32::new(0);

/// Runs a test in namespaces of its own with an engine, and looks at the end whether anything is left.
pub fn on_a_node<W: Future<Output = Node>>(test: impl FnOnce(Node) -> W + Send) {
    on_a_configured_node(|_| {}, test);
}

pub fn on_a_configured_node<W: Future<Output = Node>>(
    configure: fn(&mut Config),
    test: impl FnOnce(Node) -> W + Send,
) {
    assert!(rustix::process::getuid().is_root(), "these tests make containers; run them as root");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: this thread shares its file system view with no other afterwards; those it starts inherit it.
            unsafe {
                rustix::thread::unshare_unsafe(
                    rustix::thread::UnshareFlags::NEWNS | rustix::thread::UnshareFlags::NEWNET,
                )
            }
            .unwrap();
            let private =
                rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let number = NODES.fetch_add(1, Ordering::Relaxed);
                let instance = format!("test-{}-{number}", std::process::id());
                let root = std::env::temp_dir().join(format!("ic-{instance}"));
                let mut node = Node { configure, ..Node::at(root, instance) };
                node.start().await;
                node.engine().import_archive(busybox_archive().to_owned()).await.unwrap();
                let node = test(node).await;
                node.finish().await;
            });
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Node {
    /// An instance without an engine yet.
    pub fn at(root: PathBuf, instance: String) -> Node {
        Node { root, instance, network: Arc::default(), engine: None, tasks: None, configure: |_| {} }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }

    pub async fn start(&mut self) {
        let env = env::Env::real();
        self.tasks = Some(env.tasks.clone());
        let mut config = Config::new(&self.root, &self.instance);
        config.helper_exe = env!("CARGO_BIN_EXE_ironclad-shim").into();
        (self.configure)(&mut config);
        // Work on other threads ends a moment after the engine it was for, and holds the directory until then.
        for _ in 0..1_000 {
            match Engine::start(config.clone(), self.network.clone(), env.clone()).await {
                Err(error) if error.to_string().starts_with("another instance") => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                started => {
                    self.engine = Some(started.unwrap());
                    return;
                }
            }
        }
        panic!("the directory stays locked");
    }

    /// As if the engine's process were killed: nothing is said to anyone.
    pub async fn kill_engine(&mut self) {
        self.tasks.take().unwrap().stop(Duration::from_secs(10)).await;
        let engine = self.engine.take().unwrap();
        drop(engine);
    }

    pub async fn restart(&mut self) {
        self.kill_engine().await;
        self.start().await;
    }

    /// Tears down and looks for what was left.
    async fn finish(mut self) {
        self.engine().teardown().await.unwrap();
        self.kill_engine().await;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = self.root.to_str().unwrap();
        assert!(!mounts.contains(root), "mounts were left: {mounts}");
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new(), "cgroups were left");
        assert_eq!(self.processes(), Vec::<String>::new(), "processes were left");
        assert!(self.network.attached.lock().unwrap().is_empty(), "networks were left");
        for directory in ["s", "c", "trash"] {
            assert_eq!(
                fs::read_dir(self.root.join(directory)).unwrap().count(),
                0,
                "{directory} is not empty"
            );
        }
        fs::remove_dir_all(&self.root).unwrap();
    }

    /// All directories in cgroup hierarchies that carry our name.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("ironclad-{}", self.instance);
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let all = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
        all.map(|hierarchy| hierarchy.join(&name)).filter(|path| path.exists()).collect()
    }

    /// Shims and containers of ours, as the command lines of processes.
    pub fn processes(&self) -> Vec<String> {
        let root = self.root.to_str().unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let cgroup = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            let ended = fs::read_to_string(entry.path().join("stat")).unwrap_or_default().contains(") Z ");
            if !ended && (line.contains(root) || cgroup.contains(&self.instance)) {
                found.push(line);
            }
        }
        found
    }

    pub fn sandbox_config(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            pod: PodId { namespace: "default".into(), name: name.into(), uid: format!("uid-{name}") },
            hostname: name.into(),
            log_directory: self.root.join("logs").join(name),
            namespaces: Namespaces { pid: NamespaceMode::Container, ..Namespaces::default() },
            cgroup_parent: format!("/ironclad-{}/kubepods/poduid-{name}", self.instance),
            ..SandboxConfig::default()
        }
    }

    pub async fn sandbox(&self, name: &str) -> String {
        self.engine().run_sandbox(self.sandbox_config(name)).await.unwrap()
    }

    pub async fn create(&self, sandbox: &str, config: ContainerConfig) -> String {
        self.engine().create_container(sandbox.to_owned(), config).await.unwrap()
    }

    pub async fn run(&self, sandbox: &str, config: ContainerConfig) -> String {
        let id = self.create(sandbox, config).await;
        self.engine().start_container(id.clone()).await.unwrap();
        id
    }

    pub async fn container(&self, id: &str) -> Container {
        self.engine().container(id.to_owned()).await.unwrap()
    }

    /// Waits for a container's end.
    pub async fn ended(&self, id: &str) -> Container {
        for _ in 0..2_000 {
            let container = self.container(id).await;
            if matches!(container.state, ContainerState::Exited | ContainerState::Unknown) {
                return container;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("container {id} does not end");
    }

    /// Runs a shell script in a fresh container, and answers its end and what it printed.
    pub async fn script(&self, sandbox: &str, script: &str) -> (Container, String) {
        self.script_with(sandbox, script, |_| {}).await
    }

    pub async fn script_with(
        &self,
        sandbox: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> (Container, String) {
        let mut config = shell(script);
        change(&mut config);
        let id = self.run(sandbox, config).await;
        let ended = self.ended(&id).await;
        (ended, self.output(&id).await)
    }

    /// What a container printed, without the times.
    pub async fn output(&self, id: &str) -> String {
        let path = self.container(id).await.log_path;
        plain_log(&fs::read_to_string(path).unwrap())
    }
}

/// The text of log lines, parts joined.
pub fn plain_log(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let mut fields = line.splitn(4, ' ');
        let (_time, _stream, tag, rest) = (
            fields.next().unwrap(),
            fields.next().unwrap(),
            fields.next().unwrap(),
            fields.next().unwrap_or(""),
        );
        text.push_str(rest);
        if tag == "F" {
            text.push('\n');
        }
    }
    text
}

/// Whether this machine has version 2 of control groups and nothing else.
pub fn only_version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A group of an instance, in a hierarchy that every machine has.
pub fn group(path: &str) -> PathBuf {
    Path::new(if only_version_2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" }).join(path)
}

static LOGS: AtomicU32 = AtomicU32::new(0);

/// A container that runs a shell script.
pub fn shell(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        image: IMAGE.into(),
        user_image: IMAGE.into(),
        command: vec!["sh".into(), "-c".into(), script.into()],
        log_path: format!("main/{}.log", LOGS.fetch_add(1, Ordering::Relaxed)).into(),
        security: Security {
            namespaces: Namespaces { pid: NamespaceMode::Container, ..Namespaces::default() },
            ..Security::default()
        },
        ..ContainerConfig::default()
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came: {what}");
}

/// The layer of the test image: busybox and its applets, a few users, a directory for all.
pub fn busybox_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000_000);
        if link.is_empty() {
            tar.append_data(&mut header, path, content).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    for (path, mode) in
        [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777), ("root/", 0o700), ("var/", 0o755)]
    {
        entry(path, Directory, mode, b"", "");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().map(Path::new).find(|path| path.exists());
    let busybox = busybox.expect("these tests need Debian's busybox-static");
    entry("bin/busybox", Regular, 0o755, &fs::read(busybox).unwrap(), "");
    let applets = std::process::Command::new(busybox).arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(applets).unwrap().lines().filter(|applet| *applet != "busybox") {
        entry(&format!("bin/{applet}"), Symlink, 0o777, b"", "busybox");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/var/www:/bin/sh\n";
    let group = "root:x:0:\nweb:x:33:\nlogs:x:50:web\n";
    entry("etc/passwd", Regular, 0o644, passwd.as_bytes(), "");
    entry("etc/group", Regular, 0o644, group.as_bytes(), "");
    tar.into_inner().unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub fn image_config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
    serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "StopSignal": "SIGTERM" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .unwrap()
}

/// A docker archive with one image of the given layers.
pub fn docker_archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).unwrap();
    };
    let names: Vec<String> = (0..layers.len()).map(|number| format!("layer{number}.tar")).collect();
    for (path, layer) in names.iter().zip(layers) {
        add(path, layer);
    }
    add("config.json", &image_config(layers));
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    add("manifest.json", &serde_json::to_vec(&manifest).unwrap());
    tar.into_inner().unwrap()
}

/// The test image's archive, made once.
pub fn busybox_archive() -> &'static Path {
    static ARCHIVE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("busybox.tar");
        let unfinished = path.with_extension(std::process::id().to_string());
        fs::write(&unfinished, docker_archive(IMAGE, &[busybox_layer()])).unwrap();
        fs::rename(&unfinished, &path).unwrap();
        path
    })
}

/// Brings up the loopback of this thread's network namespace.
pub fn loopback_up() {
    let status = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(status.success());
}
