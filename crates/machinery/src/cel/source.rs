//! Where something stands in an expression, and how what is wrong with it is shown.

use std::fmt;

/// How many problems of one expression are told: upstream's limit.
const ISSUES_MAX: usize = 100;

/// Something that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where: characters from the start.
    pub offset: usize,
    /// What.
    pub message: String,
}

/// All that is wrong with an expression. Shown with the lines it is about, as CEL's own tools show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    /// Unless they are about no place in it.
    source: Option<String>,
    issues: Vec<Issue>,
}

impl Issues {
    /// Of this expression.
    pub(super) fn new(source: &str, mut issues: Vec<Issue>) -> Issues {
        issues.sort_by_key(|issue| issue.offset);
        Issues { source: Some(source.to_owned()), issues }
    }

    /// A problem of an expression as a whole, of which nothing is shown.
    pub(super) fn nowhere(message: String) -> Issues {
        Issues { source: None, issues: vec![Issue { offset: 0, message }] }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter()
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, issue) in self.issues.iter().take(ISSUES_MAX).enumerate() {
            if position > 0 {
                out.write_str("\n")?;
            }
            match self.source.as_deref() {
                Some("") => write!(out, "ERROR: <input>:1:0: {}", issue.message)?,
                Some(source) => show(source, issue, out)?,
                None => write!(out, "ERROR: <input>:-1:0: {}", issue.message)?,
            }
        }
        match self.issues.len().checked_sub(ISSUES_MAX) {
            Some(more) if more > 0 => write!(out, "\n{more} more errors were truncated"),
            _ => Ok(()),
        }
    }
}

fn show(source: &str, issue: &Issue, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut line, mut start) = (1, 0);
    for (position, letter) in source.chars().enumerate().take(issue.offset) {
        if letter == '\n' {
            (line, start) = (line + 1, position + 1);
        }
    }
    let column = issue.offset - start;
    write!(out, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
    let shown = source.split('\n').nth(line - 1).unwrap_or_default();
    write!(out, "\n | {}\n | ", shown.replace('\t', " "))?;
    let is_wide = |letter: char| letter.len_utf8() > 1;
    for letter in shown.chars().take(column) {
        out.write_str(if is_wide(letter) { "\u{ff0e}" } else { "." })?;
    }
    out.write_str(if shown.chars().nth(column).is_some_and(is_wide) { "\u{ff3e}" } else { "^" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_under_its_line() {
        for (source, offset, expected) in [
            ("a ==", 4, "ERROR: <input>:1:5: x\n | a ==\n | ....^"),
            ("a\n\tb", 3, "ERROR: <input>:2:2: x\n |  b\n | .^"),
            ("'ü' + b", 6, "ERROR: <input>:1:7: x\n | 'ü' + b\n | .\u{ff0e}....^"),
            ("", 0, "ERROR: <input>:1:0: x"),
        ] {
            let issues = Issues::new(source, vec![Issue { offset, message: "x".to_owned() }]);
            assert_eq!(issues.to_string(), expected);
        }
        assert_eq!(Issues::nowhere("x".to_owned()).to_string(), "ERROR: <input>:-1:0: x");
    }
}
