//! System-call filters: the default profile, and profiles in the usual JSON form.

mod assembler;
mod default_profile;
mod numbers;
#[cfg(test)]
mod simulate;

use std::collections::BTreeMap;

use serde::Deserialize;

use self::assembler::{Action, Case, Comparison, Condition, Rules};
use crate::capabilities;
use crate::sys::rights::Instruction;

/// `clone3` passes its flags in memory, where a filter cannot look: programs then fall back to `clone`.
const ENOSYS: u32 = libc::ENOSYS as u32;
const EPERM: u32 = libc::EPERM as u32;

fn has(bits: u64, capability: &str) -> bool {
    capabilities::by_name(capability).is_some_and(|bit| bits & bit != 0)
}

/// The default profile for a process with these capabilities.
pub(crate) fn default_filter(bits: u64) -> Vec<Instruction> {
    assembler::compile(&default_rules(bits)).expect("the default profile is far below the kernel's limit")
}

fn default_rules(bits: u64) -> Rules {
    let mut cases: BTreeMap<u32, Vec<Case>> = BTreeMap::new();
    let mut add = |name: &str, conditions: Vec<Condition>, action: Action| {
        if let Some(number) = numbers::by_name(name) {
            cases.entry(number).or_default().push(Case { conditions, action });
        }
    };
    for name in default_profile::ALLOWED.split_whitespace() {
        add(name, vec![], Action::ALLOW);
    }
    for (capability, names) in default_profile::BY_CAPABILITY {
        if has(bits, capability) {
            names.split_whitespace().for_each(|name| add(name, vec![], Action::ALLOW));
        }
    }
    let first = |comparison, value| vec![Condition { argument: 0, comparison, value }];
    for domain in default_profile::PERSONALITIES {
        add("personality", first(Comparison::Equal, domain), Action::ALLOW);
    }
    add("socket", first(Comparison::NotEqual, default_profile::AF_VSOCK), Action::ALLOW);
    if !has(bits, "SYS_ADMIN") {
        add("clone", first(Comparison::Masked(default_profile::NEW_NAMESPACES), 0), Action::ALLOW);
        add("clone3", vec![], Action::errno(ENOSYS));
    }
    Rules {
        cases,
        otherwise: Action::errno(EPERM),
        // Programs probe for new calls and take ENOSYS for "not there", EPERM for a failure.
        unknown: Action::errno(ENOSYS),
        newest: numbers::NEWEST,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<ProfileRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRule {
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<ProfileArgument>>,
    includes: Option<Selection>,
    excludes: Option<Selection>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileArgument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
struct Selection {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

impl Selection {
    fn has_all_caps(&self, bits: u64) -> bool {
        self.caps.iter().all(|capability| has(bits, capability))
    }

    fn names_this_machine(&self) -> bool {
        let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        self.arches.iter().any(|machine| machine == own)
    }
}

impl ProfileRule {
    fn applies(&self, bits: u64) -> bool {
        let included = self.includes.as_ref().is_none_or(|selection| {
            selection.has_all_caps(bits) && (selection.arches.is_empty() || selection.names_this_machine())
        });
        let excluded = self.excludes.as_ref().is_some_and(|selection| {
            (!selection.caps.is_empty() && selection.caps.iter().any(|capability| has(bits, capability)))
                || selection.names_this_machine()
        });
        included && !excluded
    }
}

/// A profile for a process with these capabilities.
pub(crate) fn profile_filter(profile: &serde_json::Value, bits: u64) -> Result<Vec<Instruction>, String> {
    let profile = Profile::deserialize(profile).map_err(|error| error.to_string())?;
    let otherwise = action(&profile.default_action, profile.default_errno_ret)?;
    let mut cases: BTreeMap<u32, Vec<Case>> = BTreeMap::new();
    for rule in profile.syscalls.iter().filter(|rule| rule.applies(bits)) {
        let action = action(&rule.action, rule.errno_ret)?;
        let conditions: Vec<Condition> =
            rule.args.iter().flatten().map(condition).collect::<Result<_, _>>()?;
        // Names of other machines' calls and of later kernels' are in many profiles.
        for number in rule.names.iter().filter_map(|name| numbers::by_name(name)) {
            cases.entry(number).or_default().push(Case { conditions: conditions.clone(), action });
        }
    }
    // What a profile without conditions says holds only where none with conditions fits.
    cases.values_mut().for_each(|cases| cases.sort_by_key(|case| case.conditions.is_empty()));
    let unknown = if otherwise == Action::ALLOW { otherwise } else { Action::errno(ENOSYS) };
    assembler::compile(&Rules { cases, otherwise, unknown, newest: numbers::NEWEST })
}

fn action(name: &str, errno: Option<u32>) -> Result<Action, String> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::ALLOW,
        "SCMP_ACT_ERRNO" => Action::errno(errno.unwrap_or(EPERM)),
        "SCMP_ACT_LOG" => Action(0x7ffc_0000),
        "SCMP_ACT_TRAP" => Action(0x0003_0000),
        "SCMP_ACT_TRACE" => Action(0x7ff0_0000 | errno.unwrap_or(EPERM) & 0xffff),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action(0),
        "SCMP_ACT_KILL_PROCESS" => Action(0x8000_0000),
        other => return Err(format!("action {other:?} is not known")),
    })
}

fn condition(argument: &ProfileArgument) -> Result<Condition, String> {
    if argument.index > 5 {
        return Err(format!("a system call has no argument {}", argument.index));
    }
    let (comparison, value) = match argument.op.as_str() {
        "SCMP_CMP_EQ" => (Comparison::Equal, argument.value),
        "SCMP_CMP_NE" => (Comparison::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Comparison::Less, argument.value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, argument.value),
        "SCMP_CMP_GT" => (Comparison::Greater, argument.value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, argument.value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(argument.value), argument.value_two),
        other => return Err(format!("comparison {other:?} is not known")),
    };
    Ok(Condition { argument: argument.index, comparison, value })
}

#[cfg(test)]
mod tests {
    use super::simulate::{NATIVE, run};
    use super::*;

    fn verdict(program: &[Instruction], name: &str, first: u64) -> Action {
        run(program, NATIVE, numbers::by_name(name).unwrap(), [first, 0, 0, 0, 0, 0])
    }

    #[test]
    fn every_name_of_the_default_profile_is_a_system_call() {
        let missing: Vec<&str> = default_profile::ALLOWED
            .split_whitespace()
            .chain(default_profile::BY_CAPABILITY.iter().flat_map(|(_, names)| names.split_whitespace()))
            .filter(|name| numbers::by_name(name).is_none())
            .collect();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(missing, Vec::<&str>::new());
        }
    }

    #[test]
    fn the_default_profile_decides() {
        let denied = Action::errno(EPERM);
        let plain = default_filter(0);
        let admin = default_filter(capabilities::by_name("SYS_ADMIN").unwrap());
        let cases = [
            ("read", 0, Action::ALLOW, Action::ALLOW),
            ("mount", 0, denied, Action::ALLOW),
            ("unshare", 0, denied, Action::ALLOW),
            ("clone", 0x11, Action::ALLOW, Action::ALLOW),
            ("clone", 0x2000_0011, denied, Action::ALLOW),
            ("clone3", 0, Action::errno(ENOSYS), Action::ALLOW),
            ("personality", 0x8, Action::ALLOW, Action::ALLOW),
            ("personality", 0x4, denied, denied),
            ("socket", 2, Action::ALLOW, Action::ALLOW),
            ("socket", 40, denied, denied),
            ("keyctl", 0, denied, denied),
            ("io_uring_setup", 0, denied, denied),
            ("kexec_load", 0, denied, denied),
            ("reboot", 0, denied, denied),
        ];
        for (name, first, without, with) in cases {
            assert_eq!(verdict(&plain, name, first), without, "{name}({first:#x})");
            assert_eq!(verdict(&admin, name, first), with, "{name}({first:#x}) as admin");
        }
        assert_eq!(run(&plain, NATIVE, 9_999, [0; 6]), Action::errno(ENOSYS));
        assert!(plain.len() < 600, "{} instructions", plain.len());
    }

    #[test]
    fn a_profile_of_the_node_decides() {
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                { "names": ["mkdir", "not_a_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
                { "names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS",
                  "args": [{ "index": 0, "value": 5, "op": "SCMP_CMP_GE" }] },
                { "names": ["reboot"], "action": "SCMP_ACT_ERRNO", "excludes": { "caps": ["CAP_SYS_BOOT"] } },
                { "names": ["acct"], "action": "SCMP_ACT_ERRNO", "includes": { "caps": ["CAP_SYS_PACCT"] } },
            ],
        });
        let filter = profile_filter(&profile, 0).unwrap();
        assert_eq!(verdict(&filter, "read", 0), Action::ALLOW);
        assert_eq!(verdict(&filter, "mkdirat", 0), Action::ALLOW);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(verdict(&filter, "mkdir", 0), Action::errno(13));
        }
        assert_eq!(verdict(&filter, "kill", 4), Action::ALLOW);
        assert_eq!(verdict(&filter, "kill", 5), Action(0x8000_0000));
        assert_eq!(verdict(&filter, "reboot", 0), Action::errno(EPERM));
        assert_eq!(verdict(&filter, "acct", 0), Action::ALLOW);
        for broken in [
            serde_json::json!({ "defaultAction": "SCMP_ACT_FLY" }),
            serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }
            ] }),
            serde_json::json!("text"),
        ] {
            assert!(profile_filter(&broken, 0).is_err());
        }
    }
}
