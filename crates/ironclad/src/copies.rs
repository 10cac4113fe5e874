//! How the C library copies what is large, on processors for which it chooses badly.
#![expect(unsafe_code, reason = "the C library has no safe way to be told")]

use std::arch::x86_64::__cpuid;
use std::ffi::c_long;

unsafe extern "C" {
    /// From which length on one repeated instruction copies.
    static mut __x86_rep_movsb_threshold: c_long;
}

/// Copies in vectors what the library (2.36, and others of its time) copies with one repeated instruction. On AMD's
/// processors from Zen 3 on that is two to three times slower, and more where both places have like addresses: a fifth of
/// what a list of pods costs. The library itself knows better since 2.39.
pub fn choose() {
    if is_amd() {
        // SAFETY: it is a number of the library that this binary is linked with, and its functions only compare lengths
        // with it; there is one thread yet.
        unsafe { __x86_rep_movsb_threshold = c_long::MAX }
    }
}

fn is_amd() -> bool {
    let maker = __cpuid(0);
    [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}
