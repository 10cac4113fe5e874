//! Descriptors that tokio waits on.
#![expect(unsafe_code, reason = "tokio cannot know that a descriptor stays open")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets tokio wait on a descriptor, which must be non-blocking.
pub(crate) fn watch(descriptor: impl Into<OwnedFd>) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same until it is dropped, and the `AsyncFd` owns it.
    unsafe { AsyncFd::register(descriptor.into()) }.map_err(io::Error::from)
}
