//! What is told of containers as it happens. Sandboxes are told of as containers are.

use super::containers::ContainerStatus;
use super::sandboxes::PodSandboxStatus;
use crate::wire::messages;

messages! {
    ContainerEventResponse {
        1 container_id: String,
        2 container_event_type: i32,
        3 created_at: i64,
        4 pod_sandbox_status: Option<PodSandboxStatus>,
        5 containers_statuses: Vec<ContainerStatus>,
    }
}

/// The values of `container_event_type`.
pub const CREATED: i32 = 0;
/// It was started.
pub const STARTED: i32 = 1;
/// It has ended.
pub const STOPPED: i32 = 2;
/// It was removed.
pub const DELETED: i32 = 3;
