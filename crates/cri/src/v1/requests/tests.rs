use std::collections::BTreeMap;

use super::*;
use crate::wire::Message;
use crate::{Device, NamespaceMode, Namespaces, PodId, Resources, UserNamespace, v1};

fn limits() -> Resources {
    Resources {
        cpu_shares: 512,
        cpu_quota: 50_000,
        cpu_period: 100_000,
        memory_limit: 64 << 20,
        oom_score_adj: -5,
        cpuset_cpus: "0-1".to_owned(),
        cpuset_mems: "0".to_owned(),
        pids_limit: 0,
        hugepages: BTreeMap::from([("2MB".to_owned(), 4 << 20)]),
        unified: BTreeMap::from([("memory.high".to_owned(), "1".to_owned())]),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_sandbox_comes_out_as_it_went_in() {
    let user = Some(UserNamespace { host_id: 65_536, length: 65_536 });
    let full = SandboxConfig {
        pod: PodId { namespace: "ns".to_owned(), name: "web".to_owned(), uid: "u-1".to_owned() },
        attempt: 3,
        hostname: "web".to_owned(),
        log_directory: "/logs/ns_web_u-1".into(),
        port_mappings: vec![
            PortMapping {
                protocol: Protocol::Udp,
                container_port: 53,
                host_port: 5_353,
                host_ip: "192.0.2.7".parse().ok(),
            },
            PortMapping { protocol: Protocol::Sctp, container_port: 9, host_port: 10, host_ip: None },
        ],
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        annotations: BTreeMap::from([("note".to_owned(), "x".to_owned())]),
        namespaces: Namespaces { pid: NamespaceMode::Container, user, ..Namespaces::default() },
        sysctls: BTreeMap::from([("net.core.somaxconn".to_owned(), "9".to_owned())]),
        cgroup_parent: "/kubepods/podu-1".to_owned(),
        resources: limits(),
        privileged: true,
        handler: "fast".to_owned(),
    };
    let on_node = SandboxConfig {
        namespaces: Namespaces { network: NamespaceMode::Node, ..Namespaces::default() },
        ..SandboxConfig::default()
    };
    for config in [full, on_node, SandboxConfig::default()] {
        let bytes = sandbox_request(&config).encode();
        let read = v1::PodSandboxConfig::decode(&bytes).unwrap();
        assert_eq!(v1::sandbox(read, config.handler.clone()), Ok(config));
    }
}

fn full_security() -> Security {
    Security {
        privileged: true,
        add_capabilities: texts(&["NET_ADMIN"]),
        drop_capabilities: texts(&["ALL"]),
        run_as_user: Some(0),
        run_as_group: Some(7),
        run_as_username: "nobody".to_owned(),
        supplemental_groups: vec![5, 6],
        strict_supplemental_groups: true,
        readonly_rootfs: true,
        no_new_privs: true,
        masked_paths: texts(&["/proc/kcore"]),
        readonly_paths: texts(&["/proc/sys"]),
        seccomp: Seccomp::Localhost("/profiles/a.json".into()),
        namespaces: Namespaces { pid: NamespaceMode::Target("c0".to_owned()), ..Namespaces::default() },
    }
}

#[test]
fn a_container_comes_out_as_it_went_in() {
    let mount = |propagation| Mount {
        container_path: "/data".to_owned(),
        host_path: "/host".into(),
        readonly: true,
        recursive_readonly: true,
        propagation,
        ..Mount::default()
    };
    let full = ContainerConfig {
        name: "app".to_owned(),
        attempt: 2,
        image: "sha256:1".to_owned(),
        user_image: "img:1".to_owned(),
        command: texts(&["sh", "-c"]),
        args: texts(&["true"]),
        working_dir: "/w".to_owned(),
        envs: vec![("B".to_owned(), "2".to_owned()), ("A".to_owned(), String::new())],
        mounts: vec![
            mount(Propagation::Private),
            mount(Propagation::HostToContainer),
            mount(Propagation::Bidirectional),
            Mount { image: "img:2".to_owned(), image_sub_path: "sub".to_owned(), ..Mount::default() },
        ],
        devices: vec![Device {
            container_path: "/dev/a".to_owned(),
            host_path: "/dev/b".to_owned(),
            permissions: "rwm".to_owned(),
        }],
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
        log_path: "app/2.log".into(),
        stdin: true,
        stdin_once: true,
        tty: true,
        resources: limits(),
        security: full_security(),
        stop_signal: "SIGUSR1".to_owned(),
    };
    let unconfined = ContainerConfig {
        security: Security { seccomp: Seccomp::Unconfined, ..Security::default() },
        ..ContainerConfig::default()
    };
    for config in [full, unconfined, ContainerConfig::default()] {
        let bytes = container_request(&config).unwrap().encode();
        assert_eq!(v1::container(v1::ContainerConfig::decode(&bytes).unwrap()), Ok(config));
    }
    let odd = ContainerConfig { stop_signal: "SIGNONE".to_owned(), ..ContainerConfig::default() };
    assert!(matches!(container_request(&odd), Err(RuntimeError::Invalid(_))));
}

#[test]
fn credentials_come_out_as_they_went_in() {
    for credentials in [
        Credentials { username: "u".to_owned(), password: "p".to_owned(), ..Credentials::default() },
        Credentials { identity_token: "t".to_owned(), ..Credentials::default() },
    ] {
        let read = v1::AuthConfig::decode(&auth(&credentials).encode()).unwrap();
        assert_eq!(v1::credentials(Some(read)), [credentials]);
    }
}
