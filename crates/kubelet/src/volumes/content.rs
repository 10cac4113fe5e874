//! What the files of configuration volumes hold: ConfigMaps, Secrets, fields of the pod, tokens.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, ResourceRequirements, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};

use super::atomic::{File, Payload};
use crate::downward::{self, Myself};
use crate::environment::{Data, SourceKind};
use crate::pod::PodView;

/// Objects by kind and name; `None` for those that do not exist.
pub(crate) type Objects = BTreeMap<(SourceKind, String), Option<Data>>;

/// A token that a volume is to hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenWish {
    /// Whom it is for; empty means the API server.
    pub audience: String,
    /// How long it is good for.
    pub seconds: i64,
}

impl TokenWish {
    fn of(projection: &ServiceAccountTokenProjection) -> TokenWish {
        TokenWish {
            audience: projection.audience.clone().unwrap_or_default(),
            seconds: projection.expiration_seconds.unwrap_or(3_600),
        }
    }
}

/// All that content is made from.
pub(crate) struct Materials<'a> {
    /// The pod.
    pub own: Myself<'a>,
    /// The objects it refers to.
    pub objects: &'a Objects,
    /// Tokens that were issued.
    pub tokens: &'a BTreeMap<TokenWish, String>,
}

/// The objects that a volume refers to.
pub(crate) fn references(volume: &Volume) -> BTreeSet<(SourceKind, String)> {
    let mut references = BTreeSet::new();
    let mut add = |kind, name: &str| {
        references.insert((kind, name.to_owned()));
    };
    if let Some(source) = &volume.config_map {
        add(SourceKind::ConfigMap, &source.name);
    }
    if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()) {
        add(SourceKind::Secret, name);
    }
    for source in projections(volume) {
        if let Some(source) = &source.config_map {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &source.secret {
            add(SourceKind::Secret, &source.name);
        }
    }
    references
}

/// The tokens that a volume is to hold.
pub(crate) fn tokens(volume: &Volume) -> BTreeSet<TokenWish> {
    projections(volume)
        .filter_map(|source| source.service_account_token.as_ref())
        .map(TokenWish::of)
        .collect()
}

/// What a pod's volumes tell of the pod itself, which may change while it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    resources: Vec<Option<ResourceRequirements>>,
}

/// What the pod's volumes tell of it now; `None` if they tell nothing.
pub(crate) fn told(pod: &PodView) -> Option<Told> {
    let tells = |volume: &Volume| {
        volume.downward_api.is_some() || projections(volume).any(|source| source.downward_api.is_some())
    };
    let spec = pod.spec();
    if !spec.volumes.iter().flatten().any(tells) {
        return None;
    }
    let metadata = &pod.pod().metadata;
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    Some(Told {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        resources: all.map(|container| container.resources.clone()).collect(),
    })
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

/// The files of a volume; `None` if it is of another kind. The error is what the user is shown.
pub(crate) fn payload(from: &Materials<'_>, volume: &Volume) -> Option<Result<Payload, String>> {
    let mut payload = Payload::new();
    let made = if let Some(source) = &volume.config_map {
        let wanted = Wanted {
            kind: SourceKind::ConfigMap,
            name: &source.name,
            items: source.items.as_deref(),
            mode: mode(source.default_mode),
            optional: source.optional == Some(true),
        };
        add_object(from, &wanted, &mut payload)
    } else if let Some(source) = &volume.secret {
        let wanted = Wanted {
            kind: SourceKind::Secret,
            name: source.secret_name.as_deref().unwrap_or_default(),
            items: source.items.as_deref(),
            mode: mode(source.default_mode),
            optional: source.optional == Some(true),
        };
        add_object(from, &wanted, &mut payload)
    } else if let Some(source) = &volume.downward_api {
        add_fields(from, source.items.as_deref(), mode(source.default_mode), &mut payload)
    } else if let Some(source) = &volume.projected {
        let default_mode = mode(source.default_mode);
        source
            .sources
            .iter()
            .flatten()
            .try_for_each(|source| add_projection(from, source, default_mode, &mut payload))
    } else {
        return None;
    };
    Some(made.map(|()| payload))
}

fn mode(given: Option<i32>) -> u32 {
    given.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644)
}

struct Wanted<'a> {
    kind: SourceKind,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    mode: u32,
    optional: bool,
}

fn add_object(from: &Materials<'_>, wanted: &Wanted<'_>, payload: &mut Payload) -> Result<(), String> {
    let key = (wanted.kind, wanted.name.to_owned());
    let Some(data) = from.objects.get(&key).and_then(Option::as_ref) else {
        if wanted.optional {
            return Ok(());
        }
        return Err(format!("{} {} not found", wanted.kind.word(), machinery::field::go_quote(wanted.name)));
    };
    let file = |bytes: &Vec<u8>, mode: u32| File { data: bytes.clone(), mode, owner: None };
    match wanted.items.filter(|items| !items.is_empty()) {
        None => payload.extend(data.iter().map(|(key, bytes)| (key.clone(), file(bytes, wanted.mode)))),
        Some(items) => {
            for item in items {
                match data.get(&item.key) {
                    Some(bytes) => {
                        let mode = item.mode.map_or(wanted.mode, |given| mode(Some(given)));
                        payload.insert(item.path.clone(), file(bytes, mode));
                    }
                    None if wanted.optional => {}
                    None => {
                        let word = if wanted.kind == SourceKind::ConfigMap { "config" } else { "secret" };
                        return Err(format!("references non-existent {word} key: {}", item.key));
                    }
                }
            }
        }
    }
    Ok(())
}

fn add_fields(
    from: &Materials<'_>,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: u32,
    payload: &mut Payload,
) -> Result<(), String> {
    for item in items.into_iter().flatten() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => downward::field(&from.own, field)?,
            (None, Some(resource)) => downward::resource(&from.own, resource, None)?,
            (None, None) => continue,
        };
        let mode = item.mode.map_or(default_mode, |given| mode(Some(given)));
        payload.insert(item.path.clone(), File { data: text.into_bytes(), mode, owner: None });
    }
    Ok(())
}

fn add_projection(
    from: &Materials<'_>,
    source: &VolumeProjection,
    default_mode: u32,
    payload: &mut Payload,
) -> Result<(), String> {
    if let Some(source) = &source.config_map {
        let wanted = Wanted {
            kind: SourceKind::ConfigMap,
            name: &source.name,
            items: source.items.as_deref(),
            mode: default_mode,
            optional: source.optional == Some(true),
        };
        add_object(from, &wanted, payload)?;
    }
    if let Some(source) = &source.secret {
        let wanted = Wanted {
            kind: SourceKind::Secret,
            name: &source.name,
            items: source.items.as_deref(),
            mode: default_mode,
            optional: source.optional == Some(true),
        };
        add_object(from, &wanted, payload)?;
    }
    if let Some(source) = &source.downward_api {
        add_fields(from, source.items.as_deref(), default_mode, payload)?;
    }
    if let Some(source) = &source.service_account_token {
        let token = from.tokens.get(&TokenWish::of(source)).ok_or("its token was not issued")?;
        let owner = only_user(from.own.pod.spec());
        let group = from.own.pod.spec().security_context.as_ref().and_then(|context| context.fs_group);
        // With a user or a group of its own nobody else needs to read it.
        let mode = if owner.is_some() || group.is_some() { 0o600 } else { default_mode };
        let file = File { data: token.clone().into_bytes(), mode, owner };
        payload.insert(source.path.clone(), file);
    }
    if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
        return Err("cluster trust bundles and pod certificates are not supported by this node".to_owned());
    }
    Ok(())
}

/// The user that all containers run as, if there is one.
fn only_user(spec: &k8s_openapi::api::core::v1::PodSpec) -> Option<u32> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut users = all.map(|container| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}
