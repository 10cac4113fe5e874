//! A pod as the kubelet looks at it: its parts by name and by the role they play.

use std::borrow::Cow;
use std::hash::Hasher;
use std::sync::Arc;

use cri::PodId;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};
use machinery::{Object, Status};

use crate::resize::Allocation;

/// Annotation of a pod that is the API's picture of one that the node has from elsewhere: which.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Annotation of a pod that the node has from elsewhere: where from.
pub(crate) const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// And its identity there.
pub(crate) const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Runs to its end before those after it start.
    Init,
    /// Started in the order of init containers, and then stays.
    Sidecar,
    /// What the pod is for.
    App,
    /// Added later, to look around.
    Ephemeral,
}

/// A container of a pod's specification.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// What it is for.
    pub role: Role,
    /// What it is to be.
    pub spec: Cow<'a, Container>,
    /// The container whose processes an ephemeral one shares; empty if none.
    pub target: &'a str,
}

impl Member<'_> {
    /// Its name in the pod.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Where it stands in the pod, as events say it.
    pub fn field_path(&self) -> String {
        let list = match self.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::App => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.spec.name)
    }

    /// A number that changes when the container must be made anew to become what it is to be: its name and image.
    pub fn hash(&self) -> String {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        hasher.write(self.spec.name.as_bytes());
        hasher.write(b"\0");
        hasher.write(self.spec.image.as_deref().unwrap_or_default().as_bytes());
        format!("{:x}", hasher.finish())
    }
}

/// FNV-1a: a hash whose value may be stored, as it never changes.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// A pod, decoded for as long as somebody looks at it.
#[derive(Clone, Debug)]
pub(crate) struct PodView {
    /// The object it was decoded from.
    pub object: Object,
    pod: Arc<Pod>,
}

impl PodView {
    /// Decodes a pod. One without a specification is refused.
    pub fn new(object: &Object) -> Result<PodView, Status> {
        let pod = object.view::<Pod>()?;
        if pod.spec.is_none() {
            return Err(Status::internal(format!("pod {} has no specification", object.header().key())));
        }
        Ok(PodView { object: object.clone(), pod })
    }

    /// The same pod with what was allocated to it in the place of what it asks for.
    pub fn with_resources(&self, allocation: &Allocation) -> PodView {
        let mut pod = Pod::clone(&self.pod);
        if let Some(spec) = pod.spec.as_mut() {
            for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
                if let Some(resources) = allocation.containers.get(&container.name) {
                    container.resources = Some(resources.clone());
                }
            }
            spec.resources = allocation.whole.clone();
        }
        PodView { object: self.object.clone(), pod: Arc::new(pod) }
    }

    /// The whole pod.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// What it is to be.
    pub fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().expect("checked when the view was made")
    }

    /// What the API says it is.
    pub fn status(&self) -> Cow<'_, PodStatus> {
        self.pod.status.as_ref().map_or_else(|| Cow::Owned(PodStatus::default()), Cow::Borrowed)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.object.header().namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.object.header().name
    }

    /// Its identity.
    pub fn uid(&self) -> &str {
        &self.object.header().uid
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether it comes from the node itself and not from the API, which only shows it.
    pub fn is_static(&self) -> bool {
        self.annotation(CONFIG_SOURCE).is_some_and(|source| source != "api")
    }

    /// The identity that the runtime knows it by: of a picture, that of the pod it shows.
    pub fn runtime_uid(&self) -> &str {
        self.annotation(MIRROR).unwrap_or(self.uid())
    }

    /// The same pod with the status that its picture in the API has.
    pub fn with_status_of(&self, picture: &Object) -> PodView {
        let mut pod = Pod::clone(&self.pod);
        pod.status = picture.view::<Pod>().ok().and_then(|picture| picture.status.clone());
        PodView { object: self.object.clone(), pod: Arc::new(pod) }
    }

    /// Its names and identity as the runtime knows them.
    pub fn id(&self) -> PodId {
        PodId {
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
            uid: self.uid().to_owned(),
        }
    }

    /// `name_namespace(uid)`, as log lines and back-off messages say it.
    pub fn long_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    /// `Always`, `OnFailure` or `Never`.
    pub fn restart_policy(&self) -> &str {
        self.spec().restart_policy.as_deref().unwrap_or("Always")
    }

    /// Whether it lives on the node's network.
    pub fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    /// Seconds its containers get to end.
    pub fn grace_secs(&self) -> u32 {
        let secs = self.spec().termination_grace_period_seconds.unwrap_or(30);
        u32::try_from(secs.max(0)).unwrap_or(u32::MAX)
    }

    /// Its init containers and sidecars in order.
    pub fn init_members(&self) -> impl Iterator<Item = Member<'_>> {
        self.spec().init_containers.iter().flatten().map(|spec| {
            let sidecar = spec.restart_policy.as_deref() == Some("Always");
            let role = if sidecar { Role::Sidecar } else { Role::Init };
            Member { role, spec: Cow::Borrowed(spec), target: "" }
        })
    }

    /// Its app containers in order.
    pub fn app_members(&self) -> impl Iterator<Item = Member<'_>> {
        self.spec().containers.iter().map(|spec| Member {
            role: Role::App,
            spec: Cow::Borrowed(spec),
            target: "",
        })
    }

    /// Its ephemeral containers in order.
    pub fn ephemeral_members(&self) -> impl Iterator<Item = Member<'_>> {
        self.spec().ephemeral_containers.iter().flatten().map(|spec| Member {
            role: Role::Ephemeral,
            spec: Cow::Owned(as_container(spec)),
            target: spec.target_container_name.as_deref().unwrap_or_default(),
        })
    }

    /// All its containers: init containers and sidecars, app containers, ephemeral ones.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.init_members().chain(self.app_members()).chain(self.ephemeral_members())
    }

    /// The container of that name.
    pub fn member(&self, name: &str) -> Option<Member<'_>> {
        self.members().find(|member| member.name() == name)
    }
}

fn as_container(spec: &EphemeralContainer) -> Container {
    Container {
        args: spec.args.clone(),
        command: spec.command.clone(),
        env: spec.env.clone(),
        env_from: spec.env_from.clone(),
        image: spec.image.clone(),
        image_pull_policy: spec.image_pull_policy.clone(),
        lifecycle: None,
        liveness_probe: None,
        name: spec.name.clone(),
        ports: None,
        readiness_probe: None,
        resize_policy: None,
        resources: spec.resources.clone(),
        restart_policy: None,
        restart_policy_rules: None,
        security_context: spec.security_context.clone(),
        startup_probe: None,
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        termination_message_path: spec.termination_message_path.clone(),
        termination_message_policy: spec.termination_message_policy.clone(),
        tty: spec.tty,
        volume_devices: spec.volume_devices.clone(),
        volume_mounts: spec.volume_mounts.clone(),
        working_dir: spec.working_dir.clone(),
    }
}
