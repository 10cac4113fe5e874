//! What containers use.

use std::collections::BTreeMap;

use super::UInt64Value;
use super::containers::ContainerMetadata;
use super::images::FilesystemUsage;
use crate::wire::messages;

messages! {
    ContainerStatsFilter {
        1 id: String,
        2 pod_sandbox_id: String,
        3 label_selector: BTreeMap<String, String>,
    }
    ListContainerStatsRequest { 1 filter: Option<ContainerStatsFilter> }
    ContainerAttributes {
        1 id: String,
        2 metadata: Option<ContainerMetadata>,
        3 labels: BTreeMap<String, String>,
        4 annotations: BTreeMap<String, String>,
    }
    CpuUsage { 1 timestamp: i64, 2 usage_core_nano_seconds: Option<UInt64Value> }
    MemoryUsage {
        1 timestamp: i64,
        2 working_set_bytes: Option<UInt64Value>,
        4 usage_bytes: Option<UInt64Value>,
        5 rss_bytes: Option<UInt64Value>,
    }
    ContainerStats {
        1 attributes: Option<ContainerAttributes>,
        2 cpu: Option<CpuUsage>,
        3 memory: Option<MemoryUsage>,
        4 writable_layer: Option<FilesystemUsage>,
    }
    ContainerStatsResponse { 1 stats: Option<ContainerStats> }
    ListContainerStatsResponse { 1 stats: Vec<ContainerStats> }
}
