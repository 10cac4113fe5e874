//! Sandboxes, and what they share with containers: namespaces, security, resources.

use std::collections::BTreeMap;

use super::Int64Value;
use super::containers::ContainerStatus;
use crate::wire::messages;

messages! {
    DNSConfig { 1 servers: Vec<String>, 2 searches: Vec<String>, 3 options: Vec<String> }
    PortMapping { 1 protocol: i32, 2 container_port: i32, 3 host_port: i32, 4 host_ip: String }
    IDMapping { 1 host_id: u32, 2 container_id: u32, 3 length: u32 }
    UserNamespace { 1 mode: i32, 2 uids: Vec<IDMapping>, 3 gids: Vec<IDMapping> }
    NamespaceOption {
        1 network: i32,
        2 pid: i32,
        3 ipc: i32,
        4 target_id: String,
        5 userns_options: Option<UserNamespace>,
    }
    SecurityProfile { 1 profile_type: i32, 2 localhost_ref: String }
    LinuxSandboxSecurityContext {
        1 namespace_options: Option<NamespaceOption>,
        3 run_as_user: Option<Int64Value>,
        8 run_as_group: Option<Int64Value>,
        4 readonly_rootfs: bool,
        5 supplemental_groups: Vec<i64>,
        6 privileged: bool,
        9 seccomp: Option<SecurityProfile>,
        11 supplemental_groups_policy: i32,
    }
    HugepageLimit { 1 page_size: String, 2 limit: u64 }
    LinuxContainerResources {
        1 cpu_period: i64,
        2 cpu_quota: i64,
        3 cpu_shares: i64,
        4 memory_limit_in_bytes: i64,
        5 oom_score_adj: i64,
        6 cpuset_cpus: String,
        7 cpuset_mems: String,
        8 hugepage_limits: Vec<HugepageLimit>,
        9 unified: BTreeMap<String, String>,
        10 memory_swap_limit_in_bytes: i64,
    }
    LinuxPodSandboxConfig {
        1 cgroup_parent: String,
        2 security_context: Option<LinuxSandboxSecurityContext>,
        3 sysctls: BTreeMap<String, String>,
        4 overhead: Option<LinuxContainerResources>,
        5 resources: Option<LinuxContainerResources>,
    }
    PodSandboxMetadata { 1 name: String, 2 uid: String, 3 namespace: String, 4 attempt: u32 }
    PodSandboxConfig {
        1 metadata: Option<PodSandboxMetadata>,
        2 hostname: String,
        3 log_directory: String,
        4 dns_config: Option<DNSConfig>,
        5 port_mappings: Vec<PortMapping>,
        6 labels: BTreeMap<String, String>,
        7 annotations: BTreeMap<String, String>,
        8 linux: Option<LinuxPodSandboxConfig>,
    }
    RunPodSandboxRequest { 1 config: Option<PodSandboxConfig>, 2 runtime_handler: String }
    /// What most questions about a sandbox carry, and what making one answers: its id.
    PodSandboxId { 1 pod_sandbox_id: String }
    PodIP { 1 ip: String }
    PodSandboxNetworkStatus { 1 ip: String, 2 additional_ips: Vec<PodIP> }
    Namespace { 2 options: Option<NamespaceOption> }
    LinuxPodSandboxStatus { 1 namespaces: Option<Namespace> }
    PodSandboxStatus {
        1 id: String,
        2 metadata: Option<PodSandboxMetadata>,
        3 state: i32,
        4 created_at: i64,
        5 network: Option<PodSandboxNetworkStatus>,
        6 linux: Option<LinuxPodSandboxStatus>,
        7 labels: BTreeMap<String, String>,
        8 annotations: BTreeMap<String, String>,
        9 runtime_handler: String,
    }
    PodSandboxStatusResponse {
        1 status: Option<PodSandboxStatus>,
        3 containers_statuses: Vec<ContainerStatus>,
        4 timestamp: i64,
    }
    PodSandboxStateValue { 1 state: i32 }
    PodSandboxFilter {
        1 id: String,
        2 state: Option<PodSandboxStateValue>,
        3 label_selector: BTreeMap<String, String>,
    }
    ListPodSandboxRequest { 1 filter: Option<PodSandboxFilter> }
    PodSandbox {
        1 id: String,
        2 metadata: Option<PodSandboxMetadata>,
        3 state: i32,
        4 created_at: i64,
        5 labels: BTreeMap<String, String>,
        6 annotations: BTreeMap<String, String>,
        7 runtime_handler: String,
    }
    ListPodSandboxResponse { 1 items: Vec<PodSandbox> }
    UpdatePodSandboxResourcesRequest {
        1 pod_sandbox_id: String,
        2 overhead: Option<LinuxContainerResources>,
        3 resources: Option<LinuxContainerResources>,
    }
    PortForwardRequest { 1 pod_sandbox_id: String, 2 port: Vec<i32> }
}
