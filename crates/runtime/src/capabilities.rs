//! Capabilities by name, and the set a container gets.

use crate::sys::rights::CapabilityBits;

/// Every capability in the kernel's order.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has that asks for nothing: the fourteen that container runtimes agree on.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All of them.
pub(crate) const ALL: CapabilityBits = (1 << NAMES.len()) - 1;

/// The bit of a capability, given with or without `CAP_`, in any case.
pub(crate) fn by_name(name: &str) -> Option<CapabilityBits> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == plain).map(|bit| 1 << bit)
}

/// The set of a container: the default ones, `ALL` first in either list, then what is added, then what is dropped.
pub(crate) fn container_set(add: &[String], drop: &[String]) -> Result<CapabilityBits, String> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let bits = |names: &[String]| -> Result<CapabilityBits, String> {
        names.iter().filter(|name| !is_all(name)).try_fold(0, |set, name| {
            by_name(name).map(|bit| set | bit).ok_or_else(|| format!("unknown capability {name:?}"))
        })
    };
    let mut set = DEFAULT.iter().filter_map(|name| by_name(name)).fold(0, |set, bit| set | bit);
    if add.iter().any(is_all) {
        set = ALL;
    }
    if drop.iter().any(is_all) {
        set = 0;
    }
    Ok((set | bits(add)?) & !bits(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_a_container() {
        let set = |add: &[&str], drop: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            container_set(&own(add), &own(drop))
        };
        let bit = |name| by_name(name).unwrap();
        let default = 0xa804_25fb;
        assert_eq!(set(&[], &[]), Ok(default));
        assert_eq!(set(&["NET_ADMIN"], &["cap_chown"]), Ok((default | bit("NET_ADMIN")) & !bit("CHOWN")));
        assert_eq!(set(&["ALL"], &[]), Ok(ALL));
        assert_eq!(set(&["ALL"], &["SYS_ADMIN"]), Ok(ALL & !bit("SYS_ADMIN")));
        assert_eq!(set(&["NET_BIND_SERVICE"], &["ALL"]), Ok(bit("NET_BIND_SERVICE")));
        assert_eq!(set(&["NET_ADMIN"], &["NET_ADMIN"]), Ok(default));
        assert!(set(&["FLY"], &[]).is_err());
        assert_eq!(by_name("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
    }
}
