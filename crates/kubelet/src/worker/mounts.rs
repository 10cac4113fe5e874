//! What a container sees of the node: its volumes, and the small files that the kubelet writes for every pod.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri::Mount;
use machinery::field::go_quote;

use super::ops::{blocking, node_resolv};
use super::start::Order;
use crate::environment::Environment;
use crate::files::{self, resolv};
use crate::kit::{Kit, about};
use crate::launch;
use crate::pod::Member;
use crate::volumes::{self, subpath};

/// A file or a bind mount that must be made first.
enum Make {
    File { path: PathBuf, text: String, mode: u32 },
    SubPath { volume: PathBuf, path: String, target: PathBuf, mount: usize, name: String },
}

/// The container's mounts, all that they need made. The error is what the user is shown.
pub(crate) async fn mounts(
    kit: &Arc<Kit>,
    order: &Order,
    member: &Member<'_>,
    environment: &Environment,
) -> Result<Vec<Mount>, String> {
    let (mut mounts, mut make) = of_volumes(kit, order, member, environment)?;
    own_files(kit, order, member, (&mut mounts, &mut make));
    let container = member.name().to_owned();
    let made = blocking(kit, move || {
        for item in make {
            match item {
                Make::File { path, text, mode } => {
                    write(&path, &text, mode).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                Make::SubPath { volume, path, target, mount, name } => {
                    let sub = subpath::SubPath { volume: &volume, path: &path, target: &target };
                    let bound = subpath::bind(&sub).map_err(|error| {
                        let shown = go_quote(&name);
                        format!(
                            "failed to prepare subPath for volumeMount {shown} of container {}: {error}",
                            go_quote(&container)
                        )
                    })?;
                    mounts[mount].host_path = bound;
                }
            }
        }
        launch::order(&mut mounts);
        Ok(mounts)
    });
    made.await
}

fn of_volumes(
    kit: &Kit,
    order: &Order,
    member: &Member<'_>,
    environment: &Environment,
) -> Result<(Vec<Mount>, Vec<Make>), String> {
    let pod = &order.pod;
    let pod_dir = kit.config.pod_dir(pod.uid());
    let by_name = volumes::by_name(pod);
    let (mut mounts, mut make) = (Vec::new(), Vec::new());
    for (position, mount) in member.spec.volume_mounts.iter().flatten().enumerate() {
        let unknown = || {
            format!(
                "cannot find volume {} to mount into container {}",
                go_quote(&mount.name),
                go_quote(member.name())
            )
        };
        let volume = by_name.get(mount.name.as_str()).ok_or_else(unknown)?;
        let sub_path = launch::sub_path(mount, environment)?;
        if let Some(image) = &volume.image {
            mounts.push(Mount {
                image: image.reference.clone().unwrap_or_default(),
                image_sub_path: sub_path,
                readonly: true,
                ..launch::mount(mount, PathBuf::new())
            });
            continue;
        }
        let path = volumes::path(&pod_dir, volume).ok_or_else(unknown)?;
        let of_node = launch::mount(mount, path.clone());
        // What the kubelet writes nobody else does.
        mounts.push(Mount { readonly: of_node.readonly || volumes::is_written_here(volume), ..of_node });
        if !sub_path.is_empty() {
            let target = pod_dir
                .join("volume-subpaths")
                .join(&mount.name)
                .join(member.name())
                .join(position.to_string());
            make.push(Make::SubPath {
                volume: path,
                path: sub_path,
                target,
                mount: mounts.len() - 1,
                name: mount.name.clone(),
            });
        }
    }
    Ok((mounts, make))
}

fn own_files(kit: &Kit, order: &Order, member: &Member<'_>, out: (&mut Vec<Mount>, &mut Vec<Make>)) {
    let (mounts, make) = out;
    let pod = &order.pod;
    let pod_dir = kit.config.pod_dir(pod.uid());
    let mut add = |at: &str, name: PathBuf, text: String, mode: u32| {
        // What the container mounts itself is its own.
        if mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == at) {
            return;
        }
        mounts.push(launch::own_file(at, name.clone()));
        make.push(Make::File { path: name, text, mode });
    };
    let message = launch::message_file(&pod_dir, member.name(), order.attempt);
    // Any user of the container may leave last words.
    add(launch::message_path(member), message, String::new(), 0o666);
    let of_node = if pod.host_network() {
        fs::read_to_string(&kit.machine.hosts_file).unwrap_or_default()
    } else {
        String::new()
    };
    let domain = &kit.config.cluster_domain;
    let hosts = files::hosts(pod, order.observed.ips(), domain, &of_node);
    add("/etc/hosts", pod_dir.join("etc-hosts"), hosts, 0o644);
    let cluster = resolv::Cluster { servers: &kit.config.cluster_dns, domain };
    let (resolv, warnings) = resolv::resolv(pod, cluster, &node_resolv(&kit.config.resolv_conf));
    for warning in warnings {
        kit.recorder.warning(&about(pod), "DNSConfigForming", warning);
    }
    add("/etc/resolv.conf", pod_dir.join("resolv.conf"), resolv.text(), 0o644);
    let hostname = if pod.host_network() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        files::hostname(pod, domain)
    };
    add("/etc/hostname", pod_dir.join("hostname"), format!("{hostname}\n"), 0o644);
}

/// Writes in place, so that containers which have it mounted see what is new.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The value of a key in a file of `KEY=value` lines; the file must be inside the volume.
pub(super) fn read_variable(root: &Path, path: &str, key: &str) -> Result<Option<String>, String> {
    let inside = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let file = root.join(path);
    let real = fs::canonicalize(&file).map_err(|error| format!("{path}: {error}"))?;
    let real_root = fs::canonicalize(root).map_err(|error| format!("{}: {error}", root.display()))?;
    if !inside || !real.starts_with(real_root) {
        return Err(format!("{path}: the file is not inside the volume"));
    }
    let text = fs::read_to_string(real).map_err(|error| format!("{path}: {error}"))?;
    Ok(variable(&text, key))
}

/// The last assignment of a key counts. Lines that begin with `#` are comments; quotes around a value are not part of it.
fn variable(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut assignments =
        lines.filter_map(|line| line.split_once('=')).filter(|(name, _)| name.trim() == key);
    let (_, value) = assignments.next_back()?;
    let value = value.trim();
    let unquoted = ['\'', '"'].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(unquoted.unwrap_or(value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn variables_are_read_from_files() {
        let text = "# comment\nA=1\nB = two words \nC='quoted'\nD=\"x=y\"\nA=3\nnonsense\n";
        for (key, value) in [("A", "3"), ("B", "two words"), ("C", "quoted"), ("D", "x=y")] {
            assert_eq!(variable(text, key).as_deref(), Some(value));
        }
        assert_eq!(variable(text, "nonsense"), None);
    }
}
