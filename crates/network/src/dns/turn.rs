//! How long a thread waits for its turn on a processor.

/// How long each turn is, in nanoseconds; the kernel allows no shorter ones. Many queries fit into it.
const TURN: u64 = 100_000;
/// How much sooner its turn comes than that of other threads: three times as often, if all want more than there is. What
/// a flood of queries can take from the others has an end, too.
const RANK: i32 = -5;

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

/// Asks for short turns that come soon, for this thread: on a busy node it need not wait until all others have had theirs.
/// Kernels before 6.12 do not know of short turns, and the rank needs a privilege: without, it goes on as ever.
#[expect(unsafe_code, reason = "there is no safe wrapper of this call")]
pub(super) fn take_short_turns() {
    // The call sets all of it: the rank is reckoned from that of the process.
    let nice = rustix::process::getpriority_process(None).unwrap_or_default();
    let size = size_of::<Attributes>() as u32;
    for nice in [nice + RANK, nice] {
        let attributes = Attributes { size, nice, runtime: TURN, ..Attributes::default() };
        // SAFETY: the structure has the size it says and lives until the call ends; zero means this thread.
        let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if result == 0 {
            return;
        }
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, nice, "the thread that answers names cannot have its turn sooner");
    }
}
