//! Containers, and commands in them.

use std::collections::BTreeMap;

use super::Int64Value;
use super::images::ImageSpec;
use super::sandboxes::{LinuxContainerResources, NamespaceOption, PodSandboxConfig, SecurityProfile};
use crate::wire::messages;

messages! {
    KeyValue { 1 key: String, 2 value: Vec<u8> }
    Mount {
        1 container_path: String,
        2 host_path: String,
        3 readonly: bool,
        5 propagation: i32,
        8 recursive_read_only: bool,
        9 image: Option<ImageSpec>,
        10 image_sub_path: String,
    }
    Device { 1 container_path: String, 2 host_path: String, 3 permissions: String }
    CDIDevice { 1 name: String }
    Capability {
        1 add_capabilities: Vec<String>,
        2 drop_capabilities: Vec<String>,
        3 add_ambient_capabilities: Vec<String>,
    }
    LinuxContainerSecurityContext {
        1 capabilities: Option<Capability>,
        2 privileged: bool,
        3 namespace_options: Option<NamespaceOption>,
        5 run_as_user: Option<Int64Value>,
        6 run_as_username: String,
        7 readonly_rootfs: bool,
        8 supplemental_groups: Vec<i64>,
        10 seccomp_profile_path: String,
        11 no_new_privs: bool,
        12 run_as_group: Option<Int64Value>,
        13 masked_paths: Vec<String>,
        14 readonly_paths: Vec<String>,
        15 seccomp: Option<SecurityProfile>,
        16 apparmor: Option<SecurityProfile>,
        17 supplemental_groups_policy: i32,
    }
    LinuxContainerConfig {
        1 resources: Option<LinuxContainerResources>,
        2 security_context: Option<LinuxContainerSecurityContext>,
    }
    ContainerMetadata { 1 name: String, 2 attempt: u32 }
    ContainerConfig {
        1 metadata: Option<ContainerMetadata>,
        2 image: Option<ImageSpec>,
        3 command: Vec<String>,
        4 args: Vec<String>,
        5 working_dir: String,
        6 envs: Vec<KeyValue>,
        7 mounts: Vec<Mount>,
        8 devices: Vec<Device>,
        9 labels: BTreeMap<String, String>,
        10 annotations: BTreeMap<String, String>,
        11 log_path: String,
        12 stdin: bool,
        13 stdin_once: bool,
        14 tty: bool,
        15 linux: Option<LinuxContainerConfig>,
        17 cdi_devices: Vec<CDIDevice>,
        18 stop_signal: i32,
    }
    CreateContainerRequest {
        1 pod_sandbox_id: String,
        2 config: Option<ContainerConfig>,
        3 sandbox_config: Option<PodSandboxConfig>,
    }
    /// What most questions about a container carry, and what making one answers: its id.
    ContainerId { 1 container_id: String }
    StopContainerRequest { 1 container_id: String, 2 timeout: i64 }
    ContainerStateValue { 1 state: i32 }
    ContainerFilter {
        1 id: String,
        2 state: Option<ContainerStateValue>,
        3 pod_sandbox_id: String,
        4 label_selector: BTreeMap<String, String>,
    }
    ListContainersRequest { 1 filter: Option<ContainerFilter> }
    Container {
        1 id: String,
        2 pod_sandbox_id: String,
        3 metadata: Option<ContainerMetadata>,
        4 image: Option<ImageSpec>,
        5 image_ref: String,
        6 state: i32,
        7 created_at: i64,
        8 labels: BTreeMap<String, String>,
        9 annotations: BTreeMap<String, String>,
        10 image_id: String,
    }
    ListContainersResponse { 1 containers: Vec<Container> }
    LinuxContainerUser { 1 uid: i64, 2 gid: i64, 3 supplemental_groups: Vec<i64> }
    ContainerUser { 1 linux: Option<LinuxContainerUser> }
    ContainerResources { 1 linux: Option<LinuxContainerResources> }
    ContainerStatus {
        1 id: String,
        2 metadata: Option<ContainerMetadata>,
        3 state: i32,
        4 created_at: i64,
        5 started_at: i64,
        6 finished_at: i64,
        7 exit_code: i32,
        8 image: Option<ImageSpec>,
        9 image_ref: String,
        10 reason: String,
        11 message: String,
        12 labels: BTreeMap<String, String>,
        13 annotations: BTreeMap<String, String>,
        15 log_path: String,
        16 resources: Option<ContainerResources>,
        17 image_id: String,
        18 user: Option<ContainerUser>,
    }
    ContainerStatusResponse { 1 status: Option<ContainerStatus>, 2 info: BTreeMap<String, String> }
    UpdateContainerResourcesRequest { 1 container_id: String, 2 linux: Option<LinuxContainerResources> }
    ExecSyncRequest { 1 container_id: String, 2 cmd: Vec<String>, 3 timeout: i64 }
    ExecSyncResponse { 1 stdout: Vec<u8>, 2 stderr: Vec<u8>, 3 exit_code: i32 }
    ExecRequest {
        1 container_id: String,
        2 cmd: Vec<String>,
        3 tty: bool,
        4 stdin: bool,
        5 stdout: bool,
        6 stderr: bool,
    }
    AttachRequest { 1 container_id: String, 2 stdin: bool, 3 tty: bool, 4 stdout: bool, 5 stderr: bool }
    /// Where the streams that were asked for are to be had.
    StreamAddress { 1 url: String }
}
