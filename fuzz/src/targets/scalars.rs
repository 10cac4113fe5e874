//! Scalars with a syntax of their own: quantities, times, spans, names, addresses.

use machinery::field::go_quote;
use machinery::names;
use machinery::quantity::{Format, Quantity};
use machinery::time::{self, Timestamp};

use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    "Ki",
    "Mi",
    "E",
    "e3",
    "E-9",
    "n",
    "u",
    "m",
    "k",
    ".",
    "+",
    "-",
    "T",
    "Z",
    "+00:00",
    "-23:59",
    "h",
    "ms",
    "µs",
    "ns",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00Z",
    "60",
    "24",
    "/32",
    "::",
    "::ffff:1.2.3.4",
    "*.",
    "%25",
    "//",
];
const TEXTS: &[&str] = &[
    "100m",
    "1.5Gi",
    "12e6",
    "-0.001",
    "9223372036854775807",
    "1000000000000000000000",
    "0.0000000001",
    "5E",
    "2024-02-29T12:30:45Z",
    "2024-02-29T12:30:45.123456+05:30",
    "1m30.5s",
    "-2562047h47m16.854775808s",
    "1h",
    "example.com/name",
    "*.example.com",
    "10.0.0.1",
    "10.0.0.0/8",
    "2001:db8::1",
    "fd00::/64",
    "a-name",
    "A_B",
    "25%",
];

pub fn target() -> Target {
    let seeds = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    Target { name: "scalars", seeds, words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let text = text.as_ref();
    let mut taken = Vec::new();
    match Quantity::parse(text) {
        Ok(quantity) => {
            quantity_keeps(quantity)?;
            taken.push("quantity".to_owned());
        }
        Err(error) => taken.push(outcome("", &error.to_string())),
    }
    if let Some(moment) = Timestamp::parse(text) {
        let whole = Timestamp::parse(&moment.to_rfc3339()).map(Timestamp::to_rfc3339);
        same("a time is read as it was written", &whole, &Some(moment.to_rfc3339()))?;
        let micro = Timestamp::parse(&moment.to_rfc3339_micro()).map(Timestamp::to_rfc3339_micro);
        same("a time is read as it was written", &micro, &Some(moment.to_rfc3339_micro()))?;
        taken.push("time".to_owned());
    }
    if let Some(span) = time::parse_duration(text) {
        same(
            "a span is read as it was written",
            &time::parse_duration(&time::format_duration(span)),
            &Some(span),
        )?;
        time::human_duration(span);
        taken.push("span".to_owned());
    }
    if let Some(address) = names::parse_ip_sloppy(text) {
        same(
            "an address is read as it was written",
            &names::parse_ip_sloppy(&address.to_string()),
            &Some(address),
        )?;
        taken.push("address".to_owned());
    }
    if let Some((address, length)) = names::parse_cidr_sloppy(text) {
        let again = names::parse_cidr_sloppy(&format!("{address}/{length}"));
        same("a block is read as it was written", &again, &Some((address, length)))?;
        taken.push("block".to_owned());
    }
    go_quote(text);
    taken.push(checked(text));
    Ok(taken.join(" "))
}

fn quantity_keeps(quantity: Quantity) -> Result<(), String> {
    // Beyond the largest unit upstream writes digits without any; whoever reads them reads less.
    let beyond = Quantity::from_int(1_000, Format::DecimalSi).times(1_000_000_000_000_000_000);
    if quantity.format() == Format::DecimalSi
        && quantity.cmp(&beyond).is_ge() | quantity.negated().cmp(&beyond).is_ge()
    {
        return Ok(());
    }
    let text = quantity.to_string();
    let again = Quantity::parse(&text).map_err(|error| format!("{text}: {error}"))?;
    same("an amount is read as it was written", &again, &quantity)?;
    same("what is canonical stays so", &again.to_string(), &text)?;
    same("an amount less itself is nothing", &quantity.minus(quantity).is_zero(), &true)?;
    same("an amount and its negative are nothing", &quantity.plus(quantity.negated()).is_zero(), &true)?;
    same("an amount is as large as itself", &quantity.cmp(&again), &std::cmp::Ordering::Equal)?;
    let _ = (
        quantity.value(),
        quantity.milli_value(),
        quantity.as_f64(),
        quantity.times(-7),
        quantity.round_up(-3),
    );
    for scale in -9..=18 {
        quantity.scaled_value(scale);
    }
    Ok(())
}

/// Which of the rules for names a text keeps.
fn checked(text: &str) -> String {
    let rules: [fn(&str) -> bool; 18] = [
        |text| names::dns1123_label(text).is_empty(),
        |text| names::dns1123_subdomain(text).is_empty(),
        |text| names::dns1123_subdomain_with_underscore(text).is_empty(),
        |text| names::dns1035_label(text).is_empty(),
        |text| names::wildcard_subdomain(text).is_empty(),
        |text| names::qualified_name(text).is_empty(),
        |text| names::label_value(text).is_empty(),
        |text| names::path_segment(text).is_empty(),
        |text| names::env_var_name(text).is_empty(),
        |text| names::config_map_key(text).is_empty(),
        |text| names::http_header_name(text).is_empty(),
        |text| names::port_name(text).is_empty(),
        |text| names::percent(text).is_empty(),
        |text| names::c_identifier(text).is_empty(),
        |text| names::domain_prefixed_path(text).is_empty(),
        |text| names::ip(text).is_empty(),
        |text| names::cidr(text).is_empty(),
        |text| names::fully_qualified_domain_name(text).is_empty(),
    ];
    rules.iter().map(|rule| if rule(text) { '1' } else { '0' }).collect()
}
