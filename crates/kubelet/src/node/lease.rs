//! The node's lease: proof, every ten seconds, that its agent is alive.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use client::{Key, Write, resources};
use machinery::Status;
use serde_json::json;

use crate::kit::Kit;

/// Where leases of nodes are.
const NAMESPACE: &str = "kube-node-lease";
/// After this without renewal the node counts as lost.
const DURATION_SECS: u64 = 40;
/// How often it is renewed.
const PERIOD: Duration = Duration::from_secs(10);
/// The pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(7);

/// Renews the lease for ever.
pub(crate) async fn renew(kit: Arc<Kit>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match renew_once(&kit).await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                kit.env.clock.sleep(PERIOD).await;
            }
            Err(status) => {
                tracing::debug!("the node's lease could not be renewed: {status}");
                kit.env.clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn renew_once(kit: &Kit) -> Result<(), Status> {
    let name = &kit.config.node_name;
    let now = client::time::micros(kit.env.clock.now());
    let key = Key::new(NAMESPACE, name);
    let patch =
        json!({"spec": {"renewTime": now, "holderIdentity": name, "leaseDurationSeconds": DURATION_SECS}});
    match kit.client.patch(resources::LEASES, &key, &patch).await {
        Ok(_) => Ok(()),
        Err(status) if status.code == 404 => create(kit, &now).await,
        Err(status) => Err(status),
    }
}

async fn create(kit: &Kit, now: &str) -> Result<(), Status> {
    let name = &kit.config.node_name;
    let uid = kit.machine.node_uid.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if uid.is_empty() {
        // Without its owner it would outlive the node.
        return Err(Status::internal("the node is not registered yet"));
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": DURATION_SECS, "renewTime": now},
    });
    let call = client::Call::all(NAMESPACE);
    let body = Write::Create(lease.to_string().into());
    kit.client.write(resources::LEASES, call, body).await.map(drop)
}
