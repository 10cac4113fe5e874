//! The letters of JSON: tokens and what is said about wrong ones, in Go's words. Every body goes through here letter by
//! letter, so what is short is to be inlined.

use std::borrow::Cow;

use super::Error;

/// A cursor over a body.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    /// How many bytes were taken.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is no white space, not taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => return Some(*byte),
            }
        }
        None
    }

    /// Takes the byte that was peeked.
    #[inline]
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// What stands here is wrong.
    #[cold]
    pub(crate) fn unexpected(&self, context: &str) -> Error {
        let text = match self.bytes.get(self.at) {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character {} {context}", quote_char(*byte)),
        };
        Error { text, syntax: true }
    }

    /// The beginning of a value: its first byte.
    #[inline]
    pub(crate) fn begin_value(&mut self) -> Result<u8, Error> {
        match self.peek() {
            Some(byte @ (b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) => Ok(byte),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// After the `{`: whether there is a first member.
    #[inline]
    pub(crate) fn first_member(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b'"') => Ok(true),
            Some(b'}') => {
                self.bump();
                Ok(false)
            }
            _ => Err(self.unexpected("looking for beginning of object key string")),
        }
    }

    /// A key and the colon after it.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        let key = self.string()?;
        self.colon()?;
        Ok(key)
    }

    /// After a member: whether there is another.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b',') => {
                self.bump();
                match self.peek() {
                    Some(b'"') => Ok(true),
                    _ => Err(self.unexpected("looking for beginning of object key string")),
                }
            }
            Some(b'}') => {
                self.bump();
                Ok(false)
            }
            _ => Err(self.unexpected("after object key:value pair")),
        }
    }

    /// After the `[`: whether there is a first item.
    #[inline]
    pub(crate) fn first_item(&mut self) -> bool {
        let is_end = self.peek() == Some(b']');
        if is_end {
            self.bump();
        }
        !is_end
    }

    /// After an item: whether there is another.
    #[inline]
    pub(crate) fn next_item(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b',') => {
                self.bump();
                Ok(true)
            }
            Some(b']') => {
                self.bump();
                Ok(false)
            }
            _ => Err(self.unexpected("after array element")),
        }
    }

    /// The end of the body.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    /// A text, at its opening quote.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let start = self.at + 1;
        let end = start + plain_length(&self.bytes[start..]);
        match self.bytes.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(text(&self.bytes[start..end]))
            }
            Some(b'\\') => self.escaped_string(start, end),
            _ => {
                self.at = end;
                Err(self.unexpected("in string literal"))
            }
        }
    }

    /// Passes over a text, at its opening quote; answers whether there are escapes in it.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Result<bool, Error> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                    escaped = true;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// Passes over a key and the colon after it; answers the key as it is written, between its quotes.
    #[inline]
    pub(crate) fn raw_key(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at + 1;
        self.skip_string()?;
        let key = &self.bytes[start..self.at - 1];
        self.colon()?;
        Ok(key)
    }

    /// The colon after a key.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b':') => {
                self.bump();
                Ok(())
            }
            _ => Err(self.unexpected("after object key")),
        }
    }

    fn escaped_string(&mut self, start: usize, first_escape: usize) -> Result<Cow<'a, str>, Error> {
        let mut unescaped = text(&self.bytes[start..first_escape]).into_owned();
        self.at = first_escape;
        loop {
            let run = self.at;
            self.at += plain_length(&self.bytes[run..]);
            unescaped.push_str(&text(&self.bytes[run..self.at]));
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    unescaped.push(self.escape()?);
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let letter = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn unicode_escape(&mut self) -> Result<char, Error> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.at).and_then(|byte| (*byte as char).to_digit(16));
            let digit = digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number, at its first byte, as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.skip_digits();
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if !self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.skip_digits();
        }
        Ok(std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default())
    }

    fn skip_digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    /// `true`, `false` or `null`, at its first byte.
    pub(crate) fn literal(&mut self) -> Result<Option<bool>, Error> {
        let (word, value) = match self.bytes[self.at] {
            b't' => ("true", Some(true)),
            b'f' => ("false", Some(false)),
            _ => ("null", None),
        };
        for expected in word.bytes() {
            if self.bytes.get(self.at) != Some(&expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", expected as char)));
            }
            self.at += 1;
        }
        Ok(value)
    }

    /// Passes over a value, checking that it is one.
    pub(crate) fn skip_value(&mut self, depth: usize) -> Result<(), Error> {
        match self.begin_value()? {
            b'{' => {
                check_depth(depth)?;
                self.bump();
                let mut more = self.first_member()?;
                while more {
                    self.raw_key()?;
                    // Most values are texts, which need no turn of their own.
                    match self.peek() {
                        Some(b'"') => drop(self.skip_string()?),
                        _ => self.skip_value(depth + 1)?,
                    }
                    more = self.next_member()?;
                }
                Ok(())
            }
            b'[' => {
                check_depth(depth)?;
                self.bump();
                let mut more = self.first_item();
                while more {
                    self.skip_value(depth + 1)?;
                    more = self.next_item()?;
                }
                Ok(())
            }
            b'"' => self.skip_string().map(drop),
            b't' | b'f' | b'n' => self.literal().map(drop),
            _ => self.number().map(drop),
        }
    }
}

pub(crate) fn check_depth(depth: usize) -> Result<(), Error> {
    if depth < super::MAX_DEPTH {
        return Ok(());
    }
    Err(Error { text: "exceeded max depth".to_owned(), syntax: true })
}

/// How many bytes at the beginning stand for themselves in a text: what is no quote, no backslash and no control. Eight
/// are looked at at once.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = ONES << 7;
    // The highest bit of each byte that is less than `bound`; above the first of them others may be marked as well.
    let less = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHEST;
    let (words, rest) = bytes.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslashes = less(word ^ (ONES * u64::from(b'\\')), 1);
        let marked = less(word, 0x20) | quotes | backslashes;
        if marked != 0 {
            return position * 8 + (marked.trailing_zeros() / 8) as usize;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    words.len() * 8 + rest.iter().take_while(is_plain).count()
}

/// Bytes as text; what is no UTF-8 is replaced byte by byte, as Go does.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut replaced = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                replaced.push_str(chunk.valid());
                replaced.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            Cow::Owned(replaced)
        }
    }
}

fn quote_char(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = crate::field::go_quote(&(byte as char).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_are_counted_wherever_they_end() {
        for length in 0..40 {
            for byte in 0..=255 {
                let mut bytes = vec![b'a'; 40];
                bytes[length] = byte;
                // Bytes that come close, behind the first that counts.
                bytes[length + 1..].fill(0x21);
                let expected = if matches!(byte, b'"' | b'\\' | 0..=0x1f) { length } else { 40 };
                assert_eq!(plain_length(&bytes), expected, "{byte:#x} at {length}");
            }
        }
        assert_eq!(plain_length("é😀\u{7f}\u{80}".as_bytes()), 9);
        assert_eq!(plain_length(b""), 0);
    }
}
