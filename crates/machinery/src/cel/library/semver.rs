//! Semantic versions.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::failure::{Failure, Outcome};
use super::super::value::{Opaque, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("string_to_semver", "semver(string) kubernetes.Semver", semver),
    ("string_bool_to_semver", "semver(string, bool) kubernetes.Semver", semver),
    ("is_semver_string", "isSemver(string) bool", is_semver),
    ("is_semver_string_bool", "isSemver(string, bool) bool", is_semver),
    ("semver_is_greater_than", "(kubernetes.Semver).isGreaterThan(kubernetes.Semver) bool", |arguments| {
        compared(arguments, |order| Val::Bool(order.is_gt()))
    }),
    ("semver_is_less_than", "(kubernetes.Semver).isLessThan(kubernetes.Semver) bool", |arguments| {
        compared(arguments, |order| Val::Bool(order.is_lt()))
    }),
    ("semver_compare_to", "(kubernetes.Semver).compareTo(kubernetes.Semver) int", |arguments| {
        compared(arguments, |order| Val::Int(order as i64))
    }),
    ("semver_major", "(kubernetes.Semver).major() int", |arguments| part(arguments, 0)),
    ("semver_minor", "(kubernetes.Semver).minor() int", |arguments| part(arguments, 1)),
    ("semver_patch", "(kubernetes.Semver).patch() int", |arguments| part(arguments, 2)),
];

/// A version: three numbers, and what comes before the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    before: Vec<Identifier>,
}

/// A part of what comes before the release. Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    /// Which comes first. What comes before a release is older than it.
    pub fn compare(&self, other: &Version) -> Ordering {
        let before = match (self.before.is_empty(), other.before.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.before.cmp(&other.before),
        };
        self.numbers.cmp(&other.numbers).then(before)
    }

    fn parse(text: &str) -> Result<Version, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, before) = match rest.split_once('-') {
            Some((patch, before)) => (patch, Some(before)),
            None => (rest, None),
        };
        let numbers = [number(major, "major")?, number(minor, "minor")?, number(patch, "patch")?];
        for identifier in build.into_iter().flat_map(|build| build.split('.')) {
            if identifier.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !identifier.bytes().all(is_letter) {
                return Err(format!("Invalid character(s) found in build meta data {identifier:?}"));
            }
        }
        let before = before.into_iter().flat_map(|before| before.split('.'));
        Ok(Version { numbers, before: before.map(identifier).collect::<Result<_, _>>()? })
    }

    /// Reads what looks like a version: with a `v` in front, with parts missing, with zeros in front of numbers.
    fn parse_leniently(text: &str) -> Result<Version, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Version::parse(&parts.join("."))
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn without_zeros(part: &str) -> String {
    if part.len() <= 1 {
        return part.to_owned();
    }
    let trimmed = part.trim_start_matches('0');
    if trimmed.starts_with(|letter: char| letter.is_ascii_digit()) {
        trimmed.to_owned()
    } else {
        format!("0{trimmed}")
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {what} number {text:?}"));
    }
    let capital = what[..1].to_uppercase() + &what[1..];
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{capital} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if !text.bytes().all(is_letter) {
        return Err(format!("Invalid character(s) found in prerelease {text:?}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Identifier::Word(text.to_owned()));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
    }
    let number =
        text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))?;
    Ok(Identifier::Number(number))
}

fn read(arguments: &[Val<'_>]) -> Option<Result<Version, String>> {
    match arguments {
        [Val::String(text)] | [Val::String(text), Val::Bool(false)] => Some(Version::parse(text)),
        [Val::String(text), Val::Bool(true)] => Some(Version::parse_leniently(text)),
        _ => None,
    }
}

fn semver<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match read(arguments) {
        Some(Ok(version)) => Ok(Val::Opaque(Opaque::Version(Arc::new(version)))),
        Some(Err(why)) => Err(Failure::new(why)),
        None => misfit(),
    }
}

fn is_semver<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match read(arguments) {
        Some(read) => Ok(Val::Bool(read.is_ok())),
        None => misfit(),
    }
}

fn compared<'a>(arguments: &[Val<'a>], answer: impl Fn(Ordering) -> Val<'a>) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Version(a)), Val::Opaque(Opaque::Version(b))] => Ok(answer(a.compare(b))),
        _ => misfit(),
    }
}

fn part<'a>(arguments: &[Val<'a>], position: usize) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Version(version))] => {
            let number = i64::try_from(version.numbers[position]);
            number.map(Val::Int).map_err(|_| Failure::new("integer overflow"))
        }
        _ => misfit(),
    }
}
