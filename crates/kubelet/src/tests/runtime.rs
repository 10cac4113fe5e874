//! A container runtime whose containers are state machines. What a container does is written in its command:
//! `run` (for ever), `exit CODE SECS`, `stubborn` (ignores its stop signal), `broken` (cannot be started).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cri::{
    AttachRequest, BoxFuture, Container, ContainerConfig, ContainerState, ContainerStats, ContainerUser,
    Credentials, Duplex, Event, Events, ExecOutput, ExecRequest, Handler, Image, Resources, Result, Runtime,
    RuntimeError, Sandbox, SandboxConfig, SandboxState, Session,
};
use env::Env;
use tokio::sync::mpsc;

#[derive(Debug, Default)]
struct State {
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
    configs: BTreeMap<String, ContainerConfig>,
    images: BTreeSet<String>,
    listeners: Vec<mpsc::UnboundedSender<Event>>,
    made: u32,
    /// What happened, in order.
    log: Vec<String>,
    /// Commands that fail when they are run in a container.
    failing: BTreeSet<String>,
    /// Images that cannot be pulled.
    missing: BTreeSet<String>,
    /// What keeps it from running pods.
    obstacles: Vec<String>,
}

/// The runtime.
#[derive(Debug)]
pub(crate) struct FakeRuntime {
    env: Env,
    state: Arc<Mutex<State>>,
}

fn finish(state: &mut State, env: &Env, id: &str, code: i32) {
    let now = env.clock.now().0;
    let Some(container) = state.containers.get_mut(id) else { return };
    if container.state != ContainerState::Running {
        return;
    }
    container.state = ContainerState::Exited;
    container.exit_code = code;
    container.finished_at = now;
    container.pid = 0;
    let (name, pod) = (container.name.clone(), container.pod.clone());
    state.log.push(format!("end {name} {code}"));
    state.listeners.retain(|listener| listener.send(Event::Pod(pod.clone())).is_ok());
}

impl FakeRuntime {
    pub fn new(env: Env) -> Arc<FakeRuntime> {
        Arc::new(FakeRuntime { env, state: Arc::default() })
    }

    /// What happened so far.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// Whether a command fails when it is run in a container.
    pub fn set_failing(&self, command: &str, failing: bool) {
        let mut state = self.state.lock().unwrap();
        if failing {
            state.failing.insert(command.to_owned());
        } else {
            state.failing.remove(command);
        }
    }

    /// Whether an image can be pulled.
    pub fn set_missing(&self, image: &str, missing: bool) {
        let mut state = self.state.lock().unwrap();
        if missing {
            state.missing.insert(image.to_owned());
        } else {
            state.missing.remove(image);
        }
    }

    /// What keeps it from running pods.
    pub fn set_obstacles(&self, obstacles: &[&str]) {
        self.state.lock().unwrap().obstacles = obstacles.iter().map(|text| (*text).to_owned()).collect();
    }

    /// The containers there are.
    pub fn containers(&self) -> Vec<Container> {
        self.state.lock().unwrap().containers.values().cloned().collect()
    }

    /// What the newest container of that name was made from.
    pub fn config(&self, name: &str) -> ContainerConfig {
        let state = self.state.lock().unwrap();
        let newest = state.containers.values().filter(|c| c.name == name).max_by_key(|c| c.attempt).unwrap();
        state.configs[&newest.id].clone()
    }

    /// Where the newest container of that name logs to.
    pub fn set_log(&self, name: &str, path: &std::path::Path) {
        let mut state = self.state.lock().unwrap();
        let newest =
            state.containers.values_mut().filter(|c| c.name == name).max_by_key(|c| c.attempt).unwrap();
        newest.log_path = path.to_owned();
        let pod = newest.pod.clone();
        state.listeners.retain(|listener| listener.send(Event::Pod(pod.clone())).is_ok());
    }

    /// The sandboxes there are.
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        self.state.lock().unwrap().sandboxes.values().cloned().collect()
    }

    /// Ends a container from outside.
    pub fn crash(&self, name: &str, code: i32) {
        let mut state = self.state.lock().unwrap();
        let id = state
            .containers
            .values()
            .find(|c| c.name == name && c.state == ContainerState::Running)
            .unwrap()
            .id
            .clone();
        finish(&mut state, &self.env, &id, code);
    }

    /// Kills a sandbox with all that is in it.
    pub fn lose_sandboxes(&self) {
        let mut state = self.state.lock().unwrap();
        let ids: Vec<String> = state.containers.keys().cloned().collect();
        for id in ids {
            finish(&mut state, &self.env, &id, 137);
        }
        for sandbox in state.sandboxes.values_mut() {
            sandbox.state = SandboxState::NotReady;
        }
        let pods: Vec<_> = state.sandboxes.values().map(|sandbox| sandbox.pod.clone()).collect();
        for pod in pods {
            state.listeners.retain(|listener| listener.send(Event::Pod(pod.clone())).is_ok());
        }
    }
}

struct Listener(mpsc::UnboundedReceiver<Event>);

impl Events for Listener {
    fn next(&mut self) -> BoxFuture<'_, Option<Event>> {
        Box::pin(async move { self.0.recv().await })
    }
}

fn missing(what: &'static str, id: &str) -> RuntimeError {
    RuntimeError::NotFound { what, id: id.to_owned() }
}

fn later<'a, T: Send + 'a>(value: Result<T>) -> BoxFuture<'a, Result<T>> {
    Box::pin(async move { value })
}

impl Runtime for FakeRuntime {
    fn version(&self) -> (String, String) {
        ("fake".to_owned(), "0.1".to_owned())
    }

    fn handlers(&self) -> Vec<Handler> {
        let able = Handler { recursive_readonly_mounts: true, ..Handler::default() };
        let users = Handler { name: "users".to_owned(), user_namespaces: true, ..able.clone() };
        vec![able.clone(), Handler { name: "fast".to_owned(), ..able }, users]
    }

    fn obstacles(&self) -> BoxFuture<'_, Vec<String>> {
        let obstacles = self.state.lock().unwrap().obstacles.clone();
        Box::pin(async { obstacles })
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<String>> {
        Box::pin(async move {
            if !self.handlers().iter().any(|handler| handler.name == config.handler) {
                return Err(RuntimeError::Invalid(format!(
                    "no runtime for {:?} is configured",
                    config.handler
                )));
            }
            self.env.clock.sleep(Duration::from_millis(50)).await;
            let mut state = self.state.lock().unwrap();
            state.made += 1;
            let id = format!("s{}", state.made);
            let host_network = config.namespaces.network == cri::NamespaceMode::Node;
            let ip = format!("10.0.0.{}", state.made).parse().unwrap();
            let sandbox = Sandbox {
                id: id.clone(),
                pod: config.pod.clone(),
                attempt: config.attempt,
                state: SandboxState::Ready,
                created_at: self.env.clock.now().0,
                ips: if host_network { Vec::new() } else { vec![ip] },
                host_network,
                namespaces: config.namespaces,
                handler: config.handler,
                labels: config.labels,
                annotations: config.annotations,
                resources: config.resources,
            };
            state.log.push(format!("sandbox {}", config.pod.name));
            state.sandboxes.insert(id.clone(), sandbox);
            Ok(id)
        })
    }

    fn stop_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state.lock().unwrap();
        if let Some(sandbox) = state.sandboxes.get_mut(&id) {
            sandbox.state = SandboxState::NotReady;
            let name = sandbox.pod.name.clone();
            state.log.push(format!("stop sandbox {name}"));
        }
        let inside: Vec<String> = state
            .containers
            .values()
            .filter(|container| container.sandbox == id)
            .map(|c| c.id.clone())
            .collect();
        for container in inside {
            finish(&mut state, &self.env, &container, 137);
        }
        later(Ok(()))
    }

    fn remove_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state.lock().unwrap();
        let removed = state.sandboxes.remove(&id);
        state.containers.retain(|_, container| container.sandbox != id);
        if let Some(sandbox) = removed {
            let event = Event::Pod(sandbox.pod);
            state.listeners.retain(|listener| listener.send(event.clone()).is_ok());
        }
        later(Ok(()))
    }

    fn list_sandboxes(&self) -> BoxFuture<'_, Result<Vec<Sandbox>>> {
        later(Ok(self.sandboxes()))
    }

    fn create_container(&self, sandbox: String, config: ContainerConfig) -> BoxFuture<'_, Result<String>> {
        let mut state = self.state.lock().unwrap();
        let Some(pod) = state.sandboxes.get(&sandbox).map(|sandbox| sandbox.pod.clone()) else {
            return later(Err(missing("sandbox", &sandbox)));
        };
        state.made += 1;
        let id = format!("c{}", state.made);
        let container = Container {
            id: id.clone(),
            sandbox,
            pod,
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            created_at: self.env.clock.now().0,
            image: config.user_image.clone(),
            image_id: config.image.clone(),
            image_ref: format!("{}@sha256:00", config.user_image),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            resources: config.resources.clone(),
            user: Some(ContainerUser { uid: 0, gid: 0, supplemental_groups: vec![0] }),
            ..Container::default()
        };
        state.containers.insert(id.clone(), container);
        state.configs.insert(id.clone(), config);
        later(Ok(id))
    }

    fn start_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state.lock().unwrap();
        let Some(config) = state.configs.get(&id).cloned() else {
            return later(Err(missing("container", &id)));
        };
        if config.command.first().is_some_and(|word| word == "broken") {
            let now = self.env.clock.now().0;
            let container = state.containers.get_mut(&id).unwrap();
            container.state = ContainerState::Exited;
            container.exit_code = 128;
            container.reason = "StartError".to_owned();
            container.finished_at = now;
            return later(Err(RuntimeError::Failed("no such executable".to_owned())));
        }
        if config.command.first().is_some_and(|word| state.failing.contains(word)) {
            return Box::pin(std::future::pending());
        }
        let now = self.env.clock.now().0;
        let container = state.containers.get_mut(&id).unwrap();
        container.state = ContainerState::Running;
        container.started_at = now;
        container.pid = 100;
        state.log.push(format!("start {} {}", config.name, config.attempt));
        if let [word, code, secs] = config.command.as_slice()
            && word == "exit"
        {
            let (code, secs) = (code.parse().unwrap(), secs.parse().unwrap());
            let (env, shared) = (self.env.clone(), self.state.clone());
            // Containers outlive the kubelet: they are not among its tasks.
            env::Tasks::new().spawn("container", async move {
                env.clock.sleep(Duration::from_secs(secs)).await;
                finish(&mut shared.lock().unwrap(), &env, &id, code);
            });
        }
        later(Ok(()))
    }

    fn stop_container(&self, id: String, grace_secs: u32) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let stubborn = {
                let mut state = self.state.lock().unwrap();
                let Some(config) = state.configs.get(&id).cloned() else { return Ok(()) };
                state.log.push(format!("stop {} {grace_secs}", config.name));
                config.command.first().is_some_and(|word| word == "stubborn")
            };
            let (wait, code) = if stubborn { (u64::from(grace_secs) * 1_000, 137) } else { (100, 143) };
            self.env.clock.sleep(Duration::from_millis(wait)).await;
            finish(&mut self.state.lock().unwrap(), &self.env, &id, code);
            Ok(())
        })
    }

    fn remove_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        self.state.lock().unwrap().containers.remove(&id);
        later(Ok(()))
    }

    fn list_containers(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        later(Ok(self.containers()))
    }

    fn container(&self, id: String) -> BoxFuture<'_, Result<Container>> {
        let found = self.state.lock().unwrap().containers.get(&id).cloned();
        later(found.ok_or_else(|| missing("container", &id)))
    }

    fn update_sandbox_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state.lock().unwrap();
        let mut inside =
            state.containers.values().filter(|one| one.sandbox == id && one.state == ContainerState::Running);
        // As the kernel does: no part may have more than the whole.
        if resources.cpu_quota > 0 && inside.any(|one| one.resources.cpu_quota > resources.cpu_quota) {
            return later(Err(RuntimeError::Failed("a container has more than the pod".to_owned())));
        }
        if let Some(sandbox) = state.sandboxes.get_mut(&id) {
            sandbox.resources = resources;
        }
        later(Ok(()))
    }

    fn update_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state.lock().unwrap();
        let sandbox =
            state.containers.get(&id).map(|container| container.sandbox.clone()).unwrap_or_default();
        let whole = state.sandboxes.get(&sandbox).map_or(-1, |sandbox| sandbox.resources.cpu_quota);
        if whole > 0 && resources.cpu_quota > whole {
            return later(Err(RuntimeError::Failed("the pod has less than that".to_owned())));
        }
        if let Some(container) = state.containers.get_mut(&id) {
            container.resources = resources;
        }
        later(Ok(()))
    }

    fn reopen_log(&self, _id: String) -> BoxFuture<'_, Result<()>> {
        later(Ok(()))
    }

    fn exec_sync(
        &self,
        id: String,
        command: Vec<String>,
        _limit_secs: u32,
    ) -> BoxFuture<'_, Result<ExecOutput>> {
        let mut state = self.state.lock().unwrap();
        let name = state.configs.get(&id).map(|config| config.name.clone()).unwrap_or_default();
        let command = command.join(" ");
        state.log.push(format!("exec {name} {command}"));
        let failing = state.failing.contains(&command);
        drop(state);
        if command == "unreachable" {
            return later(Err(RuntimeError::Failed("it cannot be run".to_owned())));
        }
        let pause = command.strip_prefix("sleep ").and_then(|secs| secs.parse().ok()).unwrap_or(0);
        Box::pin(async move {
            self.env.clock.sleep(Duration::from_secs(pause)).await;
            Ok(ExecOutput { stdout: b"said".to_vec(), stderr: Vec::new(), exit_code: i32::from(failing) })
        })
    }

    fn exec(&self, id: String, request: ExecRequest) -> BoxFuture<'_, Result<Session>> {
        let (stdin, mut typed) = mpsc::channel::<Vec<u8>>(8);
        let (print, stdout) = mpsc::channel::<Vec<u8>>(8);
        let (complain, stderr) = mpsc::channel::<Vec<u8>>(8);
        let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(8);
        let (done, exit) = tokio::sync::oneshot::channel();
        if !self.state.lock().unwrap().containers.contains_key(&id) {
            return later(Err(missing("container", &id)));
        }
        // `cat` answers what it is told; anything else prints its command; the last word is its exit code.
        let command = request.command.clone();
        env::Tasks::new().spawn("command", async move {
            if command.first().is_some_and(|word| word == "cat") {
                while let Some(bytes) = typed.recv().await {
                    let _ = print.send(bytes).await;
                }
            } else if command.first().is_some_and(|word| word == "size") {
                let (columns, rows) = sizes.recv().await.unwrap_or_default();
                let _ = print.send(format!("{columns}x{rows}").into_bytes()).await;
            } else {
                let _ = print.send(command.join(" ").into_bytes()).await;
                let _ = complain.send(b"complaint".to_vec()).await;
            }
            let code = command.last().and_then(|word| word.parse().ok()).unwrap_or(0);
            let _ = done.send(Ok(code));
        });
        later(Ok(Session {
            stdin: request.stdin.then_some(stdin),
            stdout: request.stdout.then_some(stdout),
            stderr: (request.stderr && !request.tty).then_some(stderr),
            resize: request.tty.then_some(resize),
            exit,
        }))
    }

    fn attach(&self, id: String, request: AttachRequest) -> BoxFuture<'_, Result<Session>> {
        let request = ExecRequest {
            // The container ends, badly, when it is told nothing more.
            command: vec!["cat".to_owned(), "7".to_owned()],
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        self.exec(id, request)
    }

    fn port_forward(&self, _sandbox: String, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        if port == 1 {
            return later(Err(RuntimeError::Failed("connection refused".to_owned())));
        }
        env::Tasks::new().spawn("echo", async move {
            let (mut read, mut write) = tokio::io::split(&mut theirs);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        later(Ok(Box::new(ours) as Box<dyn Duplex>))
    }

    fn events(&self) -> BoxFuture<'_, Result<Box<dyn Events>>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().listeners.push(sender);
        later(Ok(Box::new(Listener(receiver)) as Box<dyn Events>))
    }

    fn list_images(&self) -> BoxFuture<'_, Result<Vec<Image>>> {
        let images = self.state.lock().unwrap().images.clone();
        later(Ok(images.into_iter().map(|name| image(&name)).collect()))
    }

    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>> {
        let there = self.state.lock().unwrap().images.contains(&reference);
        later(Ok(there.then(|| image(&reference))))
    }

    fn pull_image(&self, reference: String, _credentials: Vec<Credentials>) -> BoxFuture<'_, Result<String>> {
        Box::pin(async move {
            self.env.clock.sleep(Duration::from_millis(1_200)).await;
            let mut state = self.state.lock().unwrap();
            state.log.push(format!("pull {reference}"));
            if state.missing.contains(&reference) {
                return Err(RuntimeError::Image("no such image".to_owned()));
            }
            state.images.insert(reference.clone());
            Ok(reference)
        })
    }

    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>> {
        self.state.lock().unwrap().images.remove(&reference);
        later(Ok(()))
    }

    fn image_usage(&self) -> BoxFuture<'_, Result<u64>> {
        later(Ok(0))
    }

    fn container_stats(&self, _id: String) -> BoxFuture<'_, Result<ContainerStats>> {
        later(Ok(ContainerStats {
            timestamp: self.env.clock.now().0,
            cpu_usage_nanos: 1_500_000_000,
            memory_working_set: 4_096,
            ..ContainerStats::default()
        }))
    }
}

fn image(name: &str) -> Image {
    Image { id: name.to_owned(), tags: vec![name.to_owned()], size: 1_000, uid: Some(0), ..Image::default() }
}
