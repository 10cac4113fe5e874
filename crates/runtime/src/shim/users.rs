//! User namespaces: a pod's own ids, behind which stand a range of the node's that no other pod has.
//!
//! The pod's other namespaces belong to its user namespace, so that its root may rule them. The shim enters those, but
//! not the user namespace itself: it keeps the node's rights, and its children enter last, when all is made.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use super::containers::link_pair;
use super::failure::{Context, Failed, Result};
use crate::plan::IdRange;
use crate::sys::process::{self, Fork};
use crate::sys::{rights, socket};

/// Said by a child that did its work; anything else is the reason why it could not.
const DONE: &[u8] = &[0];

/// Makes a user namespace with these ids, and enters new namespaces in `flags` that belong to it.
pub(super) fn make(range: IdRange, flags: i32) -> Result<OwnedFd> {
    let (link, childs_link) = link_pair()?;
    match process::fork(libc::CLONE_NEWUSER | flags).context("make a user namespace")? {
        Fork::Child => {
            drop(link);
            // It keeps the namespaces until the shim is in them, and closes its end.
            let _ = socket::receive(&childs_link, &mut [0; 1], &mut Vec::new());
            process::exit_now(0)
        }
        Fork::Parent(pid) => {
            drop(childs_link);
            for file in ["uid_map", "gid_map"] {
                let line = format!("0 {} {}\n", range.first, range.count);
                fs::write(format!("/proc/{pid}/{file}"), line).context("set the pod's ids")?;
            }
            let users = fs::File::open(format!("/proc/{pid}/ns/user")).context("open the user namespace")?;
            let child = process::pidfd(pid).context("open the user namespace's process")?;
            if flags != 0 {
                process::enter(child, flags).context("enter the pod's namespaces")?;
            }
            Ok(users.into())
        }
    }
}

/// Becomes root of a user namespace.
pub(super) fn become_root(users: impl AsFd) -> Result<()> {
    process::enter(users, libc::CLONE_NEWUSER).context("enter the user namespace")?;
    rights::become_user(0, 0, &[]).context("become the pod's root")
}

/// Does something as root of a user namespace, in a process that then ends.
pub(super) fn as_root(users: &OwnedFd, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (link, childs_link) = link_pair()?;
    match process::fork(0).context("fork")? {
        Fork::Child => {
            let word = match become_root(users).and_then(|()| work()) {
                Ok(()) => DONE.to_vec(),
                Err(Failed(text)) => text.into_bytes(),
            };
            // If nobody listens any more there is nobody to tell.
            let _ = socket::send(&childs_link, &word, &[]);
            process::exit_now(0)
        }
        Fork::Parent(_) => {
            drop(childs_link);
            let mut word = vec![0; 4096];
            match socket::receive(&link, &mut word, &mut Vec::new()).context("wait for the pod's root")? {
                1 if word.starts_with(DONE) => Ok(()),
                0 => Err("the pod's root was killed at its work".to_owned().into()),
                count => Err(String::from_utf8_lossy(&word[..count]).into_owned().into()),
            }
        }
    }
}
