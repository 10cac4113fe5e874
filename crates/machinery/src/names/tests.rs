use super::*;

/// Checks texts that are right and pairs of texts that are wrong and a part of what they are told.
fn check(rule: fn(&str) -> Faults, right: &[&str], wrong: &[(&str, &str)]) {
    for text in right {
        assert_eq!(rule(text), Faults::new(), "{text:?}");
    }
    for (text, told) in wrong {
        let faults = rule(text).join(" | ");
        assert!(faults.contains(told), "{text:?}: {faults:?} lacks {told:?}");
    }
}

fn long(count: usize) -> String {
    "a".repeat(count)
}

#[test]
fn labels() {
    check(
        dns1123_label,
        &["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "012", "1a", "0-a", &long(63)],
        &[
            ("", "a lowercase RFC 1123 label must consist"),
            (
                "A",
                "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ),
            ("-", "lowercase RFC 1123"),
            ("a-", "lowercase RFC 1123"),
            ("-a", "lowercase RFC 1123"),
            ("1.", "lowercase RFC 1123"),
            ("_a", "lowercase RFC 1123"),
            ("a.b", "must not contain dots"),
            ("a b", "lowercase RFC 1123"),
            ("ä", "lowercase RFC 1123"),
            (&long(64), "must be no more than 63 characters"),
        ],
    );
    check(
        dns1035_label,
        &["a", "ab-1", "a--1", &long(63)],
        &[
            ("0", "a DNS-1035 label must consist"),
            ("1a", "start with an alphabetic character"),
            ("", "DNS-1035"),
            ("A", "DNS-1035"),
            ("a.b", "DNS-1035"),
            (&long(64), "must be no more than 63 characters"),
        ],
    );
}

#[test]
fn subdomains() {
    check(
        dns1123_subdomain,
        &["a", "a.b", "a.b.c", "0.1.2", "a-b.c-d", "1.2.3.4", &long(253)],
        &[
            ("", "a lowercase RFC 1123 subdomain must consist"),
            ("a..b", "(e.g. 'example.com', regex used"),
            (".a", "subdomain"),
            ("a.", "subdomain"),
            ("A.b", "subdomain"),
            ("a_b", "subdomain"),
            ("*.a", "subdomain"),
            (&long(254), "must be no more than 253 characters"),
        ],
    );
    check(
        dns1123_subdomain_with_underscore,
        &["a", "_a.b", "a._b", "a_b.c"],
        &[("a._", "'_', '-' or '.'"), ("a..b", "'_', '-' or '.'"), ("__a", "'_', '-' or '.'")],
    );
    check(
        wildcard_subdomain,
        &["*.a", "*.example.com"],
        &[
            ("a", "a wildcard DNS-1123 subdomain must start with '*.'"),
            ("*", "wildcard"),
            ("*.", "wildcard"),
            ("*.*.a", "wildcard"),
            ("a.*.b", "wildcard"),
        ],
    );
}

#[test]
fn label_keys_and_values() {
    check(
        qualified_name,
        &["simple", "now-with-dashes", "1-starts", "1234", "a/b", "a.b/C_d.e", "Upper", &long(63)],
        &[
            ("", "name part must be non-empty"),
            ("nospecial%", "name part must consist of alphanumeric characters"),
            ("-a", "name part must consist"),
            ("a/", "name part must be non-empty"),
            ("/a", "prefix part must be non-empty"),
            ("A/b", "prefix part a lowercase RFC 1123 subdomain"),
            ("a/b/c", "a valid label key must consist"),
            ("a/b/c", "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"),
            (&long(64), "name part must be no more than 63 bytes"),
            (&format!("{}/a", long(254)), "prefix part must be no more than 253 bytes"),
        ],
    );
    check(
        label_value,
        &["", "a", "A-b_c.d", "1", &long(63)],
        &[
            ("-a", "a valid label must be an empty string or consist of"),
            ("a ", "(e.g. 'MyValue',  or 'my_value',  or '12345', regex"),
            ("a/b", "a valid label"),
            (&long(64), "must be no more than 63 bytes"),
        ],
    );
}

#[test]
fn path_segments_and_keys() {
    check(
        path_segment,
        &["a", "A b", "..a", "a.."],
        &[
            (".", "may not be '.'"),
            ("..", "may not be '..'"),
            ("a/b", "may not contain '/'"),
            ("a%b", "may not contain '%'"),
        ],
    );
    check(
        config_map_key,
        &["a", "a.b", "_a", ".a", "A-1", &long(253)],
        &[
            ("", "a valid config key must consist of"),
            ("a b", "regex used for validation is '[-._a-zA-Z0-9]+'"),
            (".", "must not be '.'"),
            ("..", "must not be '..'"),
            ("..a", "must not start with '..'"),
            (&long(254), "must be no more than 253 characters"),
        ],
    );
    check(
        env_var_name,
        &["A", "a.b", "1", "a b", "{}"],
        &[("", "printable ASCII"), ("a=b", "other than '='"), ("ä", "printable")],
    );
    check(
        http_header_name,
        &["A", "X-a-1"],
        &[("", "HTTP header"), ("a b", "HTTP header"), ("a_b", "HTTP header")],
    );
    check(
        c_identifier,
        &["a", "_1", "A_b"],
        &[("1a", "C identifier"), ("", "C identifier"), ("a-b", "C identifier")],
    );
    check(
        percent,
        &["0%", "100%", "007%"],
        &[("%", "percent"), ("1", "percent"), ("a%", "percent"), ("-1%", "percent")],
    );
    check(
        domain_prefixed_path,
        &["a.io/b", "a/b/c~d"],
        &[
            ("", "must not be empty"),
            ("a", "must be a domain-prefixed path (such as \"acme.io/foo\")"),
            ("a/", "domain-prefixed"),
            ("A/b", "subdomain"),
            ("a/b\u{e4}", "Invalid path (regex used for validation is"),
        ],
    );
}

#[test]
fn ports() {
    check(
        port_name,
        &["a", "http", "http-2", "1a", "a23456789012345"],
        &[
            ("", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
            ("1", "must contain at least one letter (a-z)"),
            ("A", "must contain only"),
            ("a--b", "must not contain consecutive hyphens"),
            ("-a", "must not begin or end with a hyphen"),
            ("a-", "must not begin or end with a hyphen"),
            ("a234567890123456", "must be no more than 15 characters"),
        ],
    );
    assert!(port_number(1).is_empty() && port_number(65535).is_empty());
    assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
    assert_eq!(port_number(65536).len(), 1);
}

#[test]
fn addresses() {
    check(
        ip,
        &["1.2.3.4", "::", "2001:db8::1", "0.0.0.0"],
        &[
            ("", NOT_AN_IP),
            ("1.2.3", NOT_AN_IP),
            ("1.2.3.4.5", NOT_AN_IP),
            ("256.1.1.1", NOT_AN_IP),
            ("fe80::1%eth0", NOT_AN_IP),
            ("010.0.0.5", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        ],
    );
    check(legacy_ip, &["1.2.3.4", "010.0.0.5", "::ffff:1.2.3.4"], &[("a", NOT_AN_IP)]);
    check(
        cidr,
        &["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "2001:db8::/64", "::/0"],
        &[
            ("10.0.0.0", NOT_A_CIDR),
            ("10.0.0.0/33", NOT_A_CIDR),
            ("10.0.0.0/", NOT_A_CIDR),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("2001:db8::1/64", "must not have bits set beyond"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
            ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        ],
    );
    check(legacy_cidr, &["10.0.0.1/8", "010.0.0.0/08"], &[("x", NOT_A_CIDR)]);
}

#[test]
fn qualified_domains() {
    check(
        fully_qualified_domain_name,
        &["a.b", "a.b.", "my.example.com"],
        &[
            ("", "must not be empty"),
            (".", "must not be empty"),
            ("a", "should be a domain with at least two segments separated by dots"),
            ("A.b", "subdomain"),
            (&format!("{}.b", long(64)), "must be no more than 63 characters"),
        ],
    );
    check(
        fully_qualified_name,
        &["a.b.c", "a.b.c.d"],
        &[("a.b", "at least three segments"), ("A.b.c", "subdomain")],
    );
}
