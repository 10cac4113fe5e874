//! A node's own space: a network and a mount namespace that are kept by files, so that they outlive every process in
//! them. It is how several nodes live on one machine.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rustix::mount::MountPropagationFlags;

use crate::sys::{mount, process};

/// The magic number of the file system that namespaces are files of.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A space, by the directory of its files.
#[derive(Clone, Debug)]
pub struct Space {
    directory: PathBuf,
}

impl Space {
    /// The one in a directory, which need not exist yet.
    pub fn at(directory: &Path) -> Space {
        Space { directory: directory.to_owned() }
    }

    /// The file of the network namespace.
    pub fn network(&self) -> PathBuf {
        self.directory.join("network")
    }

    /// The file of the mount namespace.
    fn mounts(&self) -> PathBuf {
        self.directory.join("mounts")
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        let is_kept =
            |file: &Path| rustix::fs::statfs(file).is_ok_and(|status| status.f_type as u64 == NSFS_MAGIC);
        is_kept(&self.network()) && is_kept(&self.mounts())
    }

    /// Makes it if it is not there. The new space sees the machine's files, but of what is mounted below `hidden` (the
    /// other nodes of the cluster, say) nothing that does not lead to its own directory.
    pub fn make(&self, hidden: &Path) -> io::Result<()> {
        if self.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)?;
        self.unmount_files()?;
        // The kernel refuses to keep a mount namespace where it could reach that namespace itself; what is mounted in a
        // private place reaches no other.
        rustix::mount::mount_bind(&self.directory, &self.directory)?;
        rustix::mount::mount_change(&self.directory, MountPropagationFlags::PRIVATE)?;
        for file in [self.network(), self.mounts()] {
            fs::write(file, "")?;
        }
        std::thread::scope(|scope| {
            let (made, wait_made) = mpsc::channel();
            let (kept, wait_kept) = mpsc::channel::<()>();
            std::thread::Builder::new().name("space".into()).spawn_scoped(scope, move || {
                // Nobody listens only if the other side has failed already.
                let _ = made.send(begin(hidden, &self.directory));
                // Until they are kept, the namespaces live by this thread.
                let _ = wait_kept.recv();
            })?;
            let gone = |_| io::Error::other("the thread that makes a space ended early");
            let thread = wait_made.recv().map_err(gone)??;
            for (kind, file) in [("net", self.network()), ("mnt", self.mounts())] {
                rustix::mount::mount_bind(format!("/proc/self/task/{thread}/ns/{kind}"), &file)?;
            }
            drop(kept);
            Ok(())
        })
    }

    /// Moves the calling thread (of a process: to be called before there is a second one) into the space, under a host
    /// name of its own.
    pub fn enter(&self, host_name: &str) -> io::Result<()> {
        // Both are opened first: afterwards the files are out of sight.
        let network: OwnedFd = fs::File::open(self.network())?.into();
        let mounts: OwnedFd = fs::File::open(self.mounts())?.into();
        process::unshare(libc::CLONE_FS | libc::CLONE_NEWUTS)?;
        process::enter(mounts, libc::CLONE_NEWNS)?;
        process::enter(network, libc::CLONE_NEWNET)?;
        process::set_hostname(host_name)
    }

    /// Lets go of it. It is gone when the last process in it is.
    pub fn remove(&self) -> io::Result<()> {
        self.unmount_files()?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn unmount_files(&self) -> io::Result<()> {
        for path in [self.network(), self.mounts(), self.directory.clone()] {
            mount::unmount_all(&path)?;
        }
        Ok(())
    }
}

/// Moves this thread into new namespaces and answers its number.
fn begin(hidden: &Path, own: &Path) -> io::Result<i32> {
    process::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET)?;
    // What is mounted on the machine later is seen here too, but nothing of here there; and pods may share mounts with
    // this node as they would with a machine.
    for propagation in [MountPropagationFlags::DOWNSTREAM, MountPropagationFlags::SHARED] {
        rustix::mount::mount_change("/", propagation | MountPropagationFlags::REC)?;
    }
    for path in unwanted(&fs::read("/proc/thread-self/mountinfo")?, hidden, own).iter().rev() {
        mount::unmount_all(path)?;
    }
    process::loopback_up()?;
    Ok(rustix::thread::gettid().as_raw_nonzero().get())
}

/// The mounts of a table that a new space is better without: namespaces of others, which would live as long as it does,
/// and what lies below `hidden` but is not on the way to `own`. Deepest last.
fn unwanted(table: &[u8], hidden: &Path, own: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let Some(path) = fields.get(4).map(|field| mount::unescape(field)) else { continue };
        let kind = fields.iter().skip(6).skip_while(|field| **field != b"-").nth(1).copied();
        let is_hidden = path.starts_with(hidden) && path != hidden && !own.starts_with(&path);
        if kind == Some(b"nsfs") || is_hidden {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_others_and_what_is_hidden_are_left_out() {
        let table = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
            40 22 0:4 net:[4026532] /run/netns/x rw shared:7 - nsfs nsfs rw\n\
            41 22 0:50 / /data/runtime/a\\040b/shm rw - tmpfs tmpfs rw\n\
            42 22 0:51 / /data rw - tmpfs tmpfs rw\n\
            43 22 0:52 / /data/nodes rw - tmpfs tmpfs rw\n\
            44 22 0:53 / /datastore rw - tmpfs tmpfs rw\n";
        let found = unwanted(table, Path::new("/data"), Path::new("/data/nodes/two/space"));
        assert_eq!(found, [Path::new("/data/runtime/a b/shm"), Path::new("/run/netns/x")]);
    }

    fn inside<T: Send>(space: &Space, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                space.enter("inside").unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    #[test]
    fn a_space_outlives_who_was_in_it_and_shows_nothing_outside() {
        let directory = std::env::temp_dir().join(format!("ironclad-space-{}", std::process::id()));
        let (data, space) = (directory.join("data"), Space::at(&directory.join("space")));
        fs::create_dir_all(&data).unwrap();
        space.make(&directory).unwrap();
        space.make(&directory).unwrap();
        let name = || rustix::system::uname().nodename().to_owned();
        let outside = (name(), fs::read_link("/proc/thread-self/ns/net").unwrap());
        inside(&space, || {
            mount::mount_kernel("tmpfs", &data, rustix::mount::MountFlags::empty(), "").unwrap();
            fs::write(data.join("file"), "kept").unwrap();
            assert_eq!(name().to_str(), Ok("inside"));
        });
        assert!(!data.join("file").exists());
        assert_eq!(outside, (name(), fs::read_link("/proc/thread-self/ns/net").unwrap()));
        let later = inside(&space, || {
            assert_ne!(fs::read_link("/proc/thread-self/ns/net").unwrap(), outside.1);
            fs::read_to_string(data.join("file")).unwrap()
        });
        assert_eq!(later, "kept");
        assert!(space.exists());
        space.remove().unwrap();
        assert!(!space.exists());
        assert_eq!(mount::mounts_below(&directory).unwrap(), Vec::<PathBuf>::new());
        fs::remove_dir_all(&directory).unwrap();
    }
}
