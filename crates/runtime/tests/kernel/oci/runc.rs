//! runc, told what a kubelet would tell it through containerd.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use cri::{ContainerConfig, Seccomp};
use serde_json::{Value, json};

use crate::harness::busybox_layer;

/// A profile that forbids directories to be made.
pub const NO_MKDIR: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }]
}"#;

/// What a container may do by default.
const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A runc with directories of its own.
pub struct Runc {
    directory: PathBuf,
    instance: String,
    made: AtomicU32,
    running: RefCell<Vec<String>>,
}

impl Runc {
    pub fn new(root: &Path, instance: &str) -> Runc {
        let directory = root.join("runc");
        fs::create_dir_all(&directory).unwrap();
        Runc {
            directory,
            instance: instance.to_owned(),
            made: AtomicU32::new(0),
            running: RefCell::default(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.directory.join("state"));
        command
    }

    /// Makes a bundle; its id.
    fn prepare(&self, config: &ContainerConfig, hostname: &str) -> String {
        let id = format!("{}-runc-{}", self.instance, self.made.fetch_add(1, Ordering::Relaxed));
        let bundle = self.directory.join(&id);
        let rootfs = bundle.join("rootfs");
        fs::create_dir_all(&rootfs).unwrap();
        tar::Archive::new(busybox_layer().as_slice()).unpack(&rootfs).unwrap();
        let spec = specification(config, hostname, &format!("/ic-{id}"));
        fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        id
    }

    /// Runs a container to its end: what it said, or why it could not be started, and its exit code.
    pub fn run(&self, config: &ContainerConfig, hostname: &str) -> (String, i32) {
        let id = self.prepare(config, hostname);
        let mut command = self.command();
        command.args(["run", "--bundle"]).arg(self.directory.join(&id)).arg(&id).stdin(Stdio::null());
        let output = command.output().expect("these tests need runc");
        let said = [output.stdout, output.stderr].concat();
        fs::remove_dir_all(self.directory.join(&id)).unwrap();
        (String::from_utf8_lossy(&said).into_owned(), output.status.code().unwrap())
    }

    /// Starts a container that stays.
    pub fn start(&self, config: &ContainerConfig, hostname: &str) -> String {
        let id = self.prepare(config, hostname);
        let mut command = self.command();
        command.args(["run", "--detach", "--bundle"]).arg(self.directory.join(&id)).arg(&id);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(quiet.status().expect("these tests need runc").success());
        self.running.borrow_mut().push(id.clone());
        id
    }

    /// How a container is: its state, its process, and what the kernel says of that.
    pub fn look(&self, id: &str) -> String {
        let output = self.command().args(["state", id]).output().unwrap();
        let state: Value = serde_json::from_slice(&output.stdout).unwrap();
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", state["pid"])).unwrap();
        let stat = read("stat");
        let started = stat.rsplit(' ').nth(30).unwrap();
        format!("{} {} {started}\n{}{}", state["status"], state["pid"], read("cgroup"), read("mountinfo"))
    }

    /// Ends what still runs.
    pub fn end(&self) {
        for id in self.running.take() {
            assert!(self.command().args(["delete", "--force", &id]).status().unwrap().success());
        }
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn specification(config: &ContainerConfig, hostname: &str, cgroup: &str) -> Value {
    let security = &config.security;
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    let seccomp = match &security.seccomp {
        Seccomp::Localhost(path) => serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
        _ => Value::Null,
    };
    json!({
        "ociVersion": "1.0.2",
        "hostname": hostname,
        "root": { "path": "rootfs", "readonly": security.readonly_rootfs },
        "process": process(config, hostname),
        "mounts": mounts(config),
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": cgroup,
            "maskedPaths": security.masked_paths,
            "readonlyPaths": security.readonly_paths,
            "resources": resources(config),
            "seccomp": seccomp,
        },
    })
}

fn process(config: &ContainerConfig, hostname: &str) -> Value {
    let security = &config.security;
    let all = security.drop_capabilities.iter().any(|name| name == "ALL");
    let default = CAPABILITIES.iter().filter(|_| !all).map(|name| (*name).to_owned());
    let rights: Vec<String> =
        default.chain(security.add_capabilities.clone()).map(|name| format!("CAP_{name}")).collect();
    let mut env = vec!["PATH=/bin".to_owned(), format!("HOSTNAME={hostname}"), "FROM_IMAGE=yes".to_owned()];
    env.extend(config.envs.iter().map(|(name, value)| format!("{name}={value}")));
    json!({
        "args": config.command,
        "env": env,
        "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
        "user": {
            "uid": security.run_as_user.unwrap_or(0),
            "gid": security.run_as_group.unwrap_or(0),
            "additionalGids": security.supplemental_groups,
        },
        "capabilities": { "bounding": rights, "effective": rights, "permitted": rights },
        "noNewPrivileges": security.no_new_privs,
        "oomScoreAdj": config.resources.oom_score_adj,
    })
}

fn mounts(config: &ContainerConfig) -> Vec<Value> {
    let kernel = |kind: &str, at: &str, options: &[&str]| json!({ "type": kind, "source": kind, "destination": at, "options": options });
    let locked = ["nosuid", "noexec", "nodev"];
    let read_only = [locked.as_slice(), &["ro"]].concat();
    let devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let shm = [locked.as_slice(), &["mode=1777", "size=67108864"]].concat();
    let mut mounts = vec![
        kernel("proc", "/proc", &locked),
        kernel("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        kernel("devpts", "/dev/pts", &devpts),
        kernel("tmpfs", "/dev/shm", &shm),
        kernel("mqueue", "/dev/mqueue", &locked),
        kernel("sysfs", "/sys", &read_only),
        kernel("cgroup", "/sys/fs/cgroup", &read_only),
    ];
    mounts.extend(config.mounts.iter().map(|mount| {
        let access = if mount.readonly { "ro" } else { "rw" };
        json!({
            "type": "bind",
            "source": mount.host_path,
            "destination": mount.container_path,
            "options": ["rbind", "rprivate", access],
        })
    }));
    mounts
}

fn resources(config: &ContainerConfig) -> Value {
    let asked = &config.resources;
    let positive = |number: i64| (number > 0).then_some(number);
    json!({
        "memory": { "limit": positive(asked.memory_limit), "swap": positive(asked.memory_limit) },
        "cpu": {
            "quota": positive(asked.cpu_quota),
            "period": (asked.cpu_period > 0).then_some(asked.cpu_period),
            "shares": (asked.cpu_shares > 0).then_some(asked.cpu_shares),
        },
        "pids": positive(asked.pids_limit).map(|limit| json!({ "limit": limit })),
        "devices": [{ "allow": false, "access": "rwm" }],
    })
}
