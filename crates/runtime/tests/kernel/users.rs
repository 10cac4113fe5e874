//! Pods with user ids of their own: root inside is nobody outside, and everything a container sees fits its ids.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use cri::{Mount, NamespaceMode, Runtime, Security, UserNamespace};

use crate::harness::*;

const FIRST: u32 = 655_360;

/// A sandbox with ids of its own.
async fn sandbox(node: &Node, name: &str, change: impl FnOnce(&mut cri::SandboxConfig)) -> String {
    let mut config = node.sandbox_config(name);
    config.namespaces.user = Some(UserNamespace { host_id: FIRST, length: 65_536 });
    change(&mut config);
    node.engine().run_sandbox(config).await.unwrap()
}

#[test]
fn root_of_a_pod_is_nobody_on_the_node() {
    on_a_node(async |node| {
        let sandbox = sandbox(&node, "web", |_| {}).await;
        let script = "
            awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map
            id -u; id -g
            stat -c '%n %u:%g' / /bin /bin/busybox /etc/passwd /tmp /dev /dev/null /dev/shm /dev/mqueue /dev/pts
            touch /made /dev/shm/made && stat -c '%n %u' /made /dev/shm/made
            echo x >> /etc/passwd && stat -c %u /etc/passwd
            chown web:logs /made && stat -c '%u:%g' /made
            hostname mine && hostname
            ip link set lo down && echo the network is its own
            (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo the node is not
            exec sleep 1000
        ";
        let mut config = shell(script);
        config.security.add_capabilities = ["SYS_ADMIN", "NET_ADMIN"].map(str::to_owned).to_vec();
        let id = node.run(&sandbox, config).await;
        let log = node.container(&id).await.log_path;
        until("it has said all", || fs::read_to_string(&log).unwrap().contains("the node is not")).await;
        let expected = "0 655360 65536\n0 655360 65536\n0\n0\n/ 0:0\n/bin 0:0\n/bin/busybox 0:0\n/etc/passwd 0:0\n\
             /tmp 0:0\n/dev 0:0\n/dev/null 0:0\n/dev/shm 0:0\n/dev/mqueue 0:0\n/dev/pts 0:0\n/made 0\n/dev/shm/made 0\n\
             0\n33:50\nmine\nthe network is its own\nthe node is not\n";
        assert_eq!(node.output(&id).await, expected);
        let pid = node.container(&id).await.pid;
        assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), FIRST, "on the node it is nobody");
        let upper = node.root.join("c").join(&id).join("upper");
        let made = fs::metadata(upper.join("made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (FIRST + 33, FIRST + 50));
        node
    });
}

#[test]
fn volumes_have_the_same_owners_inside_and_outside() {
    on_a_node(async |node| {
        let sandbox = sandbox(&node, "web", |_| {}).await;
        let volume = node.root.join("volume");
        fs::create_dir(&volume).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o775)).unwrap();
        chown(&volume, Some(0), Some(2000)).unwrap();
        fs::write(volume.join("given"), "text").unwrap();
        chown(volume.join("given"), Some(33), Some(0)).unwrap();
        let file = node.root.join("hosts");
        fs::write(&file, "127.0.0.1 localhost\n").unwrap();
        let script = "stat -c '%u:%g' /volume /volume/given /etc/hosts; echo y > /volume/made; stat -c '%u:%g' /volume/made; \
                      stat -c '%u:%g' /deep /deep/er";
        let (ended, output) = node
            .script_with(&sandbox, script, |config| {
                let at = |host: &std::path::Path, container: &str| Mount {
                    host_path: host.to_owned(),
                    container_path: container.into(),
                    ..Mount::default()
                };
                config.mounts =
                    vec![at(&volume, "/volume"), at(&file, "/etc/hosts"), at(&volume, "/deep/er/volume")];
                config.security.run_as_user = Some(1000);
                config.security.supplemental_groups = vec![2000];
            })
            .await;
        assert_eq!(output, "0:2000\n33:0\n0:0\n1000:0\n0:0\n0:0\n");
        assert_eq!(ended.exit_code, 0);
        let made = fs::metadata(volume.join("made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (1000, 0), "on the disk they are the same");
        node
    });
}

#[test]
fn commands_terminals_and_shared_processes_are_of_the_pod() {
    on_a_node(async |mut node| {
        let sandbox = sandbox(&node, "web", |config| {
            config.namespaces.pid = NamespaceMode::Pod;
            config.sysctls = [("kernel.shm_rmid_forced", "1"), ("net.ipv4.ip_unprivileged_port_start", "7")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        })
        .await;
        let mut config = shell("exec sleep 1000");
        config.security.namespaces.pid = NamespaceMode::Pod;
        config.security.run_as_user = Some(33);
        config.tty = true;
        let id = node.run(&sandbox, config).await;
        node.restart().await;
        let script = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start; id -u
            awk '{print $2}' /proc/self/uid_map; stat -c %u /proc/1 /dev/console; readlink /proc/self/ns/user /proc/1/ns/user | uniq | wc -l";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let output = node.engine().exec_sync(id.clone(), command, 30).await.unwrap();
        // Whose process 1 is can be seen; its namespaces are root's to see.
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("1\n7\n33\n655360\n0\n33\n"), "{text}");
        node
    });
}

#[test]
fn an_id_beyond_those_of_the_pod_is_refused() {
    on_a_node(async |node| {
        let sandbox = sandbox(&node, "web", |_| {}).await;
        let mut config = shell("true");
        config.security = Security { run_as_user: Some(70_000), ..config.security };
        let id = node.create(&sandbox, config).await;
        let error = node.engine().start_container(id).await.unwrap_err().to_string();
        assert_eq!(error, "unable to start container process: id 70000 is beyond those of the pod");
        node
    });
}

#[test]
fn every_handler_says_that_it_can() {
    on_a_node(async |node| {
        assert!(node.engine().handlers().iter().all(|handler| handler.user_namespaces));
        node
    });
}
