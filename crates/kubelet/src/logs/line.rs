//! One line of a container's log: `<time> <stream> <P|F> <content>`.

/// A line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// When it was written, as it stands there.
    pub time: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// Whether the next line goes on with it.
    pub partial: bool,
    /// What was written, without the end of the line.
    pub content: &'a [u8],
}

/// Takes a line apart; `None` if it is none.
pub(crate) fn parse(raw: &[u8]) -> Option<Line<'_>> {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    let mut parts = raw.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?).ok()?;
    let tags = std::str::from_utf8(parts.next()?).ok()?;
    let content = parts.next().unwrap_or_default();
    if time.len() < 20 || !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    Some(Line { time, stream, partial: tags.split(':').next() == Some("P"), content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = parse(b"2026-01-02T15:04:05.123456789Z stdout F hello world\n").unwrap();
        assert_eq!((line.stream, line.partial, line.content), ("stdout", false, &b"hello world"[..]));
        assert!(parse(b"2026-01-02T15:04:05.123456789Z stderr P x").unwrap().partial);
        assert_eq!(parse(b"2026-01-02T15:04:05.123456789Z stdout F \n").unwrap().content, b"");
        assert_eq!(parse(b"2026-01-02T15:04:05.123456789Z stdout F").unwrap().content, b"");
        for bad in [&b"nonsense"[..], b"", b"a b c d", b"2026-01-02T15:04:05.123456789Z stdin F x"] {
            assert_eq!(parse(bad), None);
        }
    }
}
