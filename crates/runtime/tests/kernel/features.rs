//! What a container sees of the machine, and what it may do.

use std::fs;
use std::path::{Path, PathBuf};

use cri::{
    ContainerConfig, ExecOutput, Mount, NamespaceMode, Namespaces, Propagation, Resources, Runtime,
    RuntimeError, SandboxConfig, Seccomp, Security,
};

use crate::harness::*;

fn mount(host: PathBuf, container: &str) -> Mount {
    Mount { host_path: host, container_path: container.into(), ..Mount::default() }
}

async fn exec(node: &Node, id: &str, script: &str) -> ExecOutput {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    node.engine().exec_sync(id.to_owned(), command, 30).await.unwrap()
}

#[test]
fn the_file_system_is_a_container_s() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script = "
            echo pid $$
            stat -c '%n %F' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | sort
            for link in /dev/ptmx /dev/fd /dev/stdin; do readlink $link; done
            df -k /dev/shm | tail -1 | awk '{print $2, $6}'
            awk '$5 == \"/\" {print $9}' /proc/self/mountinfo
            echo w > /file && cat /file
            echo x > /dev/shm/y && cat /dev/shm/y
            awk '/THP_enabled/ {print $2}' /proc/self/status
            (echo > /proc/sys/kernel/domainname) 2>/dev/null || echo proc is guarded
        ";
        let change = |config: &mut ContainerConfig| config.security.readonly_paths = vec!["/proc/sys".into()];
        let (ended, output) = node.script_with(&sandbox, script, change).await;
        let expected = "pid 1\n/dev/full character special file\n/dev/null character special file\n\
             /dev/random character special file\n/dev/tty character special file\n/dev/urandom character special file\n\
             /dev/zero character special file\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n65536 /dev/shm\noverlay\nw\nx\n1\n\
             proc is guarded\n";
        assert_eq!((output.as_str(), ended.exit_code), (expected, 0));
        node
    });
}

#[test]
fn cgroups_can_be_seen_but_not_changed() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script = "
            cd /sys/fs/cgroup
            cat memory/memory.limit_in_bytes memory.max 2>/dev/null
            for file in memory/memory.limit_in_bytes memory.max pids/pids.max pids.max cpu/cpu.shares cpu.weight; do
                [ -e $file ] && { echo 999999999 > $file && echo WROTE $file; } 2>/dev/null
            done
            mkdir memory/x pids/x x 2>/dev/null && echo MADE
            echo done
        ";
        let limit = |config: &mut ContainerConfig| config.resources.memory_limit = 32 << 20;
        let (_, output) = node.script_with(&sandbox, script, limit).await;
        assert_eq!(output, "33554432\ndone\n");
        node
    });
}

#[test]
fn what_is_masked_cannot_be_seen() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script = "wc -c < /proc/version; ls /sys/firmware /proc/irq | grep -v : ; (echo > /etc/passwd) 2>/dev/null || echo readonly";
        let change = |config: &mut ContainerConfig| {
            let paths = ["/proc/version", "/proc/irq", "/sys/firmware", "/proc/none", "/etc/passwd/none"];
            config.security.masked_paths = paths.map(str::to_owned).to_vec();
            config.security.readonly_rootfs = true;
        };
        let (_, output) = node.script_with(&sandbox, script, change).await;
        assert_eq!(output.replace("\n\n", "\n"), "0\nreadonly\n");
        node
    });
}

#[test]
fn rights_are_those_asked_for() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let bounding =
            "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | awk '{print $2}' | tr '\\n' ' '";
        let table: [(Security, &str); 5] = [
            (Security::default(), "00000000a80425fb 00000000a80425fb 0 2 "),
            (
                Security { drop_capabilities: vec!["ALL".into()], no_new_privs: true, ..Security::default() },
                "0000000000000000 0000000000000000 1 2 ",
            ),
            (
                Security {
                    add_capabilities: vec!["NET_ADMIN".into()],
                    seccomp: Seccomp::Unconfined,
                    ..Security::default()
                },
                "00000000a80435fb 00000000a80435fb 0 0 ",
            ),
            (
                Security { run_as_user: Some(1000), ..Security::default() },
                "0000000000000000 00000000a80425fb 0 2 ",
            ),
            (
                Security { run_as_user: Some(33), no_new_privs: true, ..Security::default() },
                "0000000000000000 00000000a80425fb 1 2 ",
            ),
        ];
        for (security, expected) in table {
            let change = |config: &mut ContainerConfig| {
                config.security = Security { namespaces: config.security.namespaces.clone(), ..security };
            };
            let (_, output) = node.script_with(&sandbox, bounding, change).await;
            assert_eq!(output.trim_end_matches('\n'), expected);
        }
        node
    });
}

#[test]
fn users_are_the_image_s() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let table: [(Security, &str); 4] = [
            (
                Security { run_as_username: "web".into(), ..Security::default() },
                "uid=33(web) gid=33(web) groups=50(logs) /var/www\n",
            ),
            (
                Security { run_as_user: Some(33), supplemental_groups: vec![77], ..Security::default() },
                "uid=33(web) gid=33(web) groups=50(logs),77 /var/www\n",
            ),
            (
                Security { run_as_user: Some(1000), run_as_group: Some(2000), ..Security::default() },
                "uid=1000 gid=2000 /\n",
            ),
            (
                Security {
                    run_as_user: Some(33),
                    supplemental_groups: vec![77],
                    strict_supplemental_groups: true,
                    ..Security::default()
                },
                "uid=33(web) gid=33(web) groups=77 /var/www\n",
            ),
        ];
        for (security, expected) in table {
            let change = |config: &mut ContainerConfig| {
                config.security = Security { namespaces: config.security.namespaces.clone(), ..security };
            };
            let (ended, output) =
                node.script_with(&sandbox, "echo $(id) $HOME; echo ok > /dev/stderr", change).await;
            assert_eq!(output.replace("ok\n", ""), expected);
            assert!(output.contains("ok"), "/dev/stderr can be opened by its user");
            assert!(ended.user.is_some_and(|user| user.uid > 0));
        }
        node
    });
}

#[test]
fn system_calls_are_filtered() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script = "unshare -m true 2>/dev/null && echo unshared; mount -t tmpfs none /tmp 2>/dev/null && echo mounted; echo end";
        let with = |seccomp: Seccomp| {
            move |config: &mut ContainerConfig| {
                config.security.seccomp = seccomp;
                config.security.add_capabilities = vec!["SYS_CHROOT".into()];
            }
        };
        let (_, output) = node.script_with(&sandbox, script, with(Seccomp::RuntimeDefault)).await;
        assert_eq!(output, "end\n");
        let profile = node.root.join("profile.json");
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
        std::fs::write(&profile, text).unwrap();
        let (_, output) = node
            .script_with(&sandbox, "mkdir /tmp/x 2>&1; echo end", with(Seccomp::Localhost(profile)))
            .await;
        assert!(output.contains("No space left on device\nend\n"), "{output}");
        node
    });
}

#[test]
fn a_privileged_container_may_all_the_machine_may() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script =
            "mount -t tmpfs none /tmp && echo mounted; [ -b /dev/vda -o -c /dev/kmsg ] && echo devices
            for group in /sys/fs/cgroup/memory /sys/fs/cgroup; do
                [ -e $group/cgroup.procs ] && { echo x > $group/cgroup.procs; } 2>&1 | grep -c 'Read-only'
            done; exit 0";
        let privileged = |config: &mut ContainerConfig| config.security.privileged = true;
        let (_, output) = node.script_with(&sandbox, script, privileged).await;
        assert_eq!(output, "mounted\ndevices\n0\n");
        node
    });
}

#[test]
fn devices_are_those_asked_for() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let script = "ls -l /dev/fuse /dev/mine 2>&1 | grep -c '^c'; exec 3<>/dev/mine && echo opened; mknod /tmp/f c 10 229 && exec 4<>/tmp/f && echo escaped";
        let one = |config: &mut ContainerConfig| {
            config.devices = vec![cri::Device {
                container_path: "/dev/mine".into(),
                host_path: "/dev/full".into(),
                permissions: "rw".into(),
            }];
        };
        let (_, output) = node.script_with(&sandbox, script, one).await;
        assert!(output.starts_with("1\nopened\n") && !output.contains("escaped"), "{output}");
        node
    });
}

#[test]
fn volumes_are_seen_as_they_were_asked_for() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let data = node.root.join("data");
        std::fs::create_dir_all(data.join("sub")).unwrap();
        std::fs::write(data.join("file"), "hello\n").unwrap();
        let script = "
            cat /file /data/file /etc/deep/er/file
            echo more > /data/new && echo wrote
            (echo no > /ro/new) 2>/dev/null || echo readonly
            ls /made
            cat /data/over
        ";
        let over = node.root.join("over");
        std::fs::write(&over, "over\n").unwrap();
        std::fs::write(data.join("over"), "under\n").unwrap();
        let made = node.root.join("was/not/there");
        let mounts = vec![
            mount(over, "/data/over"),
            mount(data.clone(), "/data"),
            Mount { readonly: true, ..mount(data.clone(), "/ro") },
            mount(data.join("file"), "/file"),
            mount(data.join("file"), "/etc/deep/er/file"),
            mount(made.clone(), "/made"),
        ];
        let (_, output) = node.script_with(&sandbox, script, |config| config.mounts = mounts).await;
        assert_eq!(output, "hello\nhello\nhello\nwrote\nreadonly\nover\n");
        assert_eq!(std::fs::read_to_string(data.join("new")).unwrap(), "more\n");
        assert!(made.is_dir());
        let forbidden = vec![mount(data, "/proc/sys")];
        let id = node.create(&sandbox, ContainerConfig { mounts: forbidden, ..shell("true") }).await;
        let error = node.engine().start_container(id).await.unwrap_err().to_string();
        assert!(error.contains("is inside /proc"), "{error}");
        node
    });
}

#[test]
fn mounts_travel_as_they_were_asked_to() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let shared = node.root.join("shared");
        std::fs::create_dir_all(&shared).unwrap();
        rustix::mount::mount_bind(&shared, &shared).unwrap();
        rustix::mount::mount_change(&shared, rustix::mount::MountPropagationFlags::SHARED).unwrap();
        for name in ["private", "slave", "both"] {
            std::fs::create_dir(shared.join(name)).unwrap();
        }
        let volume = |propagation| vec![Mount { propagation, ..mount(shared.clone(), "/v") }];
        let run = async |propagation| {
            let config = ContainerConfig { mounts: volume(propagation), ..shell("sleep 1000") };
            let config = ContainerConfig {
                security: Security { privileged: true, ..config.security.clone() },
                ..config
            };
            node.run(&sandbox, config).await
        };
        let private = run(Propagation::Private).await;
        let slave = run(Propagation::HostToContainer).await;
        let both = run(Propagation::Bidirectional).await;
        let tmpfs = |path: PathBuf| {
            rustix::mount::mount(
                "tmpfs",
                path,
                "tmpfs",
                rustix::mount::MountFlags::empty(),
                None::<&std::ffi::CStr>,
            )
            .unwrap()
        };
        tmpfs(shared.join("slave"));
        std::fs::write(shared.join("slave/mark"), "").unwrap();
        for (id, sees) in [(&private, 1), (&slave, 0), (&both, 0)] {
            assert_eq!(exec(&node, id, "test -e /v/slave/mark").await.exit_code, sees);
        }
        assert_eq!(
            exec(&node, &both, "mount -t tmpfs none /v/both && touch /v/both/mark").await.exit_code,
            0
        );
        assert!(shared.join("both/mark").exists(), "the node sees the container's mount");
        assert_eq!(
            exec(&node, &slave, "mount -t tmpfs none /v/private && touch /v/private/mark").await.exit_code,
            0
        );
        assert!(!shared.join("private/mark").exists());
        node.engine().stop_sandbox(sandbox).await.unwrap();
        for name in ["both", "slave"] {
            rustix::mount::unmount(shared.join(name), rustix::mount::UnmountFlags::DETACH).unwrap();
        }
        rustix::mount::unmount(&shared, rustix::mount::UnmountFlags::DETACH).unwrap();
        node
    });
}

/// A container's memory limit, processor shares and quota as its own groups say them, in whichever version.
async fn shown_limits(node: &Node, id: &str) -> [i64; 3] {
    let script =
        "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes; cat cpu.weight cpu/cpu.shares
        cut -d ' ' -f 1 cpu.max; cat cpu/cpu.cfs_quota_us; exit 0";
    let shown = exec(node, id, script).await.stdout;
    let numbers = String::from_utf8(shown).unwrap();
    let numbers: Vec<i64> = numbers
        .lines()
        .map(|line| match line {
            "max" => -1,
            number => number.parse().unwrap(),
        })
        .collect();
    numbers.try_into().unwrap()
}

/// What a group shows of shares: version 2 has weights instead.
fn shares(shares: i64) -> i64 {
    if only_version_2() { 1 + (shares - 2) * 9_999 / 262_142 } else { shares }
}

#[test]
fn limits_hold_and_can_be_changed() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let greedy = |config: &mut ContainerConfig| {
            config.resources = Resources { memory_limit: 16 << 20, ..Resources::default() }
        };
        let eat = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; tail /dev/zero";
        let (ended, _) = node.script_with(&sandbox, eat, greedy).await;
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));
        let forks = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done 2>/dev/null; exit 4";
        let few = |config: &mut ContainerConfig| config.resources.pids_limit = 5;
        let (ended, _) = node.script_with(&sandbox, forks, few).await;
        assert_ne!(ended.exit_code, 4, "a shell that cannot fork gives up");
        let config = ContainerConfig {
            resources: Resources {
                memory_limit: 32 << 20,
                cpu_shares: 256,
                cpu_quota: 20_000,
                cpu_period: 100_000,
                ..Resources::default()
            },
            ..shell("sleep 1000")
        };
        let id = node.run(&sandbox, config).await;
        assert_eq!(shown_limits(&node, &id).await, [33_554_432, shares(256), 20_000]);
        let more = Resources { memory_limit: 64 << 20, cpu_quota: 50_000, ..Resources::default() };
        node.engine().update_resources(id.clone(), more).await.unwrap();
        assert_eq!(shown_limits(&node, &id).await, [67_108_864, shares(256), 50_000]);
        let less = Resources { memory_limit: 24 << 20, ..Resources::default() };
        node.engine().update_resources(id.clone(), less).await.unwrap();
        let now = node.container(&id).await.resources;
        assert_eq!((now.memory_limit, now.cpu_quota, now.cpu_shares), (24 << 20, 50_000, 256));
        let stats = node.engine().container_stats(id).await.unwrap();
        assert!(
            stats.memory_usage > 0 && stats.pids == 1 && stats.cpu_usage_nanos > 0 && stats.rootfs_inodes > 0,
            "{stats:?}"
        );
        node
    });
}

#[test]
fn a_container_gets_more_once_its_pod_has_more() {
    on_a_node(async |mut node| {
        let quota = |quota| Resources { cpu_quota: quota, cpu_period: 100_000, ..Resources::default() };
        let mut config = node.sandbox_config("web");
        config.resources = quota(20_000);
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let id =
            node.run(&sandbox, ContainerConfig { resources: quota(20_000), ..shell("sleep 1000") }).await;
        let listed = node.engine().list_sandboxes().await.unwrap();
        assert_eq!((listed[0].resources.cpu_quota, listed[0].resources.cpu_period), (20_000, 100_000));
        node.engine().update_sandbox_resources(sandbox.clone(), quota(50_000)).await.unwrap();
        node.engine().update_resources(id.clone(), quota(50_000)).await.unwrap();
        assert_eq!(shown_limits(&node, &id).await[2], 50_000);
        node.engine().update_resources(id, quota(10_000)).await.unwrap();
        node.engine().update_sandbox_resources(sandbox, quota(10_000)).await.unwrap();
        node.restart().await;
        let listed = node.engine().list_sandboxes().await.unwrap();
        assert_eq!(listed[0].resources.cpu_quota, 10_000, "a new engine knows it too");
        node
    });
}

#[test]
fn containers_are_in_the_group_of_another_kubelet_which_is_left_to_it() {
    on_a_node(async |node| {
        let theirs = format!("{}-theirs", node.instance);
        let group = Path::new("/sys/fs/cgroup/memory").join(&theirs).join("pod1");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.limit_in_bytes"), "67108864").unwrap();
        let mut config = node.sandbox_config("web");
        config.cgroup_parent = format!("/{theirs}/pod1");
        config.resources = Resources { memory_limit: 32 << 20, ..Resources::default() };
        let refused = SandboxConfig { cgroup_parent: format!("/{theirs}/../pod1"), ..config.clone() };
        assert!(matches!(node.engine().run_sandbox(refused).await, Err(RuntimeError::Invalid(_))));
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let id = node.run(&sandbox, shell("sleep 1000")).await;
        let processes = fs::read_to_string(group.join(&id).join("cgroup.procs")).unwrap();
        assert_eq!(processes.trim(), node.container(&id).await.pid.to_string());
        let more = Resources { memory_limit: 16 << 20, ..Resources::default() };
        node.engine().update_sandbox_resources(sandbox.clone(), more).await.unwrap();
        assert_eq!(fs::read_to_string(group.join("memory.limit_in_bytes")).unwrap(), "67108864\n");
        node.engine().remove_sandbox(sandbox).await.unwrap();
        assert!(!group.join(&id).exists() && group.exists());
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            for path in ["pod1", ""] {
                // Not all of them had to have one.
                let _ = fs::remove_dir(hierarchy.path().join(&theirs).join(path));
            }
        }
        node
    });
}

#[test]
fn a_pod_may_share_its_processes() {
    on_a_node(async |node| {
        let mut config = node.sandbox_config("shared");
        config.namespaces.pid = NamespaceMode::Pod;
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let shared = |script: &str| {
            let mut config = shell(script);
            config.security.namespaces.pid = NamespaceMode::Pod;
            config
        };
        let first = node.run(&sandbox, shared("sleep 1111 & sleep 2222")).await;
        let second = node.run(&sandbox, shared("ps -o args; sleep 3333")).await;
        let seen = String::from_utf8(exec(&node, &second, "ps -o pid,args").await.stdout).unwrap();
        assert!(seen.contains("sleep 1111") && seen.contains("sleep 3333"), "{seen}");
        node.engine().stop_container(first, 0).await.unwrap();
        let seen = String::from_utf8(exec(&node, &second, "ps -o args").await.stdout).unwrap();
        assert!(!seen.contains("sleep 1111"), "what a container started ends with it: {seen}");
        let debugged = node.run(&sandbox, shell("sleep 4444")).await;
        let mut debugger = shell("ps -o args");
        debugger.security.namespaces.pid = NamespaceMode::Target(debugged);
        let id = node.run(&sandbox, debugger).await;
        node.ended(&id).await;
        assert!(node.output(&id).await.contains("sleep 4444"));
        node
    });
}

#[test]
fn a_pod_may_live_in_the_node_s_namespaces() {
    on_a_node(async |node| {
        let mut config = node.sandbox_config("host");
        config.hostname = String::new();
        config.namespaces = Namespaces {
            network: NamespaceMode::Node,
            pid: NamespaceMode::Container,
            ipc: NamespaceMode::Node,
            user: None,
        };
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let own = |name: &str| {
            std::fs::read_link(format!("/proc/thread-self/ns/{name}")).unwrap().to_string_lossy().into_owned()
        };
        let script = "for name in net ipc uts; do readlink /proc/self/ns/$name; done";
        let (_, output) = node.script(&sandbox, script).await;
        assert_eq!(output, format!("{}\n{}\n{}\n", own("net"), own("ipc"), own("uts")));
        assert!(node.network.attached.lock().unwrap().is_empty());
        let mut all = shell("ps -o args; sleep 100");
        all.security.namespaces.pid = NamespaceMode::Node;
        let id = node.run(&sandbox, all).await;
        let seen = exec(&node, &id, "ls /proc | grep -c '^[0-9]'").await.stdout;
        assert!(String::from_utf8(seen).unwrap().trim().parse::<u32>().unwrap() > 20);
        node.engine().stop_container(id, 0).await.unwrap();
        node
    });
}

#[test]
fn kernel_settings_are_the_pod_s_own() {
    on_a_node(async |node| {
        let mut config = node.sandbox_config("web");
        config.sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "7".into());
        config.sysctls.insert("kernel.shm_rmid_forced".into(), "1".into());
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; ifconfig lo | grep -c RUNNING";
        assert_eq!(node.script(&sandbox, script).await.1, "7\n1\n1\n");
        let mut broken = node.sandbox_config("broken");
        broken.sysctls.insert("net.nonsense".into(), "1".into());
        let error = node.engine().run_sandbox(broken).await.unwrap_err().to_string();
        assert!(error.contains("set sysctl net.nonsense"), "{error}");
        assert_eq!(node.engine().list_sandboxes().await.unwrap().len(), 1, "a failed one is taken back");
        node
    });
}
