//! Logs as they grow, rotate, and hold nonsense.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::{Options, Reader};
use crate::tests::TempDir;
use env::WallTime;

fn log(dir: &TempDir, lines: &[&str]) -> PathBuf {
    let path = dir.0.join("0.log");
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path
}

fn all(reader: &mut Reader) -> String {
    let mut out = Vec::new();
    loop {
        let piece = reader.read().unwrap();
        if piece.is_empty() {
            return String::from_utf8(out).unwrap();
        }
        out.extend(piece);
    }
}

const LINES: [&str; 5] = [
    "2026-01-02T15:04:05.000000001Z stdout F one",
    "2026-01-02T15:04:06.000000001Z stderr F two",
    "2026-01-02T15:04:07.000000001Z stdout P thr",
    "2026-01-02T15:04:07.000000002Z stdout F ee",
    "2026-01-02T15:04:08.000000001Z stdout F four",
];

#[test]
fn options_choose_what_is_read() {
    let dir = TempDir::new("logs");
    let path = log(&dir, &LINES);
    let at = |text: &str| client::time::parse(text);
    for (options, wanted) in [
        (Options::default(), "one\ntwo\nthree\nfour\n"),
        (Options { tail: Some(1), ..Options::default() }, "four\n"),
        (Options { tail: Some(0), ..Options::default() }, ""),
        (Options { tail: Some(100), ..Options::default() }, "one\ntwo\nthree\nfour\n"),
        (Options { limit: Some(6), ..Options::default() }, "one\ntw"),
        (Options { limit: Some(0), ..Options::default() }, ""),
        (Options { stream: Some("stderr"), ..Options::default() }, "two\n"),
        (Options { since: at("2026-01-02T15:04:07Z"), ..Options::default() }, "three\nfour\n"),
        (Options { since: Some(WallTime(i64::MAX)), ..Options::default() }, ""),
        (
            Options { timestamps: true, tail: Some(3), ..Options::default() },
            "2026-01-02T15:04:07.000000001Z three\n2026-01-02T15:04:08.000000001Z four\n",
        ),
    ] {
        let mut reader = Reader::open(&path, options.clone()).unwrap();
        assert_eq!(all(&mut reader), wanted, "{options:?}");
    }
}

#[test]
fn what_is_written_later_and_after_a_rotation_is_read_too() {
    let dir = TempDir::new("rotation");
    let path = log(&dir, &LINES[..1]);
    let mut reader = Reader::open(&path, Options::default()).unwrap();
    assert_eq!(all(&mut reader), "one\n");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"2026-01-02T15:04:06.000000001Z stdout F ha").unwrap();
    assert_eq!(all(&mut reader), "");
    file.write_all(b"lf\n").unwrap();
    assert_eq!(all(&mut reader), "half\n");
    fs::rename(&path, dir.0.join("0.log.old")).unwrap();
    file.write_all(b"2026-01-02T15:04:06.000000001Z stdout F last of the old\n").unwrap();
    assert_eq!(all(&mut reader), "last of the old\n");
    fs::write(&path, format!("{}\n", LINES[4])).unwrap();
    assert_eq!(all(&mut reader), "four\n");
}

#[test]
fn nonsense_is_passed_over() {
    let dir = TempDir::new("nonsense");
    let path = log(&dir, &["nonsense", LINES[0], "", "\u{0}\u{1}"]);
    assert_eq!(all(&mut Reader::open(&path, Options::default()).unwrap()), "one\n");
    assert!(Reader::open(&dir.0.join("missing"), Options::default()).is_err());
}
