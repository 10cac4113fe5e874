//! What every part of the kubelet works with.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use client::{About, Cache, Client, Recorder};
use cri::Runtime;
use env::Env;

use crate::amounts::Amounts;
use crate::bell::Bells;
use crate::config::Config;
use crate::downward::Myself;
use crate::environment::ServiceFacts;
use crate::eviction::watch::Pressures;
use crate::images::collect::Collector;
use crate::observer::Observer;
use crate::pod::{Member, PodView};
use crate::probes::tally::Tally;
use crate::publish::Publisher;
use crate::resize::Ledger;
use crate::shutdown::Closing;
use crate::sources::Sources;
use crate::status::Place;
use crate::users::Ranges;

/// All of it, shared.
#[derive(Debug)]
pub(crate) struct Kit {
    pub config: Config,
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub env: Env,
    pub recorder: Recorder,
    pub bells: Bells,
    pub sources: Sources,
    pub services: Cache<ServiceFacts>,
    pub ledger: Ledger,
    pub observer: Observer,
    pub publisher: Publisher,
    pub pressures: Pressures,
    pub closing: Closing,
    pub collector: Collector,
    pub probed: Tally,
    /// Rung when static pods changed, for those who keep their pictures.
    pub repaint: tokio::sync::Notify,
    /// The user ids of pods that have their own.
    pub users: Ranges,
    pub place: Place,
    pub machine: Machine,
}

/// What the node has.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Bytes of memory.
    pub memory: i64,
    /// What pods may use of it all.
    pub allocatable: Amounts,
    /// The node's own resolver configuration, read anew for each pod's.
    pub hosts_file: std::path::PathBuf,
    /// The node object's identity, once it is known.
    pub node_uid: Mutex<String>,
}

impl Kit {
    /// A pod as its own fields see it.
    pub fn myself<'a>(&'a self, pod: &'a PodView, pod_ips: &'a [IpAddr]) -> Myself<'a> {
        Myself { pod, pod_ips, host_ips: &self.place.ips, allocatable: &self.machine.allocatable }
    }

    /// The node, for events.
    pub fn about_node(&self) -> About {
        let name = self.config.node_name.clone();
        let uid = self.machine.node_uid.lock().unwrap_or_else(PoisonError::into_inner).clone();
        About { api_version: "v1".to_owned(), kind: "Node".to_owned(), name, uid, ..About::default() }
    }
}

/// A pod, for events.
pub(crate) fn about(pod: &PodView) -> About {
    About { api_version: "v1".to_owned(), kind: "Pod".to_owned(), ..About::object(&pod.object) }
}

/// A container, for events.
pub(crate) fn about_member(pod: &PodView, member: &Member<'_>) -> About {
    about(pod).part(member.field_path())
}
