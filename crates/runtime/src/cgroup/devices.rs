//! Which devices a group may use: lines of a file in version 1, a small program in version 2.
#![expect(unsafe_code, reason = "loading and attaching a BPF program takes the bpf system call")]

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Devices and what may be done with them; `None` means any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub block: bool,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

impl Rule {
    /// What every container may: making nodes of any kind, and using those that every machine has.
    pub fn defaults() -> Vec<Rule> {
        let any = |block| Rule { block, major: None, minor: None, read: false, write: false, mknod: true };
        let used = |major, minor| Rule {
            block: false,
            major: Some(major),
            minor,
            read: true,
            write: true,
            mknod: true,
        };
        // null, zero, full, random, urandom, tty, console, ptmx, and terminals.
        let known = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
        let mut rules = vec![any(false), any(true)];
        rules.extend(known.map(|(major, minor)| used(major, Some(minor))));
        rules.push(used(136, None));
        rules
    }

    /// One device, with permissions as in `rwm`.
    pub fn of(block: bool, major: u32, minor: u32, permissions: &str) -> Rule {
        let has = |letter| permissions.contains(letter);
        Rule {
            block,
            major: Some(major),
            minor: Some(minor),
            read: has('r'),
            write: has('w'),
            mknod: has('m'),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(out, "{} {}:{} ", if self.block { 'b' } else { 'c' }, number(self.major), number(self.minor))?;
        [('r', self.read), ('w', self.write), ('m', self.mknod)]
            .into_iter()
            .filter(|(_, given)| *given)
            .try_for_each(|(letter, _)| write!(out, "{letter}"))
    }
}

/// One instruction of an extended BPF program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

// The program's registers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// Answers 1 for what a rule allows and 0 for all else.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let op = |code, to: u8, from: u8, offset, immediate| Instruction {
        code,
        registers: from << 4 | to,
        offset,
        immediate,
    };
    let load = |to, offset| op(0x61, to, CONTEXT, offset, 0);
    let mut program = vec![
        load(KIND, 0),
        op(0xbf, ACCESS, KIND, 0, 0),
        op(0x54, KIND, 0, 0, 0xffff),
        op(0x77, ACCESS, 0, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules {
        let allowed = i32::from(rule.mknod) | i32::from(rule.read) << 1 | i32::from(rule.write) << 2;
        let mut tests = vec![(KIND, if rule.block { 1 } else { 2 })];
        tests.extend(rule.major.map(|major| (MAJOR, major as i32)));
        tests.extend(rule.minor.map(|minor| (MINOR, minor as i32)));
        // After the tests: copy, mask and test the access; then set the result and return.
        let length = tests.len() as i16 + 5;
        for (index, (register, value)) in tests.iter().enumerate() {
            program.push(op(0x55, *register, 0, length - index as i16 - 1, *value));
        }
        program.push(op(0xbf, SCRATCH, ACCESS, 0, 0));
        program.push(op(0x54, SCRATCH, 0, 0, !allowed & 7));
        program.push(op(0x55, SCRATCH, 0, 2, 0));
        program.push(op(0xb7, RESULT, 0, 0, 1));
        program.push(op(0x95, 0, 0, 0, 0));
    }
    program.push(op(0xb7, RESULT, 0, 0, 0));
    program.push(op(0x95, 0, 0, 0, 0));
    program
}

/// Attaches a filter with these rules to a group of version 2.
pub(super) fn attach_filter(directory: &Path, rules: &[Rule]) -> io::Result<()> {
    const PROGRAM_LOAD: libc::c_long = 5;
    const PROGRAM_ATTACH: libc::c_long = 8;
    const KIND_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 2],
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let program = program(rules);
    let load = Load {
        kind: KIND_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log: [0; 2],
    };
    // SAFETY: the attributes are those of the command, their size is given, and what they point to outlives the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_LOAD, &raw const load, size_of::<Load>()) };
    if loaded < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded as i32) };
    let group = std::fs::File::open(directory)?;
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: loaded.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: as above; both descriptors are open.
    let attached =
        unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_ATTACH, &raw const attach, size_of::<Attach>()) };
    if attached < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allows(program: &[Instruction], block: bool, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | if block { 1 } else { 2 }, major, minor];
        let (mut registers, mut at) = ([0u64; 8], 0usize);
        loop {
            let op = program[at];
            let (to, from) = (usize::from(op.registers & 15), usize::from(op.registers >> 4));
            at += 1;
            match op.code {
                0x61 => registers[to] = u64::from(context[op.offset as usize / 4]),
                0xbf => registers[to] = registers[from],
                0x54 => registers[to] = u64::from(registers[to] as u32 & op.immediate as u32),
                0x77 => registers[to] >>= op.immediate,
                0xb7 => registers[to] = op.immediate as u64,
                0x55 if registers[to] != op.immediate as u64 => at += op.offset as usize,
                0x55 => {}
                0x95 => return registers[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn the_program_says_what_the_rules_say() {
        const MKNOD: u32 = 1;
        const READ: u32 = 2;
        const WRITE: u32 = 4;
        let mut rules = Rule::defaults();
        rules.push(Rule::of(false, 10, 229, "r"));
        let program = program(&rules);
        let cases = [
            (false, READ | WRITE, 1, 3, true),
            (false, READ, 1, 1, false),
            (true, MKNOD, 8, 0, true),
            (true, READ, 8, 0, false),
            (true, MKNOD | READ, 8, 0, false),
            (false, READ, 136, 77, true),
            (false, READ, 10, 229, true),
            (false, READ | WRITE, 10, 229, false),
            (true, READ, 1, 3, false),
        ];
        for (block, access, major, minor, expected) in cases {
            assert_eq!(
                allows(&program, block, access, major, minor),
                expected,
                "{block} {access} {major}:{minor}"
            );
        }
    }

    #[test]
    fn rules_read_as_the_kernel_writes_them() {
        assert_eq!(Rule::of(false, 10, 229, "rwm").to_string(), "c 10:229 rwm");
        let texts: Vec<String> = Rule::defaults().iter().map(Rule::to_string).collect();
        assert!(texts.contains(&"b *:* m".to_owned()) && texts.contains(&"c 136:* rwm".to_owned()));
    }
}
