//! How long a thread waits for its turn on a processor.

/// How long each turn is, in nanoseconds; the kernel allows no shorter ones. Many queries fit into it.
const TURN: u64 = 100_000;

/// What the kernel takes as `struct sched_attr`, as far as there was one from the start.
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks for short turns that come soon, for this thread: not more of the processor than others get, but it need not wait
/// for the end of theirs. Kernels before 6.12 do not know of it, and go on as ever.
#[expect(unsafe_code, reason = "there is no safe wrapper of this call")]
pub(super) fn take_short_turns() {
    // What is not said anew is lost: the rank of the process stays as it is.
    let nice = rustix::process::getpriority_process(None).unwrap_or_default();
    let size = size_of::<Attributes>() as u32;
    let attributes = Attributes { size, nice, runtime: TURN, ..Attributes::default() };
    // SAFETY: the structure has the size it says and lives until the call ends; zero means this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "names are answered when it is their turn as of any other thread");
    }
}
