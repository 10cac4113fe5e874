//! The file system a container sees, built in its own mount namespace: it goes when the container goes, so no crash
//! can leave a mount behind.
//!
//! What comes from the node is opened first, as detached mount trees. Then the root changes, and all else happens
//! inside: a symbolic link in an image cannot lead out, because there is no longer an outside.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::failure::{Context, Result};
use super::layers;
use crate::plan::{CgroupView, ContainerPlan, DevicePlan, MountPlan, MountSource};
use crate::state::{Layout, SHM};
use crate::sys::mount;

const LOCKED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The group of terminals.
const TTY_GROUP: u32 = 5;

/// A mount tree of the node and where it goes.
struct Tree {
    tree: OwnedFd,
    target: PathBuf,
    is_directory: bool,
}

/// Builds the root file system and makes it this process's. It must be in a mount namespace of its own.
/// What the node's root owns belongs, seen from within the pod's own user namespace, to the pod's.
pub(crate) fn enter(
    layout: &Layout,
    sandbox: &Path,
    plan: &ContainerPlan,
    users: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let shm = if plan.node_ipc { PathBuf::from("/dev/shm") } else { sandbox.join(SHM) };
    let shm = mount::clone_tree(&shm, false).context("open /dev/shm")?;
    let devices = if plan.privileged { node_devices() } else { default_devices() };
    // Trees that are to stay connected with the node's are opened while this namespace still is.
    let mut trees = Vec::new();
    for planned in &plan.mounts {
        if let MountSource::Path(source) = &planned.source {
            trees.push(open_tree(planned, source, users)?);
        }
    }
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("disconnect from the node's mounts")?;
    rustix::process::chdir(&layout.root).context("enter the runtime's directory")?;
    let own = PathBuf::from("c").join(&plan.id);
    let rootfs = own.join("rootfs");
    for planned in &plan.mounts {
        if let MountSource::Layers(layers, path) = &planned.source {
            layers::mount(layers, users, None, &rootfs)?;
            trees.push(open_image(planned, path, &rootfs)?);
        }
    }
    let owner = Owner::of(plan);
    owner.give(&own.join("upper")).context("give the writable layer to the pod")?;
    layers::mount(&plan.layers, users, Some(&own), &rootfs)?;
    rustix::process::chdir(&rootfs).context("enter the root file system")?;
    mount::pivot_here().context("change the root")?;
    populate(plan, &devices, shm, trees)
}

/// Who owns what is made for a container: the node's root, or the id that stands behind the pod's own.
#[derive(Clone, Copy, Debug)]
struct Owner(u32);

impl Owner {
    fn of(plan: &ContainerPlan) -> Owner {
        Owner(plan.process.users.map_or(0, |range| range.first))
    }

    fn give(self, path: &Path) -> io::Result<()> {
        if self.0 == 0 { Ok(()) } else { std::os::unix::fs::lchown(path, Some(self.0), Some(self.0)) }
    }
}

/// Everything that happens inside the new root.
fn populate(plan: &ContainerPlan, devices: &[DevicePlan], shm: OwnedFd, mut trees: Vec<Tree>) -> Result<()> {
    let owner = Owner::of(plan);
    let overridden = |path: &str| plan.mounts.iter().any(|mount| Path::new(&mount.target) == Path::new(path));
    if !overridden("/proc") {
        real_directory("/proc", owner)?;
        mount::mount_kernel("proc", Path::new("/proc"), LOCKED, "").context("mount /proc")?;
    }
    if !overridden("/dev") {
        real_directory("/dev", owner)?;
        let flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
        let options = format!("mode=755,size=65536k,uid={id},gid={id}", id = owner.0);
        mount::mount_kernel("tmpfs", Path::new("/dev"), flags, &options).context("mount /dev")?;
        for device in devices.iter().chain(&plan.devices) {
            make_device(device, owner).context(format_args!("make device {}", device.path))?;
        }
        populate_dev(shm, owner)?;
    }
    if !overridden("/sys") {
        real_directory("/sys", owner)?;
        let flags = if plan.privileged { LOCKED } else { LOCKED | MountFlags::RDONLY };
        mount::mount_kernel("sysfs", Path::new("/sys"), flags, "").context("mount /sys")?;
        mount_cgroups(&plan.cgroup.view, plan.privileged)?;
    }
    // What lies deeper is mounted later, so that it is not covered; equals keep the order they were given in.
    trees.sort_by_key(|tree| tree.target.components().count());
    trees.into_iter().try_for_each(|tree| attach(tree, owner))?;
    for directory in plan.directories.iter().chain([&plan.process.cwd]).filter(|path| !path.is_empty()) {
        make_directory(Path::new(directory), owner).context(format_args!("make directory {directory}"))?;
    }
    plan.readonly_paths.iter().try_for_each(|path| make_readonly(Path::new(path)))?;
    plan.masked_paths.iter().try_for_each(|path| mask(Path::new(path)))?;
    if plan.readonly_rootfs {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open /")?;
        mount::make_read_only(root, false).context("make the root read-only")?;
    }
    Ok(())
}

fn open_tree(planned: &MountPlan, source: &Path, users: Option<BorrowedFd<'_>>) -> Result<Tree> {
    let shown = source.display();
    let metadata = match fs::metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(source).context(format_args!("make {shown}"))?;
            fs::metadata(source)
        }
        result => result,
    };
    let is_directory = metadata.context(format_args!("look at {shown}"))?.is_dir();
    let tree = mount::clone_tree(source, true).context(format_args!("open {shown}"))?;
    let propagation = match planned.propagation {
        cri::Propagation::Private => MountPropagationFlags::PRIVATE,
        cri::Propagation::HostToContainer => MountPropagationFlags::DOWNSTREAM,
        cri::Propagation::Bidirectional => MountPropagationFlags::SHARED,
    };
    mount::set_propagation(&tree, propagation).context(format_args!("set the propagation of {shown}"))?;
    if let Some(users) = users {
        let what = format_args!("map the ids of {shown} (does its file system support idmapped mounts?)");
        mount::map_ids(&tree, users).context(what)?;
    }
    restrict(&tree, planned)?;
    Ok(Tree { tree, target: PathBuf::from(&planned.target), is_directory })
}

/// An image's content, mounted at `scratch` for a moment, as a tree, read-only as images are.
fn open_image(planned: &MountPlan, path: &str, scratch: &Path) -> Result<Tree> {
    let inside = rustix::fs::openat2(
        rustix::fs::open(scratch, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open the image")?,
        if path.is_empty() { "." } else { path },
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        rustix::fs::ResolveFlags::IN_ROOT,
    )
    .context(format_args!("find {path:?} in the image"))?;
    let is_directory =
        FileType::from_raw_mode(rustix::fs::fstat(&inside).context("look at the image")?.st_mode)
            == FileType::Directory;
    let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE
        | rustix::mount::OpenTreeFlags::OPEN_TREE_CLOEXEC
        | rustix::mount::OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&inside, "", flags).context("open the image's tree")?;
    drop(inside);
    mount::unmount_all(scratch).context("let go of the image")?;
    mount::make_read_only(&tree, true).context("make the image read-only")?;
    Ok(Tree { tree, target: PathBuf::from(&planned.target), is_directory })
}

fn restrict(tree: &OwnedFd, planned: &MountPlan) -> Result<()> {
    if planned.readonly || planned.recursive_readonly {
        let what = format_args!("make the mount at {} read-only", planned.target);
        mount::make_read_only(tree, planned.recursive_readonly).context(what)?;
    }
    Ok(())
}

fn attach(tree: Tree, owner: Owner) -> Result<()> {
    let target = tree.target.as_path();
    let shown = target.display();
    if target != Path::new("/proc") && target.starts_with("/proc") {
        return Err(format!("{shown} is inside /proc and cannot be a mount's target").into());
    }
    if tree.is_directory {
        make_directory(target, owner).context(format_args!("make directory {shown}"))?;
    } else {
        make_file(target, owner).context(format_args!("make file {shown}"))?;
    }
    mount::attach_tree(tree.tree, target).context(format_args!("mount {shown}"))
}

/// A directory to mount on that is not a link to somewhere else: an image might have put one there to escape masks.
fn real_directory(path: &str, owner: Owner) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{path} of the image is not a directory").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path)
            .and_then(|()| owner.give(Path::new(path)))
            .context(format_args!("make directory {path}")),
        Err(error) => Err(error).context(format_args!("look at {path}")),
    }
}

fn make_directory(path: &Path, owner: Owner) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        _ => {}
    }
    if let Some(parent) = path.parent() {
        make_directory(parent, owner)?;
    }
    fs::DirBuilder::new().mode(0o755).create(path)?;
    owner.give(path)
}

fn make_file(path: &Path, owner: Owner) -> io::Result<()> {
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent, owner)?;
    }
    fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    owner.give(path)
}

fn default_devices() -> Vec<DevicePlan> {
    let nodes =
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
    let device = |(name, major, minor)| DevicePlan {
        path: format!("/dev/{name}"),
        major,
        minor,
        mode: 0o666,
        ..DevicePlan::default()
    };
    nodes.into_iter().map(device).collect()
}

/// Every device of the node, for privileged containers.
fn node_devices() -> Vec<DevicePlan> {
    // What each container has of its own, whatever the node has there.
    const OWN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/ptmx", "/dev/console"];
    let mut devices = Vec::new();
    let mut directories = vec![PathBuf::from("/dev")];
    while let Some(directory) = directories.pop() {
        // A device can go while we look; what cannot be read is not there.
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            let Ok(found) = entry.metadata() else { continue };
            let kind = found.file_type();
            if OWN.iter().any(|own| path == Path::new(own)) {
                continue;
            } else if kind.is_dir() {
                directories.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                devices.push(DevicePlan {
                    path: path.to_string_lossy().into_owned(),
                    block: kind.is_block_device(),
                    major: rustix::fs::major(found.rdev()),
                    minor: rustix::fs::minor(found.rdev()),
                    mode: found.mode() & 0o777,
                    uid: found.uid(),
                    gid: found.gid(),
                    permissions: String::new(),
                });
            }
        }
    }
    devices
}

fn populate_dev(shm: OwnedFd, owner: Owner) -> Result<()> {
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (to, link) in links {
        std::os::unix::fs::symlink(to, link).context(format_args!("link {link}"))?;
    }
    for name in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        make_directory(Path::new(name), owner).context(format_args!("make directory {name}"))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = format!("newinstance,ptmxmode=0666,mode=0620,gid={}", owner.0 + TTY_GROUP);
    mount::mount_kernel("devpts", Path::new("/dev/pts"), flags, &options).context("mount /dev/pts")?;
    owner.give(Path::new("/dev/pts")).context("give /dev/pts to the pod")?;
    mount::attach_tree(shm, Path::new("/dev/shm")).context("mount /dev/shm")?;
    let queues = Path::new("/dev/mqueue");
    mount::mount_kernel("mqueue", queues, LOCKED, "").context("mount /dev/mqueue")?;
    owner.give(queues).context("give /dev/mqueue to the pod")
}

fn make_device(device: &DevicePlan, owner: Owner) -> io::Result<()> {
    let path = Path::new(&device.path);
    if let Some(parent) = path.parent() {
        make_directory(parent, owner)?;
    }
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(device.mode), number) {
        Ok(()) => {}
        // Asked for twice, once as a default.
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(device.mode))?;
    std::os::unix::fs::chown(
        path,
        Some(owner.0.saturating_add(device.uid)),
        Some(owner.0.saturating_add(device.gid)),
    )
}

/// The container's own cgroups, which it may read but not change.
fn mount_cgroups(view: &CgroupView, writable: bool) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    match view {
        CgroupView::Unified => mount::mount_kernel("cgroup2", root, LOCKED, "").context("mount cgroups")?,
        CgroupView::Legacy(hierarchies) if hierarchies.is_empty() => return Ok(()),
        CgroupView::Legacy(hierarchies) => {
            mount::mount_kernel("tmpfs", root, LOCKED, "mode=755,size=64k").context("mount cgroups")?;
            for (name, options) in hierarchies {
                let path = root.join(name);
                fs::create_dir(&path).context(format_args!("make the cgroup directory {name}"))?;
                mount::mount_kernel("cgroup", &path, LOCKED, options)
                    .context(format_args!("mount the cgroups {name}"))?;
                for alias in name.split(',').filter(|alias| alias != name) {
                    std::os::unix::fs::symlink(name, root.join(alias)).context("link a cgroup controller")?;
                }
            }
        }
    }
    if writable {
        return Ok(());
    }
    let opened =
        rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open the cgroups")?;
    mount::make_read_only(opened, true).context("make the cgroups read-only")
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn make_readonly(path: &Path) -> Result<()> {
    let shown = path.display();
    match mount::clone_tree(path, true) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error).context(format_args!("open {shown}")),
        Ok(tree) => {
            mount::make_read_only(tree.as_fd(), true).context(format_args!("make {shown} read-only"))?;
            mount::attach_tree(tree, path).context(format_args!("make {shown} read-only"))
        }
    }
}

fn mask(path: &Path) -> Result<()> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error).context(format_args!("mask {shown}")),
        Ok(found) if found.is_dir() => {
            mount::mount_kernel("tmpfs", path, LOCKED | MountFlags::RDONLY, "size=4k,nr_inodes=1")
                .context(format_args!("mask {shown}"))
        }
        Ok(_) => {
            let null = mount::clone_tree(Path::new("/dev/null"), false).context("open /dev/null")?;
            let found = rustix::fs::fstat(&null).context("look at /dev/null")?;
            // An image or a volume could have put another file there to see what is masked.
            if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice
                || found.st_rdev != rustix::fs::makedev(1, 3)
            {
                return Err("/dev/null of the container is not the null device".to_owned().into());
            }
            mount::attach_tree(null, path).context(format_args!("mask {shown}"))
        }
    }
}
