use machinery::json;

use crate::Kind;
use crate::core::pod::Pod;

/// 2026-01-01T00:10:00Z, ten minutes after the pods were made.
const NOW: i64 = 1_767_226_200;

/// A pod of two containers: what its metadata, its specification and its status say beside.
fn pod(metadata: &str, spec: &str, status: &str) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p","creationTimestamp":"2026-01-01T00:00:00Z"{metadata}}},"spec":{{"containers":[{{"name":"a","image":"i","env":[{{"name":"E","value":"}}]"}}]}},{{"name":"b"}}]{spec}}},"status":{{{status}}}}}"#
    )
}

/// The row of the whole document, which must be that of its parts.
fn row_of(text: &str) -> Vec<String> {
    let whole = json::parse(text.as_bytes()).unwrap();
    let parts = json::parse_parts(text.as_bytes(), &Pod.row_parts()).unwrap();
    let row = Pod.row(&whole, NOW);
    assert_eq!(row, Pod.row(&parts, NOW), "{text}");
    assert_eq!(row.len(), Pod.columns().len());
    row.iter().map(|cell| cell.str_or_empty().to_owned()).collect()
}

#[test]
fn a_row_tells_how_far_a_pod_has_come() {
    let running = r#""phase":"Running","containerStatuses":[
        {"name":"a","ready":true,"restartCount":2,"state":{"running":{"startedAt":"2026-01-01T00:00:05Z"}},
         "lastState":{"terminated":{"exitCode":1,"finishedAt":"2026-01-01T00:05:00Z"}}},
        {"name":"b","ready":false,"restartCount":0,"state":{"running":{}}}]"#;
    let completed = r#""phase":"Running","conditions":[{"type":"Ready","status":"READY"}],"containerStatuses":[
        {"name":"a","ready":true,"restartCount":0,"state":{"running":{}}},
        {"name":"b","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]"#;
    let waiting = r#""phase":"Pending","containerStatuses":[
        {"name":"a","restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff","message":"no"}}}]"#;
    let killed = r#""phase":"Failed","containerStatuses":[
        {"name":"a","restartCount":0,"state":{"terminated":{"exitCode":137,"signal":9}}}]"#;
    let exited = r#""phase":"Failed","containerStatuses":[
        {"name":"a","restartCount":0,"state":{"terminated":{"exitCode":3}}}]"#;
    let gated = r#""phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]"#;
    let deleting = r#","deletionTimestamp":"2026-01-01T00:09:00Z""#;
    let cases: [(&str, String, [&str; 4]); 11] = [
        ("new", pod("", "", r#""phase":"Pending""#), ["0/2", "Pending", "0", "10m"]),
        ("running", pod("", "", running), ["1/2", "Running", "2 (5m ago)", "10m"]),
        ("waiting", pod("", "", waiting), ["0/2", "ImagePullBackOff", "0", "10m"]),
        ("killed", pod("", "", killed), ["0/2", "Signal:9", "0", "10m"]),
        ("exited", pod("", "", exited), ["0/2", "ExitCode:3", "0", "10m"]),
        ("gated", pod("", "", gated), ["0/2", "SchedulingGated", "0", "10m"]),
        ("deleted", pod(deleting, "", running), ["1/2", "Terminating", "2 (5m ago)", "10m"]),
        ("over", pod(deleting, "", r#""phase":"Succeeded""#), ["0/2", "Succeeded", "0", "10m"]),
        (
            "lost",
            pod(deleting, "", r#""phase":"Running","reason":"NodeLost""#),
            ["0/2", "Unknown", "0", "10m"],
        ),
        ("evicted", pod("", "", r#""phase":"Failed","reason":"Evicted""#), ["0/2", "Evicted", "0", "10m"]),
        ("half over", pod("", "", &completed.replace("READY", "True")), ["1/2", "Running", "0", "10m"]),
    ];
    for (what, text, expected) in cases {
        assert_eq!(row_of(&text)[1..5], expected, "{what}");
    }
    let unready = pod("", "", &completed.replace("READY", "False"));
    assert_eq!(row_of(&unready)[2], "NotReady");
}

#[test]
fn a_row_tells_what_init_containers_do() {
    let spec = r#","initContainers":[{"name":"x","image":"i"},{"name":"s","restartPolicy":"Always"}]"#;
    let of = |first: &str, second: &str| {
        pod("", spec, &format!(r#""phase":"Pending","initContainerStatuses":[{first},{second}]"#))
    };
    let done = r#"{"name":"x","restartCount":1,"state":{"terminated":{"exitCode":0}}}"#;
    let failed = r#"{"name":"x","restartCount":1,"state":{"terminated":{"exitCode":2,"reason":"Error"}}}"#;
    let busy = r#"{"name":"x","restartCount":0,"state":{"running":{}}}"#;
    let stuck = r#"{"name":"x","restartCount":0,"state":{"waiting":{"reason":"ErrImagePull"}}}"#;
    let beginning =
        r#"{"name":"s","restartCount":0,"started":false,"state":{"waiting":{"reason":"PodInitializing"}}}"#;
    let aside = r#"{"name":"s","restartCount":3,"started":true,"ready":true,"state":{"running":{}}}"#;
    for (first, second, expected) in [
        (busy, beginning, ["0/3", "Init:0/2", "0"]),
        (stuck, beginning, ["0/3", "Init:ErrImagePull", "0"]),
        (failed, beginning, ["0/3", "Init:Error", "1"]),
        (done, beginning, ["0/3", "Init:1/2", "1"]),
        (done, aside, ["1/3", "Pending", "3"]),
    ] {
        assert_eq!(row_of(&of(first, second))[1..4], expected, "{first} {second}");
    }
}

#[test]
fn a_row_tells_where_a_pod_is() {
    let spec = r#","nodeName":"n1","readinessGates":[{"conditionType":"a/b"},{"conditionType":"c/d"}]"#;
    let status = r#""phase":"Running","podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],
        "nominatedNodeName":"n2","conditions":[{"type":"c/d","status":"True"}]"#;
    assert_eq!(row_of(&pod("", spec, status))[5..], ["10.0.0.1", "n1", "n2", "1/2"]);
    assert_eq!(
        row_of(&pod("", "", r#""podIP":"10.0.0.2""#))[5..],
        ["10.0.0.2", "<none>", "<none>", "<none>"]
    );
    assert_eq!(row_of(&pod("", "", ""))[5..], ["<none>"; 4]);
}

#[test]
fn what_is_selected_on_is_among_the_parts_that_are_read() {
    let spec = r#","nodeName":"n1","restartPolicy":"Always","schedulerName":"s","serviceAccountName":"a","hostNetwork":true"#;
    let status =
        r#""phase":"Running","podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}],"nominatedNodeName":"n2""#;
    let text = pod("", spec, status);
    let whole = Pod.selectable(&json::parse(text.as_bytes()).unwrap());
    let parts = json::parse_parts(text.as_bytes(), &Pod.selectable_parts()).unwrap();
    assert_eq!(Pod.selectable(&parts), whole);
    assert!(whole.iter().all(|(_, value)| !value.is_empty()), "{whole:?}");
}
