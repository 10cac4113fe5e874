//! Network namespaces: opened by path or made anew, and entered only by threads that end afterwards.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Error, Result};

/// A network namespace, kept alive by this handle. Clones share it.
#[derive(Clone, Debug)]
pub struct Namespace {
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// The one this thread is in.
    pub fn current() -> Result<Namespace> {
        Namespace::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The one at a path.
    pub fn open(path: &Path) -> Result<Namespace> {
        let file = File::open(path).map_err(|source| {
            Error::io(format!("opening the network namespace {}", path.display()), source)
        })?;
        Ok(Namespace { fd: Arc::new(file.into()) })
    }

    /// A new one, with nothing in it but a loopback that is down. It goes away with the last handle and process in it.
    pub fn create() -> Result<Namespace> {
        on_a_thread(|| {
            unshare_network()?;
            Namespace::current()
        })?
    }

    /// Runs `work` inside it, on a thread of its own, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|source| Error::io("entering a network namespace", source))?;
            Ok(work())
        })?
    }

    /// The device and inode that identify it.
    pub fn identity(&self) -> Result<(u64, u64)> {
        let status = rustix::fs::fstat(self.fd.as_fd())
            .map_err(|source| Error::io("looking at a network namespace", source))?;
        Ok((status.st_dev, status.st_ino))
    }

    /// Its descriptor, to hand to the kernel.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Runs `work` on a thread that ends with it, so that what it changes about its thread (its namespace) is forgotten.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .stack_size(256 << 10)
            .spawn_scoped(scope, work)
            .map_err(|source| Error::io("starting a thread", source))?;
        thread.join().map_err(|_| Error::Malformed("work inside a network namespace panicked".into()))
    })
}

#[expect(unsafe_code, reason = "leaving a namespace can surprise other code of the same thread")]
fn unshare_network() -> Result<()> {
    // SAFETY: called only on a thread made for it, which holds nothing that depends on its network namespace.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .map_err(|source| Error::io("making a network namespace", source))
}
