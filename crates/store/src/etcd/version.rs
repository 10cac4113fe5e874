//! What a version of etcd can be trusted with.

/// Whether a member of this version tells a watch truthfully, when asked, up to where everything was sent. Older ones
/// may answer before the events they speak of: repaired in 3.4.31 and 3.5.13.
pub(crate) fn tells_progress(version: &str) -> bool {
    let numbers = version.split('-').next().unwrap_or_default();
    let mut parts = numbers.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    match (major, minor) {
        (3, 5) => patch >= 13,
        _ => (major, minor, patch) >= (3, 4, 31),
    }
}

#[cfg(test)]
mod tests {
    use super::tells_progress;

    #[test]
    fn only_repaired_versions_are_trusted() {
        for (version, trusted) in [
            ("3.4.23", false),
            ("3.4.30", false),
            ("3.4.31", true),
            ("3.5.0", false),
            ("3.5.12", false),
            ("3.5.13", true),
            ("3.6.0", true),
            ("3.7.2", true),
            ("4.0.0", true),
            ("3.6.0-rc.1", true),
            ("3.5.12-beta", false),
            ("2.3.8", false),
            ("3.6", false),
            ("3.6.0.1", false),
            ("", false),
            ("git", false),
        ] {
            assert_eq!(tells_progress(version), trusted, "{version:?}");
        }
    }
}
