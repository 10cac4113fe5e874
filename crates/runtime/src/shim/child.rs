//! A forked copy of the shim on its way to becoming a process of a container.
//!
//! It reports over its link: that it is ready (as whom, with which terminal) or why it failed; waits for the word to
//! go; and executes the program, which closes the link. Until the word comes nothing of the user's has run, so the
//! shim can write down the process first.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::failure::{Context, Failed, Result, plain};
use super::rootfs;
use crate::accounts::{self, Account};
use crate::plan::{CgroupPlan, ContainerPlan, ProcessPlan, SeccompPlan};
use crate::seccomp;
use crate::state::Layout;
use crate::sys::{mount, process, rights, socket};

/// What a child tells the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Everything is made. Carries the terminal if there is one.
    Ready {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
    Failed(String),
}

/// The standard streams of a process; what is missing becomes `/dev/null`. With a terminal all three are it.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// What a child is to become.
pub(crate) enum Role<'a> {
    /// A container's main process.
    Main {
        layout: &'a Layout,
        sandbox: &'a Path,
        plan: &'a ContainerPlan,
        /// The pod's own user namespace.
        users: Option<BorrowedFd<'a>>,
    },
    /// A command in a running container, whose main process this descriptor stands for.
    Beside { main: OwnedFd, process: &'a ProcessPlan, cgroup: &'a CgroupPlan },
}

/// Runs in the child, and never returns.
pub(crate) fn run(role: &Role<'_>, stdio: Stdio, link: OwnedFd) -> ! {
    // A panic must not unwind into the copy of the shim's loop.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| become_role(role, stdio, &link)));
    let text = match outcome {
        Ok(Err(Failed(text))) => text,
        Err(_) => "making the container panicked; this is a defect, please report it".to_owned(),
    };
    if let Ok(bytes) = serde_json::to_vec(&Report::Failed(text)) {
        // If nobody listens any more there is nobody to tell.
        let _ = socket::send(&link, &bytes, &[]);
    }
    process::exit_now(1)
}

fn become_role(role: &Role<'_>, stdio: Stdio, link: &OwnedFd) -> Result<Infallible> {
    process::default_signals();
    rustix::process::setsid().context("start a session")?;
    // The shim goes without huge pages, and its allocator says so for all that comes after it.
    rustix::thread::disable_transparent_huge_pages(false).context("allow huge pages")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    match role {
        Role::Main { layout, sandbox, plan, users } => {
            join(&plan.cgroup)?;
            adjust_oom_score(&plan.process);
            process::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP)
                .context("unshare mounts and cgroups")?;
            rootfs::enter(layout, sandbox, plan, *users)?;
            execute(&plan.process, stdio, link, Way { users: *users, is_main: true })
        }
        Role::Beside { main, process, cgroup } => {
            join(cgroup)?;
            adjust_oom_score(process);
            process::enter(main, libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP).context("enter the container")?;
            // Through the main process, which is in it.
            let users = process.users.map(|_| main.as_fd());
            execute(process, stdio, link, Way { users, is_main: false })
        }
    }
}

/// What sets a container's main process apart from a command beside it.
struct Way<'a> {
    users: Option<BorrowedFd<'a>>,
    is_main: bool,
}

/// Moves to the container's cgroup in every hierarchy.
fn join(cgroup: &CgroupPlan) -> Result<()> {
    cgroup.join.iter().try_for_each(|directory| {
        fs::write(directory.join("cgroup.procs"), "0").context(format_args!("join {}", directory.display()))
    })
}

/// Sets how readily the kernel kills it. Lowering takes a right that machines may lack; then it stays as it is.
fn adjust_oom_score(process: &ProcessPlan) {
    const FILE: &str = "/proc/self/oom_score_adj";
    let Some(wanted) = process.oom_score_adj else { return };
    if fs::write(FILE, wanted.to_string()).is_err() {
        let own = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
        // Not lower than ours is always allowed.
        let _ = fs::write(FILE, wanted.max(own).to_string());
    }
}

/// A text file of the container, bounded: what an image brings is not ours.
fn small_file(path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // An unreadable file is taken for an absent one: then numbers still work, names do not.
        let _ = file.take(1 << 20).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn execute(plan: &ProcessPlan, stdio: Stdio, link: &OwnedFd, way: Way<'_>) -> Result<Infallible> {
    let account = accounts::look_up(&plan.user, &small_file("/etc/passwd"), &small_file("/etc/group"))?;
    let owner = Owner::of(&account, plan)?;
    let terminal = if plan.terminal { Some(Terminal::open(&owner, way.is_main)?) } else { None };
    report_and_wait(&account, terminal.as_ref(), link)?;
    connect(stdio, terminal, &owner)?;
    enter_users(&way)?;
    // Kernels without keyrings have none to share.
    let _ = process::new_session_keyring();
    let bits = plan.capabilities & rights::bounding_set();
    let filter = filter_of(plan, bits)?;
    if !plan.no_new_privs {
        install(filter.as_deref())?;
    }
    rights::limit_bounding_set(bits).context("limit capabilities")?;
    rights::keep_capabilities().context("keep capabilities")?;
    rights::become_user(account.uid, account.gid, &account.groups)
        .context(format_args!("become user {}:{}", account.uid, account.gid))?;
    rights::set_capabilities(bits).context("set capabilities")?;
    let cwd = if plan.cwd.is_empty() { "/" } else { &plan.cwd };
    rustix::process::chdir(cwd).context(format_args!("chdir to cwd ({cwd:?})"))?;
    // After the change of user, which would clear it: the container dies with its shim.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut environment = plan.env.clone();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", account.home));
    }
    let program = find(plan.argv.first().map_or("", String::as_str), &environment)?;
    let strings = |texts: &[String]| -> Result<Vec<CString>> {
        let convert = |text: &String| {
            CString::new(text.as_str()).map_err(|_| format!("{text:?} contains a zero byte").into())
        };
        texts.iter().map(convert).collect()
    };
    let (arguments, environment) = (strings(&plan.argv)?, strings(&environment)?);
    if plan.no_new_privs {
        rights::no_new_privileges().context("set no_new_privs")?;
        install(filter.as_deref())?;
    }
    process::close_on_exec_from(3).context("close descriptors")?;
    let error = process::execute(&program, &arguments, &environment);
    Err(format!("exec {}: {}", program.display(), plain(&error)).into())
}

/// The node's ids of a user of the container.
struct Owner {
    uid: rustix::fs::Uid,
    gid: rustix::fs::Gid,
}

impl Owner {
    fn of(account: &Account, plan: &ProcessPlan) -> Result<Owner> {
        let on_node = |id: u32| match plan.users {
            None => Ok(id),
            Some(range) => range.on_node(id).ok_or_else(|| format!("id {id} is beyond those of the pod")),
        };
        Ok(Owner {
            uid: rustix::fs::Uid::from_raw(on_node(account.uid)?),
            gid: rustix::fs::Gid::from_raw(on_node(account.gid)?),
        })
    }
}

/// Enters the pod's user namespace. The container's mounts, all made, belong to it from then on.
fn enter_users(way: &Way<'_>) -> Result<()> {
    let Some(users) = way.users else { return Ok(()) };
    process::enter(users, libc::CLONE_NEWUSER).context("enter the user namespace")?;
    if way.is_main {
        process::unshare(libc::CLONE_NEWNS).context("unshare mounts")?;
    }
    Ok(())
}

fn filter_of(plan: &ProcessPlan, bits: u64) -> Result<Option<Vec<rights::Instruction>>> {
    match &plan.seccomp {
        SeccompPlan::Unconfined => Ok(None),
        SeccompPlan::Default => Ok(Some(seccomp::default_filter(bits))),
        SeccompPlan::Profile(profile) => seccomp::profile_filter(profile, bits)
            .map(Some)
            .map_err(|text| format!("seccomp profile: {text}").into()),
    }
}

fn install(filter: Option<&[rights::Instruction]>) -> Result<()> {
    filter.map_or(Ok(()), rights::install_filter).context("install the system-call filter")
}

fn report_and_wait(account: &Account, terminal: Option<&Terminal>, link: &OwnedFd) -> Result<()> {
    let report = Report::Ready { uid: account.uid, gid: account.gid, groups: account.groups.clone() };
    let bytes = serde_json::to_vec(&report).map_err(|error| error.to_string())?;
    let descriptors: Vec<_> = terminal.iter().map(|terminal| terminal.master.as_fd()).collect();
    socket::send(link, &bytes, &descriptors).context("report to the shim")?;
    let mut word = [0; 1];
    match socket::receive(link, &mut word, &mut Vec::new()).context("wait for the shim")? {
        0 => Err("the shim went away".to_owned().into()),
        _ => Ok(()),
    }
}

/// A terminal of the container's own.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Terminal {
    fn open(owner: &Owner, console: bool) -> Result<Terminal> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).context("open a terminal")?;
        rustix::pty::unlockpt(&master).context("unlock the terminal")?;
        let slave = rustix::pty::ioctl_tiocgptpeer(
            &master,
            rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY,
        )
        .context("open the terminal's other side")?;
        rustix::fs::fchown(&slave, Some(owner.uid), None).context("give the terminal to the user")?;
        if console {
            let name = rustix::pty::ptsname(&master, Vec::new()).context("name the terminal")?;
            let name = PathBuf::from(name.to_string_lossy().into_owned());
            let at = Path::new("/dev/console");
            fs::File::create(at).context("make /dev/console")?;
            let tree = mount::clone_tree(&name, false).context("open the console")?;
            mount::attach_tree(tree, at).context("mount /dev/console")?;
        }
        Ok(Terminal { master, slave })
    }
}

/// Puts the streams in their places, owned by the user so that `/dev/stdout` can be opened.
fn connect(stdio: Stdio, terminal: Option<Terminal>, owner: &Owner) -> Result<()> {
    if let Some(terminal) = terminal {
        process::take_terminal(&terminal.slave).context("take the terminal")?;
        for at in 0..3 {
            process::place_stdio(&terminal.slave, at).context("connect the terminal")?;
        }
        return Ok(());
    }
    for (at, stream) in [stdio.stdin, stdio.stdout, stdio.stderr].into_iter().enumerate() {
        let stream = match stream {
            Some(stream) => {
                rustix::fs::fchown(&stream, Some(owner.uid), Some(owner.gid))
                    .context("give the streams to the user")?;
                stream
            }
            None => rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
                .context("open /dev/null")?,
        };
        process::place_stdio(&stream, at as i32).context("connect the streams")?;
    }
    Ok(())
}

/// Finds a program as a shell would, and says as other runtimes do why there is none.
fn find(name: &str, environment: &[String]) -> Result<PathBuf> {
    if name.is_empty() {
        return Err("exec: \"\": executable file not found in $PATH".to_owned().into());
    }
    if name.contains('/') {
        let fail = |why: String| Err(Failed(format!("exec: {name:?}: {why}")));
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fail(format!("stat {name}: {}", plain(&error)))
            }
            Err(error) => fail(plain(&error)),
        };
    }
    let path = environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or("");
    path.split(':')
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .find(|candidate| executable(candidate).is_ok())
        .ok_or_else(|| format!("exec: {name:?}: executable file not found in $PATH").into())
}

fn executable(path: &Path) -> io::Result<()> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(())
}
