use super::*;

fn parse(json: &str) -> Value {
    machinery::json::parse(json.as_bytes()).unwrap()
}

fn range(limit: &str) -> Value {
    parse(&format!(r#"{{"spec":{{"limits":[{limit}]}}}}"#))
}

#[test]
fn containers_that_say_nothing_get_the_defaults() {
    let range = range(
        r#"{"type":"Container","default":{"cpu":"200m","memory":"128Mi"},"defaultRequest":{"cpu":"100m","memory":"128Mi"}}"#,
    );
    let mut pod = parse(
        r#"{"metadata":{},"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"a"},
        {"name":"b","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}},
        {"name":"c","resources":{"limits":{"cpu":"1","memory":"1"},"requests":{"cpu":"1","memory":"1"}}}]}}"#,
    );
    fill_in(&mut pod, &range);
    let note = pod.at(&["metadata", "annotations", ANNOTATION]).str_or_empty();
    assert_eq!(
        note,
        "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; memory \
         request for container b; memory limit for container b; cpu, memory request for init container i; cpu, memory \
         limit for init container i"
    );
    let containers = pod.at(&["spec", "containers"]).items();
    assert_eq!(containers[0].at(&["resources", "requests", "cpu"]).str_or_empty(), "100m");
    assert_eq!(containers[1].at(&["resources", "limits", "cpu"]).str_or_empty(), "1");
    let before = pod.clone();
    fill_in(&mut pod, &range);
    assert_eq!(pod, before, "nothing is filled in twice");
}

#[test]
fn bounds_are_told_in_upstreams_words() {
    let pod = |resources: &str| {
        parse(&format!(r#"{{"spec":{{"containers":[{{"name":"c","resources":{resources}}}]}}}}"#))
    };
    let cases = [
        (
            r#""min":{"cpu":"100m"}"#,
            r#"{}"#,
            "minimum cpu usage per Container is 100m.  No request is specified",
        ),
        (
            r#""min":{"cpu":"100m"}"#,
            r#"{"requests":{"cpu":"50m"}}"#,
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            r#""min":{"cpu":"100m"}"#,
            r#"{"requests":{"cpu":"100m"},"limits":{"cpu":"99m"}}"#,
            "minimum cpu usage per Container is 100m, but limit is 99m",
        ),
        (r#""min":{"cpu":"100m"}"#, r#"{"requests":{"cpu":"0.1"}}"#, ""),
        (
            r#""max":{"memory":"1Gi"}"#,
            r#"{}"#,
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            r#""max":{"memory":"1Gi"}"#,
            r#"{"limits":{"memory":"2Gi"}}"#,
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            r#""max":{"memory":"1Gi"}"#,
            r#"{"limits":{"memory":"1Gi"},"requests":{"memory":"2Gi"}}"#,
            "maximum memory usage per Container is 1Gi, but request is 2Gi",
        ),
        (
            r#""maxLimitRequestRatio":{"cpu":"2"}"#,
            r#"{"limits":{"cpu":"3"},"requests":{"cpu":"1"}}"#,
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            r#""maxLimitRequestRatio":{"cpu":"3"}"#,
            r#"{"limits":{"cpu":"300m"},"requests":{"cpu":"100m"}}"#,
            "",
        ),
        (
            r#""maxLimitRequestRatio":{"cpu":"2"}"#,
            r#"{"limits":{"cpu":"3"},"requests":{"cpu":"0"}}"#,
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            r#""max":{"cpu":"1","memory":"1"}"#,
            r#"{"limits":{"cpu":"2","memory":"2"}}"#,
            "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1, but limit \
             is 2]",
        ),
    ];
    for (bound, resources, expected) in cases {
        let found = bounds::of_pod(&range(&format!(r#"{{"type":"Container",{bound}}}"#)), &pod(resources));
        assert_eq!(one_text(found).unwrap_or_default(), expected, "{bound} {resources}");
    }
}

#[test]
fn pods_are_bounded_by_what_they_need_in_all() {
    let pod = parse(
        r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"600m"}}},{"resources":{"limits":{"cpu":"600m"}}}]}}"#,
    );
    let found = bounds::of_pod(&range(r#"{"type":"Pod","max":{"cpu":"1"}}"#), &pod);
    assert_eq!(found, ["maximum cpu usage per Pod is 1, but limit is 1200m"]);
}

#[test]
fn claims_are_bounded_by_their_requests() {
    let claim = parse(r#"{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}"#);
    let bound = |limit: &str| {
        bounds::of_claim(&range(&format!(r#"{{"type":"PersistentVolumeClaim",{limit}}}"#)), &claim)
    };
    let none: [&str; 0] = [];
    assert_eq!(bound(r#""max":{"storage":"3Gi"},"min":{"storage":"1Gi"}"#), none);
    assert_eq!(
        bound(r#""max":{"storage":"2Gi"}"#),
        ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
    );
    assert_eq!(
        bound(r#""min":{"storage":"4Gi"}"#),
        ["minimum storage usage per PersistentVolumeClaim is 4Gi, but request is 3Gi"]
    );
}
