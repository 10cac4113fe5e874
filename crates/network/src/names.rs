//! Names of links and tables: short enough for the kernel, and different for each instance on a machine.

/// The name of a table.
pub fn table(instance: &str, part: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let instance: String = instance.chars().map(plain).take(64).collect();
    format!("ironclad-{instance}-{part}")
}

/// The name of the table that stands by while another is replaced.
pub fn standby(table: &str) -> String {
    format!("{table}-standby")
}

/// The name of a sandbox's link: at most fifteen letters, which is the kernel's limit.
pub fn link(instance: &str, sandbox: &str) -> String {
    format!("{}{:09x}", link_prefix(instance), hash(sandbox) & 0xf_ffff_ffff)
}

/// What the names of all links of an instance begin with.
pub fn link_prefix(instance: &str) -> String {
    format!("ic{:04x}", hash(instance) & 0xffff)
}

/// The name of the tunnel to other nodes.
pub fn tunnel(instance: &str) -> String {
    format!("{}-tunnel", link_prefix(instance))
}

/// FNV-1a with its bits mixed: names must not change from one version to the next.
pub fn hash(text: impl AsRef<[u8]>) -> u64 {
    let sum = text.as_ref().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let name = link("default", "0123456789abcdef0123456789abcdef");
        assert_eq!(name.len(), 15);
        assert!(name.starts_with(&link_prefix("default")));
        assert_ne!(link("default", "a"), link("default", "b"));
        assert_ne!(link_prefix("one"), link_prefix("two"));
        assert!(tunnel("default").len() <= 15);
        assert_eq!(table("My cluster/1", "pods"), "ironclad-my-cluster-1-pods");
    }
}
