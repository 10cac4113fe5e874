//! Where the last lines of a file begin.

use std::io::{self, Read, Seek, SeekFrom};

/// What is read at once, from the end.
const BLOCK: u64 = 16 * 1_024;

/// The offset at which the last `lines` lines begin. What comes after the last end of a line is a line too.
pub(super) fn start(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let size = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(size);
    }
    let mut wanted = lines;
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin))?;
        let mut block = vec![0; (end - begin) as usize];
        file.read_exact(&mut block)?;
        for (position, byte) in block.iter().enumerate().rev() {
            let after = begin + position as u64 + 1;
            // The end of the last line begins no other.
            if *byte == b'\n' && after != size {
                wanted -= 1;
                if wanted == 0 {
                    return Ok(after);
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        for (text, lines, rest) in [
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\nb\n", 0, ""),
            ("", 5, ""),
            ("\n\n\n", 2, "\n\n"),
        ] {
            let begin = start(&mut Cursor::new(text.as_bytes()), lines).unwrap() as usize;
            assert_eq!(&text[begin..], rest, "{text:?} {lines}");
        }
        let long: String = (0..5_000).map(|number| format!("{number}\n")).collect();
        let begin = start(&mut Cursor::new(long.as_bytes()), 4_500).unwrap() as usize;
        assert!(long[begin..].starts_with("500\n"));
    }
}
