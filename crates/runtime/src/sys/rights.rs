//! What a process may do: capabilities, ids, limits, and its system-call filter.
#![expect(
    unsafe_code,
    reason = "capset, the bounding set, setresuid and seccomp have no safe form that fits"
)]

use std::io;

/// Capabilities as the kernel numbers them: bit n is capability n.
pub(crate) type CapabilityBits = u64;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_long> {
    // SAFETY: every option used here takes integers only.
    check(libc::c_long::from(unsafe { libc::prctl(option, argument, 0, 0, 0) }))
}

/// The capabilities this process may hand on.
pub(crate) fn bounding_set() -> CapabilityBits {
    (0..64)
        .filter(|bit| prctl(libc::PR_CAPBSET_READ, *bit).is_ok_and(|set| set == 1))
        .fold(0, |set, bit| set | 1 << bit)
}

/// Takes every capability that is not in `keep` out of the bounding set.
pub(crate) fn limit_bounding_set(keep: CapabilityBits) -> io::Result<()> {
    for bit in 0..64 {
        if keep & (1 << bit) == 0 && prctl(libc::PR_CAPBSET_READ, bit).is_ok_and(|set| set == 1) {
            prctl(libc::PR_CAPBSET_DROP, bit)?;
        }
    }
    Ok(())
}

/// Keeps capabilities across the change of user that follows.
pub(crate) fn keep_capabilities() -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1).map(drop)
}

/// `execve` gives no rights from now on.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Sets the permitted and effective capabilities; inheritable and ambient ones become none.
pub(crate) fn set_capabilities(bits: CapabilityBits) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| {
        let word = (bits >> shift) as u32;
        Data { effective: word, permitted: word, inheritable: 0 }
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 takes a header and two data words, which live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Becomes the user, group and groups given, for good.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // The raw calls: glibc's own act on all threads by signals, and this process has one thread.
    // SAFETY: pointer and count describe `groups`; the others take integers only.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// One instruction of a classic BPF program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub k: u32,
}

/// Installs a system-call filter for this process and all it starts.
pub(crate) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const Instruction,
    }
    const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = Program { length, filter: program.as_ptr() };
    // SAFETY: the layout is that of sock_fprog, and the instructions live through the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
        .map(drop)
}
