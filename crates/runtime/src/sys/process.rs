//! Processes: forking into new namespaces, entering existing ones, signals, execution.
#![expect(unsafe_code, reason = "clone, setns, signal masks and execve have no safe form in rustix or std")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who returned from [`fork`].
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The one that called, with the new one's id as the caller sees it.
    Parent(i32),
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Copies this process, which must have one thread only, into the namespaces `flags` asks for.
pub(crate) fn fork(flags: libc::c_int) -> io::Result<Fork> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no new stack this is fork(2): the child runs on a copy of everything. The
    // process has a single thread, so no lock of another thread is held in the copy.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(if pid == 0 { Fork::Child } else { Fork::Parent(pid as i32) })
}

/// Leaves the namespaces in `flags` for new ones.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes integers only; CLONE_FILES and CLONE_VM are never asked for.
    check(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Enters namespaces: `of` is one namespace's file or a process's descriptor, `flags` says which.
pub(crate) fn enter(of: impl AsFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call.
    check(libc::c_long::from(unsafe { libc::setns(of.as_fd().as_raw_fd(), flags) })).map(drop)
}

/// A descriptor of a process.
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel made this descriptor for us just now; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal to a process, or, with a negative id, to a group.
pub(crate) fn signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Sends a signal to the process a descriptor stands for.
pub(crate) fn signal_pidfd(process: impl AsFd, signal: i32) -> io::Result<()> {
    let process = process.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open; no siginfo is given.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process, signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// One child that ended.
pub(crate) struct Ended {
    pub pid: i32,
    /// 128 + n if signal n ended it.
    pub code: i32,
}

/// A child that ended and was not asked for yet; `None` if there is none.
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives through the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        match pid {
            1.. if libc::WIFEXITED(status) => return Some(Ended { pid, code: libc::WEXITSTATUS(status) }),
            1.. if libc::WIFSIGNALED(status) => {
                return Some(Ended { pid, code: 128 + libc::WTERMSIG(status) });
            }
            1.. => {}
            _ => return None,
        }
    }
}

/// Blocks SIGCHLD and SIGTERM and gives a descriptor they are read from.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: a zeroed sigset is a valid argument to sigemptyset, and the set lives through the calls.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())))?;
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    check(libc::c_long::from(fd))?;
    // SAFETY: made just now, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Every signal unblocked and with its default effect, as a fresh program expects it.
pub(crate) fn default_signals() {
    // Handler, flags, restorer and mask, as the kernel wants them: the C library would not let go of its own signals.
    let default = [libc::SIG_DFL, 0, 0, 0];
    // SAFETY: resetting handlers to the default installs no code; action and set live through the calls. What cannot be
    // reset (SIGKILL, SIGSTOP) never was anything else.
    unsafe {
        for signal in 1..=64 {
            let no_old = std::ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, 8);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Ends this process at once: no destructors, no buffers. For forked copies, whose state belongs to the original.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}

/// Makes orphans among our descendants our children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })).map(drop)
}

/// Keeps other processes from looking into this one through /proc or ptrace.
pub(crate) fn hide_from_ptrace() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })).map(drop)
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: takes integers only; with CLOSE_RANGE_CLOEXEC nothing is closed now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 4u32) }).map(drop)
}

/// Gives this process a session keyring of its own, so that it does not hold the node's keys.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) })
        .map(drop)
}

/// Makes the terminal `terminal` the controlling one of this session.
pub(crate) fn take_terminal(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: the descriptor is open; the argument is an integer.
    check(libc::c_long::from(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }))
        .map(drop)
}

/// Puts `from` in the place of one of the standard streams, where it survives `execve`.
pub(crate) fn place_stdio(from: impl AsFd, at: i32) -> io::Result<()> {
    let from = from.as_fd().as_raw_fd();
    // SAFETY: both are integers; what stood at `at` (0, 1 or 2) is owned by no Rust object of a forked copy that
    // is about to execute another program.
    let result = unsafe { if from == at { libc::fcntl(at, libc::F_SETFD, 0) } else { libc::dup2(from, at) } };
    check(libc::c_long::from(result)).map(drop)
}

/// Executes a program in place of this one. Returns only the reason why it could not.
pub(crate) fn execute(program: &Path, arguments: &[CString], environment: &[CString]) -> io::Error {
    let Ok(program) = CString::new(program.as_os_str().as_bytes()) else {
        return io::Error::from_raw_os_error(libc::EINVAL);
    };
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: the strings outlive the call and both lists end with a null pointer.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Whether pods can have users of their own here: namespaces for them, and mounts that map ids on the file systems that
/// matter (tmpfs was the last to learn it, in Linux 6.3).
pub(crate) fn can_map_users() -> bool {
    let most = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    most.trim().parse().is_ok_and(|most: u64| most > 0) && at_least(&release, (6, 3))
}

fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => false,
    }
}

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: a zeroed ifreq is valid; the name fits with its terminating zero; both ioctls take a pointer to it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        check(libc::c_long::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request)))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::c_long::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request)))?;
    }
    Ok(())
}

/// Sets the hostname of the current UTS namespace.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(libc::c_long::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(drop)
}

/// The fields of a living process's `stat` after its name.
fn stat(pid: i32) -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything, parentheses included.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let lives = state != "Z" && state != "X";
    lives.then(|| fields.map(|field| field.parse().unwrap_or_default()).collect())
}

/// When a process started, in clock ticks since boot: with its id, that names it for ever.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.get(18).copied()
}

/// A process's parent; `None` if it is gone.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.first().and_then(|parent| i32::try_from(*parent).ok())
}

/// Identifies this boot of the machine.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_their_numbers() {
        let cases = [
            ("6.3.0", true),
            ("6.18.1-micro", true),
            ("10.0", true),
            ("6.2.16-debian", false),
            ("5.19", false),
            ("odd", false),
        ];
        for (release, wanted) in cases {
            assert_eq!(at_least(release, (6, 3)), wanted, "{release}");
        }
    }
}
