//! What is fuzzed: something that takes bytes from strangers, and what it promises about them.

use std::fmt::Debug;

/// How an input ended: a word for how it was taken, or the promise that it broke.
pub type Verdict = Result<String, String>;

/// Takes an input. It must not panic, whatever the input is.
pub type Run = Box<dyn Fn(&[u8]) -> Verdict>;

/// A decoder or an engine, with inputs to begin with.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Inputs that it takes well; all others are made from them.
    pub seeds: Vec<Vec<u8>>,
    /// What means something to it and is put into inputs.
    pub words: &'static [&'static str],
    /// What takes inputs.
    pub run: Run,
}

/// Parts the inputs of those that take two documents. It stands in no JSON.
pub const SEPARATOR: u8 = 0x1e;

/// Two documents of one input; the second is empty where there is no separator.
pub fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == SEPARATOR) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// An input of two documents.
pub fn joined(one: &str, other: &str) -> Vec<u8> {
    [one.as_bytes(), &[SEPARATOR], other.as_bytes()].concat()
}

/// Promises that two things are the same.
pub fn same<T: PartialEq + Debug + ?Sized>(promise: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{promise}\n  found    {}\n  expected {}", shown(found), shown(expected)))
}

/// Promises that something holds.
pub fn holds(promise: &str, is_so: bool) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(promise.to_owned()) }
}

fn shown<T: Debug + ?Sized>(what: &T) -> String {
    /// More is not read by anybody.
    const MOST: usize = 4_000;
    let mut text = format!("{what:?}");
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The word for an outcome: an error without the names and numbers in it, by which errors of one make differ.
pub fn outcome(kind: &str, detail: &str) -> String {
    /// Enough to tell errors apart.
    const MOST: usize = 80;
    let mut word = format!("{kind}: ");
    let mut quoted = false;
    for letter in detail.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted || letter.is_ascii_digit() || !letter.is_ascii() => {}
            _ => word.push(letter),
        }
        if word.len() > MOST {
            break;
        }
    }
    word
}
