//! A pod's volumes: made, renewed when what they hold changes, and taken away.

pub(crate) mod atomic;
pub(crate) mod content;
mod hostpath;
mod ownership;
pub(crate) mod subpath;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use env::WallTime;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume};

use crate::amounts;
use crate::pod::PodView;
use atomic::Payload;
use ownership::Access;

pub(crate) use tokens::TokenStore;

/// A volume that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeError {
    /// Which.
    pub volume: String,
    /// What the user is shown.
    pub message: String,
}

/// Where a volume is on the node. Image volumes are nowhere: the runtime mounts them.
pub(crate) fn path(pod_dir: &Path, volume: &Volume) -> Option<PathBuf> {
    if let Some(source) = &volume.host_path {
        return Some(PathBuf::from(&source.path));
    }
    let plugin = if volume.empty_dir.is_some() {
        "kubernetes.io~empty-dir"
    } else if volume.config_map.is_some() {
        "kubernetes.io~configmap"
    } else if volume.secret.is_some() {
        "kubernetes.io~secret"
    } else if volume.downward_api.is_some() {
        "kubernetes.io~downward-api"
    } else if volume.projected.is_some() {
        "kubernetes.io~projected"
    } else {
        return None;
    };
    Some(pod_dir.join("volumes").join(plugin).join(&volume.name))
}

/// Whether the kubelet keeps writing what the volume holds.
pub(crate) fn is_written_here(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// A volume and the files it is to hold, if they are ours to write.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    volume: Volume,
    payload: Option<Result<Payload, String>>,
}

/// What is to be made for a pod. It does no I/O until [`make`] is called with it.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    pod_dir: PathBuf,
    jobs: Vec<Job>,
    group: Option<u32>,
    unless_right: bool,
    memory_limit: i64,
    stamp: String,
}

/// Works out what is to be made.
pub(crate) fn jobs(from: &content::Materials<'_>, pod_dir: PathBuf, now: WallTime) -> Jobs {
    let spec = from.own.pod.spec();
    let context = spec.security_context.as_ref();
    let jobs = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| Job { volume: volume.clone(), payload: content::payload(from, volume) });
    Jobs {
        pod_dir,
        jobs: jobs.collect(),
        group: context.and_then(|context| context.fs_group).and_then(|group| u32::try_from(group).ok()),
        unless_right: context
            .and_then(|context| context.fs_group_change_policy.as_deref())
            .is_some_and(|policy| policy == "OnRootMismatch"),
        memory_limit: crate::resources::of_pod(from.own.pod).memory_limit,
        stamp: stamp(now),
    }
}

/// A name that no two writes of a volume share.
fn stamp(now: WallTime) -> String {
    let at = client::time::timestamp(now);
    format!("{}.{:09}", at.strftime("%Y_%m_%d_%H_%M_%S"), now.subsec_nanos())
}

/// Makes all volumes; answers what could not be made.
pub(crate) fn make(jobs: &Jobs) -> Vec<VolumeError> {
    let mut errors = Vec::new();
    for job in &jobs.jobs {
        if let Err(message) = make_one(jobs, job) {
            errors.push(VolumeError { volume: job.volume.name.clone(), message });
        }
    }
    errors
}

fn make_one(jobs: &Jobs, job: &Job) -> Result<(), String> {
    let volume = &job.volume;
    if volume.image.is_some() {
        return Ok(());
    }
    let Some(path) = path(&jobs.pod_dir, volume) else {
        return Err("volumes of this type are not supported by this node".to_owned());
    };
    let say = |error: io::Error| format!("{}: {error}", path.display());
    if let Some(source) = &volume.host_path {
        return hostpath::check(&path, source.type_.as_deref().unwrap_or_default());
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir(jobs, source, &path).map_err(say);
    }
    match &job.payload {
        Some(Ok(payload)) => {
            // Secrets must not reach a disk.
            let in_memory = volume.secret.is_some() || volume.projected.is_some();
            prepare_directory(&path, in_memory).and_then(|()| files(jobs, payload, &path)).map_err(say)
        }
        Some(Err(message)) => Err(message.clone()),
        None => Err("volumes of this type are not supported by this node".to_owned()),
    }
}

fn empty_dir(jobs: &Jobs, source: &EmptyDirVolumeSource, path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            let own = source.size_limit.as_ref().map_or(0, amounts::whole);
            let limits = [own, jobs.memory_limit].into_iter().filter(|limit| *limit > 0);
            subpath::mount_memory(path, limits.min().unwrap_or(0))?;
        }
        other => return Err(io::Error::other(format!("medium {other} is not supported by this node"))),
    }
    match jobs.group {
        Some(group) => {
            open_to_all(path)?;
            ownership::give(path, group, Access::Write, jobs.unless_right)
        }
        None => open_to_all(path),
    }
}

/// Everybody may write, past the umask; but not again once a container may have changed it.
fn open_to_all(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o777 != 0o777 { fs::set_permissions(path, fs::Permissions::from_mode(0o777)) } else { Ok(()) }
}

fn prepare_directory(path: &Path, in_memory: bool) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if in_memory {
        subpath::mount_memory(path, 0)?;
    }
    let mode = if in_memory { 0o1777 } else { 0o777 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn files(jobs: &Jobs, payload: &Payload, path: &Path) -> io::Result<()> {
    let Some(group) = jobs.group else {
        return atomic::write(path, payload, &jobs.stamp, &|_| Ok(())).map(drop);
    };
    // What the group may read is part of what the files are to be: it must not look like a change later.
    let mut payload = payload.clone();
    for file in payload.values_mut() {
        file.mode |= 0o440;
    }
    let prepare = |fresh: &Path| ownership::give(fresh, group, Access::Read, false);
    atomic::write(path, &payload, &jobs.stamp, &prepare).map(drop)
}

/// Takes everything of a pod's volumes away.
pub(crate) fn unmount(pod_dir: &Path) -> io::Result<()> {
    subpath::unmount_below(pod_dir)?;
    for part in ["volumes", "volume-subpaths"] {
        remove(&pod_dir.join(part))?;
    }
    Ok(())
}

/// Removes a directory and all below; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The volumes of a pod by name.
pub(crate) fn by_name(pod: &PodView) -> BTreeMap<&str, &Volume> {
    pod.spec().volumes.iter().flatten().map(|volume| (volume.name.as_str(), volume)).collect()
}
