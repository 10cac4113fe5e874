//! Strategic merge patches, by the table of kinds.

use api::Table;
use machinery::json::{self, Report};
use machinery::{Value, patch};

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The specification of a pod after a patch of it, or code and message of the failure.
fn patched(spec: &str, change: &str) -> Result<String, (u16, String)> {
    let table = Table::load();
    let pod = table.type_of(table.kind("", "v1", "Pod").expect("pods exist"));
    let document =
        value(&format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p"}},"spec":{spec}}}"#));
    let change = format!(r#"{{"spec":{change}}}"#);
    let mut report = Report::new();
    patch::strategic(document, change.as_bytes(), pod, &mut report)
        .map(|(document, _)| json::to_string(document.get("spec")))
        .map_err(|status| (status.code, status.message))
}

fn applies(spec: &str, change: &str, expected: &str) {
    assert_eq!(patched(spec, change).map(|text| value(&text)), Ok(value(expected)), "{spec} {change}");
}

fn fails(spec: &str, change: &str, code: u16, message: &str) {
    assert_eq!(patched(spec, change), Err((code, message.to_owned())), "{spec} {change}");
}

const TWO: &str = r#"{"containers":[{"name":"c","image":"i"},{"name":"d","image":"j"}]}"#;

#[test]
fn lists_are_merged_by_their_key() {
    applies(
        TWO,
        r#"{"containers":[{"name":"d","image":"k"},{"name":"e","image":"l"}]}"#,
        r#"{"containers":[{"name":"c","image":"i"},{"name":"d","image":"k"},{"name":"e","image":"l"}]}"#,
    );
    applies(
        TWO,
        r#"{"containers":[{"name":"d","$patch":"delete"}]}"#,
        r#"{"containers":[{"name":"c","image":"i"}]}"#,
    );
    applies(TWO, r#"{"containers":[{"name":"z"},{"$patch":"replace"}]}"#, r#"{"containers":[{"name":"z"}]}"#);
    applies(
        r#"{"containers":[{"name":"c","ports":[{"containerPort":1,"name":"a"},{"containerPort":2}],"args":["a","b"]}]}"#,
        r#"{"containers":[{"name":"c","ports":[{"containerPort":1,"name":"b"}],"args":["x"]}]}"#,
        r#"{"containers":[{"name":"c","ports":[{"containerPort":1,"name":"b"},{"containerPort":2}],"args":["x"]}]}"#,
    );
    applies(
        r#"{"tolerations":[{"key":"a"}]}"#,
        r#"{"tolerations":[{"key":"b"}]}"#,
        r#"{"tolerations":[{"key":"b"}]}"#,
    );
    applies(
        "{}",
        r#"{"containers":[{"name":"n","image":null},{"name":"o","$patch":"delete"}]}"#,
        r#"{"containers":[{"name":"n"}]}"#,
    );
}

#[test]
fn directives_order_lists() {
    applies(
        TWO,
        r#"{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}]}"#,
        r#"{"containers":[{"name":"d","image":"j"},{"name":"c","image":"i"}]}"#,
    );
    applies(
        TWO,
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"n"},{"name":"d"}],"containers":[{"name":"n"}]}"#,
        r#"{"containers":[{"name":"c","image":"i"},{"name":"n"},{"name":"d","image":"j"}]}"#,
    );
    applies(
        r#"{"containers":[{"name":"a"},{"name":"x"},{"name":"b"}]}"#,
        r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}"#,
        r#"{"containers":[{"name":"x"},{"name":"b"},{"name":"a"}]}"#,
    );
    fails(
        TWO,
        r#"{"$setElementOrder/containers":[{"name":"d"}],"containers":[{"name":"n","image":"n"}]}"#,
        500,
        "The order in patch list:\n[map[image:n name:n]]\n doesn't match $setElementOrder list:\n[map[name:d]]\n",
    );
}

#[test]
fn directives_remove() {
    applies(
        r#"{"nodeSelector":{"a":"1"}}"#,
        r#"{"nodeSelector":{"$patch":"delete"}}"#,
        r#"{"nodeSelector":{}}"#,
    );
    applies(
        r#"{"nodeSelector":{"a":"1"}}"#,
        r#"{"nodeSelector":{"$patch":"replace","b":"2"}}"#,
        r#"{"nodeSelector":{"b":"2"}}"#,
    );
    applies(
        r#"{"nodeSelector":{"a":"1","b":"2"}}"#,
        r#"{"nodeSelector":{"a":null}}"#,
        r#"{"nodeSelector":{"b":"2"}}"#,
    );
    applies(r#"{"nodeSelector":{"a":"1"}}"#, r#"{"nodeSelector":null}"#, "{}");
    applies(
        r#"{"volumes":[{"name":"v","emptyDir":{}}]}"#,
        r#"{"volumes":[{"name":"v","$retainKeys":["name","secret"],"secret":{"secretName":"s"}}]}"#,
        r#"{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}"#,
    );
    fails(
        r#"{"volumes":[{"name":"v"}]}"#,
        r#"{"volumes":[{"name":"v","$retainKeys":["name"],"secret":{}}]}"#,
        400,
        "invalid patch format of retainKeys",
    );
}

#[test]
fn lists_of_scalars_are_merged_and_thinned() {
    let table = Table::load();
    let map = table.type_of(table.kind("", "v1", "ConfigMap").expect("they exist"));
    let before = r#"{"metadata":{"finalizers":["a","b"]}}"#;
    for (change, expected) in [
        (r#"{"finalizers":["c","a"]}"#, r#"["c","a","b"]"#),
        (r#"{"$deleteFromPrimitiveList/finalizers":["a"]}"#, r#"["b"]"#),
        (r#"{"$setElementOrder/finalizers":["b","a"],"finalizers":["b","a"]}"#, r#"["b","a"]"#),
        (r#"{"finalizers":null}"#, "null"),
    ] {
        let change = value(&format!(r#"{{"metadata":{change}}}"#));
        let after = patch::strategic_values(value(before), change.clone(), map).expect("it applies");
        assert_eq!(json::to_string(after.at(&["metadata", "finalizers"])), expected, "{change:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_upstreams_words() {
    fails(
        TWO,
        r#"{"containers":[{"image":"x"}]}"#,
        500,
        "map: map[image:x] does not contain declared merge key: name",
    );
    fails(
        TWO,
        r#"{"containers":[{"name":"c","$patch":"odd"}]}"#,
        500,
        "unknown patch type: odd in map: map[$patch:odd name:c]",
    );
    fails(
        TWO,
        r#"{"nodeSelector":{"a":"b"},"$patch":"merge"}"#,
        500,
        "unknown patch type: merge in map: map[$patch:merge nodeSelector:map[a:b]]",
    );
}

#[test]
fn a_patched_document_that_is_none_of_its_kind_is_refused() {
    let table = Table::load();
    let deployment = table.type_of(table.kind("apps", "v1", "Deployment").expect("they exist"));
    for (change, why) in [
        (
            r#"{"spec":{"replicas":"three"}}"#,
            r#"patch: Invalid value: "map[spec:map[replicas:three]]": unrecognized type: int32"#,
        ),
        (
            r#"{"spec":"text"}"#,
            r#"patch: Invalid value: "map[spec:text]": cannot restore struct from: string"#,
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{"name":"c"}}}}}"#,
            r#"patch: Invalid value: "map[spec:map[template:map[spec:map[containers:map[name:c]]]]]": cannot restore slice from map"#,
        ),
    ] {
        let before = value(r#"{"spec":{"replicas":1,"template":{"spec":{"containers":[]}}}}"#);
        let (patched, shown) =
            patch::strategic(before, change.as_bytes(), deployment, &mut Report::new()).expect("it merges");
        let status = patch::settle(&patched, &patch::Shown::Patch(&shown), deployment, &mut Report::new())
            .expect_err("it is no deployment");
        assert_eq!((status.code, status.message), (422, format!(" \"\" is invalid: {why}")));
    }
    let document = patch::merge(
        value(r#"{"metadata":{"name":"d"},"kind":"Deployment"}"#),
        br#"{"metadata":"x"}"#,
        &mut Report::new(),
    )
    .expect("it merges");
    let status = patch::settle(&document, &patch::Shown::Document, deployment, &mut Report::new())
        .expect_err("no metadata");
    assert_eq!(
        status.message,
        " \"\" is invalid: patch: Invalid value: \"{\\\"kind\\\":\\\"Deployment\\\",\\\"metadata\\\":\\\"x\\\"}\": \
         json: cannot unmarshal string into Go struct field Deployment.metadata of type v1.ObjectMeta"
    );
}

#[test]
fn large_strategic_patches_take_their_time_in_proportion() {
    let table = Table::load();
    let map = table.type_of(table.kind("", "v1", "ConfigMap").expect("they exist"));
    let members: Vec<String> = (0..200_000).map(|number| format!("\"k{number}\":\"{number}\"")).collect();
    let document = value(&format!(r#"{{"data":{{{}}}}}"#, members.join(",")));
    let patched = patch::strategic_values(document.clone(), document.clone(), map).expect("it applies");
    assert_eq!(patched, document);
}

#[test]
fn the_way_to_a_field_goes_through_the_structures_it_is_inlined_from() {
    let table = Table::load();
    for (group_version, kind, body, place) in [
        (
            "v1",
            "Pod",
            r#"{"spec":{"volumes":[{"secret":{"secretName":5}}]}}"#,
            "number into Go struct field SecretVolumeSource.spec.volumes.VolumeSource.secret.secretName of type string",
        ),
        (
            "networking.k8s.io/v1",
            "Ingress",
            r#"{"spec":{"rules":[{"http":{"paths":"x"}}]}}"#,
            "string into Go struct field HTTPIngressRuleValue.spec.rules.IngressRuleValue.http.paths \
             of type []v1.HTTPIngressPath",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            r#"{"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":{}}]}}}"#,
            "object into Go struct field \
             NamedRuleWithOperations.spec.matchConstraints.resourceRules.RuleWithOperations.Rule.apiGroups \
             of type []string",
        ),
    ] {
        let ty = table.type_of(table.kind_of(group_version, kind).expect("a known kind"));
        let error =
            machinery::json::decode(body.as_bytes(), ty, &mut Report::new()).expect_err("a wrong type");
        assert_eq!(error.text, format!("json: cannot unmarshal {place}"));
    }
}
