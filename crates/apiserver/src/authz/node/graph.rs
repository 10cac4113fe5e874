//! Which pods run on which node, and what they use: kept up to date from the cache's events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machinery::json::Parts;
use machinery::{Object, Status, Value};

use crate::cache::entry::Change;
use crate::cache::{Caches, Collection, Cursor};

/// How many events are taken from the cache at a time.
const EVENTS_AT_A_TIME: usize = 256;

/// What one pod uses: resource and name, in its namespace.
#[derive(Debug)]
struct Uses {
    node: String,
    objects: BTreeSet<(&'static str, String)>,
}

/// Pods by node.
#[derive(Debug)]
pub(super) struct Graph {
    pods: Option<Arc<Collection>>,
    claims: Option<Arc<Collection>>,
    attachments: Option<Arc<Collection>>,
    slices: Option<Arc<Collection>>,
    cursor: Option<Cursor>,
    /// By `namespace/name`; only pods that are bound.
    uses: BTreeMap<String, Uses>,
    by_node: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(super) fn new(caches: &Caches) -> Graph {
        Graph {
            pods: caches.collection("core/pods"),
            claims: caches.collection("core/persistentvolumeclaims"),
            attachments: caches.collection("storage.k8s.io/volumeattachments"),
            slices: caches.collection("resource.k8s.io/resourceslices"),
            cursor: None,
            uses: BTreeMap::new(),
            by_node: BTreeMap::new(),
        }
    }

    /// Whether a pod on the node uses an object.
    pub(super) fn uses(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
        match resource {
            "pods" => {
                let key = format!("{namespace}/{name}");
                return self.uses.get(&key).is_some_and(|uses| uses.node == node);
            }
            "volumeattachments" => return names_node(self.attachments.as_ref(), name, node),
            "resourceslices" => return names_node(self.slices.as_ref(), name, node),
            _ => {}
        }
        let pods = self.by_node.get(node).into_iter().flatten();
        let mut pods = pods.filter_map(|key| Some((key, self.uses.get(key)?)));
        if resource == "persistentvolumes" {
            return pods.any(|(key, uses)| self.claims_volume(key, uses, name));
        }
        pods.any(|(key, uses)| {
            let same_namespace = key.split_once('/').is_some_and(|(of, _)| of == namespace);
            same_namespace && uses.objects.iter().any(|(used, called)| *used == resource && called == name)
        })
    }

    fn claims_volume(&self, pod: &str, uses: &Uses, volume: &str) -> bool {
        let (Some(claims), Some((namespace, _))) = (&self.claims, pod.split_once('/')) else { return false };
        uses.objects.iter().filter(|(used, _)| *used == "persistentvolumeclaims").any(|(_, claim)| {
            let claim = claims.get(&format!("{namespace}/{claim}"));
            let document = claim.and_then(|claim| claim.object().to_value().ok());
            document.is_some_and(|claim| claim.at(&["spec", "volumeName"]).str_or_empty() == volume)
        })
    }

    /// Takes over what changed.
    pub(super) fn catch_up(&mut self) {
        let Some(pods) = self.pods.clone() else { return };
        while let Some(cursor) = &mut self.cursor {
            match cursor.take(EVENTS_AT_A_TIME) {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    for event in events {
                        let key = event.entry.key();
                        self.remove(key);
                        if event.change != Change::Deleted {
                            self.put(key, event.entry.object());
                        }
                    }
                }
                // More has changed than the cache remembers: read all of it again.
                Err(_) => self.cursor = None,
            }
        }
        self.uses.clear();
        self.by_node.clear();
        let (snapshot, cursor) = pods.follow();
        for entry in snapshot.starting_at("") {
            self.put(entry.key(), entry.object());
        }
        self.cursor = Some(cursor);
    }

    fn put(&mut self, key: &str, pod: &Object) {
        let (node, document) = match bound(pod) {
            Ok(Some(bound)) => bound,
            Ok(None) => return,
            Err(status) => {
                tracing::error!(pod = key, error = %status.message, "a stored pod cannot be read");
                return;
            }
        };
        self.by_node.entry(node.clone()).or_default().insert(key.to_owned());
        self.uses.insert(key.to_owned(), Uses { node, objects: used_by(&document) });
    }

    fn remove(&mut self, key: &str) {
        let Some(uses) = self.uses.remove(key) else { return };
        if let Some(pods) = self.by_node.get_mut(&uses.node) {
            pods.remove(key);
            if pods.is_empty() {
                self.by_node.remove(&uses.node);
            }
        }
    }
}

/// The node of a pod, and all of the pod; `None` if it is on none, as new ones are.
fn bound(pod: &Object) -> Result<Option<(String, Value)>, Status> {
    const NODE: Parts = Parts::Of(&[("spec", Parts::Of(&[("nodeName", Parts::All)]))]);
    let node = pod.parts(&NODE)?.at(&["spec", "nodeName"]).str_or_empty().to_owned();
    if node.is_empty() { Ok(None) } else { Ok(Some((node, pod.to_value()?))) }
}

/// Whether an object belongs to a node by its `spec.nodeName`.
fn names_node(collection: Option<&Arc<Collection>>, name: &str, node: &str) -> bool {
    let found = collection.and_then(|collection| collection.get(name));
    let document = found.and_then(|entry| entry.object().to_value().ok());
    document.is_some_and(|document| document.at(&["spec", "nodeName"]).as_str() == Some(node))
}

/// What a pod refers to.
pub(super) fn used_by(pod: &Value) -> BTreeSet<(&'static str, String)> {
    let mut used = BTreeSet::new();
    let mut add = |resource: &'static str, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            used.insert((resource, name.to_owned()));
        }
    };
    let spec = pod.get("spec");
    add("serviceaccounts", spec.get("serviceAccountName"));
    for secret in spec.get("imagePullSecrets").items() {
        add("secrets", secret.get("name"));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            for source in container.get("envFrom").items() {
                add("secrets", source.at(&["secretRef", "name"]));
                add("configmaps", source.at(&["configMapRef", "name"]));
            }
            for variable in container.get("env").items() {
                add("secrets", variable.at(&["valueFrom", "secretKeyRef", "name"]));
                add("configmaps", variable.at(&["valueFrom", "configMapKeyRef", "name"]));
            }
        }
    }
    for volume in spec.get("volumes").items() {
        add("secrets", volume.at(&["secret", "secretName"]));
        add("configmaps", volume.at(&["configMap", "name"]));
        add("persistentvolumeclaims", volume.at(&["persistentVolumeClaim", "claimName"]));
        for source in volume.at(&["projected", "sources"]).items() {
            add("secrets", source.at(&["secret", "name"]));
            add("configmaps", source.at(&["configMap", "name"]));
        }
        for (driver, reference) in
            [("csi", "nodePublishSecretRef"), ("cephfs", "secretRef"), ("rbd", "secretRef")]
        {
            add("secrets", volume.at(&[driver, reference, "name"]));
        }
        for (driver, reference) in
            [("flexVolume", "secretRef"), ("iscsi", "secretRef"), ("scaleIO", "secretRef")]
        {
            add("secrets", volume.at(&[driver, reference, "name"]));
        }
        if !volume.get("ephemeral").is_null() {
            let own = format!(
                "{}-{}",
                pod.at(&["metadata", "name"]).str_or_empty(),
                volume.get("name").str_or_empty()
            );
            add("persistentvolumeclaims", &Value::from(own));
        }
    }
    for claim in spec.get("resourceClaims").items() {
        add("resourceclaims", claim.get("resourceClaimName"));
    }
    for status in pod.at(&["status", "resourceClaimStatuses"]).items() {
        add("resourceclaims", status.get("resourceClaimName"));
    }
    used
}
