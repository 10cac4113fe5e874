//! What happens to machines: kubelets crash, cables are cut, power fails, nodes go for ever and others come.

use client::{Call, Delete, Key, Write, resources};
use serde_json::json;

use super::User;

/// Fewer nodes than these there never are.
const FEWEST: usize = 2;

impl User {
    /// Something happens to one of them.
    pub(super) async fn happen_to_a_machine(&mut self) {
        let nodes = self.world.nodes();
        let names: Vec<&String> = nodes.keys().collect();
        let Some(name) = self.pick(&names).map(|name| (*name).clone()) else { return };
        let node = &nodes[&name];
        let world = self.world.clone();
        match self.entropy.below(9) {
            0 => world.stop_kubelet(&name),
            1 => {
                world.trace.say(format_args!("{name} is cut off"));
                node.cable.cut(true);
            }
            2 | 3 => {
                world.trace.say(format_args!("{name} is there"));
                node.cable.cut(false);
                world.start_kubelet(&name);
            }
            4 => {
                world.power_off(&name);
                world.start_kubelet(&name);
            }
            5 => world.power_off(&name),
            6 if nodes.len() > FEWEST => self.replace(&name).await,
            7 => self.set_unschedulable(&name, self.chance(50)).await,
            _ => self.drain(&name).await,
        }
    }

    /// A machine goes for ever, and another comes.
    async fn replace(&mut self, name: &str) {
        self.world.power_off(name);
        self.world.remove_node(name);
        let key = Key::new("", name);
        self.insist(async || self.client.delete(resources::NODES, &key, Delete::default()).await).await;
        let name = self.next_name("node");
        self.world.add_node(&name);
    }

    async fn set_unschedulable(&self, name: &str, is_unschedulable: bool) {
        let key = Key::new("", name);
        let patch = json!({ "spec": { "unschedulable": is_unschedulable } });
        self.insist(async || self.client.patch(resources::NODES, &key, &patch).await).await;
    }

    /// Asks for the eviction of everything on a node, once.
    async fn drain(&self, name: &str) {
        self.set_unschedulable(name, true).await;
        let pods = self.all("Pod");
        for pod in pods.iter().filter(|pod| pod.document["spec"]["nodeName"] == name) {
            self.evict(&Key::of(&pod.object)).await;
        }
    }

    /// Asks for the eviction of a pod.
    pub(super) async fn evict(&self, key: &Key) {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": key.name.as_str(), "namespace": key.namespace.as_str() } });
        let call = Call::object(&key.namespace, &key.name).subresource("eviction");
        let write = Write::Create(eviction.to_string().into_bytes().into());
        // What a budget forbids is no concern of the user's.
        let _ = self.evictor.write(resources::PODS, call, write).await;
    }

    /// All machines run and may be used.
    pub(super) async fn mend_machines(&mut self) {
        self.world.mend();
        for name in self.world.nodes().keys() {
            self.set_unschedulable(name, false).await;
        }
    }
}
