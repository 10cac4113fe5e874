//! Log files in the form that kubelets and log collectors read: `<time> stdout F <line>`, long lines in parts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The longest line written in one piece. Longer ones come in parts tagged `P`, as readers of the format expect.
const MAX_LINE: usize = 16 * 1024;

/// Which of its two streams a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A container's log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    lines: Lines,
}

impl LogFile {
    pub fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile { path: path.to_owned(), file: open(path)?, lines: Lines::default() })
    }

    /// Goes on in a new file at the same path: the old one was renamed.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    /// Writes what the container wrote.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], now: env::WallTime) -> io::Result<()> {
        self.lines.take(stream, bytes, now);
        self.flush()
    }

    /// Writes the unfinished line of a stream that ended, as a part.
    pub fn end(&mut self, stream: Stream, now: env::WallTime) -> io::Result<()> {
        self.lines.end(stream, now);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.write_all(&self.lines.out);
        self.lines.out.clear();
        result
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Bytes cut into log lines.
#[derive(Debug, Default)]
struct Lines {
    /// The unfinished line of each stream.
    pending: [Vec<u8>; 2],
    out: Vec<u8>,
}

impl Lines {
    fn take(&mut self, stream: Stream, bytes: &[u8], now: env::WallTime) {
        let stamp = timestamp(now);
        let mut rest = bytes;
        while !rest.is_empty() {
            let pending = &mut self.pending[stream as usize];
            let room = MAX_LINE - pending.len();
            match rest.iter().take(room + 1).position(|byte| *byte == b'\n') {
                Some(end) => {
                    entry(&mut self.out, &stamp, stream, 'F', &[pending, &rest[..end]]);
                    pending.clear();
                    rest = &rest[end + 1..];
                }
                None if rest.len() > room => {
                    entry(&mut self.out, &stamp, stream, 'P', &[pending, &rest[..room]]);
                    pending.clear();
                    rest = &rest[room..];
                }
                None => {
                    pending.extend_from_slice(rest);
                    rest = &[];
                }
            }
        }
    }

    fn end(&mut self, stream: Stream, now: env::WallTime) {
        let pending = std::mem::take(&mut self.pending[stream as usize]);
        if !pending.is_empty() {
            entry(&mut self.out, &timestamp(now), stream, 'P', &[&pending]);
        }
    }
}

fn entry(out: &mut Vec<u8>, stamp: &str, stream: Stream, tag: char, pieces: &[&[u8]]) {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    out.extend_from_slice(format!("{stamp} {name} {tag} ").as_bytes());
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    out.push(b'\n');
}

/// RFC 3339 in UTC with all nine digits, so that lines sort.
fn timestamp(now: env::WallTime) -> String {
    let (days, second) = (now.secs().div_euclid(86_400), now.secs().rem_euclid(86_400));
    // Civil date from days, counted in eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", now.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: env::WallTime = env::WallTime(1_700_000_000_000_000_007);

    fn lines(chunks: &[&[u8]]) -> String {
        let mut lines = Lines::default();
        chunks.iter().for_each(|chunk| lines.take(Stream::Stdout, chunk, NOW));
        lines.end(Stream::Stdout, NOW);
        String::from_utf8(lines.out).unwrap().replace("2023-11-14T22:13:20.000000007Z stdout ", "")
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(lines(&[b"one\ntwo\n"]), "F one\nF two\n");
        assert_eq!(lines(&[b"o", b"ne\nt", b"wo", b"\n"]), "F one\nF two\n");
        assert_eq!(lines(&[b"\n\n"]), "F \nF \n");
        assert_eq!(lines(&[b"prompt> "]), "P prompt> \n", "what ends without a newline is a part");
        assert_eq!(lines(&[]), "");
    }

    #[test]
    fn long_lines_come_in_parts() {
        let long = vec![b'x'; MAX_LINE * 2 + 5];
        let mut with_newline = long.clone();
        with_newline.push(b'\n');
        let whole = "x".repeat(MAX_LINE);
        let expected = format!("P {whole}\nP {whole}\nF xxxxx\n");
        assert_eq!(lines(&[&with_newline]), expected);
        let pieces: Vec<&[u8]> = with_newline.chunks(1_000).collect();
        assert_eq!(lines(&pieces), expected);
        let exact = [whole.as_bytes(), b"\n"].concat();
        assert_eq!(lines(&[&exact]), format!("F {whole}\n"), "a line of just the limit is whole");
        assert_eq!(lines(&[whole.as_bytes(), b"\n"]), format!("F {whole}\n"));
    }

    #[test]
    fn streams_do_not_mix() {
        let mut lines = Lines::default();
        lines.take(Stream::Stdout, b"out", NOW);
        lines.take(Stream::Stderr, b"err\n", NOW);
        lines.take(Stream::Stdout, b"put\n", NOW);
        let text = String::from_utf8(lines.out).unwrap();
        assert!(text.contains("stderr F err\n") && text.contains("stdout F output\n"));
    }

    #[test]
    fn times_are_right_across_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_164_799, "2024-02-28T23:59:59"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(timestamp(env::WallTime::from_secs(seconds)), format!("{expected}.000000000Z"));
        }
    }
}
