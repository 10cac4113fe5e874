//! Headers, as they travel: pairs with lengths, compressed in one go for as long as the connection lives.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::dictionary::dictionary;

/// The most that headers of one frame may be when unpacked: a few names and numbers are all that is sent.
const MOST_UNPACKED: usize = 64 << 10;

/// Why headers cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not what a compressor writes.
    #[error("headers cannot be unpacked")]
    Compression,
    /// More than anybody needs.
    #[error("headers are larger than {MOST_UNPACKED} bytes")]
    TooLarge,
    /// Lengths that do not fit, or text that is none.
    #[error("headers are malformed")]
    Malformed,
}

/// Names and values. Names are compared as if written in small letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// With these names and values.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Headers {
        Headers(pairs.into_iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect())
    }

    /// The first value of that name; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.split('\0').next().unwrap_or_default()).unwrap_or_default()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = (self.0.len() as u32).to_be_bytes().to_vec();
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Headers> {
        let mut headers = Headers::default();
        for _ in 0..number(&mut bytes)? {
            let name = text(&mut bytes)?.to_lowercase();
            headers.0.push((name, text(&mut bytes)?));
        }
        Some(headers)
    }
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*first))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Packs the headers of everything that one side sends.
#[derive(Debug)]
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Packer {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&dictionary()).expect("a new compressor takes any dictionary");
        Packer(compress)
    }
}

impl Packer {
    /// The bytes of these headers. They can be unpacked only after all that were packed before.
    pub fn pack(&mut self, headers: &Headers) -> Vec<u8> {
        let plain = headers.encode();
        let mut packed = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            self.0
                .compress_vec(&plain[done..], &mut packed, FlushCompress::Sync)
                .expect("compressing into memory cannot fail");
            // All is out when there was room left.
            if packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(256);
        }
    }
}

/// Unpacks the headers of everything that the other side sends.
#[derive(Debug)]
pub struct Unpacker(Decompress);

impl Default for Unpacker {
    fn default() -> Unpacker {
        Unpacker(Decompress::new(true))
    }
}

impl Unpacker {
    /// The headers that these bytes are. After an error nothing that follows can be read.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<Headers, HeaderError> {
        let mut plain = Vec::with_capacity(1 << 10);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            match self.0.decompress_vec(&packed[done..], &mut plain, FlushDecompress::Sync) {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| HeaderError::Compression)?;
                    continue;
                }
                Err(_) => return Err(HeaderError::Compression),
            }
            if plain.len() < plain.capacity() {
                break;
            }
            if plain.len() >= MOST_UNPACKED {
                return Err(HeaderError::TooLarge);
            }
            plain.reserve(plain.len());
        }
        Headers::decode(&plain).ok_or(HeaderError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_unpacked_as_they_were_packed_one_after_the_other() {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        let long = "x".repeat(20_000);
        for headers in [
            Headers::new([("streamType", "error"), ("port", "80"), ("requestID", "0")]),
            Headers::default(),
            Headers::new([("streamtype", "data"), ("port", "80"), ("requestid", "0")]),
            Headers::new([("long", long.as_str())]),
            Headers::new([("streamtype", "data"), ("port", "81"), ("requestid", "1")]),
        ] {
            let packed = packer.pack(&headers);
            assert_eq!(unpacker.unpack(&packed), Ok(headers));
        }
    }

    #[test]
    fn names_are_found_however_they_are_written_and_the_first_value_counts() {
        let headers = Headers::new([("streamType", "error\0data")]);
        assert_eq!(headers.get("StreamType"), "error");
        assert_eq!(headers.get("port"), "");
    }

    #[test]
    fn what_go_packed_is_unpacked() {
        // `streamType: stdin`, as kubectl sends it first.
        let mut packer = Packer::default();
        let packed = packer.pack(&Headers::new([("streamtype", "stdin")]));
        // The stream begins with zlib's mark for one with a dictionary, and the dictionary's checksum.
        assert_eq!(packed[0] & 0x0f, 8);
        assert_eq!(packed[1] & 0x20, 0x20);
        assert_eq!(packed[2..6], 0xe3c6_a7c2_u32.to_be_bytes());
        assert_eq!(packed[packed.len() - 4..], [0, 0, 0xff, 0xff]);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let unpack = |plain: &[u8]| {
            let mut compress = Packer::default().0;
            let mut packed = Vec::with_capacity(plain.len() + 1_024);
            compress.compress_vec(plain, &mut packed, FlushCompress::Sync).unwrap();
            Unpacker::default().unpack(&packed)
        };
        assert_eq!(unpack(&[0, 0, 0, 0]), Ok(Headers::default()));
        assert_eq!(unpack(&[]), Err(HeaderError::Malformed));
        assert_eq!(unpack(&[0xff, 0xff, 0xff, 0xff]), Err(HeaderError::Malformed));
        assert_eq!(unpack(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, b'a']), Err(HeaderError::Malformed));
        assert_eq!(unpack(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), Err(HeaderError::Malformed));
        assert_eq!(unpack(&vec![0; 1 << 20]), Err(HeaderError::TooLarge));
        assert_eq!(Unpacker::default().unpack(b"nonsense"), Err(HeaderError::Compression));
    }
}
