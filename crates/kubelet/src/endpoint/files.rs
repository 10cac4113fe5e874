//! The small files that CRI has the runtime make for pods: how names are looked up, and the pod's own name. They are made
//! with the sandbox, and every container of it sees them, unless it is given others.

use std::io;
use std::path::{Path, PathBuf};

use cri::Mount;
use cri::v1::{DNSConfig, PodSandboxConfig};

/// A file, where containers see it.
const FILES: [(&str, &str); 2] = [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname")];

/// Where those of a sandbox are.
pub(super) fn directory(root: &Path, sandbox: &str) -> PathBuf {
    root.join(sandbox)
}

/// The text of `resolv.conf`.
fn resolvers(config: &DNSConfig) -> String {
    let mut text = String::new();
    if !config.searches.is_empty() {
        text.push_str(&format!("search {}\n", config.searches.join(" ")));
    }
    for server in &config.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !config.options.is_empty() {
        text.push_str(&format!("options {}\n", config.options.join(" ")));
    }
    text
}

/// Makes those of a sandbox. One that says nothing of resolvers has the node's.
pub(super) fn make(directory: &Path, config: &PodSandboxConfig, of_node: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let text = match &config.dns_config {
        Some(dns) => resolvers(dns),
        None => std::fs::read_to_string(of_node)?,
    };
    std::fs::write(directory.join("resolv.conf"), text)?;
    if !config.hostname.is_empty() {
        std::fs::write(directory.join("hostname"), format!("{}\n", config.hostname))?;
    }
    Ok(())
}

/// Takes them away.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Adds them to what a container sees, where nothing else is mounted.
pub(super) fn add(directory: &Path, mounts: &mut Vec<Mount>) {
    for (name, at) in FILES {
        let host_path = directory.join(name);
        if host_path.exists() && !mounts.iter().any(|mount| mount.container_path == at) {
            mounts.push(Mount { container_path: at.to_owned(), host_path, ..Mount::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::TempDir;

    #[test]
    fn pods_find_the_files_that_their_sandbox_says() {
        let root = TempDir::new("cri-files");
        let of_node = root.0.join("node.conf");
        std::fs::write(&of_node, "nameserver 192.0.2.53\n").unwrap();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let dns = DNSConfig {
            servers: words(&["10.96.0.10", "fd00::a"]),
            searches: words(&["a.local", "local"]),
            options: words(&["ndots:5"]),
        };
        let text = "search a.local local\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n";
        for (dns, hostname, resolv, seen) in [
            (Some(dns), "web", text, &["/own", "/etc/resolv.conf", "/etc/hostname"][..]),
            (Some(DNSConfig::default()), "web", "", &["/own", "/etc/resolv.conf", "/etc/hostname"]),
            (None, "", "nameserver 192.0.2.53\n", &["/own", "/etc/resolv.conf"]),
        ] {
            let directory = directory(&root.0, "s1");
            let config =
                PodSandboxConfig { dns_config: dns, hostname: hostname.to_owned(), ..Default::default() };
            make(&directory, &config, &of_node).unwrap();
            assert_eq!(std::fs::read_to_string(directory.join("resolv.conf")).unwrap(), resolv);
            let own = |path: &str| Mount { container_path: path.to_owned(), ..Mount::default() };
            let mut mounts = vec![own("/own")];
            add(&directory, &mut mounts);
            assert_eq!(mounts.iter().map(|mount| mount.container_path.as_str()).collect::<Vec<_>>(), seen);
            let mut mounts = vec![own("/etc/resolv.conf"), own("/etc/hostname")];
            add(&directory, &mut mounts);
            assert_eq!(mounts.len(), 2, "what is given wins");
            remove(&directory).unwrap();
            remove(&directory).unwrap();
        }
    }
}
