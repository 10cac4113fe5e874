//! CRI v1 on the wire: the messages of `runtime.v1`, by the names and numbers that its definition gives them. What is
//! for Windows only is left out.
#![expect(missing_docs, reason = "the definition of CRI documents every field, at length")]

mod answers;
mod containers;
mod events;
mod images;
mod incoming;
mod outgoing;
mod requests;
mod sandboxes;
mod signals;
mod stats;

pub use answers::{
    container_answer, container_state, handlers, image_answer, obstacles, pod_of, sandbox_answer,
    sandbox_state, stats_answer,
};
pub use containers::*;
pub use events::*;
pub use images::*;
pub use incoming::{container, credentials, resources, sandbox};
pub use outgoing::{
    container_status, container_summary, image, resources_in_force, sandbox_status, sandbox_summary, stats_of,
};
pub use requests::{attach_request, auth, container_request, exec_request, image_spec, sandbox_request};
pub use sandboxes::*;
pub use stats::*;

use crate::wire::messages;

messages! {
    VersionRequest { 1 version: String }
    VersionResponse {
        1 version: String,
        2 runtime_name: String,
        3 runtime_version: String,
        4 runtime_api_version: String,
    }
    /// An answer, or a question, that says nothing.
    Nothing {}
    RuntimeCondition { 1 r#type: String, 2 status: bool, 3 reason: String, 4 message: String }
    RuntimeStatus { 1 conditions: Vec<RuntimeCondition> }
    StatusRequest { 1 verbose: bool }
    RuntimeHandlerFeatures { 1 recursive_read_only_mounts: bool, 2 user_namespaces: bool }
    RuntimeHandler { 1 name: String, 2 features: Option<RuntimeHandlerFeatures> }
    RuntimeFeatures { 1 supplemental_groups_policy: bool, 2 user_namespaces_host_network: bool }
    StatusResponse {
        1 status: Option<RuntimeStatus>,
        3 runtime_handlers: Vec<RuntimeHandler>,
        4 features: Option<RuntimeFeatures>,
    }
    LinuxRuntimeConfiguration { 1 cgroup_driver: i32 }
    RuntimeConfigResponse { 1 linux: Option<LinuxRuntimeConfiguration> }
    Int64Value { 1 value: i64 }
    UInt64Value { 1 value: u64 }
}

/// The value of `cgroup_driver` that means: by the file system itself.
pub const CGROUPFS: i32 = 1;
