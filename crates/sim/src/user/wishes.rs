//! What a user may want next.

use client::{Key, Resource, resources};
use serde_json::{Value, json};

use super::{NAMESPACES, User};
use crate::kubelet::BROKEN;
use crate::ledger::Seen;

/// More of a kind than these there never are, so that a run stays small.
const MOST: usize = 3;

const PROPAGATIONS: [&str; 3] = ["Background", "Foreground", "Orphan"];

fn resource_of(kind: &str) -> Resource {
    let known = resources::ALL.iter().find(|resource| resource.kind == kind);
    *known.expect("the user knows built-in kinds only")
}

/// Whether a workload's image never works.
fn is_broken(workload: &Seen) -> bool {
    workload.document["spec"]["template"]["spec"]["containers"][0]["image"] == BROKEN
}

fn image_patch(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "terminationGracePeriodSeconds": 5, "containers": [{ "name": "c", "image": image }] } } } })
}

impl User {
    /// Wants something else.
    pub(super) async fn want_something(&mut self) {
        match self.entropy.below(20) {
            0..=4 => self.want_a_workload().await,
            5..=7 => self.want_another_image().await,
            8..=10 => self.want_more_or_less().await,
            11 => self.want_a_pause().await,
            12 => self.want_less("Deployment").await,
            13 => self.want_less("StatefulSet").await,
            14 => self.want_less("Job").await,
            15 => self.want_a_pod_gone().await,
            16 => self.want_a_service_or_budget().await,
            17 => self.want_a_quota().await,
            18 => self.want_a_namespace_for_a_while().await,
            _ => self.want_a_family().await,
        }
    }

    fn namespace(&self) -> &'static str {
        self.pick(&NAMESPACES).copied().unwrap_or(NAMESPACES[0])
    }

    async fn want_a_workload(&mut self) {
        let kind = *self
            .pick(&["Deployment", "Deployment", "StatefulSet", "DaemonSet", "Job", "Job"])
            .unwrap_or(&"Deployment");
        if self.all(kind).len() >= MOST {
            return;
        }
        let (name, namespace) = (self.next_name("app"), self.namespace());
        let document = match kind {
            "StatefulSet" => self.stateful_set(&name),
            "DaemonSet" => self.daemon_set(&name),
            "Job" => self.job(&name),
            _ => self.deployment(&name),
        };
        self.create(resource_of(kind), namespace, document).await;
    }

    async fn want_another_image(&mut self) {
        let kind =
            *self.pick(&["Deployment", "Deployment", "StatefulSet", "DaemonSet"]).unwrap_or(&"Deployment");
        if let Some(workload) = self.any(kind) {
            let image = self.image();
            self.patch(resource_of(kind), &workload.object, image_patch(image)).await;
        }
    }

    async fn want_more_or_less(&mut self) {
        let kind = *self.pick(&["Deployment", "Deployment", "StatefulSet"]).unwrap_or(&"Deployment");
        if let Some(workload) = self.any(kind) {
            let replicas = self.entropy.below(if kind == "Deployment" { 10 } else { 5 });
            let patch = json!({ "spec": { "replicas": replicas } });
            self.patch(resource_of(kind), &workload.object, patch).await;
        }
    }

    async fn want_a_pause(&mut self) {
        if self.chance(50) {
            if let Some(deployment) = self.any("Deployment") {
                let paused = deployment.document["spec"]["paused"] == true;
                let patch = json!({ "spec": { "paused": !paused } });
                self.patch(resources::DEPLOYMENTS, &deployment.object, patch).await;
            }
        } else if let Some(job) = self.any("Job") {
            let suspended = job.document["spec"]["suspend"] == true;
            self.patch(resources::JOBS, &job.object, json!({ "spec": { "suspend": !suspended } })).await;
        }
    }

    async fn want_less(&mut self, kind: &str) {
        if let Some(object) = self.any(kind) {
            let propagation = self.pick(&PROPAGATIONS).copied().unwrap_or_default();
            self.delete(resource_of(kind), &object.object, propagation).await;
        }
    }

    async fn want_a_pod_gone(&mut self) {
        let Some(pod) = self.any("Pod") else { return };
        match self.entropy.below(4) {
            0 => self.delete(resources::PODS, &pod.object, "").await,
            1 if pod.object.header().controller().is_some_and(|owner| owner.kind == "ReplicaSet") => {
                // Its owner lets go of it, and makes another. One with a name of its own could not be replaced.
                let patch = json!({ "metadata": { "labels": { "app": "nobody" } } });
                self.patch(resources::PODS, &pod.object, patch).await;
            }
            _ => self.evict(&Key::of(&pod.object)).await,
        }
    }

    async fn want_a_service_or_budget(&mut self) {
        let Some(deployment) = self.any("Deployment") else { return };
        let header = deployment.object.header();
        let (name, namespace) = (self.next_name("for"), header.namespace.to_string());
        if self.chance(50) {
            let document = self.service(&name, &header.name);
            self.create(resources::SERVICES, &namespace, document).await;
        } else {
            let document = self.budget(&name, &header.name);
            self.create(resources::POD_DISRUPTION_BUDGETS, &namespace, document).await;
        }
    }

    async fn want_a_quota(&mut self) {
        match self.any("ResourceQuota") {
            Some(quota) if self.chance(50) => {
                let patch = json!({ "spec": { "hard": { "pods": self.quota_limit() } } });
                self.patch(resources::RESOURCE_QUOTAS, &quota.object, patch).await;
            }
            Some(quota) => self.delete(resources::RESOURCE_QUOTAS, &quota.object, "").await,
            None => {
                let (name, namespace) = (self.next_name("quota"), self.namespace());
                let document = self.quota(&name);
                self.create(resources::RESOURCE_QUOTAS, namespace, document).await;
            }
        }
    }

    /// A namespace with something in it, which is to go again at once or later.
    async fn want_a_namespace_for_a_while(&mut self) {
        let is_brief = |seen: &&Seen| {
            let header = seen.object.header();
            !header.deleting && header.name.starts_with("brief-")
        };
        let known = self.world.ledger.look(|all| all.of_kind("Namespace").find(is_brief).cloned());
        if let Some(namespace) = known {
            return self.delete(resources::NAMESPACES, &namespace.object, "").await;
        }
        let name = self.next_name("brief");
        let document = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.create(resources::NAMESPACES, "", document).await;
        let (deployment, set) = (self.deployment("web"), self.stateful_set("db"));
        self.create(resources::DEPLOYMENTS, &name, deployment).await;
        self.create(resources::STATEFUL_SETS, &name, set).await;
    }

    /// An object with children and grandchildren, which is to go in one way or another.
    async fn want_a_family(&mut self) {
        let is_head = |seen: &&Seen| seen.object.header().label("role") == Some("head");
        let heads = self.all("ConfigMap");
        if let Some(head) = heads.iter().find(is_head) {
            let propagation = self.pick(&PROPAGATIONS).copied().unwrap_or_default();
            return self.delete(resources::CONFIG_MAPS, &head.object, propagation).await;
        }
        let namespace = self.namespace();
        let mut parents = vec![None];
        for generation in 0..3 {
            let mut children = Vec::new();
            for parent in &parents {
                for _ in 0..(1 + generation) {
                    let name = self.next_name("relative");
                    let role = if generation == 0 { "head" } else { "child" };
                    let mut document = json!({ "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": { "name": name, "labels": { "role": role } } });
                    if let Some(parent) = parent {
                        document["metadata"]["ownerReferences"] = json!([parent]);
                    }
                    self.create(resources::CONFIG_MAPS, namespace, document).await;
                    let key = Key::new(namespace, &name);
                    let made = self.world.ledger.look(|all| all.get("ConfigMap", &key).cloned());
                    let Some(made) = made else { return };
                    let uid = made.object.header().uid.as_str();
                    children.push(Some(json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name,
                        "uid": uid, "blockOwnerDeletion": true })));
                }
            }
            parents = children;
        }
    }

    /// Wants only what can be had: images that work, no pauses, no quotas.
    pub(super) async fn want_what_can_be_had(&mut self) {
        for quota in self.all("ResourceQuota") {
            self.patch(
                resources::RESOURCE_QUOTAS,
                &quota.object,
                json!({ "spec": { "hard": { "pods": "500" } } }),
            )
            .await;
        }
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            for workload in self.all(kind).into_iter().filter(is_broken) {
                self.patch(resource_of(kind), &workload.object, image_patch("v1")).await;
            }
        }
        for deployment in self.all("Deployment") {
            self.patch(resources::DEPLOYMENTS, &deployment.object, json!({ "spec": { "paused": false } }))
                .await;
        }
        for job in self.all("Job") {
            let is_over = job.document["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["type"] == "Complete" || one["type"] == "Failed")
            });
            if !is_over {
                self.patch(resources::JOBS, &job.object, json!({ "spec": { "suspend": false } })).await;
            }
        }
    }

    /// A set that waits for a pod that can never be ready goes on when that pod is gone.
    pub async fn nudge(&self) {
        for pod in self.all("Pod") {
            let is_stuck = pod.document["spec"]["containers"][0]["image"] == BROKEN;
            if is_stuck && pod.object.header().controller().is_some_and(|owner| owner.kind == "StatefulSet") {
                self.delete(resources::PODS, &pod.object, "").await;
            }
        }
    }
}
