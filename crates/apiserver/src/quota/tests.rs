use super::*;

fn value(text: &str) -> Value {
    machinery::json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn claim<'a>(plural: &str, object: &'a Value, old: Option<&Value>) -> Claim<'a> {
    Claim::of(Tracked::new("", plural), object, old, 0)
}

fn quota(hard: &str, used: &str) -> Value {
    value(&format!(r#"{{"metadata":{{"name":"q"}},"spec":{{}},"status":{{"hard":{hard},"used":{used}}}}}"#))
}

fn pod(requests: &str) -> Value {
    value(&format!(r#"{{"spec":{{"containers":[{{"name":"c","resources":{{"requests":{requests}}}}}]}}}}"#))
}

/// The limits, what is used, what a new pod asks for, and what then is used or why it is refused.
#[test]
fn a_write_is_charged_or_refused_as_a_whole() {
    let cases = [
        (r#"{"pods":"2"}"#, r#"{"pods":"1"}"#, "{}", Ok("pods=2")),
        (
            r#"{"pods":"2"}"#,
            r#"{"pods":"2"}"#,
            "{}",
            Err("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        ),
        (r#"{"pods":"2","services":"1"}"#, r#"{"pods":"1","services":"1"}"#, "{}", Ok("pods=2")),
        (r#"{"services":"1"}"#, r#"{"services":"1"}"#, "{}", Ok("")),
        (r#"{"cpu":"1"}"#, r#"{"cpu":"500m"}"#, r#"{"cpu":"500m"}"#, Ok("cpu=1")),
        (
            r#"{"cpu":"1","memory":"1Gi","pods":"9"}"#,
            r#"{"cpu":"800m","memory":"1Gi","pods":"1"}"#,
            r#"{"cpu":"500m","memory":"1Mi"}"#,
            Err(
                "exceeded quota: q, requested: cpu=500m,memory=1Mi, used: cpu=800m,memory=1Gi, limited: cpu=1,memory=1Gi",
            ),
        ),
        (r#"{"cpu":"1"}"#, r#"{"cpu":"0"}"#, "{}", Err("failed quota: q: must specify cpu for: c")),
        (
            r#"{"pods":"2","cpu":"1"}"#,
            r#"{"pods":"0"}"#,
            r#"{"cpu":"1"}"#,
            Err("status unknown for quota: q, resources: cpu,pods"),
        ),
        (r#"{"requests.example.com/gpu":"1"}"#, r#"{"requests.example.com/gpu":"0"}"#, "{}", Ok("")),
        (
            r#"{"requests.example.com/gpu":"1"}"#,
            r#"{"requests.example.com/gpu":"0"}"#,
            r#"{"example.com/gpu":"2"}"#,
            Err(
                "exceeded quota: q, requested: requests.example.com/gpu=2, used: requests.example.com/gpu=0, \
                 limited: requests.example.com/gpu=1",
            ),
        ),
        (r#"{"count/pods":"1"}"#, r#"{"count/pods":"0"}"#, "{}", Ok("count/pods=1")),
    ];
    for (hard, used, requests, expected) in cases {
        let pod = pod(requests);
        let found = claim("pods", &pod, None).against(&quota(hard, used));
        let found = found.map(|used| quota::shown(&used.unwrap_or_default()));
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{requests} of {hard}");
    }
}

#[test]
fn a_change_is_charged_what_it_adds() {
    let service = |kind: &str, ports: usize| {
        let ports = vec![r#"{"port":1}"#; ports].join(",");
        value(&format!(r#"{{"spec":{{"type":"{kind}","ports":[{ports}]}}}}"#))
    };
    let limits = quota(
        r#"{"services":"1","services.nodeports":"3","services.loadbalancers":"0"}"#,
        r#"{"services":"1","services.nodeports":"1","services.loadbalancers":"0"}"#,
    );
    let exceeded = "exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, \
                    limited: services.loadbalancers=0";
    let cases = [
        (("NodePort", 1), ("NodePort", 3), Ok("services.nodeports=3")),
        (("NodePort", 3), ("NodePort", 1), Ok("")),
        (("NodePort", 1), ("ClusterIP", 1), Ok("")),
        (("ClusterIP", 1), ("NodePort", 1), Ok("services.nodeports=2")),
        (("ClusterIP", 1), ("LoadBalancer", 1), Err(exceeded)),
        (("LoadBalancer", 1), ("LoadBalancer", 2), Ok("services.nodeports=2")),
    ];
    for ((old_kind, old_ports), (kind, ports), expected) in cases {
        let (old, new) = (service(old_kind, old_ports), service(kind, ports));
        let found = claim("services", &new, Some(&old)).against(&limits);
        let found = found.map(|used| quota::shown(&used.unwrap_or_default()));
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{old_kind} to {kind}");
    }
}

#[test]
fn what_is_outside_of_its_scopes_does_not_concern_a_quota() {
    let mut limits = quota(r#"{"pods":"0"}"#, r#"{"pods":"0"}"#);
    limits.entry("spec").set("scopes", vec![Value::from("NotBestEffort")]);
    let (idle, busy) = (pod("{}"), pod(r#"{"cpu":"1"}"#));
    assert_eq!(claim("pods", &idle, None).against(&limits), Ok(None));
    assert!(claim("pods", &busy, None).against(&limits).is_err());
}
