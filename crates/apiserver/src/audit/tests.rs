use http::Method;

use super::*;
use crate::query::Query;

const POLICY: &str = r#"
kind: Policy
apiVersion: audit.k8s.io/v1
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: ["watch"]
- level: RequestResponse
  resources: [{group: "", resources: ["pods", "pods/log"]}]
  omitManagedFields: false
- level: Request
  userGroups: ["system:authenticated"]
  resources: [{group: "apps", resources: ["*/scale"], resourceNames: ["web"]}]
- level: Metadata
  namespaces: ["kube-system"]
  omitStages: [ResponseComplete]
- level: Metadata
  nonResourceURLs: ["/api*", "/version"]
"#;

fn level(policy: &Policy, user: &str, path: &str) -> Level {
    let (method, path) = path.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let route = Route::read(&method, path, &Query::parse(query));
    policy.verdict(&Identity::new(user, &[]), &route).level
}

#[test]
fn the_first_rule_that_is_about_a_request_counts() {
    let policy = Policy::parse(POLICY).unwrap();
    for (user, path, expected) in [
        ("system:kube-proxy", "GET /api/v1/pods?watch=1", Level::None),
        ("a", "GET /api/v1/pods?watch=1", Level::RequestResponse),
        ("a", "GET /api/v1/namespaces/n/pods/p/log", Level::RequestResponse),
        ("a", "GET /api/v1/namespaces/n/pods/p/status", Level::None),
        ("a", "PUT /apis/apps/v1/namespaces/n/deployments/web/scale", Level::Request),
        ("a", "PUT /apis/apps/v1/namespaces/n/deployments/other/scale", Level::None),
        ("a", "GET /api/v1/namespaces/kube-system/secrets", Level::Metadata),
        ("a", "GET /apis", Level::Metadata),
        ("a", "GET /version", Level::Metadata),
        ("a", "GET /version/", Level::None),
    ] {
        assert_eq!(level(&policy, user, path), expected, "{user} {path}");
    }
}

#[test]
fn a_policy_that_is_wrong_is_refused() {
    for (text, expected) in [
        ("kind: Policy", "it is no Policy"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1", "it has no rules"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: All}]", "must be one of None"),
        (
            "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, omitStages: [X]}]",
            "invalid stage",
        ),
        (
            "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, namespaces: [a], nonResourceURLs: [/b]}]",
            "cannot apply to both",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn an_event_tells_who_did_what() {
    let query = Query::parse("");
    let route = Route::read(&Method::PATCH, "/apis/apps/v1/namespaces/n/deployments/web/scale", &query);
    let (own, acting) = (Identity::new("root", &["g"]), Identity::new("alice", &[]));
    let about = About {
        id: "1",
        uri: "/apis/…",
        route: &route,
        identity: Some(&own),
        acting: Some(&acting),
        address: "192.0.2.1:1".parse().unwrap(),
        agent: "kubectl",
    };
    let event = event_of(about, Level::Metadata, Value::from("now"));
    assert_eq!(event.at(&["user", "username"]).str_or_empty(), "root");
    assert_eq!(event.at(&["impersonatedUser", "username"]).str_or_empty(), "alice");
    let reference = r#"{"resource":"deployments","namespace":"n","name":"web","apiGroup":"apps","apiVersion":"v1","subresource":"scale"}"#;
    assert_eq!(machinery::json::to_vec(event.get("objectRef")), reference.as_bytes());
}

#[test]
fn a_record_has_what_its_level_says() {
    for (level, omit, request, answer) in [
        (Level::Metadata, true, false, false),
        (Level::Request, true, true, false),
        (Level::RequestResponse, false, true, true),
    ] {
        let record = Record {
            level,
            omit_managed_fields: omit,
            omit_stages: Vec::new(),
            state: Mutex::new(State { event: Value::object(), annotations: BTreeMap::new() }),
        };
        let text = br#"{"kind":"Pod","metadata":{"managedFields":[{}]}}"#;
        record.set_request(|| machinery::json::parse(text).ok());
        record.set_answer(&Response::new(Body::from(text.to_vec())), false);
        let event = &record.state().event;
        assert_eq!(!event.get("requestObject").is_null(), request, "{level:?}");
        assert_eq!(!event.get("responseObject").is_null(), answer, "{level:?}");
        let fields = event.at(&["requestObject", "metadata", "managedFields"]);
        assert_eq!(fields.is_null(), omit || !request, "{level:?}");
    }
}
