//! Messages of CRI, as somebody at the runtime's socket may send them.

use cri::v1;
use cri::wire::Message;

use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    "\x0a\x02\x0a\x00",
    "\x12\x07\x0a\x05img:1",
    "\x2a\x02\x08\x01",
    "\x7a\x02\x12\x00",
    "\x42\x06\x01\x02\x03\x04\x05\x06",
    "\x12\x01\u{1}",
];

pub fn target() -> Target {
    let text = |text: &str| text.to_owned();
    let namespaces = v1::NamespaceOption { pid: 3, target_id: text("c"), ..Default::default() };
    let security = v1::LinuxContainerSecurityContext {
        namespace_options: Some(namespaces.clone()),
        run_as_user: Some(v1::Int64Value { value: -1 }),
        supplemental_groups: vec![0, 1, i64::MAX],
        seccomp: Some(v1::SecurityProfile { profile_type: 2, localhost_ref: text("/p") }),
        ..Default::default()
    };
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: text("c"), attempt: 1 }),
        image: Some(v1::ImageSpec { image: text("img"), ..Default::default() }),
        envs: vec![v1::KeyValue { key: text("A"), value: b"b".to_vec() }],
        mounts: vec![v1::Mount { container_path: text("/m"), propagation: 2, ..Default::default() }],
        labels: [(text("a"), text("b"))].into(),
        linux: Some(v1::LinuxContainerConfig { resources: None, security_context: Some(security) }),
        stop_signal: 29,
        ..Default::default()
    };
    let of_sandbox =
        v1::LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
    let sandbox = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata { name: text("p"), uid: text("u"), ..Default::default() }),
        port_mappings: vec![v1::PortMapping { host_port: 80, container_port: 8080, ..Default::default() }],
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: text("/a/b"),
            security_context: Some(of_sandbox),
            ..Default::default()
        }),
        ..Default::default()
    };
    let seeds = vec![container.encode(), sandbox.encode()];
    Target { name: "cri", seeds, words: WORDS, run: Box::new(run) }
}

/// What is read and written is read again as the same, and whatever it asks for is understood or refused.
fn run(input: &[u8]) -> Verdict {
    let container = v1::ContainerConfig::decode(input);
    if let Ok(container) = &container {
        let again = v1::ContainerConfig::decode(&container.encode());
        same("a container comes back", &again.as_ref(), &Ok(container))?;
    }
    let sandbox = v1::PodSandboxConfig::decode(input);
    if let Ok(sandbox) = &sandbox {
        let again = v1::PodSandboxConfig::decode(&sandbox.encode());
        same("a sandbox comes back", &again.as_ref(), &Ok(sandbox))?;
    }
    Ok(match (container.map(v1::container), sandbox.map(|sandbox| v1::sandbox(sandbox, String::new()))) {
        (Ok(Ok(_)), _) => "a container".to_owned(),
        (_, Ok(Ok(_))) => "a sandbox".to_owned(),
        (Ok(Err(error)), _) | (_, Ok(Err(error))) => outcome("invalid", &error.to_string()),
        (Err(error), Err(_)) => outcome("malformed", &error.to_string()),
    })
}
