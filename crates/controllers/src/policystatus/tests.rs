use kinds::admission::typing::Typed;
use machinery::cel::Declaration;
use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{body, object, writes};

fn view(expression: &str, status: Value) -> View {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "p", "uid": "u", "generation": 2, "resourceVersion": "4" },
        "spec": {
            "matchConstraints": { "resourceRules": [
                { "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"] }
            ] },
            "validations": [{ "expression": expression }]
        },
        "status": status
    });
    let table = api::Table::load();
    let kind = table.kind("apps", "v1", "Deployment").unwrap();
    let declaration = Declaration::from_schema(table.schema_of(kind).root());
    let typed = Typed { group: "apps".into(), version: "v1".into(), kind: "Deployment".into(), declaration };
    View { policy: object(&policy), types: vec![typed] }
}

#[test]
fn what_is_wrong_for_a_kind_is_told_in_the_status() {
    let plan = plan(&view("object.spec.replicas > '1'", json!({})));
    assert_eq!(writes(&plan), ["update validatingadmissionpolicies/status p"]);
    let status = body(plan.ops().next().unwrap())["status"].clone();
    assert_eq!(status["observedGeneration"], 2);
    let warning = &status["typeChecking"]["expressionWarnings"][0];
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
    let told = warning["warning"].as_str().unwrap();
    assert!(
        told.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload"),
        "{told}"
    );
}

#[test]
fn a_policy_is_checked_once_for_each_of_its_generations() {
    let good = "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'";
    let status = body(plan(&view(good, json!({}))).ops().next().unwrap())["status"].clone();
    assert_eq!(status, json!({ "observedGeneration": 2, "typeChecking": {} }));
    assert!(plan(&view(good, status)).is_quiet());
    let old = json!({ "observedGeneration": 1, "typeChecking": {} });
    assert!(!plan(&view(good, old)).is_quiet());
}
