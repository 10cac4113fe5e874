//! What is passed on, and what stays here.

use super::*;

#[test]
fn only_a_request_that_asks_for_it_switches_protocols() {
    let headers = |pairs: &[(&str, &str)]| -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    };
    assert!(is_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])));
    assert!(!is_upgrade(&headers(&[("connection", "upgrade")])));
    assert!(!is_upgrade(&headers(&[("upgrade", "websocket")])));
    assert!(!is_upgrade(&headers(&[("connection", "close"), ("upgrade", "websocket")])));
}

#[test]
fn nobody_to_reach_is_said_in_upstreams_words() {
    let status = unreachable("dial tcp 10.1.0.5:80: connect: connection refused");
    assert_eq!(status.code, 503);
    assert_eq!(
        status.message,
        "error trying to reach service: dial tcp 10.1.0.5:80: connect: connection refused"
    );
}
