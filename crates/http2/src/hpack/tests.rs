//! Blocks of the standard, blocks that are none, and blocks of our own read again.

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn shown(field: &Field) -> String {
    let name = match &field.name {
        Name::Method => ":method",
        Name::Scheme => ":scheme",
        Name::Authority => ":authority",
        Name::Path => ":path",
        Name::Status => ":status",
        Name::Header(name) => name.as_str(),
        Name::Malformed => "?",
    };
    format!("{name}: {}", field.value.to_str().unwrap())
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut fields = Vec::new();
    decoder.decode(block, |field, _| fields.push(shown(field)))?;
    Ok(fields)
}

#[test]
fn requests_of_the_standard_are_read() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let packed = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, packed] {
        let mut decoder = Decoder::new(4_096);
        let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(decoded(&mut decoder, &bytes(blocks[0])).unwrap(), first);
        let second = decoded(&mut decoder, &bytes(blocks[1])).unwrap();
        assert_eq!(second[..4], first);
        assert_eq!(second[4], "cache-control: no-cache");
        let third = decoded(&mut decoder, &bytes(blocks[2])).unwrap();
        let expected = [
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ];
        assert_eq!(third, expected);
    }
}

#[test]
fn answers_of_the_standard_push_old_fields_out() {
    let mut decoder = Decoder::new(256);
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
         29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d \
         d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 \
         3d50 07",
    ];
    let dates = ["Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"];
    let expect = |status: &str, date: &str| {
        vec![
            format!(":status: {status}"),
            "cache-control: private".to_owned(),
            format!("date: {date}"),
            "location: https://www.example.com".to_owned(),
        ]
    };
    assert_eq!(decoded(&mut decoder, &bytes(blocks[0])).unwrap(), expect("302", dates[0]));
    assert_eq!(decoded(&mut decoder, &bytes(blocks[1])).unwrap(), expect("307", dates[0]));
    let mut third = expect("200", dates[1]);
    third.push("content-encoding: gzip".to_owned());
    third.push("set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1".to_owned());
    assert_eq!(decoded(&mut decoder, &bytes(blocks[2])).unwrap(), third);
}

#[test]
fn blocks_that_are_none_are_refused() {
    for (block, error) in [
        ("80", Error::Index(0)),
        ("be", Error::Index(62)),
        ("7f 20", Error::Index(95)),
        ("ff", Error::Short),
        ("40", Error::Short),
        ("40 03 61 62", Error::Short),
        ("40 01 61", Error::Short),
        ("00 81 ff 00", Error::Text),
        ("3f e2 1f", Error::Size),
        ("82 20", Error::Size),
        ("ff ff ff ff ff 01", Error::Overflow),
        ("40 7f ff ff ff ff 01", Error::Overflow),
    ] {
        assert_eq!(decoded(&mut Decoder::new(4_096), &bytes(block)), Err(error), "{block}");
    }
}

#[test]
fn fields_that_no_request_may_have_take_their_place_in_the_table() {
    let mut decoder = Decoder::new(4_096);
    // "Ab: c", ":x: y", "a\0: b", "d: \0", "e: f".
    let block = "40 02 41 62 01 63  40 02 3a 78 01 79  40 02 61 00 01 62  40 01 64 01 00  40 01 65 01 66";
    let fields = decoded(&mut decoder, &bytes(block)).unwrap();
    assert_eq!(fields, ["?: c", "?: y", "?: b", "?: ", "e: f"]);
    assert_eq!(decoded(&mut decoder, &bytes("be c2")).unwrap(), ["e: f", "?: c"]);
}

#[test]
fn the_table_may_be_made_smaller_and_larger_again() {
    let mut decoder = Decoder::new(4_096);
    decoded(&mut decoder, &bytes("40 01 61 01 62")).unwrap();
    assert_eq!(decoded(&mut decoder, &bytes("be")).unwrap(), ["a: b"]);
    assert_eq!(decoded(&mut decoder, &bytes("20 3f e1 1f 82")).unwrap(), [":method: GET"]);
    assert_eq!(decoded(&mut decoder, &bytes("be")), Err(Error::Index(62)));
}

#[test]
fn secrets_stay_secrets() {
    let mut decoder = Decoder::new(4_096);
    let mut secrets = Vec::new();
    let block = bytes("10 01 61 01 62 00 01 61 01 62");
    decoder.decode(&block, |field, size| secrets.push((field.value.is_sensitive(), size))).unwrap();
    assert_eq!(secrets, [(true, 34), (false, 34)]);
    assert_eq!(decoded(&mut decoder, &bytes("be")), Err(Error::Index(62)));
}

fn answer(fields: &[(&str, &str)]) -> HeaderMap {
    let parsed = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    parsed.collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().collect()
}

#[test]
fn what_occurs_again_takes_a_byte() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4_096));
    let mut headers =
        answer(&[("content-type", "application/json"), ("x-flow", "1"), ("content-length", "12")]);
    let mut secret = HeaderValue::from_static("unlike any other");
    secret.set_sensitive(true);
    headers.insert("audit-id", secret);
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let mut block = Vec::new();
        encoder.encode(StatusCode::OK, &headers, &mut block);
        lengths.push(block.len());
        let mut fields = decoded(&mut decoder, &block).unwrap();
        fields.sort();
        let expected = [
            ":status: 200",
            "audit-id: unlike any other",
            "content-length: 12",
            "content-type: application/json",
            "x-flow: 1",
        ];
        assert_eq!(fields, expected);
    }
    let secret = 1 + 1 + "audit-id".len() + 1 + "unlike any other".len();
    assert_eq!(lengths[1..], [1 + 1 + 1 + 5 + secret; 2], "content-length takes five");
}

#[test]
fn a_peer_may_want_a_smaller_table() {
    let headers = answer(&[("a", "1"), ("b", "2")]);
    for (sizes, begin) in [
        (&[0][..], &[0x20][..]),
        (&[0, 4_096], &[0x20, 0x3f, 0xe1, 0x1f]),
        (&[100, 50, 70], &[0x3f, 19, 0x3f, 39]),
        (&[4_096, 65_536], &[]),
    ] {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4_096));
        let mut block = Vec::new();
        encoder.encode(StatusCode::OK, &headers, &mut block);
        decoded(&mut decoder, &block).unwrap();
        sizes.iter().for_each(|size| encoder.set_table_size(*size));
        for begin in [begin, &[]] {
            let mut block = Vec::new();
            encoder.encode(StatusCode::OK, &headers, &mut block);
            assert!(block.starts_with(begin) && block[begin.len()] == 0x88, "{sizes:?}: {block:x?}");
            let mut fields = decoded(&mut decoder, &block).unwrap();
            fields.sort();
            assert_eq!(fields, [":status: 200", "a: 1", "b: 2"], "{sizes:?}");
        }
    }
}

proptest! {
    #[test]
    fn answers_are_read_as_they_were_written(
        answers in prop::collection::vec(
            (prop::collection::vec(("[a-c]{1,3}|vary|etag|date", "[ -~]{0,40}|x{200}"), 0..12), 200_u16..600, 0_u32..3_000),
            1..12,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4_096));
        for (fields, status, size) in answers {
            if size % 3 == 0 {
                encoder.set_table_size(size);
            }
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let mut block = Vec::new();
            encoder.encode(StatusCode::from_u16(status).unwrap(), &headers, &mut block);
            let mut expected = vec![format!(":status: {status}")];
            expected.extend(headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
            prop_assert_eq!(decoded(&mut decoder, &block).unwrap(), expected);
        }
    }

    #[test]
    fn no_block_is_more_than_it_may_be(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut decoder = Decoder::new(4_096);
        for block in blocks {
            let mut fields = 0;
            let _ = decoder.decode(&block, |_, _| fields += 1);
            prop_assert!(fields <= block.len());
        }
    }
}
