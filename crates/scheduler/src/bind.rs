//! Writing down what was decided.

use client::plan::Note;
use client::recorder::{About, Source};
use client::{Call, Client, Key, Recorder, Write, resources, time};
use env::Env;
use machinery::Status;
use serde_json::json;

use crate::decide::preempt::Preemption;
use crate::pod::{self, Pod};

/// Who writes and tells.
#[derive(Clone, Debug)]
pub struct Pen {
    client: Client,
    env: Env,
    binding: Recorder,
    scheduling: Recorder,
    preempting: Recorder,
}

impl Pen {
    /// Writes as `client`.
    pub fn new(client: Client, env: &Env) -> Pen {
        let recorder = |action| {
            let source = Source { component: "default-scheduler", host: String::new(), action };
            Recorder::start(client.clone(), source, env)
        };
        Pen {
            binding: recorder("Binding"),
            scheduling: recorder("Scheduling"),
            preempting: recorder("Preempting"),
            env: env.clone(),
            client,
        }
    }

    /// Binds a pod to a node, and tells so.
    pub async fn bind(&self, pod: &Pod, node: &str) -> Result<(), Status> {
        let header = pod.object.header();
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": header.name.as_str(), "namespace": header.namespace.as_str(), "uid": header.uid.as_str() },
            "target": { "kind": "Node", "name": node },
        });
        let call = Call::object(&header.namespace, &header.name).subresource("binding");
        let body = binding.to_string().into_bytes().into();
        self.client.write(resources::PODS, call, Write::Create(body)).await?;
        let text = format!("Successfully assigned {} to {node}", header.key());
        self.binding.note(Note::normal(&About::object(&pod.object), "Scheduled", text));
        Ok(())
    }

    /// Tells that a pod has to wait, and why; in its status only if that is news.
    pub async fn wait(&self, pod: &Pod, reason: &str, message: &str, promise: &str) -> Result<(), Status> {
        if reason == "Unschedulable" {
            self.scheduling.note(Note::warning(&About::object(&pod.object), "FailedScheduling", message));
        }
        let known = pod.facts.scheduled.as_deref();
        let is_known = known.is_some_and(|(status, a_reason, text)| {
            status == "False" && a_reason == reason && text == message
        });
        if is_known && pod.facts.nominated == promise {
            return Ok(());
        }
        let header = pod.object.header();
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "observedGeneration": header.generation,
            "reason": reason,
            "message": message,
        });
        if known.is_none_or(|(status, _, _)| status != "False") {
            condition["lastTransitionTime"] = json!(time::seconds(self.env.clock.now()));
        }
        let mut status = json!({ "conditions": [condition] });
        if pod.facts.nominated != promise {
            status["nominatedNodeName"] = if promise.is_empty() { json!(null) } else { json!(promise) };
        }
        let patch = json!({ "metadata": { "uid": header.uid.as_str() }, "status": status });
        let call = Call::object(&header.namespace, &header.name).subresource("status");
        let write = Write::StrategicPatch(patch.to_string().into_bytes().into());
        match self.client.write(resources::PODS, call, write).await {
            // Gone, or replaced by another of its name: there is nobody to tell.
            Err(status) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes room: tells each victim why, and removes it.
    pub async fn preempt(&self, preemptor: &Pod, preemption: &Preemption) -> Result<(), Status> {
        for victim in preemption.victims.iter().filter(|victim| !victim.object.header().deleting) {
            let header = victim.object.header();
            let message = "default-scheduler: preempting to accommodate a higher priority pod";
            let condition = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "observedGeneration": header.generation,
                "reason": "PreemptionByScheduler",
                "message": message,
                "lastTransitionTime": time::seconds(self.env.clock.now()),
            });
            let patch = json!({ "metadata": { "uid": header.uid.as_str() }, "status": { "conditions": [condition] } });
            let call = Call::object(&header.namespace, &header.name);
            let write = Write::StrategicPatch(patch.to_string().into_bytes().into());
            let told = self.client.write(resources::PODS, call.clone().subresource("status"), write).await;
            let removed = match told {
                Ok(_) => {
                    let how = client::Delete { uid: header.uid.to_string(), ..client::Delete::default() };
                    self.client.delete(resources::PODS, &Key::new(&header.namespace, &header.name), how).await
                }
                failed => failed,
            };
            match removed {
                Ok(_) => {
                    let text = format!(
                        "Preempted by pod {} on node {}",
                        preemptor.object.header().uid,
                        preemption.node
                    );
                    self.preempting.note(Note::normal(&About::object(&victim.object), "Preempted", text));
                }
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        tracing::debug!(pod = %pod::key(preemptor), node = %preemption.node, "room is being made");
        Ok(())
    }
}
