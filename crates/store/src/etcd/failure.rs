//! How a question to etcd can fail, and what that says about whether it happened.

use crate::StoreError;
use crate::etcd::wire::Malformed;

/// Status codes of gRPC that mean something here.
const RESOURCE_EXHAUSTED: u32 = 8;
const INVALID_ARGUMENT: u32 = 3;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

/// What etcd answers before it looks at what was asked: asking another member is safe even for a write.
const NOT_BEGUN: [&str; 3] =
    ["etcdserver: no leader", "etcdserver: not capable", "rpc not supported for learner"];

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was sent.
    NotSent(String),
    /// It was sent, and then nothing more was heard. It may have happened.
    Broken(String),
    /// etcd said no.
    Refused {
        /// The status of gRPC.
        code: u32,
        /// What it said.
        message: String,
    },
    /// The answer is none that etcd would give.
    Malformed(Malformed),
}

/// Whether a question may be asked again although it may have been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the same thing twice.
    Freely,
    /// It would happen twice.
    UnlessSent,
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        Failure::Malformed(malformed)
    }
}

impl Failure {
    /// Whether another member may be asked the same.
    pub(crate) fn may_repeat(&self, repeat: Repeat) -> bool {
        match self {
            Failure::NotSent(_) => true,
            Failure::Broken(_) => repeat == Repeat::Freely,
            Failure::Refused { code: UNAVAILABLE, message } => {
                repeat == Repeat::Freely || NOT_BEGUN.iter().any(|known| message.contains(known))
            }
            Failure::Refused { .. } | Failure::Malformed(_) => false,
        }
    }

    /// Whether what was asked for is forgotten.
    pub(crate) fn is_compacted(&self) -> bool {
        self.says("mvcc: required revision has been compacted")
    }

    /// Whether what was asked for has not happened yet.
    pub(crate) fn is_future(&self) -> bool {
        self.says("mvcc: required revision is a future revision")
    }

    /// Whether a lease that was to be used has ended.
    pub(crate) fn is_lease_gone(&self) -> bool {
        self.says("requested lease not found")
    }

    /// Whether the answer would be larger than any that is taken.
    pub(crate) fn is_too_large(&self) -> bool {
        *self == Failure::Malformed(Malformed::TooLarge)
    }

    fn says(&self, what: &str) -> bool {
        matches!(self, Failure::Refused { message, .. } if message.contains(what))
    }

    /// What callers of the store are told. `place` is where etcd is.
    pub(crate) fn into_error(self, place: &str, repeat: Repeat) -> StoreError {
        let unsure = repeat == Repeat::UnlessSent;
        match self {
            Failure::Refused { code: RESOURCE_EXHAUSTED, message } if message.contains("space exceeded") => {
                StoreError::DiskFull { path: place.to_owned() }
            }
            Failure::Refused { code: DATA_LOSS, message } => {
                StoreError::Corrupt { path: place.to_owned(), detail: message }
            }
            Failure::Refused { code: INVALID_ARGUMENT, message } => {
                let hint = match message.contains("too many operations") {
                    true => "; start etcd with --max-txn-ops=4096",
                    false => "",
                };
                StoreError::Invalid { detail: format!("{place}: {message}{hint}") }
            }
            Failure::Refused { code: UNAVAILABLE, message } if unsure && !NOT_BEGUN.contains(&&*message) => {
                StoreError::Unknown { detail: format!("{place}: {message}") }
            }
            Failure::Refused { code, message } => {
                StoreError::Unavailable { detail: format!("{place}: {message} (code {code})") }
            }
            Failure::Broken(detail) if unsure => StoreError::Unknown { detail: format!("{place}: {detail}") },
            Failure::NotSent(detail) | Failure::Broken(detail) => {
                StoreError::Unavailable { detail: format!("{place}: {detail}") }
            }
            Failure::Malformed(_) if unsure => {
                StoreError::Unknown { detail: format!("{place}: the answer cannot be read") }
            }
            Failure::Malformed(_) => {
                StoreError::Unavailable { detail: format!("{place}: the answer cannot be read") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32, message: &str) -> Failure {
        Failure::Refused { code, message: message.to_owned() }
    }

    #[test]
    fn a_write_is_only_repeated_if_it_was_surely_not_begun() {
        for (failure, reads, writes) in [
            (Failure::NotSent(String::new()), true, true),
            (Failure::Broken(String::new()), true, false),
            (refused(14, "etcdserver: no leader"), true, true),
            (refused(14, "etcdserver: request timed out"), true, false),
            (refused(14, "etcdserver: leader changed"), true, false),
            (refused(14, "etcdserver: server stopped"), true, false),
            (refused(8, "etcdserver: too many requests"), false, false),
            (refused(3, "etcdserver: duplicate key given in txn request"), false, false),
            (Failure::Malformed(Malformed::Field), false, false),
        ] {
            assert_eq!(failure.may_repeat(Repeat::Freely), reads, "{failure:?}");
            assert_eq!(failure.may_repeat(Repeat::UnlessSent), writes, "{failure:?}");
        }
    }

    #[test]
    fn callers_are_told_what_is_known() {
        let told = |failure: Failure, repeat| match failure.into_error("e", repeat) {
            StoreError::Unknown { .. } => "unknown",
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::DiskFull { .. } => "full",
            StoreError::Corrupt { .. } => "corrupt",
            StoreError::Invalid { .. } => "invalid",
            StoreError::Compacted { .. }
            | StoreError::Future { .. }
            | StoreError::InUse { .. }
            | StoreError::Seal { .. } => "other",
        };
        for (failure, writes) in [
            (Failure::NotSent(String::new()), "unavailable"),
            (Failure::Broken(String::new()), "unknown"),
            (refused(14, "etcdserver: no leader"), "unavailable"),
            (refused(14, "etcdserver: request timed out"), "unknown"),
            (refused(8, "etcdserver: mvcc: database space exceeded"), "full"),
            (refused(8, "etcdserver: too many requests"), "unavailable"),
            (refused(15, "etcdserver: corrupt cluster"), "corrupt"),
            (refused(3, "etcdserver: request is too large"), "invalid"),
            (Failure::Malformed(Malformed::Field), "unknown"),
        ] {
            assert_eq!(told(failure.clone(), Repeat::UnlessSent), writes, "{failure:?}");
            let reads = if writes == "unknown" { "unavailable" } else { writes };
            assert_eq!(told(failure.clone(), Repeat::Freely), reads, "{failure:?}");
        }
    }
}
