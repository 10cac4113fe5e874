//! From the fields of a header block to a request.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use crate::hpack::{Field, Name};

/// Headers about one connection, which have no meaning here.
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A block of headers as it is read.
#[derive(Debug)]
pub struct Block {
    method: Option<HeaderValue>,
    scheme: Option<HeaderValue>,
    authority: Option<HeaderValue>,
    path: Option<HeaderValue>,
    headers: HeaderMap,
    /// Bytes that all fields may have together, as the protocol counts them.
    room: usize,
    /// Why it is no block of a request, if it is none.
    malformed: bool,
    too_large: bool,
}

/// What a block of headers was.
#[derive(Debug)]
pub enum Read {
    /// A request, with the length of its body if it was told.
    Request(Box<Request<()>>, Option<u64>),
    /// More than is taken.
    TooLarge,
    /// No request.
    Malformed,
}

impl Block {
    /// For fields of so many bytes.
    pub fn new(room: usize) -> Block {
        Block {
            method: None,
            scheme: None,
            authority: None,
            path: None,
            headers: HeaderMap::new(),
            room,
            malformed: false,
            too_large: false,
        }
    }

    /// Takes a field.
    pub fn take(&mut self, field: &Field, size: usize) {
        let Some(room) = self.room.checked_sub(size) else {
            self.too_large = true;
            return;
        };
        self.room = room;
        let place = match &field.name {
            Name::Header(name) => return self.header(name, &field.value),
            Name::Method => &mut self.method,
            Name::Scheme => &mut self.scheme,
            Name::Authority => &mut self.authority,
            Name::Path => &mut self.path,
            Name::Status | Name::Malformed => {
                self.malformed = true;
                return;
            }
        };
        // Once each, and before all headers.
        self.malformed |= place.is_some() || !self.headers.is_empty();
        *place = Some(field.value.clone());
    }

    fn header(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.malformed |= OF_CONNECTIONS.contains(name) || (*name == TE && value != "trailers");
        // A map has room for so many fields only.
        if self.headers.try_append(name.clone(), value.clone()).is_err() {
            self.too_large = true;
        }
    }

    /// Whether these are fields that may follow a body.
    pub fn is_trailer(&self) -> bool {
        let pseudo = [&self.method, &self.scheme, &self.authority, &self.path];
        !self.malformed && pseudo.iter().all(|place| place.is_none())
    }

    /// What it is.
    pub fn finish(self) -> Read {
        if self.too_large {
            return Read::TooLarge;
        }
        if self.malformed {
            return Read::Malformed;
        }
        let Ok(length) = content_length(&self.headers) else { return Read::Malformed };
        let Some((method, uri)) = self.target() else { return Read::Malformed };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers;
        Read::Request(Box::new(request), length)
    }

    fn target(&self) -> Option<(Method, Uri)> {
        let method = Method::from_bytes(self.method.as_ref()?.as_bytes()).ok()?;
        let mut parts = http::uri::Parts::default();
        if let Some(authority) = &self.authority {
            parts.authority = Some(Authority::try_from(authority.as_bytes()).ok()?);
        }
        if method == Method::CONNECT {
            let is_connect = self.scheme.is_none() && self.path.is_none() && parts.authority.is_some();
            return is_connect.then(|| Uri::from_parts(parts).ok()).flatten().map(|uri| (method, uri));
        }
        let scheme = Scheme::try_from(self.scheme.as_ref()?.as_bytes()).ok()?;
        let path = self.path.as_ref()?.as_bytes();
        if path.is_empty() {
            return None;
        }
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        // Only a whole address has a scheme.
        parts.scheme = parts.authority.is_some().then_some(scheme);
        Some((method, Uri::from_parts(parts).ok()?))
    }
}

/// The length of the body, if it is told; an error if it is told in two ways, or in none that can be read.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut told = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(());
        }
        let length = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(())?;
        if told.is_some_and(|told| told != length) {
            return Err(());
        }
        told = Some(length);
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Block {
        let mut block = Block::new(1_000);
        for (name, value) in fields {
            let named = match *name {
                ":method" => Name::Method,
                ":scheme" => Name::Scheme,
                ":authority" => Name::Authority,
                ":path" => Name::Path,
                ":status" => Name::Status,
                other => Name::Header(HeaderName::from_bytes(other.as_bytes()).unwrap()),
            };
            let value = HeaderValue::from_str(value).unwrap();
            block.take(&Field { name: named, value: value.clone() }, name.len() + value.len() + 32);
        }
        block
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":path", "/a?b=c"), (":authority", "example.com:6443")];

    #[test]
    fn a_request_is_read() {
        let mut fields = GET.to_vec();
        fields.extend([("accept", "a"), ("accept", "b"), ("content-length", "12"), ("te", "trailers")]);
        let Read::Request(request, length) = block(&fields).finish() else { panic!("it is a request") };
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.uri().to_string(), "https://example.com:6443/a?b=c");
        assert_eq!(request.headers().get_all("accept").iter().count(), 2);
        assert_eq!((request.version(), length), (Version::HTTP_2, Some(12)));
        let without_authority = block(&GET[..3]).finish();
        let Read::Request(request, None) = without_authority else { panic!("it is a request") };
        assert_eq!(request.uri().to_string(), "/a?b=c");
        let connect = block(&[(":method", "CONNECT"), (":authority", "example.com:443")]).finish();
        assert!(matches!(connect, Read::Request(..)));
    }

    #[test]
    fn what_is_no_request_is_told() {
        let with = |field| {
            let mut fields = GET.to_vec();
            fields.push(field);
            fields
        };
        let cases = [
            GET[1..].to_vec(),
            GET[..2].to_vec(),
            vec![GET[0], GET[2]],
            with((":path", "/again")),
            with((":status", "200")),
            with(("connection", "close")),
            with(("keep-alive", "timeout=5")),
            with(("proxy-connection", "close")),
            with(("transfer-encoding", "chunked")),
            with(("upgrade", "websocket")),
            with(("te", "gzip")),
            with(("content-length", "x")),
            with(("content-length", "-1")),
            with(("content-length", "99999999999999999999")),
            vec![GET[0], GET[1], (":path", "")],
            vec![GET[0], GET[1], (":path", "no-slash")],
            vec![("accept", "a"), GET[0], GET[1], GET[2]],
            vec![(":method", "CONNECT"), (":scheme", "https"), (":authority", "a"), (":path", "/")],
        ];
        for fields in cases {
            assert!(matches!(block(&fields).finish(), Read::Malformed), "{fields:?}");
        }
        let mut two_lengths = with(("content-length", "1"));
        two_lengths.push(("content-length", "2"));
        assert!(matches!(block(&two_lengths).finish(), Read::Malformed));
        let large = "x".repeat(900);
        assert!(matches!(block(&with(("a", &large))).finish(), Read::TooLarge));
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        assert!(block(&[("checksum", "1")]).is_trailer());
        assert!(!block(&[(":path", "/")]).is_trailer());
        assert!(!block(&[("connection", "close")]).is_trailer());
    }
}
