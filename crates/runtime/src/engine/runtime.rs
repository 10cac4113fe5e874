//! The engine as the port the kubelet knows.

use cri::{
    AttachRequest, BoxFuture, Container, ContainerConfig, ContainerStats, Credentials, Duplex, Event, Events,
    ExecOutput, ExecRequest, Handler, Image, PodId, Resources, Result, Runtime, Sandbox, SandboxConfig,
    Session,
};
use tokio::sync::broadcast;

use super::Engine;

impl Runtime for Engine {
    fn version(&self) -> (String, String) {
        ("ironclad".into(), env!("CARGO_PKG_VERSION").into())
    }

    fn handlers(&self) -> Vec<Handler> {
        let user_namespaces = crate::sys::process::can_map_users();
        let handler = |name: &&str| Handler {
            name: (*name).to_owned(),
            recursive_readonly_mounts: true,
            user_namespaces,
        };
        super::sandboxes::HANDLERS.iter().map(handler).collect()
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<String>> {
        Box::pin(self.shared.run_sandbox(config))
    }

    fn stop_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.stop_sandbox(&id).await })
    }

    fn remove_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.remove_sandbox(&id).await })
    }

    fn update_sandbox_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.update_sandbox_resources(&id, resources).await })
    }

    fn list_sandboxes(&self) -> BoxFuture<'_, Result<Vec<Sandbox>>> {
        let all: Vec<_> = self.shared.state().sandboxes.values().cloned().collect();
        // Those that are being made are nobody's yet.
        Box::pin(std::future::ready(Ok(all
            .iter()
            .map(|sandbox| self.shared.describe_sandbox(sandbox))
            .collect())))
    }

    fn create_container(&self, sandbox: String, config: ContainerConfig) -> BoxFuture<'_, Result<String>> {
        Box::pin(async move { self.shared.create_container(&sandbox, config).await })
    }

    fn start_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.start_container(&id).await })
    }

    fn stop_container(&self, id: String, grace_secs: u32) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.stop_container(&id, grace_secs).await })
    }

    fn remove_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.remove_container(&id).await })
    }

    fn list_containers(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        let all: Vec<_> = self.shared.state().containers.values().cloned().collect();
        Box::pin(std::future::ready(Ok(all
            .iter()
            .map(|container| self.shared.describe_container(container))
            .collect())))
    }

    fn container(&self, id: String) -> BoxFuture<'_, Result<Container>> {
        let found = self.shared.container(&id);
        Box::pin(std::future::ready(found.map(|container| self.shared.describe_container(&container))))
    }

    fn update_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.update_resources(&id, resources).await })
    }

    fn reopen_log(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.reopen_log(&id).await })
    }

    fn exec_sync(
        &self,
        id: String,
        command: Vec<String>,
        limit_secs: u32,
    ) -> BoxFuture<'_, Result<ExecOutput>> {
        Box::pin(async move { self.shared.exec_sync(&id, command, limit_secs).await })
    }

    fn exec(&self, id: String, request: ExecRequest) -> BoxFuture<'_, Result<Session>> {
        Box::pin(async move { self.shared.exec(&id, request).await })
    }

    fn attach(&self, id: String, request: AttachRequest) -> BoxFuture<'_, Result<Session>> {
        Box::pin(async move { self.shared.attach(&id, request).await })
    }

    fn port_forward(&self, sandbox: String, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        Box::pin(async move { self.shared.port_forward(&sandbox, port).await })
    }

    fn events(&self) -> BoxFuture<'_, Result<Box<dyn Events>>> {
        let events: Box<dyn Events> = Box::new(PodEvents { receiver: self.shared.events.subscribe() });
        Box::pin(std::future::ready(Ok(events)))
    }

    fn list_images(&self) -> BoxFuture<'_, Result<Vec<Image>>> {
        Box::pin(std::future::ready(Ok(self.shared.images.list())))
    }

    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>> {
        let found = self.shared.images.find(&reference);
        Box::pin(std::future::ready(found.map(|image| image.map(|image| image.describe()))))
    }

    fn pull_image(&self, reference: String, credentials: Vec<Credentials>) -> BoxFuture<'_, Result<String>> {
        Box::pin(async move { self.shared.pull_image(&reference, &credentials).await })
    }

    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.shared.remove_image(reference).await })
    }

    fn image_usage(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(std::future::ready(Ok(self.shared.images.usage())))
    }

    fn container_stats(&self, id: String) -> BoxFuture<'_, Result<ContainerStats>> {
        Box::pin(async move {
            let container = self.shared.container(&id)?;
            let shared = self.shared.clone();
            self.shared.blocking(move || Ok(shared.container_stats(&container))).await
        })
    }
}

/// One consumer's view of what changes.
struct PodEvents {
    receiver: broadcast::Receiver<PodId>,
}

impl Events for PodEvents {
    fn next(&mut self) -> BoxFuture<'_, Option<Event>> {
        Box::pin(async move {
            match self.receiver.recv().await {
                Ok(pod) => Some(Event::Pod(pod)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Lagged),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
    }
}
