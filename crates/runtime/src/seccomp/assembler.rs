//! Rules about system calls, and the filter program the kernel runs for them.
//!
//! The program finds a call's rule by bisection over its number, so that a call costs some ten instructions however
//! long the profile is.

use std::collections::BTreeMap;

use crate::sys::rights::Instruction;

/// What happens to a call, as the kernel encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(pub u32);

impl Action {
    pub const ALLOW: Action = Action(0x7fff_0000);

    pub const fn errno(errno: u32) -> Action {
        Action(0x0005_0000 | errno & 0xffff)
    }
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal after the mask.
    Masked(u64),
}

/// One argument's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub argument: u32,
    pub comparison: Comparison,
    pub value: u64,
}

/// What happens if all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// A profile: cases by call, the first that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub cases: BTreeMap<u32, Vec<Case>>,
    /// For known calls without a case that fits.
    pub otherwise: Action,
    /// For calls newer than this program, and of foreign machine languages.
    pub unknown: Action,
    /// The highest known call.
    pub newest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

enum Step {
    Load(u32),
    And(u32),
    Branch { test: u16, value: u32, yes: Label, no: Label },
    Go(Label),
    Return(Action),
    Mark(Label),
}

const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;

#[cfg(target_arch = "x86_64")]
pub(super) const MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const MACHINE: u32 = 0xc000_00b7;

// Offsets in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[derive(Default)]
struct Assembler {
    steps: Vec<Step>,
    labels: usize,
}

/// Calls from the first number on (to the next span) that share one treatment.
struct Span<'a> {
    first: u32,
    cases: Option<&'a [Case]>,
}

/// Compiles rules. Fails if they are more than the kernel takes.
pub(super) fn compile(rules: &Rules) -> Result<Vec<Instruction>, String> {
    let mut assembler = Assembler::default();
    let (native, foreign, known) = (assembler.label(), assembler.label(), assembler.label());
    assembler.steps.push(Step::Load(ARCHITECTURE));
    assembler.branch(JUMP_EQUAL, MACHINE, native, foreign);
    assembler.mark(foreign);
    assembler.steps.push(Step::Return(rules.unknown));
    assembler.mark(native);
    assembler.steps.push(Step::Load(NUMBER));
    // Beyond the newest known number also lie the calls of the x32 language.
    let unknown = assembler.label();
    assembler.branch(JUMP_GREATER, rules.newest, unknown, known);
    assembler.mark(unknown);
    assembler.steps.push(Step::Return(rules.unknown));
    assembler.mark(known);
    let spans = spans(rules);
    assembler.bisect(&spans, rules.otherwise);
    assembler.resolve()
}

fn spans(rules: &Rules) -> Vec<Span<'_>> {
    let plain = |cases: Option<&[Case]>| match cases {
        None => Some(rules.otherwise),
        Some([first, ..]) if first.conditions.is_empty() => Some(first.action),
        Some(_) => None,
    };
    let mut spans: Vec<Span<'_>> = Vec::new();
    for number in 0..=rules.newest {
        let cases = rules.cases.get(&number).map(Vec::as_slice);
        let same =
            spans.last().is_some_and(|last| plain(cases).is_some() && plain(last.cases) == plain(cases));
        if !same {
            spans.push(Span { first: number, cases });
        }
    }
    spans
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    fn mark(&mut self, label: Label) {
        self.steps.push(Step::Mark(label));
    }

    fn branch(&mut self, test: u16, value: u32, yes: Label, no: Label) {
        self.steps.push(Step::Branch { test, value, yes, no });
    }

    fn bisect(&mut self, spans: &[Span<'_>], otherwise: Action) {
        if let [span] = spans {
            self.treat(span.cases.unwrap_or(&[]), otherwise);
            return;
        }
        let (low, high) = spans.split_at(spans.len() / 2);
        let (far, near, right) = (self.label(), self.label(), self.label());
        self.branch(JUMP_GREATER_OR_EQUAL, high[0].first, far, near);
        // A branch reaches 255 instructions; this jump reaches everywhere.
        self.mark(far);
        self.steps.push(Step::Go(right));
        self.mark(near);
        self.bisect(low, otherwise);
        self.mark(right);
        self.bisect(high, otherwise);
    }

    fn treat(&mut self, cases: &[Case], otherwise: Action) {
        for case in cases {
            if case.conditions.is_empty() {
                self.steps.push(Step::Return(case.action));
                return;
            }
            let next = self.label();
            for condition in &case.conditions {
                let holds = self.label();
                self.compare(condition, holds, next);
                self.mark(holds);
            }
            self.steps.push(Step::Return(case.action));
            self.mark(next);
        }
        self.steps.push(Step::Return(otherwise));
    }

    /// Compares an argument of 64 bits by its halves.
    fn compare(&mut self, condition: &Condition, yes: Label, no: Label) {
        let low_at = ARGUMENTS + 8 * condition.argument;
        let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
        let (equal_high, not_above) = (self.label(), self.label());
        self.steps.push(Step::Load(low_at + 4));
        match condition.comparison {
            Comparison::Masked(mask) => {
                self.steps.push(Step::And((mask >> 32) as u32));
                self.branch(JUMP_EQUAL, high, equal_high, no);
                self.mark(equal_high);
                self.steps.push(Step::Load(low_at));
                self.steps.push(Step::And(mask as u32));
                self.branch(JUMP_EQUAL, low, yes, no);
            }
            Comparison::Equal => {
                self.branch(JUMP_EQUAL, high, equal_high, no);
                self.mark(equal_high);
                self.steps.push(Step::Load(low_at));
                self.branch(JUMP_EQUAL, low, yes, no);
            }
            Comparison::NotEqual => {
                self.branch(JUMP_EQUAL, high, equal_high, yes);
                self.mark(equal_high);
                self.steps.push(Step::Load(low_at));
                self.branch(JUMP_EQUAL, low, no, yes);
            }
            ordered => {
                let (test, above, below) = match ordered {
                    Comparison::Greater => (JUMP_GREATER, yes, no),
                    Comparison::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, yes, no),
                    Comparison::LessOrEqual => (JUMP_GREATER, no, yes),
                    _ => (JUMP_GREATER_OR_EQUAL, no, yes),
                };
                self.branch(JUMP_GREATER, high, above, not_above);
                self.mark(not_above);
                self.branch(JUMP_EQUAL, high, equal_high, below);
                self.mark(equal_high);
                self.steps.push(Step::Load(low_at));
                self.branch(test, low, above, below);
            }
        }
    }

    fn resolve(&self) -> Result<Vec<Instruction>, String> {
        let mut places = vec![0usize; self.labels];
        let mut at = 0;
        for step in &self.steps {
            match step {
                Step::Mark(label) => places[label.0] = at,
                _ => at += 1,
            }
        }
        if at > 4096 {
            return Err(format!("the profile needs {at} instructions, and the kernel takes 4096"));
        }
        let mut program = Vec::with_capacity(at);
        for step in &self.steps {
            let next = program.len() + 1;
            let short = |label: &Label| {
                u8::try_from(places[label.0] - next).map_err(|_| "a rule has too many conditions".to_owned())
            };
            let plain = |code: u16, k: u32| Instruction { code, jump_true: 0, jump_false: 0, k };
            program.push(match step {
                Step::Mark(_) => continue,
                Step::Load(offset) => plain(0x20, *offset),
                Step::And(mask) => plain(0x54, *mask),
                Step::Go(label) => plain(0x05, (places[label.0] - next) as u32),
                Step::Return(action) => plain(0x06, action.0),
                Step::Branch { test, value, yes, no } => {
                    Instruction { code: *test, jump_true: short(yes)?, jump_false: short(no)?, k: *value }
                }
            });
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests;
