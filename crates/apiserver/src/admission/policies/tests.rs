//! Policies in a small world.

use std::sync::Arc;

use api::Table;
use arc_swap::ArcSwap;
use machinery::{Status, Value};

use super::super::rounds::Round;
use super::super::tests::Reviewed;
use super::super::{Review, Surroundings};
use super::{MutatingPolicies, ValidatingPolicies};
use crate::authz::tests::{World, masters};
use crate::identity::Identity;
use crate::registry::Registry;

const CONFIG_MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n","labels":{"l":"1"}},"data":{"x":"bad"}}"#;

/// Objects in a world, as JSON by collection and key.
async fn world(objects: &[(&str, &str, String)]) -> World {
    let world = World::new().await;
    let namespace =
        r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","labels":{"env":"test"}}}"#;
    world.put("core/namespaces", "n", namespace).await;
    for (collection, key, json) in objects {
        world.put(collection, key, json).await;
    }
    world
}

fn around<'a>(world: &'a World, registry: &'a ArcSwap<Registry>) -> Surroundings<'a> {
    Surroundings {
        caches: &world.caches,
        registry,
        entropy: &world.env.entropy,
        env: &world.env,
        system_roots: &[],
    }
}

fn registry(world: &World) -> ArcSwap<Registry> {
    ArcSwap::from_pointee(Registry::built_in(Table::load(), &world.caches))
}

/// Rules for config maps, or whatever `resources` names.
fn constraints(more: &str) -> String {
    format!(
        r#""matchConstraints":{{"matchPolicy":"Equivalent","resourceRules":[{{"apiGroups":[""],"apiVersions":["v1"],
            "operations":["CREATE","UPDATE"],"resources":["configmaps"]}}]{more}}}"#
    )
}

fn policy(kind: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}","metadata":{{"name":"p"}},
            "spec":{{{},{spec}}}}}"#,
        constraints("")
    )
}

fn binding(kind: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}","metadata":{{"name":"b"}},
            "spec":{{"policyName":"p"{spec}}}}}"#
    )
}

const POLICIES: &str = "admissionregistration.k8s.io/validatingadmissionpolicies";
const BINDINGS: &str = "admissionregistration.k8s.io/validatingadmissionpolicybindings";

/// What a policy with this spec, bound with that, says to a new config map.
async fn validate(spec: &str, bound: &str) -> (Result<(), Status>, Vec<String>, Vec<(String, String)>) {
    let world = world(&[
        (POLICIES, "p", policy("ValidatingAdmissionPolicy", spec)),
        (BINDINGS, "b", binding("ValidatingAdmissionPolicyBinding", bound)),
        (
            "core/configmaps",
            "n/params",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"params","namespace":"n","labels":{"p":"1"}},"data":{"max":"3"}}"#.to_owned(),
        ),
    ])
    .await;
    let registry = registry(&world);
    let policies = ValidatingPolicies::new(&Arc::new(masters()));
    let reviewed = Reviewed::new(&world, "create configmaps a", "n", (CONFIG_MAP, "null"));
    let identity = Identity::new("alice", &["team"]);
    let mut review = reviewed.review(&identity);
    let outcome = policies.validate(&mut review, around(&world, &registry)).await;
    (outcome, review.warnings, review.annotations.into_iter().collect())
}

#[tokio::test]
async fn what_a_policy_refuses_is_refused_in_upstreams_words() {
    let denied = |why: &str| {
        format!(
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {why}"
        )
    };
    let rule = |rest: &str| format!(r#""failurePolicy":"Fail","validations":[{rest}]"#);
    let plain = r#","validationActions":["Deny"]"#;
    let by_name =
        r#","validationActions":["Deny"],"paramRef":{"name":"params","parameterNotFoundAction":"Deny"}"#;
    let missing =
        r#","validationActions":["Deny"],"paramRef":{"name":"none","parameterNotFoundAction":"Deny"}"#;
    let allowed =
        r#","validationActions":["Deny"],"paramRef":{"name":"none","parameterNotFoundAction":"Allow"}"#;
    let selected = r#","validationActions":["Deny"],"paramRef":{"selector":{"matchLabels":{"p":"1"}},"parameterNotFoundAction":"Deny"}"#;
    let with_params =
        |rest: &str| format!(r#""paramKind":{{"apiVersion":"v1","kind":"ConfigMap"}},{}"#, rule(rest));
    let elsewhere = r#","validationActions":["Deny"],"matchResources":{"namespaceSelector":{"matchLabels":{"env":"live"}}}"#;
    let cases: Vec<(String, &str, Result<(), String>)> = vec![
        (rule(r#"{"expression":"object.data.x == 'bad'"}"#), plain, Ok(())),
        (
            rule(r#"{"expression":"object.data.x == 'good'"}"#),
            plain,
            Err(denied("failed expression: object.data.x == 'good'")),
        ),
        (rule(r#"{"expression":"false","message":" no "}"#), plain, Err(denied("no"))),
        (
            rule(r#"{"expression":"false","message":"no","messageExpression":"'x is ' + object.data.x"}"#),
            plain,
            Err(denied("x is bad")),
        ),
        (
            rule(r#"{"expression":"false","message":"no","messageExpression":"object.data.missing + ''"}"#),
            plain,
            Err(denied("no")),
        ),
        (
            rule(r#"{"expression":"object.data.missing == 'x'"}"#),
            plain,
            Err(denied("expression 'object.data.missing == 'x'' resulted in error: no such key: missing")),
        ),
        (
            r#""failurePolicy":"Ignore","validations":[{"expression":"object.data.missing == 'x'"}]"#
                .to_owned(),
            plain,
            Ok(()),
        ),
        (rule(r#"{"expression":"namespaceObject.metadata.labels.env == 'test'"}"#), plain, Ok(())),
        (
            rule(
                r#"{"expression":"request.userInfo.username == 'alice' && 'team' in request.userInfo.groups"}"#,
            ),
            plain,
            Ok(()),
        ),
        (
            rule(
                r#"{"expression":"request.operation == 'CREATE' && request.resource.resource == 'configmaps' && !request.dryRun"}"#,
            ),
            plain,
            Ok(()),
        ),
        (rule(r#"{"expression":"oldObject == null"}"#), plain, Ok(())),
        (
            rule(
                r#"{"expression":"request.namespace == 'n' && object.metadata.namespace == request.namespace"}"#,
            ),
            plain,
            Ok(()),
        ),
        (
            rule(
                r#"{"expression":"authorizer.group('').resource('secrets').check('get').allowed()","message":"needs secrets"}"#,
            ),
            plain,
            Err(denied("needs secrets")),
        ),
        (rule(r#"{"expression":"false"}"#), elsewhere, Ok(())),
        (
            format!(
                r#"{},"matchConditions":[{{"name":"c","expression":"object.data.x == 'good'"}}]"#,
                rule(r#"{"expression":"false"}"#)
            ),
            plain,
            Ok(()),
        ),
        (
            format!(
                r#"{},"matchConditions":[{{"name":"c","expression":"object.data.y == 'good'"}}]"#,
                rule(r#"{"expression":"true"}"#)
            ),
            plain,
            Err(denied("expression 'object.data.y == 'good'' resulted in error: no such key: y")),
        ),
        (
            format!(
                r#"{},"variables":[{{"name":"v","expression":"object.data.x"}},{{"name":"w","expression":"variables.v + '!'"}}]"#,
                rule(r#"{"expression":"variables.w == 'bad?'"}"#)
            ),
            plain,
            Err(denied("failed expression: variables.w == 'bad?'")),
        ),
        (with_params(r#"{"expression":"int(params.data.max) > 2"}"#), by_name, Ok(())),
        (
            with_params(r#"{"expression":"int(params.data.max) > 5"}"#),
            selected,
            Err(denied("failed expression: int(params.data.max) > 5")),
        ),
        (
            with_params(r#"{"expression":"true"}"#),
            missing,
            Err(denied(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            )),
        ),
        (with_params(r#"{"expression":"false"}"#), allowed, Ok(())),
        (with_params(r#"{"expression":"params == null"}"#), plain, Ok(())),
    ];
    for (spec, bound, expected) in cases {
        let (outcome, _, _) = validate(&spec, bound).await;
        assert_eq!(outcome.map_err(|status| status.message), expected, "{spec}");
    }
}

#[tokio::test]
async fn a_refusal_has_the_reason_that_the_policy_gives() {
    for (reason, code, shown) in [
        ("", 422, "Invalid"),
        (r#","reason":"Forbidden""#, 403, "Forbidden"),
        (r#","reason":"Unauthorized""#, 401, "Unauthorized"),
        (r#","reason":"RequestEntityTooLarge""#, 413, "RequestEntityTooLarge"),
    ] {
        let spec = format!(r#""validations":[{{"expression":"false","message":"no"{reason}}}]"#);
        let (outcome, _, _) = validate(&spec, r#","validationActions":["Deny"]"#).await;
        let status = outcome.unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (code, shown));
        let causes = &status.details.as_ref().unwrap().causes;
        assert_eq!(causes[0].message, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no");
    }
}

#[tokio::test]
async fn warnings_and_notes_refuse_nothing() {
    let spec = r#""validations":[{"expression":"true"},{"expression":"false","message":"no"}],
        "auditAnnotations":[{"key":"seen","valueExpression":"'x is ' + object.data.x"},{"key":"nothing","valueExpression":"null"}]"#;
    let (outcome, warnings, notes) = validate(spec, r#","validationActions":["Warn","Audit"]"#).await;
    assert_eq!(outcome.map_err(|status| status.message), Ok(()));
    assert_eq!(warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]);
    assert_eq!(notes[0], ("p/seen".to_owned(), "x is bad".to_owned()));
    assert_eq!(
        notes[1].1,
        r#"[{"message":"no","policy":"p","binding":"b","expressionIndex":1,"validationActions":["Warn","Audit"]}]"#
    );
}

#[tokio::test]
async fn what_costs_too_much_is_refused() {
    let tens = "[0,1,2,3,4,5,6,7,8,9]";
    let mut body = "true".to_owned();
    for depth in 0..7 {
        body = format!("{tens}.all(v{depth}, {body})");
    }
    let spec = format!(r#""validations":[{{"expression":"{body}"}}]"#);
    let (outcome, _, _) = validate(&spec, r#","validationActions":["Deny"]"#).await;
    let message = outcome.unwrap_err().message;
    assert!(
        message.ends_with("resulted in error: operation cancelled: actual cost limit exceeded"),
        "{message}"
    );
}

#[tokio::test]
async fn policies_follow_what_changes() {
    let world = world(&[(
        POLICIES,
        "p",
        policy("ValidatingAdmissionPolicy", r#""validations":[{"expression":"object.data.x == 'bad'"}]"#),
    )])
    .await;
    let registry = registry(&world);
    let policies = ValidatingPolicies::new(&Arc::new(masters()));
    let reviewed = Reviewed::new(&world, "create configmaps a", "n", (CONFIG_MAP, "null"));
    let identity = Identity::new("alice", &[]);
    let ask =
        async || policies.validate(&mut reviewed.review(&identity), around(&world, &registry)).await.is_ok();
    assert!(ask().await, "without a binding it says nothing");
    let bound = binding("ValidatingAdmissionPolicyBinding", r#","validationActions":["Deny"]"#);
    world.put(BINDINGS, "b", &bound).await;
    assert!(ask().await);
    let stricter = policy("ValidatingAdmissionPolicy", r#""validations":[{"expression":"false"}]"#);
    world.put(POLICIES, "p", &stricter).await;
    assert!(!ask().await);
    world.delete(BINDINGS, "b").await;
    assert!(ask().await);
}

/// The document that policies make of a config map, or why they refuse it.
async fn mutated(
    policies: &MutatingPolicies,
    review: &mut Review<'_>,
    around: Surroundings<'_>,
) -> Result<Value, String> {
    let mut round = Round::default();
    policies.mutate(review, around, &mut round).await.map_err(|status| status.message)?;
    if round.wants_second() {
        let mut round = round.second(&review.object);
        policies.mutate(review, around, &mut round).await.map_err(|status| status.message)?;
    }
    Ok(review.object.clone())
}

async fn mutate(mutations: &str) -> Result<Value, String> {
    let world = world(&[
        (
            "admissionregistration.k8s.io/mutatingadmissionpolicies",
            "p",
            policy(
                "MutatingAdmissionPolicy",
                &format!(r#""reinvocationPolicy":"Never","mutations":[{mutations}]"#),
            ),
        ),
        (
            "admissionregistration.k8s.io/mutatingadmissionpolicybindings",
            "b",
            binding("MutatingAdmissionPolicyBinding", ""),
        ),
    ])
    .await;
    let registry = registry(&world);
    let policies = MutatingPolicies::new(&Arc::new(masters()));
    let reviewed = Reviewed::new(&world, "create configmaps a", "n", (CONFIG_MAP, "null"));
    let identity = Identity::new("alice", &[]);
    mutated(&policies, &mut reviewed.review(&identity), around(&world, &registry)).await
}

#[tokio::test]
async fn policies_change_what_is_written() {
    let apply = |expression: &str| {
        format!(
            r#"{{"patchType":"ApplyConfiguration","applyConfiguration":{{"expression":"{expression}"}}}}"#
        )
    };
    let patch = |expression: &str| {
        format!(r#"{{"patchType":"JSONPatch","jsonPatch":{{"expression":"{expression}"}}}}"#)
    };
    let refused = |why: &str| Err(format!("policy 'p' with binding 'b' denied request: {why}"));
    let cases: Vec<(String, &[&str], Result<&str, String>)> = vec![
        (
            apply("Object{metadata: Object.metadata{labels: {'mutated': 'yes'}}}"),
            &["metadata", "labels"],
            Ok(r#"{"l":"1","mutated":"yes"}"#),
        ),
        (
            format!(
                "{},{}",
                apply("Object{data: {'first': '1'}}"),
                apply("Object{data: {'second': string(size(object.data))}}")
            ),
            &["data"],
            Ok(r#"{"first":"1","second":"2","x":"bad"}"#),
        ),
        (
            patch("[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"),
            &["data"],
            Ok(r#"{"a/b":"c","x":"bad"}"#),
        ),
        (
            patch(
                "[JSONPatch{op: 'test', path: '/data/x', value: 'good'}, JSONPatch{op: 'remove', path: '/data/x'}]",
            ),
            &["data"],
            Ok(r#"{"x":"bad"}"#),
        ),
        (patch("[JSONPatch{op: 'remove', path: '/data'}]"), &["data"], Ok("null")),
        (
            apply("Object{data: {'n': object.data.missing}}"),
            &[],
            refused(
                "expression 'Object{data: {'n': object.data.missing}}' resulted in error: no such key: missing",
            ),
        ),
        (
            apply("Object{metadata: Object.wrong{}}"),
            &[],
            refused(
                "type mismatch: unexpected type name \"Object.wrong\", expected \"Object.metadata\", which matches field name path from root Object type",
            ),
        ),
        (
            apply("Object{nothing: 1}"),
            &[],
            refused(
                "error applying patch: failed to convert patch object to typed object: .nothing: field not declared in schema",
            ),
        ),
    ];
    for (mutations, path, expected) in cases {
        let found = mutate(&mutations).await;
        let found = found.map(|object| machinery::json::to_string(object.at(path)));
        assert_eq!(
            found.as_deref().map_err(String::as_str),
            expected.as_deref().map_err(|why: &String| why.as_str()),
            "{mutations}"
        );
    }
}

#[tokio::test]
async fn policies_are_never_asked_about_themselves() {
    let spec = r#""validations":[{"expression":"false"}]"#;
    let world = world(&[
        (POLICIES, "p", policy("ValidatingAdmissionPolicy", spec)),
        (BINDINGS, "b", binding("ValidatingAdmissionPolicyBinding", r#","validationActions":["Deny"]"#)),
    ])
    .await;
    let registry = registry(&world);
    let policies = ValidatingPolicies::new(&Arc::new(masters()));
    let identity = Identity::new("alice", &[]);
    let reviewed = Reviewed::new(&world, "create configmaps a", "n", (CONFIG_MAP, "null"));
    let mut review = reviewed.review(&identity);
    let own = registry
        .load()
        .find("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
        .unwrap()
        .clone();
    review.served = &own;
    assert!(policies.validate(&mut review, around(&world, &registry)).await.is_ok());
}
