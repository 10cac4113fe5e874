//! The allocator of every process that this binary becomes, and how soon it gives memory back.
#![expect(unsafe_code, reason = "what mimalloc is told has no safe form")]

use std::ffi::{c_int, c_long};
use std::time::Duration;

use env::Env;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of the option that says for how many milliseconds memory that is free is kept.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(force: bool);
}

/// From now on memory that is free goes back to the kernel at once. For processes whose work comes in short bursts with
/// long calm between: what is kept for later is only looked through when more is asked for, so that a burst's memory
/// would stay through all of the calm.
pub fn give_back_at_once() {
    // SAFETY: the option exists (a test holds its number), any value is one, and it is a number that all threads read
    // whenever they like.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

/// How often a server looks for memory that is free: a start or a burst may leave a hundred MiB, and looking costs less
/// than a millisecond.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Gives memory back that has been free for a while, again and again. For processes that are busy and calm by turns:
/// while they are busy, free memory is of use, and in the calm nobody else would look for it.
pub fn give_back_in_calm(env: &Env) {
    let clock = env.clock.clone();
    env.tasks.spawn("free memory", async move {
        loop {
            clock.sleep(LOOK_EVERY).await;
            // SAFETY: it touches nothing but what is free already.
            unsafe { mi_collect(false) }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    /// The numbers of options move from one version to another; one second is the default of this one alone.
    #[test]
    fn the_option_that_is_set_is_the_one_that_keeps_free_memory() {
        // SAFETY: it only reads a number.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1_000);
        give_back_at_once();
        assert_eq!(get(), 0);
    }
}
