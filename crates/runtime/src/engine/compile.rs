//! From what a container is to be, and the image it is made of, to a plan for the shim. Pure.

use cri::{ContainerConfig, NamespaceMode, RuntimeError, SandboxConfig};

use crate::capabilities;
use crate::image::ImageConfig;
use crate::plan::{
    ContainerPlan, IdRange, MountPlan, MountSource, PidPlan, ProcessPlan, SandboxPlan, SeccompPlan, UserPlan,
};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The plan of a sandbox.
pub(crate) fn sandbox(id: &str, config: &SandboxConfig) -> SandboxPlan {
    let own_network = config.namespaces.network != NamespaceMode::Node;
    SandboxPlan {
        id: id.to_owned(),
        hostname: if own_network { config.hostname.clone() } else { String::new() },
        own_network,
        own_ipc: config.namespaces.ipc != NamespaceMode::Node,
        shared_pids: config.namespaces.pid == NamespaceMode::Pod,
        sysctls: config.sysctls.clone(),
        users: ids(config),
        shim_cgroups: Vec::new(),
    }
}

/// The plan of a container, but for what takes a look at the machine: devices, cgroup, and layers of images.
pub(crate) fn container(
    id: &str,
    config: &ContainerConfig,
    image: &ImageConfig,
    sandbox: &SandboxConfig,
) -> Result<ContainerPlan, RuntimeError> {
    let security = &config.security;
    let (masked_paths, readonly_paths) = if security.privileged {
        (Vec::new(), Vec::new())
    } else {
        (security.masked_paths.clone(), security.readonly_paths.clone())
    };
    let log = (!config.log_path.as_os_str().is_empty()).then(|| sandbox.log_directory.join(&config.log_path));
    let pids = match &security.namespaces.pid {
        NamespaceMode::Container => PidPlan::Own,
        NamespaceMode::Node => PidPlan::Node,
        NamespaceMode::Target(id) => PidPlan::Container(id.clone()),
        NamespaceMode::Pod => PidPlan::Sandbox,
    };
    Ok(ContainerPlan {
        id: id.to_owned(),
        mounts: config
            .mounts
            .iter()
            .filter(|mount| mount.image.is_empty())
            .map(mount)
            .collect::<Result<_, _>>()?,
        process: process(config, image, sandbox)?,
        log,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        privileged: security.privileged,
        readonly_rootfs: security.readonly_rootfs,
        masked_paths,
        readonly_paths,
        directories: image.volumes.keys().filter(|path| path.starts_with('/')).cloned().collect(),
        node_ipc: sandbox.namespaces.ipc == NamespaceMode::Node,
        pids,
        ..ContainerPlan::default()
    })
}

/// The ids of a pod that has its own. All its containers have the same.
fn ids(sandbox: &SandboxConfig) -> Option<IdRange> {
    let users = sandbox.namespaces.user.as_ref()?;
    Some(IdRange { first: users.host_id, count: users.length })
}

fn mount(mount: &cri::Mount) -> Result<MountPlan, RuntimeError> {
    if !mount.host_path.is_absolute() {
        return Err(RuntimeError::Invalid(format!("mount source {:?} is not absolute", mount.host_path)));
    }
    Ok(target_of(mount, MountSource::Path(mount.host_path.clone())))
}

/// A mount with its source decided.
pub(crate) fn target_of(mount: &cri::Mount, source: MountSource) -> MountPlan {
    let target = &mount.container_path;
    MountPlan {
        source,
        target: if target.starts_with('/') { target.clone() } else { format!("/{target}") },
        readonly: mount.readonly,
        recursive_readonly: mount.recursive_readonly,
        propagation: mount.propagation,
    }
}

fn process(
    config: &ContainerConfig,
    image: &ImageConfig,
    sandbox: &SandboxConfig,
) -> Result<ProcessPlan, RuntimeError> {
    let security = &config.security;
    let argv = command_line(config, image);
    if argv.is_empty() {
        return Err(RuntimeError::Invalid("no command specified".into()));
    }
    let first = |one: &str, other: &str, default: &str| {
        [one, other, default].into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    };
    let seccomp = match &security.seccomp {
        _ if security.privileged => SeccompPlan::Unconfined,
        cri::Seccomp::Unconfined => SeccompPlan::Unconfined,
        // A profile of the node is read by who calls.
        cri::Seccomp::RuntimeDefault | cri::Seccomp::Localhost(_) => SeccompPlan::Default,
    };
    let bits = capabilities::container_set(&security.add_capabilities, &security.drop_capabilities);
    Ok(ProcessPlan {
        argv,
        env: environment(config, image, &sandbox.hostname),
        cwd: first(&config.working_dir, &image.working_dir, "/"),
        terminal: config.tty,
        user: user(config, image)?,
        capabilities: if security.privileged {
            capabilities::ALL
        } else {
            bits.map_err(RuntimeError::Invalid)?
        },
        no_new_privs: security.no_new_privs,
        seccomp,
        oom_score_adj: Some(config.resources.oom_score_adj),
        users: ids(sandbox),
    })
}

/// A command given drops the image's arguments; arguments given keep the image's command.
fn command_line(config: &ContainerConfig, image: &ImageConfig) -> Vec<String> {
    let (command, args) = match (config.command.is_empty(), config.args.is_empty()) {
        (true, true) => (&image.entrypoint, &image.cmd),
        (true, false) => (&image.entrypoint, &config.args),
        (false, _) => (&config.command, &config.args),
    };
    command.iter().chain(args).cloned().collect()
}

fn environment(config: &ContainerConfig, image: &ImageConfig, hostname: &str) -> Vec<String> {
    let mut variables: Vec<String> = Vec::new();
    let mut set = |entry: String| {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        let same = |known: &String| known.split_once('=').map_or(known.as_str(), |(name, _)| name) == name;
        match variables.iter().position(same) {
            Some(at) => variables[at] = entry,
            None => variables.push(entry),
        }
    };
    set(DEFAULT_PATH.to_owned());
    if !hostname.is_empty() {
        set(format!("HOSTNAME={hostname}"));
    }
    if config.tty {
        set("TERM=xterm".to_owned());
    }
    image.env.iter().cloned().for_each(&mut set);
    config.envs.iter().for_each(|(name, value)| set(format!("{name}={value}")));
    variables
}

fn user(config: &ContainerConfig, image: &ImageConfig) -> Result<UserPlan, RuntimeError> {
    let security = &config.security;
    let number = |id: i64| {
        u32::try_from(id).map_err(|_| RuntimeError::Invalid(format!("{id} is not a user or group id")))
    };
    let (mut user, mut group) = match image.user.split_once(':') {
        Some((user, group)) => (user.to_owned(), group.to_owned()),
        None => (image.user.clone(), String::new()),
    };
    if let Some(uid) = security.run_as_user {
        (user, group) = (number(uid)?.to_string(), String::new());
    } else if !security.run_as_username.is_empty() {
        (user, group) = (security.run_as_username.clone(), String::new());
    }
    if let Some(gid) = security.run_as_group {
        group = number(gid)?.to_string();
    }
    let supplemental =
        security.supplemental_groups.iter().map(|gid| number(*gid)).collect::<Result<_, _>>()?;
    Ok(UserPlan { user, group, supplemental, image_groups: !security.strict_supplemental_groups })
}

/// The number of a signal, given as `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `RTMAX-1`.
pub(crate) fn signal_number(text: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return Some(at as i32 + 1);
    }
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(digits) => digits.parse::<i32>().ok().filter(|offset| (0..=30).contains(offset)),
        None => rest.is_empty().then_some(0),
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX"), name) {
        (Some(rest), _, _) => offset(rest, '+').map(|offset| 34 + offset),
        (_, Some(rest), _) => offset(rest, '-').map(|offset| 64 - offset),
        (_, _, "IOT") => Some(6),
        (_, _, "CLD") => Some(17),
        (_, _, "POLL") => Some(29),
        _ => None,
    }
}

#[cfg(test)]
#[path = "compile/tests.rs"]
mod tests;
