//! What every runtime that keeps to the OCI's specification does: the same containers made by ours and by runc, which must
//! say the same. Where they may differ the case says why.

mod runc;

use std::fs;
use std::path::Path;

use cri::{ContainerConfig, Mount, Runtime, Seccomp};

use self::runc::Runc;
use crate::harness::*;

/// A container that tells about itself.
struct Case {
    name: &'static str,
    script: &'static str,
    change: fn(&mut ContainerConfig, &Path),
}

const fn case(name: &'static str, script: &'static str, change: fn(&mut ContainerConfig, &Path)) -> Case {
    Case { name, script, change }
}

// What is ignored is left out: runc hands on what its caller ignores, ours begins anew (there is a test of that).
const STATUS: &str = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|SigBlk):' /proc/self/status";

// Ours holds two of them tighter: nothing may be written or run where runc leaves it at what the kernel begins with.
const MOUNTS: &str = "awk '$5 != \"/\" {print $5, $5 ~ /^\\/sys\\/(firmware|fs\\/cgroup)$/ ? \"-\" : $6, $8}' \
                      /proc/self/mountinfo | sort";

/// The paths that a kubelet masks and guards.
fn guard(config: &mut ContainerConfig, _: &Path) {
    let paths = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect();
    config.security.masked_paths = paths(&["/proc/kcore", "/proc/keys", "/proc/none", "/sys/firmware"]);
    config.security.readonly_paths = paths(&["/proc/sys", "/proc/irq", "/proc/none"]);
}

fn bind(config: &mut ContainerConfig, volume: &Path, change: impl FnOnce(&mut Mount)) {
    let mut mount =
        Mount { host_path: volume.to_owned(), container_path: "/deep/volume".into(), ..Mount::default() };
    change(&mut mount);
    config.mounts.push(mount);
}

const CASES: [Case; 30] = [
    case(
        "who it is",
        "id; pwd; hostname; umask; cat /proc/1/comm; ls /proc >/list; grep -c '^[0-9]' /list",
        |_, _| {},
    ),
    case("its environment", "env | sort", |config, _| config.envs = vec![("A".into(), "b c".into())]),
    case("its rights", STATUS, |_, _| {}),
    case("its rights as a user", STATUS, |config, _| {
        config.security.run_as_user = Some(1000);
        config.security.run_as_group = Some(1001);
        config.security.supplemental_groups = vec![7, 2000];
    }),
    case("rights that were added", STATUS, |config, _| {
        config.security.add_capabilities = vec!["NET_ADMIN".into(), "SYS_TIME".into()];
    }),
    case("no rights", STATUS, |config, _| {
        config.security.drop_capabilities = vec!["ALL".into()];
        config.security.no_new_privs = true;
    }),
    case("its session", "ps -o pid,ppid,pgid,sid,comm | head -2", |_, _| {}),
    case("its descriptors", "ls /proc/1/fd", |_, _| {}),
    case("its limits", "ulimit -a", |_, _| {}),
    case("how soon it is killed", "cat /proc/self/oom_score_adj", |config, _| {
        config.resources.oom_score_adj = 500;
    }),
    case("its mounts", MOUNTS, guard),
    case(
        "its devices",
        "cd /dev; stat -c '%n %F %a %u:%g %t,%T' *; for l in fd stdin ptmx; do readlink $l; done",
        |_, _| {},
    ),
    case(
        "devices can be used",
        "echo x > /dev/null; head -c 3 /dev/zero | od -c; echo y > /dev/full; echo $?",
        |_, _| {},
    ),
    case(
        "devices of the node cannot",
        // Not tun, which runc gives to everybody.
        "mknod /d b 254 0; cat /d 2>&1 | tail -c 24; mknod /c c 1 1; cat /c 2>&1 | tail -c 24",
        |_, _| {},
    ),
    case(
        "what is masked",
        "wc -c /proc/kcore /proc/keys 2>&1; ls /sys/firmware; echo x > /proc/kcore; echo $?",
        guard,
    ),
    case("what is guarded", "echo 0 > /proc/sys/kernel/panic; echo $?; touch /proc/irq/x; echo $?", guard),
    case(
        "a root that is read-only",
        "touch /x; echo $?; touch /dev/shm/x; echo $?; mount -o remount,rw / ; echo $?",
        |config, _| {
            config.security.readonly_rootfs = true;
        },
    ),
    case(
        "a volume",
        "echo in > /deep/volume/made; cat /deep/volume/given /deep/volume/made; stat -c '%a %u' /deep",
        |config, volume| {
            bind(config, volume, |_| {});
        },
    ),
    case(
        "a volume that is read-only",
        "touch /deep/volume/x; echo $?; cat /deep/volume/given",
        |config, volume| {
            bind(config, volume, |mount| mount.readonly = true);
        },
    ),
    case("a file", "cat /etc/given; echo more >> /etc/given; stat -c '%F' /etc/given", |config, volume| {
        bind(config, &volume.join("given"), |mount| mount.container_path = "/etc/given".into());
    }),
    case("a directory to start in", "pwd; stat -c '%a %u' .", |config, _| {
        config.working_dir = "/new/place".into()
    }),
    case(
        "memory that is limited",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
        |config, _| {
            config.resources.memory_limit = 48 << 20;
        },
    ),
    case(
        "more memory than there is",
        "exec 2>/dev/null; head -c 200m /dev/zero | tail > /dev/null",
        |config, _| {
            config.resources.memory_limit = 16 << 20;
        },
    ),
    case(
        "processors that are limited",
        "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpu.max 2>/dev/null",
        |config, _| {
            config.resources.cpu_quota = 25_000;
            config.resources.cpu_period = 50_000;
            config.resources.cpu_shares = 512;
        },
    ),
    case(
        "processes that are limited",
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; true",
        |config, _| {
            config.resources.pids_limit = 5;
        },
    ),
    case(
        "cgroups cannot be changed",
        // Beside them, under /sys/fs/cgroup itself, runc lets one write: see the mounts.
        "for d in /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo $d; done; true",
        |_, _| {},
    ),
    case("system calls that are refused", "mkdir /tmp/d; echo $?; echo still here", |config, volume| {
        config.security.seccomp = Seccomp::Localhost(volume.with_extension("seccomp"));
    }),
    case("a code of its own", "exit 77", |_, _| {}),
    case("killed by itself", "kill -9 $$", |_, _| {}),
    case(
        "deaf to what it does not handle",
        "kill -TERM $$; sleep 0.1; echo here; kill -INT $$; exit 3",
        |_, _| {},
    ),
];

#[test]
fn containers_say_the_same_of_themselves_as_those_of_runc() {
    on_a_node(async |node| {
        let runc = Runc::new(&node.root, &node.instance);
        let sandbox = node.sandbox("same").await;
        let mut differences = Vec::new();
        for (number, case) in CASES.iter().enumerate() {
            let mut answers = Vec::new();
            for who in ["ours", "runc"] {
                let volume = node.root.join(format!("volume-{number}-{who}"));
                fs::create_dir(&volume).unwrap();
                fs::write(volume.join("given"), "given\n").unwrap();
                fs::write(volume.with_extension("seccomp"), runc::NO_MKDIR).unwrap();
                let mut config = shell(&format!("exec 2>&1\n{}", case.script));
                config.security.seccomp = Seccomp::Unconfined;
                (case.change)(&mut config, &volume);
                answers.push(match who {
                    "ours" => {
                        let id = node.run(&sandbox, config).await;
                        let ended = node.ended(&id).await;
                        (node.output(&id).await, ended.exit_code)
                    }
                    _ => runc.run(&config, "same"),
                });
            }
            if answers[0] != answers[1] {
                differences.push(format!("{}:\nours {:?}\nrunc {:?}", case.name, answers[0], answers[1]));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        runc.end();
        node
    });
}

/// Not even a signal that the C library keeps for itself and would not reset.
#[test]
fn nothing_is_ignored_that_the_one_who_starts_us_ignored() {
    on_a_node(async |node| {
        for signal in [libc::SIGUSR1, 32, 33, 64] {
            ignore(signal);
        }
        let sandbox = node.sandbox("signals").await;
        let mut config = shell("");
        config.command = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"].map(str::to_owned).to_vec();
        let id = node.run(&sandbox, config).await;
        node.ended(&id).await;
        let none = "0000000000000000";
        let expected = format!("SigBlk:\t{none}\nSigIgn:\t{none}\nSigCgt:\t{none}\n");
        assert_eq!(node.output(&id).await, expected);
        node
    });
}

/// Ignores a signal, whichever it is.
#[expect(unsafe_code, reason = "the C library does not let go of its own signals")]
fn ignore(signal: i32) {
    // Handler, flags, restorer and mask, as the kernel wants them.
    let action = [libc::SIG_IGN, 0, 0, 0];
    // SAFETY: the action lives through the call; to ignore installs no code.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null_mut::<usize>(), 8)
    };
    assert_eq!(result, 0);
}

#[test]
fn what_cannot_be_started_is_refused_in_runc_s_words() {
    on_a_node(async |node| {
        let runc = Runc::new(&node.root, &node.instance);
        let sandbox = node.sandbox("refused").await;
        // Of a directory runc says that permission is denied, or, since version 1.2, what ours says.
        let cases: [(&[&str], &str); 4] = [
            (&["nope"], "exec: \"nope\": executable file not found in $PATH"),
            (&["/nope"], "exec: \"/nope\": stat /nope: no such file or directory"),
            (&["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
            (&["./nope"], "exec: \"./nope\": stat ./nope: no such file or directory"),
        ];
        for (command, wanted) in cases {
            let mut config = shell("");
            config.command = command.iter().map(|word| (*word).to_owned()).collect();
            let id = node.create(&sandbox, config.clone()).await;
            let ours = node.engine().start_container(id).await.unwrap_err().to_string();
            let (theirs, _) = runc.run(&config, "refused");
            assert!(ours.contains(wanted), "{command:?}: ours says: {ours}");
            assert!(theirs.contains(&wanted.replace('"', "\\\"")), "{command:?}: runc says: {theirs}");
        }
        runc.end();
        node
    });
}

#[test]
fn containers_of_others_are_left_alone_however_we_end() {
    on_a_node(async |mut node| {
        let runc = Runc::new(&node.root, &node.instance);
        let theirs = runc.start(&shell("exec sleep 100000"), "theirs");
        let before = runc.look(&theirs);
        assert!(before.contains("running"), "{before}");
        let sandbox = node.sandbox("ours").await;
        node.run(&sandbox, shell("sleep 1000")).await;
        for _ in 0..3 {
            node.restart().await;
            assert_eq!(runc.look(&theirs), before);
        }
        node.engine().teardown().await.unwrap();
        assert_eq!(runc.look(&theirs), before);
        runc.end();
        node
    });
}
