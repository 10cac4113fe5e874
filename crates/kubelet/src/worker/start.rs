//! Starting a container: its image, its configuration, the container, its process, its first hook.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cri::{ContainerState, Credentials, Image, RuntimeError};

use super::ops;
use crate::environment::{self, Environment, Ingredients, SourceKind};
use crate::hooks;
use crate::images::{self, News, Wanted};
use crate::kit::{Kit, about_member};
use crate::launch;
use crate::memory::Waiting;
use crate::observed::Observed;
use crate::pod::{Member, PodView};
use crate::security;

/// What is to be started.
pub(super) struct Order {
    pub pod: PodView,
    pub observed: Arc<Observed>,
    pub name: String,
    pub attempt: u32,
    /// Set while the start can be given up.
    pub loose: Arc<AtomicBool>,
}

/// Why a container was not started.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What its status shows.
    pub waiting: Waiting,
    /// Whether it was the image's fault, and which image's.
    pub of_pull: bool,
    pub image: String,
}

impl From<Waiting> for Failure {
    fn from(waiting: Waiting) -> Failure {
        Failure { waiting, of_pull: false, image: String::new() }
    }
}

pub(super) async fn start(kit: Arc<Kit>, order: Order) -> Result<(), Failure> {
    let pod = &order.pod;
    let Some(member) = pod.member(&order.name) else { return Ok(()) };
    let about = about_member(pod, &member);
    let failed = |waiting: Waiting, shown: String| {
        kit.recorder.warning(&about, "Failed", format!("Error: {shown}"));
        Failure::from(waiting)
    };
    let image = image(&kit, &order, &member).await?;
    let configured = configure(&kit, &order, &member, &image).await;
    let config = configured
        .map_err(|message| failed(Waiting::new("CreateContainerConfigError", message.clone()), message))?;
    let Some(sandbox) = order.observed.ready_sandbox().map(|sandbox| sandbox.id.clone()) else {
        return Ok(());
    };
    order.loose.store(false, Ordering::SeqCst);
    remove_unstarted(&kit, &order).await.map_err(|error| {
        failed(Waiting::new("CreateContainerError", error.to_string()), error.to_string())
    })?;
    let id = kit.runtime.create_container(sandbox, config).await.map_err(|error| {
        failed(Waiting::new("CreateContainerError", error.to_string()), error.to_string())
    })?;
    kit.recorder.normal(&about, "Created", "Container created");
    kit.runtime.start_container(id.clone()).await.map_err(|error: RuntimeError| {
        failed(Waiting::new("RunContainerError", error.to_string()), error.to_string())
    })?;
    kit.recorder.normal(&about, "Started", "Container started");
    order.loose.store(true, Ordering::SeqCst);
    let hook = member.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    let Some(hook) = hook else { return Ok(()) };
    // Whoever ends the pod now need not wait for the hook.
    kit.bells.ring(pod.uid());
    let ip = order.observed.ips().first().map(ToString::to_string).unwrap_or_default();
    let target = hooks::Target { pod, member: &member, id: &id, ip };
    let Err(error) = hooks::run(&kit, &target, hook, None).await else { return Ok(()) };
    order.loose.store(false, Ordering::SeqCst);
    kit.recorder.warning(&about, "FailedPostStartHook", "PostStartHook failed");
    kit.recorder.normal(&about, "Killing", "FailedPostStartHook");
    if let Err(error) = kit.runtime.stop_container(id, pod.grace_secs()).await {
        tracing::warn!(pod = %pod.long_name(), container = %order.name, "it cannot be stopped: {error}");
    }
    Err(Waiting::new("PostStartHookError", error).into())
}

/// Removes what a kubelet before us made and did not come to start: it never ran, and this start takes its place.
async fn remove_unstarted(kit: &Kit, order: &Order) -> cri::Result<()> {
    let made = order.observed.containers().iter();
    for container in made.filter(|made| made.name == order.name && made.state == ContainerState::Created) {
        kit.runtime.remove_container(container.id.clone()).await?;
    }
    Ok(())
}

async fn image(kit: &Kit, order: &Order, member: &Member<'_>) -> Result<Image, Failure> {
    let reference = member.spec.image.as_deref().unwrap_or_default();
    let policy = member.spec.image_pull_policy.as_deref().unwrap_or_default();
    let image = one_image(kit, order, member, (reference, policy)).await?;
    // Images that are mounted as volumes must be there too.
    let volumes = crate::volumes::by_name(&order.pod);
    for mount in member.spec.volume_mounts.iter().flatten() {
        let source = volumes.get(mount.name.as_str()).and_then(|volume| volume.image.as_ref());
        if let Some(source) = source {
            let reference = source.reference.as_deref().unwrap_or_default();
            let policy = source.pull_policy.as_deref().unwrap_or_default();
            one_image(kit, order, member, (reference, policy)).await?;
        }
    }
    Ok(image)
}

async fn one_image(
    kit: &Kit,
    order: &Order,
    member: &Member<'_>,
    (reference, policy): (&str, &str),
) -> Result<Image, Failure> {
    let about = about_member(&order.pod, member);
    let tell = |news: News| match news {
        News::Good(reason, message) => kit.recorder.normal(&about, reason, message),
        News::Bad(reason, message) => kit.recorder.warning(&about, reason, message),
    };
    let credentials = credentials(kit, &order.pod, reference).await;
    let wanted = Wanted { reference, policy, credentials };
    images::ensure(kit.runtime.as_ref(), &kit.env, &wanted, &tell).await.map_err(|waiting| {
        kit.recorder.warning(&about, "Failed", format!("Error: {}", waiting.reason));
        Failure { of_pull: waiting.reason == "ErrImagePull", image: reference.to_owned(), waiting }
    })
}

/// What the pod's pull secrets hold for the image. A secret that is missing is said, and done without.
async fn credentials(kit: &Kit, pod: &PodView, reference: &str) -> Vec<Credentials> {
    let mut credentials = Vec::new();
    for secret in pod.spec().image_pull_secrets.iter().flatten() {
        match kit.sources.data(SourceKind::Secret, pod.namespace(), &secret.name).await {
            Ok(Some(data)) => credentials.extend(images::credentials(&data, reference)),
            Ok(None) | Err(_) => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    secret.name
                );
                kit.recorder.warning(&crate::kit::about(pod), "FailedToRetrieveImagePullSecret", message);
            }
        }
    }
    credentials
}

/// The container's whole configuration. The error is what the user is shown.
async fn configure(
    kit: &Arc<Kit>,
    order: &Order,
    member: &Member<'_>,
    image: &Image,
) -> Result<cri::ContainerConfig, String> {
    let pod = &order.pod;
    let target = match order.observed.latest(member.target) {
        Some(container) if !member.target.is_empty() => container.id.clone(),
        None if !member.target.is_empty() => {
            return Err(format!("unable to find target container {}", member.target));
        }
        _ => String::new(),
    };
    let profiles = kit.config.root.join("seccomp");
    let users = match pod.spec().host_users {
        Some(false) => crate::users::read(&kit.config.pod_dir(pod.uid()))?,
        _ => None,
    };
    let needs = security::Needs { pod, member, image, profiles: &profiles, users, target: &target };
    let security = security::security(&needs)?;
    let environment = environment(kit, order, member).await?;
    for warning in &environment.warnings {
        kit.recorder.warning(&crate::kit::about(pod), "InvalidEnvironmentVariableNames", warning.clone());
    }
    let mounts = ops::mounts(kit, order, member, &environment).await?;
    let parts = launch::Parts {
        attempt: order.attempt,
        image: image.id.clone(),
        environment,
        mounts,
        security,
        node_memory: kit.machine.memory,
    };
    Ok(launch::container(pod, member, parts))
}

async fn environment(kit: &Arc<Kit>, order: &Order, member: &Member<'_>) -> Result<Environment, String> {
    let pod = &order.pod;
    let objects = ops::objects(kit, pod, environment::references(&member.spec)).await?;
    let files = files(kit, pod, member).await?;
    environment::environment(&Ingredients {
        own: kit.myself(pod, order.observed.ips()),
        container: &member.spec,
        objects: &objects,
        services: services(kit, pod).await,
        files: &files,
    })
}

/// Variables that lead to the Services of the pod's namespace, and always to the API itself.
async fn services(kit: &Kit, pod: &PodView) -> BTreeMap<String, String> {
    kit.services.synced().await;
    let links = pod.spec().enable_service_links != Some(false);
    let of_namespace = if links { kit.services.list_in(pod.namespace()) } else { Vec::new() };
    let api = kit.services.get(&client::Key::new("default", "kubernetes"));
    // The pod's own namespace wins where names are the same.
    let all = api.iter().chain(&of_namespace);
    environment::service_variables(all.map(|entry| (entry.object.header().name.as_str(), &entry.facts)))
}

type FileValues = BTreeMap<(String, String, String), Result<Option<String>, String>>;

/// Values that the container takes from files of its volumes.
async fn files(kit: &Arc<Kit>, pod: &PodView, member: &Member<'_>) -> Result<FileValues, String> {
    let volumes = crate::volumes::by_name(pod);
    let pod_dir = kit.config.pod_dir(pod.uid());
    let mut wanted = Vec::new();
    for variable in member.spec.env.iter().flatten() {
        let source = variable.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
        if let Some(source) = source {
            let volume = volumes.get(source.volume_name.as_str());
            let root = volume.and_then(|volume| crate::volumes::path(&pod_dir, volume));
            let root = root.ok_or_else(|| format!("cannot find the volume {:?}", source.volume_name))?;
            wanted.push((root, source.clone()));
        }
    }
    if wanted.is_empty() {
        return Ok(FileValues::new());
    }
    ops::blocking(kit, move || {
        let mut values = FileValues::new();
        for (root, source) in wanted {
            let value = super::mounts::read_variable(&root, &source.path, &source.key);
            values.insert((source.volume_name, source.path, source.key), value);
        }
        Ok(values)
    })
    .await
}
