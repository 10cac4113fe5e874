//! A pod whose gates are not all open is not placed at all.

use crate::pod::Pod;

/// Its name.
pub const NAME: &str = "SchedulingGates";

/// What is told of a pod that is held back; `None` if it is not.
pub fn held_back(pod: &Pod) -> Option<&'static str> {
    (!pod.facts.gates.is_empty()).then_some("Scheduling is blocked due to non-empty scheduling gates")
}
