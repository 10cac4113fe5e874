//! What a user asks for, as documents.

use serde_json::{Value, json};

use super::User;
use crate::kubelet::BROKEN;

/// The images of applications: the last never works.
const IMAGES: [&str; 4] = ["v1", "v2", "v3", BROKEN];

fn template(app: &str, image: &str, cpu: &str) -> Value {
    json!({ "metadata": { "labels": { "app": app } }, "spec": {
        "terminationGracePeriodSeconds": 5,
        "containers": [{ "name": "c", "image": image, "resources": { "requests": { "cpu": cpu } } }] } })
}

fn workload(api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

impl User {
    /// One of the images.
    pub(super) fn image(&self) -> &'static str {
        if self.chance(10) { BROKEN } else { self.pick(&IMAGES[..3]).copied().unwrap_or("v1") }
    }

    fn cpu(&self) -> &'static str {
        self.pick(&["100m", "500m", "1"]).copied().unwrap_or("100m")
    }

    fn bound(&self) -> Value {
        match self.entropy.below(4) {
            0 => json!("25%"),
            1 => json!("50%"),
            number => json!(number - 1),
        }
    }

    /// A Deployment.
    pub(super) fn deployment(&self, name: &str) -> Value {
        let strategy = if self.chance(15) {
            json!({ "type": "Recreate" })
        } else {
            json!({ "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": self.bound(), "maxUnavailable": self.bound() } })
        };
        let spec = json!({ "replicas": self.entropy.below(8), "strategy": strategy,
            "minReadySeconds": self.entropy.below(2) * 5, "revisionHistoryLimit": self.entropy.below(3),
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, self.image(), self.cpu()) });
        workload("apps/v1", "Deployment", name, spec)
    }

    /// A StatefulSet.
    pub(super) fn stateful_set(&self, name: &str) -> Value {
        let policy = if self.chance(50) { "OrderedReady" } else { "Parallel" };
        let spec = json!({ "replicas": 1 + self.entropy.below(4), "serviceName": name,
            "podManagementPolicy": policy, "selector": { "matchLabels": { "app": name } },
            "template": template(name, self.image(), self.cpu()) });
        workload("apps/v1", "StatefulSet", name, spec)
    }

    /// A DaemonSet.
    pub(super) fn daemon_set(&self, name: &str) -> Value {
        let update = if self.chance(50) {
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } })
        } else {
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } })
        };
        let spec = json!({ "updateStrategy": update, "selector": { "matchLabels": { "app": name } },
            "template": template(name, self.image(), "10m") });
        workload("apps/v1", "DaemonSet", name, spec)
    }

    /// A Job, whose pods succeed or fail after some seconds.
    pub(super) fn job(&self, name: &str) -> Value {
        let code = if self.chance(20) { "1" } else { "0" };
        let seconds = self.entropy.below(30).to_string();
        let mode = if self.chance(50) { "Indexed" } else { "NonIndexed" };
        let spec = json!({ "completions": 1 + self.entropy.below(6), "parallelism": 1 + self.entropy.below(4),
            "completionMode": mode, "backoffLimit": 2,
            "template": { "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [
                { "name": "c", "image": "v1", "command": ["exit", code, seconds] }] } } });
        workload("batch/v1", "Job", name, spec)
    }

    /// A Service for an application.
    pub(super) fn service(&self, name: &str, app: &str) -> Value {
        let spec = json!({ "selector": { "app": app }, "ports": [{ "port": 80 }] });
        workload("v1", "Service", name, spec)
    }

    /// A disruption budget for an application.
    pub(super) fn budget(&self, name: &str, app: &str) -> Value {
        let spec =
            json!({ "minAvailable": self.entropy.below(5), "selector": { "matchLabels": { "app": app } } });
        workload("policy/v1", "PodDisruptionBudget", name, spec)
    }

    /// A quota of pods.
    pub(super) fn quota(&self, name: &str) -> Value {
        workload("v1", "ResourceQuota", name, json!({ "hard": { "pods": self.quota_limit() } }))
    }

    /// How many pods a quota allows.
    pub(super) fn quota_limit(&self) -> String {
        (3 + self.entropy.below(20)).to_string()
    }
}
