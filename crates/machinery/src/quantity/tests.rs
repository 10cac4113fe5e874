use super::*;

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn amounts_are_printed_in_canonical_form() {
    for (text, printed) in [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1", "-1"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("10000", "10k"),
        ("1234567", "1234567"),
        ("100k", "100k"),
        ("1000k", "1M"),
        ("1M", "1M"),
        ("1.5G", "1500M"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e2", "1200"),
        ("1.5e3", "1500"),
        ("1e-3", "1e-3"),
        ("1e2", "100"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Ki", "1536"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.3Ki", "307200m"),
        ("0.5Mi", "512Ki"),
        ("100Mi", "100Mi"),
        ("2048", "2048"),
        ("1n", "1n"),
        ("1u", "1u"),
        ("0.1n", "1n"),
        ("0.0000000001", "1n"),
        ("1.0000000001", "1000000001n"),
        ("-0.1n", "-1n"),
        ("8Ei", "9223372036854775807"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("1000000000000000000000000000000001", "1000000000000000000000000000000001"),
        ("9223372036854775807Ki", "9223372036854775807"),
        ("-9999999999999999999999", "-9999999999999999999999"),
        ("12345678901234567890k", "12345678901234567890k"),
        // With more digits than are read again, once printed with an exponent that three divides.
        ("-2000000000000000000000000000000000001e-7", "-9223372036854775807"),
        ("200000000000000000000000000000000001e-7", "20000000000000000000000000000000000100e-9"),
        ("1E", "1E"),
        ("7Ei", "7Ei"),
        ("007", "7"),
        ("1.000", "1"),
        ("0.0001", "100u"),
        ("123456789", "123456789"),
        ("128974848", "128974848"),
        ("129M", "129M"),
        ("129e6", "129e6"),
        ("1100Ki", "1100Ki"),
        ("-1536", "-1536"),
        ("1025Mi", "1025Mi"),
    ] {
        assert_eq!(quantity(text).to_string(), printed, "{text}");
        assert_eq!(quantity(printed), quantity(text), "{text}");
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in [
        "", "x", "1x", "1 ", " 1", "1.1.1", "+-3", "1+", "1K", "1KiB", "1mi", "1ki", "--1", "1e3.5", "1,5",
        "ä",
    ] {
        assert!(Quantity::parse(text).is_err(), "{text:?}");
    }
    for huge in
        ["1e2147483647", "1e-2147483648", "92200e33720368547758", "100e499999999", "1e9999999999999999999"]
    {
        assert_eq!(Quantity::parse(huge), Err(ParseError::Suffix), "{huge}");
    }
    assert_eq!(
        Quantity::parse("100e499999996").map(|amount| amount.to_string()),
        Ok("1e499999998".to_owned())
    );
    assert_eq!(Quantity::parse("1x"), Err(ParseError::Format));
    assert_eq!(Quantity::parse("1K"), Err(ParseError::Suffix));
    assert_eq!(Quantity::parse("1e"), Err(ParseError::Suffix));
}

#[test]
fn numbers_are_compared_not_texts() {
    for (a, b, order) in [
        ("1", "1000m", Ordering::Equal),
        ("1Ki", "1024", Ordering::Equal),
        ("1Ki", "1k", Ordering::Greater),
        ("-1", "1", Ordering::Less),
        ("1e30", "9223372036854775807", Ordering::Greater),
        ("1n", "0", Ordering::Greater),
        ("1e-3", "1m", Ordering::Equal),
        ("2Gi", "2000M", Ordering::Greater),
        ("1e50", "1e60", Ordering::Less),
    ] {
        assert_eq!(quantity(a).cmp(&quantity(b)), order, "{a} {b}");
        assert_eq!(quantity(b).cmp(&quantity(a)), order.reverse(), "{b} {a}");
    }
}

#[test]
fn values_are_rounded_up_and_held_to_what_fits() {
    for (text, value, milli) in [
        ("1", 1, 1000),
        ("1m", 1, 1),
        ("1n", 1, 1),
        ("1500m", 2, 1500),
        ("-1500m", -2, -1500),
        ("2Ki", 2048, 2_048_000),
        ("0", 0, 0),
        ("8Ei", i64::MAX, i64::MAX),
        ("1e30", i64::MAX, i64::MAX),
        ("1.0001", 2, 1001),
    ] {
        assert_eq!((quantity(text).value(), quantity(text).milli_value()), (value, milli), "{text}");
    }
    assert_eq!(quantity("1500m").as_int(), None);
    assert_eq!(quantity("2Ki").as_int(), Some(2048));
    assert!((quantity("1500m").as_f64() - 1.5).abs() < f64::EPSILON);
}

#[test]
fn sums_keep_the_notation() {
    for (a, b, sum) in [
        ("1", "1", "2"),
        ("1Gi", "1Gi", "2Gi"),
        ("0", "1Gi", "1Gi"),
        ("100m", "900m", "1"),
        ("1Mi", "1", "1048577"),
        ("1", "-2", "-1"),
        ("500m", "1Ki", "1024500m"),
    ] {
        assert_eq!(quantity(a).plus(quantity(b)).to_string(), sum, "{a} + {b}");
        assert_eq!(quantity(sum).minus(quantity(b)), quantity(a));
    }
    assert_eq!(quantity("1500m").times(3).to_string(), "4500m");
    assert_eq!(quantity("1500u").round_up(-3).to_string(), "2m");
    assert_eq!(Quantity::from_milli(1500, Format::DecimalSi).to_string(), "1500m");
}
