//! Which version of a group is preferred: stable before beta before alpha, then the higher number.

use std::cmp::Reverse;

/// What orders versions: the preferred comes first.
pub type Precedence = (u8, Reverse<u64>, Reverse<u64>, String);

/// The place of a version among those of its group.
pub fn precedence(version: &str) -> Precedence {
    match read(version) {
        Some((stability, major, minor)) => (stability, Reverse(major), Reverse(minor), String::new()),
        // Other names come last, in order.
        None => (3, Reverse(0), Reverse(0), version.to_owned()),
    }
}

/// `v1` is (0, 1, 0), `v2beta3` is (1, 2, 3), `v1alpha1` is (2, 1, 1).
fn read(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let major = number(&rest[..digits])?;
    let rest = &rest[digits..];
    if rest.is_empty() {
        return Some((0, major, 0));
    }
    for (stability, word) in [(1, "beta"), (2, "alpha")] {
        if let Some(minor) = rest.strip_prefix(word) {
            return Some((stability, major, number(minor)?));
        }
    }
    None
}

fn number(digits: &str) -> Option<u64> {
    (!digits.starts_with('0')).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first_and_odd_ones_last() {
        let mut versions = vec![
            "foo1",
            "v1alpha1",
            "v10",
            "v1beta1",
            "v2",
            "v11beta2",
            "v1",
            "v3beta1",
            "bar",
            "v12alpha1",
            "v10beta3",
        ];
        versions.sort_by_key(|version| precedence(version));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v11beta2",
                "v10beta3",
                "v3beta1",
                "v1beta1",
                "v12alpha1",
                "v1alpha1",
                "bar",
                "foo1"
            ]
        );
    }
}
