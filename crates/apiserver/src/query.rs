//! The parameters behind a request's `?`.

use std::time::Duration;

use machinery::Status;

/// Parameters in the order they came; a name may come more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=1&b=2`. What is not properly encoded is left out, as Go does.
    pub fn parse(text: &str) -> Query {
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'))
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decode(name, true)?, percent_decode(value, true)?))
            })
            .collect();
        Query { pairs }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, or the empty text.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there and says yes: anything but `false` and `0` does.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(truth)
    }

    /// A parameter that is a truth value, if it is there.
    pub fn option_flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(truth)
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        self.get(name).map(|text| go_parse_int(text).map_err(Status::bad_request)).transpose()
    }

    /// All pairs.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

/// Upstream's reading of a truth value in a query: present is true, unless it says `false` or `0`.
fn truth(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "false" | "0")
}

/// Go's `strconv.ParseInt(text, 10, 64)`, with its words.
pub fn go_parse_int(text: &str) -> Result<i64, String> {
    parse_number("ParseInt", text, str::parse::<i64>, true)
}

/// Go's `strconv.ParseUint(text, 10, 64)`, with its words.
pub fn go_parse_uint(text: &str) -> Result<u64, String> {
    parse_number("ParseUint", text, str::parse::<u64>, false)
}

fn parse_number<T>(
    function: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, std::num::ParseIntError>,
    signed: bool,
) -> Result<T, String> {
    let digits = if signed { text.strip_prefix(['+', '-']).unwrap_or(text) } else { text };
    let quoted = machinery::field::go_quote(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("strconv.{function}: parsing {quoted}: invalid syntax"));
    }
    parse(text).map_err(|_| format!("strconv.{function}: parsing {quoted}: value out of range"))
}

/// Go's `time.ParseDuration`, with its words. Negative durations are read as zero.
pub fn go_parse_duration(text: &str) -> Result<Duration, String> {
    let quoted = machinery::field::go_quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = unsigned;
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => {
                let unit = machinery::field::go_quote(unit);
                return Err(format!("time: unknown unit {unit} in duration {quoted}"));
            }
        };
        total += number.parse::<f64>().map_err(|_| invalid())? * seconds;
        rest = after;
    }
    if text.starts_with('-') {
        return Ok(Duration::ZERO);
    }
    Duration::try_from_secs_f64(total).map_err(|_| invalid())
}

/// Text without percent-encoding; `None` if it is malformed or no UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push((high * 16 + low) as u8);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_may_repeat() {
        let query = Query::parse("a=1&b=x%3Dy+z&a=2&watch&bad=%zz&no=0");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("b"), "x=y z");
        assert!(query.flag("watch"));
        assert!(!query.flag("no") && !query.flag("missing"));
        assert_eq!(query.get("bad"), None);
    }

    #[test]
    fn numbers_and_durations_fail_in_gos_words() {
        assert_eq!(go_parse_int("-12"), Ok(-12));
        assert_eq!(go_parse_int("abc").unwrap_err(), "strconv.ParseInt: parsing \"abc\": invalid syntax");
        assert_eq!(go_parse_uint("-1").unwrap_err(), "strconv.ParseUint: parsing \"-1\": invalid syntax");
        let huge = "99999999999999999999";
        assert!(go_parse_uint(huge).unwrap_err().ends_with("value out of range"));
        assert_eq!(go_parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(go_parse_duration("-1s"), Ok(Duration::ZERO));
        assert_eq!(go_parse_duration("1").unwrap_err(), "time: missing unit in duration \"1\"");
        assert_eq!(go_parse_duration("abc").unwrap_err(), "time: invalid duration \"abc\"");
        assert_eq!(go_parse_duration("3x").unwrap_err(), "time: unknown unit \"x\" in duration \"3x\"");
    }
}
