//! Server-side apply and the managers of fields, by the table of kinds.

use api::Table;
use machinery::apply::{self, Write};
use machinery::json::{self, Report};
use machinery::schema::TypeRef;
use machinery::{Status, Value};

const TIME: &str = "2024-01-01T00:00:00Z";

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One object that is written again and again, as a server would.
struct Server<'t> {
    ty: TypeRef<'t>,
    api_version: &'static str,
    object: Value,
    ignored: Vec<&'static str>,
    subresource: &'static str,
}

impl<'t> Server<'t> {
    fn new(table: &'t Table, api_version: &'static str, kind: &str) -> Server<'t> {
        let ty = table.type_of(table.kind_of(api_version, kind).expect("a known kind"));
        let object = apply::empty(ty, api_version, kind);
        Server { ty, api_version, object, ignored: Vec::new(), subresource: "" }
    }

    fn write<'a>(&'a self, manager: &'a str) -> Write<'a> {
        Write {
            ty: self.ty,
            manager,
            api_version: self.api_version,
            subresource: self.subresource,
            time: TIME,
            ignored: &self.ignored,
        }
    }

    fn store(&mut self, document: &Value, managed_fields: Value) {
        let read = json::decode(&json::to_vec(document), self.ty, &mut Report::new());
        self.object = read.unwrap_or_else(|error| panic!("{error}"));
        self.object.entry("metadata").remove("managedFields");
        if !managed_fields.is_null() {
            self.object.entry("metadata").set("managedFields", managed_fields);
        }
        self.object.entry("metadata").set("uid", "u");
        json::canonicalize(&mut self.object, self.ty);
    }

    fn apply(&mut self, manager: &str, force: bool, config: &str) -> Result<(), Status> {
        let applied = apply::apply(&self.object, &value(config), force, self.write(manager))?;
        let document = applied.document.unwrap_or_else(|| self.object.clone());
        self.store(&document, applied.managed_fields);
        Ok(())
    }

    fn update(&mut self, manager: &str, change: &str) {
        let new = machinery::patch::merge_values(self.object.clone(), value(change));
        let new = json::decode(&json::to_vec(&new), self.ty, &mut Report::new()).expect("a document");
        let managed_fields = apply::track_update(&self.object, &new, self.write(manager));
        self.store(&new, managed_fields);
    }

    /// `manager operation fieldsV1` of each entry.
    fn managers(&self) -> Vec<String> {
        let entries = self.object.at(&["metadata", "managedFields"]).items().iter();
        let shown = |entry: &Value| {
            let sub = entry.get("subresource").str_or_empty();
            let text = |name: &str| entry.get(name).str_or_empty().to_owned();
            format!(
                "{} {}{}{} {}",
                text("manager"),
                text("operation"),
                if sub.is_empty() { "" } else { "/" },
                sub,
                json::to_string(entry.get("fieldsV1"))
            )
        };
        entries.map(shown).collect()
    }

    fn shows(&self, path: &[&str], expected: &str) {
        assert_eq!(json::to_string(self.object.at(path)), expected);
    }
}

fn map(data: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{data}}}"#)
}

fn refused(result: Result<(), Status>) -> (u16, String) {
    let status = result.expect_err("it is refused");
    (status.code, status.message)
}

#[test]
fn appliers_own_what_they_want_and_what_they_drop_goes() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    server.apply("m1", false, &map(r#"{"k":"v","l":"v"}"#)).expect("created");
    assert_eq!(server.managers(), [r#"m1 Apply {"f:data":{"f:k":{},"f:l":{}}}"#]);
    server.apply("m2", false, &map(r#"{"l":"v","n":"v"}"#)).expect("nobody is in the way");
    server.apply("m1", false, &map(r#"{"k":"w"}"#)).expect("its own");
    server.shows(&["data"], r#"{"k":"w","l":"v","n":"v"}"#);
    assert_eq!(
        server.managers(),
        [r#"m1 Apply {"f:data":{"f:k":{}}}"#, r#"m2 Apply {"f:data":{"f:l":{},"f:n":{}}}"#]
    );
    server.apply("m2", false, &map("{}")).expect("its own");
    server.shows(&["data"], r#"{"k":"w"}"#);
    server
        .apply("m1", false, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#)
        .expect("its own");
    assert!(server.object.get("data").is_null());
}

#[test]
fn conflicts_name_managers_and_fields() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    server.apply("m1", false, &map(r#"{"k":"v","l":"v"}"#)).expect("created");
    server.apply("m2", false, &map(r#"{"n":"v"}"#)).expect("nobody is in the way");
    let many = refused(server.apply("m3", false, &map(r#"{"k":"1","l":"2","n":"3"}"#)));
    assert_eq!(
        many,
        (
            409,
            "Apply failed with 3 conflicts: conflicts with \"m1\":\n- .data.k\n- .data.l\nconflicts with \"m2\":\n- .data.n"
                .to_owned()
        )
    );
    server.update("u1", r#"{"data":{"k":"x"}}"#);
    let one = refused(server.apply("m1", false, &map(r#"{"k":"v","l":"v"}"#)));
    assert_eq!(one.1, "Apply failed with 1 conflict: conflict with \"u1\" using v1: .data.k");
    server.apply("m1", true, &map(r#"{"k":"v","l":"v"}"#)).expect("it was forced");
    assert_eq!(
        server.managers(),
        [r#"m1 Apply {"f:data":{"f:k":{},"f:l":{}}}"#, r#"m2 Apply {"f:data":{"f:n":{}}}"#]
    );
}

#[test]
fn who_wants_what_is_there_shares_it() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    server.update("u1", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#);
    assert_eq!(server.managers(), [r#"u1 Update {"f:data":{".":{},"f:k":{}}}"#]);
    server.apply("m1", false, &map(r#"{"k":"v"}"#)).expect("it is what is there");
    assert_eq!(
        server.managers(),
        [r#"m1 Apply {"f:data":{"f:k":{}}}"#, r#"u1 Update {"f:data":{".":{},"f:k":{}}}"#]
    );
    // An apply that changes nothing leaves no time.
    assert!(server.object.at(&["metadata", "managedFields"]).items()[0].get("time").is_null());
    server.apply("m1", false, &map("{}")).expect("its own");
    server.shows(&["data"], r#"{"k":"v"}"#);
}

const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[CONTAINERS]}}EXTRA}}"#;

fn deployment(containers: &str, extra: &str) -> String {
    DEPLOYMENT.replace("CONTAINERS", containers).replace("EXTRA", extra)
}

#[test]
fn lists_are_merged_by_key_and_defaults_belong_to_nobody() {
    let table = Table::load();
    let mut server = Server::new(&table, "apps/v1", "Deployment");
    let one = r#"{"name":"c","image":"i:1","ports":[{"containerPort":80}]}"#;
    server.apply("m1", false, &deployment(one, r#","replicas":2"#)).expect("created");
    assert_eq!(
        server.managers(),
        [
            r#"m1 Apply {"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}}"#
        ]
    );
    server.apply("m2", false, &deployment(r#"{"name":"d","image":"j"}"#, "")).expect("another container");
    let containers = server.object.at(&["spec", "template", "spec", "containers"]).items();
    let names: Vec<&str> = containers.iter().map(|container| container.get("name").str_or_empty()).collect();
    assert_eq!(names, ["c", "d"]);
    server.subresource = "scale";
    server.update("scaler", r#"{"spec":{"replicas":5}}"#);
    server.subresource = "";
    let message = refused(server.apply("m1", false, &deployment(one, r#","replicas":2"#))).1;
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    server.apply("m1", false, &deployment(one, "")).expect("handed over");
    server.shows(&["spec", "replicas"], "5");
    server.apply("m2", false, &deployment("", "")).expect("its own");
    assert_eq!(server.object.at(&["spec", "template", "spec", "containers"]).items().len(), 1);
}

#[test]
fn configurations_that_fit_no_schema_are_refused() {
    let table = Table::load();
    let mut server = Server::new(&table, "apps/v1", "Deployment");
    let prefix = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): ";
    let at = ".spec.template.spec.containers";
    for (containers, extra, expected) in [
        (r#"{"name":"c"},{"name":"c"}"#, "", format!("{at}: duplicate entries for key [name=\"c\"]")),
        (
            r#"{"name":"c","ports":[{"containerPort":80},{"containerPort":80,"protocol":"TCP"}]}"#,
            "",
            format!("{at}[name=\"c\"].ports: duplicate entries for key [containerPort=80,protocol=\"TCP\"]"),
        ),
        ("", r#","odd":1"#, ".spec.odd: field not declared in schema".to_owned()),
        (
            "",
            r#","paused":"x""#,
            ".spec.paused: expected boolean, got &value.valueUnstructured{Value:\"x\"}".to_owned(),
        ),
        (
            "",
            r#","a":1,"b":2"#,
            "errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema"
                .to_owned(),
        ),
    ] {
        let error = refused(server.apply("m", false, &deployment(containers, extra)));
        assert_eq!(error, (500, format!("{prefix}{expected}")));
    }
    // A key that is missing is its default.
    server.apply("m", false, &deployment(r#"{"image":"i"}"#, "")).expect("it merges");
}

#[test]
fn doors_that_do_not_write_a_field_do_not_own_it() {
    let table = Table::load();
    let mut server = Server::new(&table, "apps/v1", "Deployment");
    server.ignored = vec!["status"];
    let config = deployment(r#"{"name":"c"}"#, "")
        .replace(r#""metadata":{"name":"d"}"#, r#""status":{"replicas":3},"metadata":{"name":"d"}"#);
    server.apply("m", false, &config).expect("created");
    assert!(!server.managers()[0].contains("f:status"));
    (server.ignored, server.subresource) = (vec!["spec"], "status");
    server.update(
        "c",
        r#"{"status":{"conditions":[{"type":"Available","status":"True"}]},"spec":{"paused":true}}"#,
    );
    assert_eq!(
        server.managers()[1],
        r#"c Update/status {"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:status":{},"f:type":{}}}}}"#
    );
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    server.store(
        &value(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}"#),
        Value::Null,
    );
    server.update("u", r#"{"data":{"l":"v"}}"#);
    assert_eq!(server.managers(), [""; 0], "managing stays off until somebody applies");
    server.apply("m", false, &map(r#"{"k":"v"}"#)).expect("it is what is there");
    assert_eq!(
        server.managers(),
        [
            r#"m Apply {"f:data":{"f:k":{}}}"#,
            r#"before-first-apply Update {"f:data":{".":{},"f:k":{},"f:l":{}}}"#
        ]
    );
}

#[test]
fn clients_may_correct_and_clear_the_list_of_managers() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    server.apply("m", false, &map(r#"{"k":"v"}"#)).expect("created");
    let mut cleared = server.object.clone();
    cleared.entry("metadata").set("managedFields", vec![Value::object()]);
    assert!(apply::track_update(&server.object, &cleared, server.write("u")).is_null());
    let mut forgotten = server.object.clone();
    forgotten.entry("metadata").remove("managedFields");
    let kept = apply::track_update(&server.object, &forgotten, server.write("u"));
    assert_eq!(&kept, server.object.at(&["metadata", "managedFields"]));
    let mut broken = server.object.clone();
    broken.entry("metadata").set("managedFields", vec![value(r#"{"operation":"Odd"}"#)]);
    let kept = apply::track_update(&server.object, &broken, server.write("u"));
    assert_eq!(&kept, server.object.at(&["metadata", "managedFields"]));
}

#[test]
fn many_updaters_become_one() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    for number in 0..14 {
        server.update(&format!("u{number:02}"), &format!(r#"{{"data":{{"k{number:02}":"v"}}}}"#));
    }
    let managers = server.managers();
    assert_eq!(managers.len(), 10);
    assert_eq!(
        managers[0],
        r#"ancient-changes Update {"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{},"f:k04":{}}}"#
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_in_the_old_way() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    let last = map(r#"{"k":"v"}"#);
    let annotations =
        Value::from([("kubectl.kubernetes.io/last-applied-configuration", Value::from(last.as_str()))]);
    let create = Value::from([
        ("metadata", Value::from([("name", "a".into()), ("annotations", annotations)])),
        ("data", value(r#"{"k":"v","o":"v"}"#)),
    ]);
    server.update("kubectl-client-side-apply", &json::to_string(&create));
    server.apply("kubectl", false, &map(r#"{"k":"w"}"#)).expect("it applied that itself");
    let annotation =
        server.object.at(&["metadata", "annotations"]).members().next().map(|(_, text)| text.clone());
    assert_eq!(annotation.unwrap_or_default().str_or_empty(), format!("{}\n", map(r#"{"k":"w"}"#)));
    let foreign = refused(server.apply("kubectl", false, &map(r#"{"k":"w","o":"w"}"#)));
    assert_eq!(
        foreign.1,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.o"
    );
}

#[test]
fn items_are_wanted_in_an_order_and_others_keep_their_places() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "Pod");
    let pod = |names: &str| {
        let containers: Vec<String> = names.chars().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":[{}]}}}}"#,
            containers.join(",")
        )
    };
    for (before, wanted, expected) in [
        ("abc", "xb", "axbc"),
        ("abc", "cbax", "cbax"),
        ("abc", "xca", "bxca"),
        // Another order alone is no change.
        ("abc", "cba", "abc"),
        ("ab", "xyz", "abxyz"),
        ("", "ab", "ab"),
        ("abcd", "bxd", "abcxd"),
        ("abc", "", "abc"),
    ] {
        server.object = json::decode(pod(before).as_bytes(), server.ty, &mut Report::new()).expect("a pod");
        let applied =
            apply::apply(&server.object, &value(&pod(wanted)), true, server.write("m")).expect("it merges");
        let document = applied.document.unwrap_or_else(|| server.object.clone());
        let names: String = document
            .at(&["spec", "containers"])
            .items()
            .iter()
            .map(|item| item.get("name").str_or_empty())
            .collect();
        assert_eq!(names, expected, "{before} {wanted}");
    }
}

#[test]
fn large_maps_take_their_time_in_proportion() {
    let table = Table::load();
    let mut server = Server::new(&table, "v1", "ConfigMap");
    let data = |step: usize| {
        let members: Vec<String> = (0..100_000).step_by(step).map(|n| format!("\"k{n:06}\":\"v\"")).collect();
        map(&format!("{{{}}}", members.join(",")))
    };
    server.apply("m", false, &data(2)).expect("created");
    server.apply("m", false, &data(3)).expect("its own");
    assert_eq!(server.object.get("data").as_object().map(machinery::Map::len), Some(33_334));
}

/// Entries that say the same in a way that no server writes: what is made of them is made the long way.
fn said_otherwise(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Array(entries)) = object.entry("metadata").get_mut("managedFields") {
        entries.iter_mut().for_each(|entry| drop(entry.remove("fieldsType")));
    }
    object
}

#[test]
fn the_short_way_of_tracking_an_update_leads_where_the_long_one_does() {
    let table = Table::load();
    let ty = table.type_of(table.kind_of("v1", "Pod").expect("pods exist"));
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut live = apply::empty(ty, "v1", "Pod");
    let mut steady = 0;
    for step in 0..3_000u64 {
        let number = roll(3);
        let change = match roll(8) {
            // Of an object that nobody manages anything of nobody ever comes to manage anything.
            _ if step == 0 => r#"{"metadata":{"labels":{"l0":"0"}}}"#.to_owned(),
            0 => format!(r#"{{"metadata":{{"labels":{{"l{number}":"{step}"}}}}}}"#),
            1 => format!(r#"{{"metadata":{{"labels":{{"l{number}":null}}}}}}"#),
            2 => format!(r#"{{"spec":{{"nodeName":"n{step}","priority":{number}}}}}"#),
            3 => format!(r#"{{"spec":{{"containers":[{{"name":"c{number}","image":"i{step}"}}]}}}}"#),
            4 => format!(
                r#"{{"status":{{"phase":"p{number}","conditions":[{{"type":"t{number}","status":"s{step}"}}]}}}}"#
            ),
            5 => format!(r#"{{"metadata":{{"finalizers":["f{number}","g"]}}}}"#),
            6 => r#"{"spec":{"nodeName":null}}"#.to_owned(),
            _ => "{}".to_owned(),
        };
        let new = machinery::patch::merge_values(live.clone(), value(&change));
        let new = json::decode(&json::to_vec(&new), ty, &mut Report::new()).expect("a document");
        let (manager, time) = (format!("m{}", roll(3)), format!("2024-01-01T00:{:02}:00Z", step % 60));
        let (subresource, ignored) =
            if step > 0 && roll(3) == 0 { ("status", &["spec"][..]) } else { ("", &["status"][..]) };
        let write = Write { ty, manager: &manager, api_version: "v1", subresource, time: &time, ignored };
        let fields = apply::track_update(&live, &new, write);
        let the_long_way = apply::track_update(&said_otherwise(&live), &said_otherwise(&new), write);
        assert_eq!(json::to_string(&fields), json::to_string(&the_long_way), "step {step}: {change}");
        steady += u32::from(
            !fields.is_null()
                && fields.items().len() == live.at(&["metadata", "managedFields"]).items().len(),
        );
        live = new;
        live.entry("metadata").set("uid", "u");
        if fields.is_null() {
            live.entry("metadata").remove("managedFields");
        } else {
            live.entry("metadata").set("managedFields", fields);
        }
        json::canonicalize(&mut live, ty);
    }
    assert!(steady > 1_000, "most updates change nothing but values: {steady}");
}

/// The managers of a new object, which must be the same if a path is left out that is nowhere: then they are told the
/// long way.
fn managers_of_new(table: &Table, document: &str) -> Value {
    let found = value(document);
    let (api_version, kind) = (found.get("apiVersion").str_or_empty(), found.get("kind").str_or_empty());
    let ty = table.type_of(table.kind_of(api_version, kind).expect("a known kind"));
    let new = json::decode(document.as_bytes(), ty, &mut Report::new()).expect("a document");
    let write = Write { ty, manager: "m", api_version, subresource: "", time: TIME, ignored: &["status"] };
    let fields = apply::track_update(&apply::empty(ty, api_version, kind), &new, write);
    let long = Write { ignored: &["status", "spec.nowhere.at.all"], ..write };
    let the_long_way = apply::track_update(&apply::empty(ty, api_version, kind), &new, long);
    assert_eq!(json::to_string(&fields), json::to_string(&the_long_way), "{document}");
    fields
}

#[test]
fn the_short_way_of_tracking_a_create_leads_where_the_long_one_does() {
    let table = Table::load();
    let documents = [
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"b":"1","a":"2"},"annotations":{},"finalizers":["f","e","f"],"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"u"}]},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"},{"containerPort":80}],"env":[{"name":"Z","value":""},{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"x"}}}],"command":["a","b"],"resources":{"limits":{"cpu":"1"}}},{"name":"a"}],"nodeSelector":{"x/y":"z"},"tolerations":[{"key":"k"}],"securityContext":{},"volumes":[{"name":"v","emptyDir":{}}],"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"t","whenUnsatisfiable":"w"}]},"status":{"phase":"Pending","conditions":[{"type":"t","status":"s"}]}}"#,
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":[]}}"#,
        r#"{"kind":"Pod","apiVersion":"v1"}"#,
        r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"generateName":"d"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"strategy":{"type":"Recreate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}}}}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","namespace":"n"},"data":{"b":"","a":"x"},"immutable":false,"binaryData":{}}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"}}"#,
        r#"{"kind":"Service","apiVersion":"v1","spec":{"ports":[{"port":2,"name":"b"},{"port":1,"name":"a"}],"clusterIPs":["1.2.3.4"],"selector":{"a":"b"}}}"#,
        r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","annotations":{"a":"b"}},"spec":{"podCIDRs":["b","a"],"taints":[{"key":"k","effect":"e"}]},"status":{"addresses":[{"type":"t","address":"a"}]}}"#,
        r#"{"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"r"},"rules":[{"verbs":["get"]}]}"#,
        r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"l"},"spec":{"holderIdentity":"h","leaseDurationSeconds":40}}"#,
        r#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p"},"reason":"r","count":1,"type":"Normal","source":{"component":"c"}}"#,
    ];
    for document in documents {
        managers_of_new(&table, document);
    }
    let lease = managers_of_new(&table, documents[9]);
    let expected = r#"[{"manager":"m","operation":"Update","apiVersion":"coordination.k8s.io/v1","time":"2024-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:holderIdentity":{},"f:leaseDurationSeconds":{}}}}]"#;
    assert_eq!(json::to_string(&lease), expected);
    assert!(managers_of_new(&table, documents[5]).is_null(), "nobody manages what the server alone sets");
}

#[test]
fn who_writes_an_empty_list_owns_it() {
    let table = Table::load();
    for (group_version, kind, change, fields) in [
        ("rbac.authorization.k8s.io/v1", "ClusterRole", r#"{"rules":[]}"#, r#"{"f:rules":{}}"#),
        ("v1", "LimitRange", r#"{"spec":{"limits":[]}}"#, r#"{"f:spec":{"f:limits":{}}}"#),
        ("storage.k8s.io/v1", "CSINode", r#"{"spec":{"drivers":[]}}"#, r#"{"f:spec":{"f:drivers":{}}}"#),
    ] {
        let mut server = Server::new(&table, group_version, kind);
        server.update("m", change);
        assert_eq!(server.managers(), [format!("m Update {fields}")], "{kind}");
    }
}
