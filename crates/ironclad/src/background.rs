//! One process per data directory: the lock that says which, the start in the background, and the end.
//!
//! The background process reports on its standard output, a pipe to whoever typed `up`: one line, `ready` or what
//! went wrong. Then the pipe is closed and only the log is left.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};

use crate::config::Instance;

/// How long a killed process may take to let go of its lock: large memory is freed first.
const LEAVING_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LEAVING_STEP: Duration = Duration::from_millis(10);
/// The kernel's mark of a process that is ending.
const PF_EXITING: u64 = 0x4;
/// SIGKILL in a mask of signals.
const SIGKILL_BIT: u64 = 1 << 8;

/// Held as long as the process that runs an instance lives; the kernel lets go of it, whatever happens.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who runs an instance.
#[derive(Debug)]
pub enum Taken {
    /// Nobody did: now it is us.
    Ours(Lock),
    /// This process does.
    By(Pid),
}

/// Takes the instance's lock, or says who has it and goes on: one that was killed and is just ending is waited for.
pub fn take_lock(instance: &Instance) -> anyhow::Result<Taken> {
    patiently(|| take_lock_now(instance), |taken| if let Taken::By(pid) = taken { Some(*pid) } else { None })
}

fn take_lock_now(instance: &Instance) -> anyhow::Result<Taken> {
    let path = instance.lock_file();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
            Ok(Taken::Ours(Lock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Taken::By(read_pid(&mut file)?)),
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The process that runs the instance and goes on running it, if one does.
pub fn running(instance: &Instance) -> anyhow::Result<Option<Pid>> {
    patiently(|| running_now(instance), |found| *found)
}

fn running_now(instance: &Instance) -> anyhow::Result<Option<Pid>> {
    if !instance.lock_file().exists() {
        return Ok(None);
    }
    let mut file = OpenOptions::new().read(true).open(instance.lock_file())?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(read_pid(&mut file)?)),
        Err(error) => Err(error).context("cannot look at the lock"),
    }
}

/// Looks again while whoever `holder` names in what was found is ending.
fn patiently<T>(
    mut look: impl FnMut() -> anyhow::Result<T>,
    holder: impl Fn(&T) -> Option<Pid>,
) -> anyhow::Result<T> {
    let mut left = LEAVING_LIMIT;
    loop {
        let found = look()?;
        if left.is_zero() || !holder(&found).is_some_and(is_ending) {
            return Ok(found);
        }
        std::thread::sleep(LEAVING_STEP);
        left = left.saturating_sub(LEAVING_STEP);
    }
}

fn read_pid(file: &mut File) -> anyhow::Result<Pid> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    let number: i32 = text.trim().parse().context("the lock file holds no process id")?;
    Pid::from_raw(number).context("the lock file holds no process id")
}

/// Whether a process has been killed, or is gone already: it may hold its lock a moment longer.
fn is_ending(pid: Pid) -> bool {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else { return true };
    // The name, in brackets, may hold anything; the state and, six fields on, the kernel's flags follow it.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let is_dead = fields.first().is_none_or(|state| *state == "Z" || *state == "X");
    let flags: u64 = fields.get(6).and_then(|flags| flags.parse().ok()).unwrap_or(0);
    let pending =
        status.lines().filter_map(|line| line.strip_prefix("ShdPnd:").or(line.strip_prefix("SigPnd:")));
    let is_killed = pending
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & SIGKILL_BIT != 0);
    is_dead || is_killed || flags & PF_EXITING != 0
}

/// Starts the same command again in the background and waits for its report.
pub fn start(instance: &Instance, arguments: &[String], wait: Duration) -> anyhow::Result<()> {
    let log_path = instance.log_file();
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log_path)
        .with_context(|| format!("cannot open {}", log_path.display()))?;
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the background process")?;
    match wait_for_report(&mut child, wait)? {
        Some(report) if report == "ready" => Ok(()),
        Some(problem) if !problem.is_empty() => bail!("{problem}"),
        Some(_) => bail!("it ended before it was ready; {}", last_words(&log_path)),
        None => {
            stop(Pid::from_child(&child), Duration::from_secs(10))?;
            bail!("not ready within {} seconds; {}", wait.as_secs(), last_words(&log_path))
        }
    }
}

/// The first line of the child's report, empty if it ended without one; `None` if it took too long.
fn wait_for_report(child: &mut Child, wait: Duration) -> anyhow::Result<Option<String>> {
    let pipe = child.stdout.take().context("the background process has a pipe")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // An unreadable pipe is a child that died: an empty line says so.
        let _ = BufReader::new(pipe).read_line(&mut line);
        let _ = sender.send(line.trim_end().to_owned());
    });
    Ok(receiver.recv_timeout(wait).ok())
}

/// What was typed, and that the new process is to report.
pub fn arguments() -> Vec<String> {
    let typed = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    typed.chain(["--report-start".to_owned()]).collect()
}

/// In the background process: what goes wrong at the start goes to whoever waits; the log has it too. `serve` calls what
/// it is given when it is ready.
pub fn run(serve: impl FnOnce(&mut dyn FnMut()) -> anyhow::Result<()>) -> anyhow::Result<()> {
    detach()?;
    let mut reported = false;
    let result = serve(&mut || {
        report("ready");
        reported = true;
    });
    if let Err(error) = &result
        && !reported
    {
        report(&format!("{error:#}"));
    }
    result
}

/// The threads that a cluster's or node's own work runs on: few, because it waits more than it computes.
pub fn threads() -> anyhow::Result<tokio::runtime::Runtime> {
    let count = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// Runs what `start` starts until the process is asked to end; `ready` is called when it is ready.
pub async fn until_asked<T>(
    start: impl Future<Output = anyhow::Result<T>>,
    ready: impl FnOnce(&T),
) -> anyhow::Result<Option<T>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(None),
        _ = interrupt.recv() => return Ok(None),
        running = start => running?,
    };
    ready(&running);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; containers go on running");
    Ok(Some(running))
}

/// In the background process: leaves the terminal's session.
fn detach() -> anyhow::Result<()> {
    // Not before the flags were read: paths in them start from where they were typed.
    std::env::set_current_dir("/").context("cannot leave the directory")?;
    rustix::process::setsid().context("cannot leave the terminal's session")?;
    Ok(())
}

/// In the background process: tells whoever waits, and lets go of the pipe.
fn report(line: &str) {
    // Nobody may be waiting any more; then there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
    let _ = rustix::stdio::dup2_stdout(std::io::stderr());
}

/// Asks a process to end, and waits until it has; after `patience` it is killed.
pub fn stop(pid: Pid, patience: Duration) -> anyhow::Result<()> {
    let watched = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(watched) => watched,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).context("cannot watch the process"),
    };
    for (signal, limit) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(10))] {
        match rustix::process::pidfd_send_signal(&watched, signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).context("cannot end the process; are you root?"),
        }
        if ended(&watched, limit)? {
            return Ok(());
        }
    }
    bail!("process {} does not end although it was killed", pid.as_raw_nonzero())
}

/// Waits until a process that need not be a child has ended.
pub fn wait_for_end(pid: Pid) -> anyhow::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let watched = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(watched) => watched,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).context("cannot watch the process"),
    };
    loop {
        match poll(&mut [PollFd::new(&watched, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot watch the process"),
        }
    }
}

fn ended(watched: &rustix::fd::OwnedFd, limit: Duration) -> anyhow::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout =
        Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: i64::from(limit.subsec_nanos()) };
    let mut watched = [PollFd::new(watched, PollFlags::IN)];
    Ok(poll(&mut watched, Some(&timeout))? > 0)
}

/// The end of the log, for a message.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let tail: Vec<String> = lines.into_iter().rev().map(|line| format!("\n  {line}")).collect();
    format!("the log ({}) ends with:{}", log.display(), tail.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_has_the_lock() {
        let dir = std::env::temp_dir().join(format!("ironclad-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let instance = Instance::in_dir(&dir).expect("a path");
        assert!(running(&instance).expect("readable").is_none());
        let Taken::Ours(lock) = take_lock(&instance).expect("free") else { panic!("nobody had it") };
        let us = Pid::from_raw(i32::try_from(std::process::id()).expect("fits")).expect("not zero");
        assert!(matches!(take_lock(&instance).expect("readable"), Taken::By(pid) if pid == us));
        assert_eq!(running(&instance).expect("readable"), Some(us));
        drop(lock);
        // A child that another test is just starting may hold a copy of it until it is another program.
        let is_free = || running(&instance).expect("readable").is_none();
        let mut looks = 0..6_000;
        while !is_free() {
            assert!(looks.next().is_some(), "it is never given back");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_dir_all(&dir).expect("ours");
    }

    #[test]
    fn a_killed_process_is_ending_and_a_living_one_is_not() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = Pid::from_child(&child);
        assert!(!is_ending(pid));
        child.kill().expect("ours");
        // Not reaped yet: it is killed, ending or a zombie, and each of them counts.
        assert!(is_ending(pid));
        child.wait().expect("ours");
        assert!(is_ending(pid));
    }

    #[test]
    fn the_lock_of_a_killed_process_is_waited_for() {
        let dir = std::env::temp_dir().join(format!("ironclad-lock-killed-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let instance = Instance::in_dir(&dir).expect("a path");
        // A killed process that nobody has waited for yet; the lock is kept longer than it by us, in its name.
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let Taken::Ours(lock) = take_lock(&instance).expect("free") else { panic!("nobody had it") };
        std::fs::write(instance.lock_file(), format!("{}\n", child.id())).expect("ours");
        child.kill().expect("ours");
        let later = std::thread::spawn(move || {
            std::thread::sleep(LEAVING_STEP * 5);
            drop(lock);
        });
        assert!(matches!(take_lock(&instance).expect("readable"), Taken::Ours(_)));
        later.join().expect("it ends");
        child.wait().expect("ours");
        std::fs::remove_dir_all(&dir).expect("ours");
    }

    #[test]
    fn a_process_that_ignores_the_request_is_killed() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "trap '' TERM; echo on; while :; do read line < /dev/zero; done"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says something");
        stop(Pid::from_child(&child), Duration::from_millis(50)).expect("killed");
        assert!(!child.wait().expect("reaped").success());
    }
}
