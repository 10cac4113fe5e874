//! What the runtime says of one pod.

use std::net::IpAddr;

use cri::{Container, ContainerState, Sandbox, SandboxState};

/// The sandboxes and containers of a pod, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    sandboxes: Vec<Sandbox>,
    containers: Vec<Container>,
}

impl Observed {
    /// From what the runtime listed, in any order.
    pub fn new(mut sandboxes: Vec<Sandbox>, mut containers: Vec<Container>) -> Observed {
        sandboxes.sort_by(|a, b| (b.attempt, b.created_at, &b.id).cmp(&(a.attempt, a.created_at, &a.id)));
        containers.sort_by(|a, b| (b.attempt, b.created_at, &b.id).cmp(&(a.attempt, a.created_at, &a.id)));
        Observed { sandboxes, containers }
    }

    /// All sandboxes, the newest first.
    pub fn sandboxes(&self) -> &[Sandbox] {
        &self.sandboxes
    }

    /// All containers, the newest first.
    pub fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest sandbox if containers can run in it.
    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandbox().filter(|sandbox| {
            sandbox.state == SandboxState::Ready && (sandbox.host_network || !sandbox.ips.is_empty())
        })
    }

    /// The pod's addresses on its own network.
    pub fn ips(&self) -> &[IpAddr] {
        self.sandbox().map_or(&[], |sandbox| &sandbox.ips)
    }

    /// The newest container of that name.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The newest container of that name, if it is in the newest sandbox.
    pub fn active(&self, name: &str) -> Option<&Container> {
        let sandbox = self.sandbox()?;
        self.latest(name).filter(|container| container.sandbox == sandbox.id)
    }

    /// The containers of that name whose processes began, the newest first.
    pub fn begun(&self, name: &str) -> impl Iterator<Item = &Container> {
        let of_name = self.containers.iter().filter(move |container| container.name == name);
        of_name.filter(|container| container.state != ContainerState::Created)
    }

    /// A container by its id.
    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// Containers whose processes exist.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| container.state == ContainerState::Running)
    }

    /// Whether nothing of the pod is left.
    pub fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }
}
