//! The formats of texts and numbers that schemas of custom resources may name.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smol_str::SmolStr;

use crate::names;
use crate::time::Timestamp;

/// A format that is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// As the schema writes it.
    pub name: SmolStr,
    check: Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    BsonObjectId,
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    /// The digit that tells the version, if one is asked for.
    Uuid(Option<char>),
    Isbn,
    Isbn10,
    Isbn13,
    CreditCard,
    Ssn,
    HexColor,
    RgbColor,
    Byte,
    Password,
    Date,
    Duration,
    DateTime,
    ShortName,
    LongName,
    Int32,
    Int64,
    Float32,
    Float64,
}

impl Format {
    /// The format of this name for this type, if it is one that is checked.
    pub fn of(kind: &str, name: &str) -> Option<Format> {
        let check = match kind {
            "" | "string" => of_text(&name.replace('-', ""))?,
            "integer" => match name {
                "int32" => Check::Int32,
                "int64" => Check::Int64,
                _ => return None,
            },
            "number" => match name {
                "float" => Check::Float32,
                "double" => Check::Float64,
                _ => return None,
            },
            _ => return None,
        };
        Some(Format { name: SmolStr::new(name), check })
    }

    /// Whether a text has the format. Formats of numbers say nothing about texts.
    pub fn fits(&self, text: &str) -> bool {
        match self.check {
            Check::BsonObjectId => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Check::Uri => is_request_uri(text),
            Check::Email => is_email(text),
            Check::Hostname => is_hostname(text),
            Check::Ipv4 => matches!(text.parse::<IpAddr>(), Ok(IpAddr::V4(_))),
            Check::Ipv6 => text.contains(':') && matches!(text.parse::<IpAddr>(), Ok(IpAddr::V6(_))),
            Check::Cidr => is_cidr(text),
            Check::Mac => is_mac(text),
            Check::Uuid(version) => is_uuid(text, version),
            Check::Isbn => is_isbn10(text) || is_isbn13(text),
            Check::Isbn10 => is_isbn10(text),
            Check::Isbn13 => is_isbn13(text),
            Check::CreditCard => is_credit_card(text),
            Check::Ssn => is_ssn(text),
            Check::HexColor => is_hex_color(text),
            Check::RgbColor => is_rgb_color(text),
            Check::Byte => !text.is_empty() && STANDARD.decode(text).is_ok(),
            Check::Password => true,
            Check::Date => text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_some(),
            Check::Duration => is_duration(text),
            Check::DateTime => is_date_time(text),
            Check::ShortName => names::dns1123_label(text).is_empty(),
            Check::LongName => names::dns1123_subdomain(text).is_empty(),
            Check::Int32 | Check::Int64 | Check::Float32 | Check::Float64 => true,
        }
    }

    /// Whether the format is about numbers of 32 bits, whole ones or not.
    pub(super) fn is_int32(&self) -> bool {
        self.check == Check::Int32
    }

    /// Whether numbers must fit into 32 bits, with a fraction.
    pub(super) fn is_float32(&self) -> bool {
        self.check == Check::Float32
    }
}

fn of_text(name: &str) -> Option<Check> {
    Some(match name {
        "bsonobjectid" => Check::BsonObjectId,
        "uri" => Check::Uri,
        "email" => Check::Email,
        "hostname" => Check::Hostname,
        "ipv4" => Check::Ipv4,
        "ipv6" => Check::Ipv6,
        "cidr" => Check::Cidr,
        "mac" => Check::Mac,
        "uuid" => Check::Uuid(None),
        "uuid3" => Check::Uuid(Some('3')),
        "uuid4" => Check::Uuid(Some('4')),
        "uuid5" => Check::Uuid(Some('5')),
        "isbn" => Check::Isbn,
        "isbn10" => Check::Isbn10,
        "isbn13" => Check::Isbn13,
        "creditcard" => Check::CreditCard,
        "ssn" => Check::Ssn,
        "hexcolor" => Check::HexColor,
        "rgbcolor" => Check::RgbColor,
        "byte" => Check::Byte,
        "password" => Check::Password,
        "date" => Check::Date,
        "duration" => Check::Duration,
        "datetime" => Check::DateTime,
        "k8sshortname" => Check::ShortName,
        "k8slongname" => Check::LongName,
        _ => return None,
    })
}

/// An absolute URI, or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|letter| letter.is_control() || letter == ' ') {
        return false;
    }
    let well_escaped = text
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    if text.starts_with('/') {
        return well_escaped;
    }
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
        && well_escaped
}

/// `name@host`, or `Name <name@host>`.
fn is_email(text: &str) -> bool {
    let address = match (text.split_once('<'), text.strip_suffix('>')) {
        (Some((_, rest)), Some(_)) => rest.trim_end_matches('>'),
        (None, None) => text.trim(),
        _ => return false,
    };
    let Some((local, host)) = address.rsplit_once('@') else { return false };
    let is_atom =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !"()<>[]:;@\\,\"".contains(letter);
    let dotted = |text: &str| text.split('.').all(|part| !part.is_empty() && part.chars().all(is_atom));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = host.starts_with('[') && host.ends_with(']');
    (quoted || dotted(local)) && (literal || dotted(host))
}

fn is_hostname(text: &str) -> bool {
    let is_letter =
        |letter: char| letter.is_alphanumeric() || (!letter.is_ascii() && !letter.is_whitespace());
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter == '-' || is_letter(letter))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    let top_is_long = labels.len() == 1 || labels.last().is_some_and(|top| top.chars().count() > 1);
    text.len() <= 255 && top_is_long && labels.into_iter().all(is_label)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|byte| byte.is_ascii_digit())
        && !(bits.len() > 1 && bits.starts_with('0'))
        && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, width: usize| {
        let groups: Vec<&str> = text.split(separator).collect();
        matches!(groups.len() * width / 2, 6 | 8 | 20)
            && groups
                .iter()
                .all(|group| group.len() == width && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    groups(':', 2) || groups('-', 2) || groups('.', 4)
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut digits = String::with_capacity(32);
    for letter in text.chars() {
        match letter {
            // Dashes may be left out, but stand nowhere else.
            '-' if matches!(digits.len(), 8 | 12 | 16 | 20) => {}
            digit if digit.is_ascii_hexdigit() => digits.push(digit.to_ascii_lowercase()),
            _ => return false,
        }
    }
    let well_dashed = !text.contains("--");
    let right_version = version.is_none_or(|version| digits.chars().nth(12) == Some(version));
    let right_variant =
        !matches!(version, Some('4' | '5')) || matches!(digits.chars().nth(16), Some('8' | '9' | 'a' | 'b'));
    digits.len() == 32 && well_dashed && right_version && right_variant
}

fn bare(text: &str) -> String {
    text.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let text = bare(text);
    let mut sum = 0;
    for (position, letter) in text.chars().enumerate() {
        let digit = match letter {
            'X' if position == 9 => 10,
            digit => match digit.to_digit(10) {
                Some(digit) => digit,
                None => return false,
            },
        };
        sum += digit * (position as u32 + 1);
    }
    text.len() == 10 && sum % 11 == 0
}

fn is_isbn13(text: &str) -> bool {
    let text = bare(text);
    let digits: Option<Vec<u32>> = text.chars().map(|letter| letter.to_digit(10)).collect();
    let Some(digits) = digits else { return false };
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(position, digit)| digit * if position % 2 == 0 { 1 } else { 3 })
        .sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

/// The numbers of the large issuers, with a right check digit.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|letter| letter.to_digit(10)).collect();
    let number: String = digits.iter().map(u32::to_string).collect();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| number.starts_with(prefix));
    let known = match digits.len() {
        13 => begins(&["4"]),
        14 => begins(&["300", "301", "302", "303", "304", "305", "36", "38"]),
        15 => begins(&["34", "37", "2131", "1800"]),
        16 => begins(&["4", "51", "52", "53", "54", "55", "6011", "65", "35"]),
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(position, digit)| match (position % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    known && sum.is_multiple_of(10)
}

/// Three, two and four digits, with dashes or blanks between them or not.
fn is_ssn(text: &str) -> bool {
    let mut rest = text;
    for (width, last) in [(3, false), (2, false), (4, true)] {
        let Some(digits) = rest.get(..width) else { return false };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        rest = &rest[width..];
        if !last {
            rest = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
        }
    }
    rest.is_empty()
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_rgb_color(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) else { return false };
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

/// A span of time in Go's notation, or a number and the name of a unit.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 25] = [
        "ns",
        "nano",
        "nanosecond",
        "us",
        "µs",
        "micro",
        "microsecond",
        "ms",
        "milli",
        "millisecond",
        "s",
        "sec",
        "second",
        "m",
        "min",
        "minute",
        "h",
        "hr",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
        "nanosec",
    ];
    if crate::time::parse_duration(text).is_some() {
        return true;
    }
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[digits..].trim().to_lowercase();
    let is_unit = |unit: &str| UNITS.contains(&unit);
    digits > 0 && (is_unit(&unit) || unit.strip_suffix('s').is_some_and(|one| one.len() > 2 && is_unit(one)))
}

/// A time of RFC 3339; a blank may stand for the `T`, and fractions of a second may follow.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return false };
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let clock = clock.split_once('.').map_or(clock, |(whole, fraction)| {
        let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if is_fraction { whole } else { "" }
    });
    let zone = if zone.is_empty() || zone == "z" { "Z" } else { zone };
    Timestamp::parse(&format!("{date}T{clock}{zone}")).is_some()
}
