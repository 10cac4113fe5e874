//! What a worker has done beside it, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Call, Delete, Write, resources};
use cri::{Container, PodId, Resources};
use env::WallTime;
use k8s_openapi::api::node::v1::RuntimeClass;
use machinery::field::go_quote;

use super::mounts;
use super::start::Failure;
use crate::environment::{self, SourceKind};
use crate::files::resolv::Resolv;
use crate::hooks;
use crate::kit::{Kit, about, about_member};
use crate::launch;
use crate::observed::Observed;
use crate::plan::Kill;
use crate::pod::PodView;
use crate::volumes::{self, TokenStore, VolumeError, content};

/// What came of an operation.
pub(super) enum Done {
    /// Volumes were made or renewed.
    Mounted { tokens: TokenStore, renew_at: Option<WallTime>, errors: Vec<VolumeError> },
    /// A sandbox was made, or why not.
    SandboxStarted(Result<(), String>),
    /// Volumes were taken away, or why not.
    Unmounted(Result<(), String>),
    /// Directories were taken away, or why not.
    Cleaned(Result<(), String>),
    /// Anything else about the pod as a whole.
    OfPod(Result<(), String>),
    /// A container was removed, or why not.
    Removed(Result<(), String>),
    /// A container was started, or why it waits.
    Started { name: String, result: Result<(), Failure> },
    /// A container was told what it may use, or why not.
    Resized { name: String, result: Result<(), String> },
    /// A container was stopped, or why not.
    Killed { name: String, result: Result<(), String> },
    /// Whether the API let go of the pod.
    Deleted(bool),
}

/// What came of an operation, and whether the runtime has something new to tell.
pub(super) struct Outcome {
    pub done: Done,
    pub changed_runtime: bool,
}

fn told(done: Done) -> Outcome {
    Outcome { done, changed_runtime: true }
}

fn quiet(done: Done) -> Outcome {
    Outcome { done, changed_runtime: false }
}

/// Runs blocking work; a panic in it is an error.
pub(super) async fn blocking<T: Send + 'static>(
    kit: &Kit,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    kit.env.tasks.blocking(work).await.unwrap_or_else(|| Err("it panicked; this is a defect".to_owned()))
}

/// The objects a pod refers to: in volumes, in variables, and for pulling.
pub(super) fn references(pod: &PodView) -> BTreeSet<(SourceKind, String)> {
    let mut all = BTreeSet::new();
    for volume in pod.spec().volumes.iter().flatten() {
        all.extend(content::references(volume));
    }
    for member in pod.members() {
        all.extend(environment::references(&member.spec));
    }
    for secret in pod.spec().image_pull_secrets.iter().flatten() {
        all.insert((SourceKind::Secret, secret.name.clone()));
    }
    all
}

/// The data of objects a pod refers to.
pub(super) async fn objects(
    kit: &Kit,
    pod: &PodView,
    wanted: BTreeSet<(SourceKind, String)>,
) -> Result<content::Objects, String> {
    let mut objects = content::Objects::new();
    for (kind, name) in wanted {
        let data = kit.sources.data(kind, pod.namespace(), &name).await.map_err(|status| status.message)?;
        objects.insert((kind, name), data);
    }
    Ok(objects)
}

pub(super) async fn mount(
    kit: Arc<Kit>,
    pod: PodView,
    observed: Arc<Observed>,
    mut tokens: TokenStore,
) -> Outcome {
    let all = references(&pod);
    kit.sources.set(pod.uid(), pod.namespace(), &all);
    let volumes = pod.spec().volumes.as_deref().unwrap_or_default();
    let fail = |volume: &str, message: String| vec![VolumeError { volume: volume.to_owned(), message }];
    let mut found = content::Objects::new();
    let mut errors = Vec::new();
    for volume in volumes {
        match objects(&kit, &pod, content::references(volume)).await {
            Ok(objects) => found.extend(objects),
            Err(message) => errors.extend(fail(&volume.name, message)),
        }
    }
    let wishes: BTreeSet<content::TokenWish> = volumes.iter().flat_map(content::tokens).collect();
    let (texts, renew_at) = match tokens.get(&kit.client, &kit.env, &pod, wishes.into_iter()).await {
        Ok(got) => got,
        Err(status) => {
            let volume = volumes.iter().find(|volume| !content::tokens(volume).is_empty());
            let name = volume.map_or("", |volume| &volume.name);
            errors.extend(fail(name, format!("failed to fetch token: {}", status.message)));
            (BTreeMap::new(), None)
        }
    };
    if errors.is_empty() {
        let own = kit.myself(&pod, observed.ips());
        let materials = content::Materials { own, objects: &found, tokens: &texts };
        let jobs = volumes::jobs(&materials, kit.config.pod_dir(pod.uid()), kit.env.clock.now());
        match blocking(&kit, move || Ok(volumes::make(&jobs))).await {
            Ok(failed) => errors = failed,
            Err(message) => errors.extend(fail("", message)),
        }
    }
    quiet(Done::Mounted { tokens, renew_at, errors })
}

pub(super) async fn start_sandbox(kit: Arc<Kit>, pod: PodView, attempt: u32) -> Outcome {
    let way = match way(&kit, &pod, attempt).await {
        Ok(way) => way,
        Err(error) => return quiet(Done::SandboxStarted(Err(error))),
    };
    let config = launch::sandbox(&kit.config, &pod, way);
    let directory = config.log_directory.clone();
    let made =
        blocking(&kit, move || std::fs::create_dir_all(directory).map_err(|error| error.to_string())).await;
    if let Err(error) = made {
        return quiet(Done::SandboxStarted(Err(error)));
    }
    if attempt > 0 {
        let message = "Pod sandbox changed, it will be killed and re-created.";
        kit.recorder.normal(&about(&pod), "SandboxChanged", message);
    }
    let result = kit.runtime.run_sandbox(config).await.map(drop).map_err(|error| error.to_string());
    told(Done::SandboxStarted(result))
}

/// How the pod's sandbox is to be run: by the handler that its runtime class names, which must be able to do what the pod
/// wants, and with which user ids.
async fn way(kit: &Arc<Kit>, pod: &PodView, attempt: u32) -> Result<launch::Way, String> {
    let class = pod.spec().runtime_class_name.as_deref().unwrap_or_default();
    let name = if class.is_empty() {
        String::new()
    } else {
        let found = kit.client.get::<RuntimeClass>("", class).await;
        found
            .map_err(|status| format!("failed to lookup RuntimeClass {class}: {}", status.message))?
            .handler
            .clone()
    };
    let known = kit.runtime.handlers();
    let able = known.iter().any(|handler| handler.name == name && handler.user_namespaces);
    let wants_users = pod.spec().host_users == Some(false);
    if wants_users && !able {
        let who = match name.as_str() {
            "" => "runtime".to_owned(),
            name => format!("RuntimeClass handler {}", go_quote(name)),
        };
        return Err(format!("can't set `spec.hostUsers: false`, {who} does not support user namespaces"));
    }
    let users = if wants_users {
        let (shared, uid) = (kit.clone(), pod.uid().to_owned());
        let taken = blocking(kit, move || shared.users.take(&shared.config.root.join("pods"), &uid)).await;
        Some(taken.map_err(|error| format!("create user namespace: {error}"))?)
    } else {
        None
    };
    Ok(launch::Way { attempt, handler: name, users })
}

pub(super) async fn stop_sandbox(kit: Arc<Kit>, id: String) -> Outcome {
    told(Done::OfPod(kit.runtime.stop_sandbox(id).await.map_err(|error| error.to_string())))
}

pub(super) async fn remove_sandbox(kit: Arc<Kit>, id: String) -> Outcome {
    told(Done::OfPod(kit.runtime.remove_sandbox(id).await.map_err(|error| error.to_string())))
}

pub(super) async fn remove(kit: Arc<Kit>, container: Container) -> Outcome {
    let removed = kit.runtime.remove_container(container.id.clone()).await;
    if let Err(error) = removed {
        return told(Done::Removed(Err(error.to_string())));
    }
    let log = container.log_path.clone();
    let message =
        launch::message_file(&kit.config.pod_dir(&container.pod.uid), &container.name, container.attempt);
    let result = blocking(&kit, move || {
        // What was put aside of its log goes with it.
        let aside = crate::logs::rotate::rotated(&log).unwrap_or_default();
        for path in [log, message].into_iter().chain(aside) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    });
    told(Done::Removed(result.await))
}

/// Tells a pod as a whole what it may use.
pub(super) async fn resize_pod(kit: Arc<Kit>, pod: PodView, id: String, resources: Resources) -> Outcome {
    let result = kit.runtime.update_sandbox_resources(id, resources).await;
    if let Err(error) = &result {
        let message = format!("Failed to resize pod {}: {error}", pod.name());
        kit.recorder.warning(&about(&pod), "ResizeError", message);
    }
    told(Done::OfPod(result.map_err(|error| error.to_string())))
}

/// Tells a container what it may use.
pub(super) async fn resize(kit: Arc<Kit>, pod: PodView, what: (String, String, Resources)) -> Outcome {
    let (id, name, resources) = what;
    let result = kit.runtime.update_resources(id, resources).await.map_err(|error| error.to_string());
    if let Err(error) = &result
        && let Some(member) = pod.member(&name)
    {
        let message = format!("Failed to resize container {name}: {error}");
        kit.recorder.warning(&about_member(&pod, &member), "ResizeError", message);
    }
    told(Done::Resized { name, result })
}

pub(super) async fn unmount(kit: Arc<Kit>, uid: String) -> Outcome {
    let directory = kit.config.pod_dir(&uid);
    let work =
        move || volumes::unmount(&directory).map_err(|error| format!("{}: {error}", directory.display()));
    quiet(Done::Unmounted(blocking(&kit, work).await))
}

pub(super) async fn clean(kit: Arc<Kit>, pod: PodId) -> Outcome {
    let directories = [kit.config.pod_dir(&pod.uid), kit.config.log_dir(&pod)];
    let work = move || {
        for directory in &directories {
            // Whatever is still mounted there must not be removed with it.
            volumes::subpath::unmount_below(directory)
                .and_then(|()| volumes::remove(directory))
                .map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        Ok(())
    };
    quiet(Done::Cleaned(blocking(&kit, work).await))
}

/// Tells the API that nothing of the pod is left.
pub(super) async fn delete(kit: Arc<Kit>, pod: PodView) -> Outcome {
    let how = Delete { grace_secs: Some(0), uid: pod.uid().to_owned(), ..Delete::default() };
    let call = Call::object(pod.namespace(), pod.name());
    match kit.client.write(resources::PODS, call, Write::Delete(how)).await {
        Ok(_) => quiet(Done::Deleted(true)),
        // It is gone, or another pod has its name.
        Err(status) if status.code == 404 || status.code == 409 => quiet(Done::Deleted(true)),
        Err(status) => {
            tracing::warn!(pod = %pod.long_name(), "it could not be deleted, will be tried again: {status}");
            kit.env.clock.sleep(Duration::from_secs(1)).await;
            quiet(Done::Deleted(false))
        }
    }
}

/// A container that is to be killed.
pub(super) struct KillOrder {
    pub pod: PodView,
    pub ip: String,
    pub kill: Kill,
    pub again: bool,
}

pub(super) async fn kill(kit: Arc<Kit>, order: KillOrder) -> Outcome {
    let KillOrder { pod, ip, kill, again } = order;
    let began = kit.env.clock.now();
    let limit = Duration::from_secs(u64::from(kill.grace_secs));
    if !again && let Some(member) = pod.member(&kill.name) {
        let about = about_member(&pod, &member);
        kit.recorder.normal(&about, "Killing", kill.message.clone());
        let hook = member.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = hook.filter(|_| kill.grace_secs > 0) {
            let target = hooks::Target { pod: &pod, member: &member, id: &kill.id, ip };
            if let Err(error) = hooks::run(&kit, &target, hook, Some(limit)).await {
                tracing::debug!(pod = %pod.long_name(), container = %kill.name, "its last hook failed: {error}");
                kit.recorder.warning(&about, "FailedPreStopHook", "PreStopHook failed");
            }
        }
    }
    // The hook's time is the container's; but it always gets a moment of its own.
    let used = u32::try_from(kit.env.clock.now().since(began).as_secs()).unwrap_or(u32::MAX);
    let least = kill.grace_secs.min(2);
    let grace = kill.grace_secs.saturating_sub(used).max(least);
    let result = kit.runtime.stop_container(kill.id, grace).await.map_err(|error| error.to_string());
    told(Done::Killed { name: kill.name, result })
}

/// The node's own resolver configuration.
pub(super) fn node_resolv(path: &std::path::Path) -> Resolv {
    match std::fs::read_to_string(path) {
        Ok(text) => Resolv::parse(&text),
        Err(error) => {
            tracing::warn!(path = %path.display(), "the node's resolver configuration cannot be read: {error}");
            Resolv::default()
        }
    }
}

pub(super) use mounts::mounts;
