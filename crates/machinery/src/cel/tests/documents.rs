//! Expressions on documents.

use std::sync::{Arc, Mutex};

use super::super::{
    Activation, Authorizer, CALL_LIMIT, Check, Decision, Declaration, Environment, FailureKind, Opaque,
    Question, Sameness, Type, Val,
};
use super::{check, show};
use crate::Value;

fn parse(json: &str) -> Value {
    crate::json::parse(json.as_bytes()).unwrap()
}

#[test]
fn documents_of_which_nothing_is_declared_are_looked_into() {
    let document = parse(
        r#"{"metadata":{"name":"web","labels":{"app":"x","a/b":"c"}},"spec":{"replicas":3,"ratio":0.5,"on":true,
            "empty":null,"list":[{"name":"a","n":1},{"name":"b","n":2}]}}"#,
    );
    let environment = Environment::kubernetes().with("object", Declaration::dynamic());
    let activation = Activation::new().with("object", Val::dynamic(&document));
    check(
        &environment,
        &activation,
        r"
        object.metadata.name ⇒ 'web'
        object.metadata.labels['a/b'] ⇒ 'c'
        object.spec.replicas > 2 ⇒ true
        object.spec.ratio ⇒ 0.5
        object.spec.on ⇒ true
        object.spec.empty == null ⇒ true
        has(object.spec.empty) ⇒ true
        has(object.spec.missing) ⇒ false
        object.spec.missing ⇒ ! no such key: missing
        object.spec.missing.deeper ⇒ ! no such key: missing
        has(object.spec.missing.deeper) ⇒ ! no such key: missing
        object.metadata.name.x ⇒ ! no such key: x
        object.?spec.?missing.?deeper ⇒ none
        object.spec.list.map(i, i.name) ⇒ ['a', 'b']
        object.spec.list.filter(i, i.n > 1)[0].name ⇒ 'b'
        object.spec.list.all(i, has(i.name)) ⇒ true
        object.spec.list.exists(i, i.name == 'b' && i.n == 2) ⇒ true
        size(object.spec.list) ⇒ 2
        'app' in object.metadata.labels ⇒ true
        object.metadata.labels.all(k, k.size() < 5) ⇒ true
        object.metadata.labels.transformList(k, v, k + v) ⇒ ['a/bc', 'appx']
        object.spec.list == object.spec.list ⇒ true
        object.metadata == object.spec ⇒ false
        object ⇒ {'metadata': {'labels': {'a/b': 'c', 'app': 'x'}, 'name': 'web'}, 'spec': {'empty': null, 'list': [{'n': 1, 'name': 'a'}, {'n': 2, 'name': 'b'}], 'on': true, 'ratio': 0.5, 'replicas': 3}}
        other ⇒ ? undeclared reference to 'other' (in container '')
        ",
    );
    let unbound = Environment::kubernetes().with("params", Declaration::dynamic());
    check(&unbound, &activation, "params.x ⇒ ! no such attribute(s): params");
}

fn declared() -> Declaration {
    let text = || Declaration::of(Type::String);
    let port = Declaration::object(
        "Port",
        vec![("name".into(), text()), ("port".into(), Declaration::of(Type::Int))],
    );
    Declaration::object(
        "Self",
        vec![
            ("when".into(), Declaration::of(Type::Timestamp)),
            ("day".into(), Declaration::of(Type::Timestamp)),
            ("span".into(), Declaration::of(Type::Duration)),
            ("data".into(), Declaration::of(Type::Bytes)),
            ("ratio".into(), Declaration::of(Type::Double)),
            ("either".into(), Declaration::dynamic()),
            ("namespace".into(), text()),
            ("a-b.c".into(), text()),
            ("set".into(), Declaration::list(text(), Sameness::Set)),
            ("list".into(), Declaration::list(text(), Sameness::Ordered)),
            ("ports".into(), Declaration::list(port, Sameness::Keyed(vec!["name".into()]))),
        ],
    )
}

#[test]
fn declared_documents_are_what_they_are_declared_to_be() {
    let own = parse(
        r#"{"when":"2024-01-02T03:04:05Z","day":"2024-05-06","span":"90s","data":"aGk=","ratio":1,"either":"80%",
            "namespace":"n","a-b.c":"d","set":["a","b"],"list":["a","b"],
            "ports":[{"name":"x","port":1},{"name":"y","port":2}]}"#,
    );
    let old = parse(
        r#"{"set":["b","a"],"list":["b","a"],"ports":[{"name":"y","port":2},{"name":"x","port":1}],"when":"x"}"#,
    );
    let environment = Environment::kubernetes().with("self", declared()).with("oldSelf", declared());
    let activation = Activation::new()
        .with("self", Val::of(&own, &declared()).unwrap())
        .with("oldSelf", Val::of(&old, &declared()).unwrap());
    check(
        &environment,
        &activation,
        r"
        self.when.getFullYear() ⇒ 2024
        self.day.getMonth() ⇒ 4
        self.span > duration('1m') ⇒ true
        self.data ⇒ b[104, 105]
        self.ratio < 1.5 ⇒ true
        self.ratio ⇒ 1.0
        type(self.either) == string ⇒ true
        self.__namespace__ ⇒ 'n'
        self.a__dash__b__dot__c ⇒ 'd'
        has(self.a__dash__b__dot__c) ⇒ true
        has(oldSelf.a__dash__b__dot__c) ⇒ false
        oldSelf.span ⇒ ! no such key: span
        oldSelf.when ⇒ ! invalid data, expected format date-time, got x
        self.set == oldSelf.set ⇒ true
        self.list == oldSelf.list ⇒ false
        self.ports == oldSelf.ports ⇒ true
        self.set == self.list ⇒ true
        self.ports[0].name ⇒ 'x'
        self.ports.exists(p, p.port == 2) ⇒ true
        self == self ⇒ true
        type(self) == type(self) ⇒ true
        ",
    );
}

#[test]
fn composed_variables_are_evaluated_once_and_only_if_needed() {
    let document = parse(r#"{"x":2}"#);
    let base = Environment::kubernetes().with("object", Declaration::dynamic());
    let declared = |fields: &[(&str, Type)]| {
        let fields = fields.iter().map(|(name, ty)| ((*name).into(), Declaration::of(ty.clone())));
        Declaration::object("kubernetes.variables", fields.collect())
    };
    let double = base.clone().with("variables", declared(&[])).compile("object.x * 2").unwrap();
    let more = base
        .clone()
        .with("variables", declared(&[("double", Type::Dyn)]))
        .compile("variables.double + 1")
        .unwrap();
    let broken = base.clone().compile("object.missing").unwrap();
    let programs = [("double".into(), double), ("more".into(), more), ("broken".into(), broken)];
    let environment = base
        .with("variables", declared(&[("double", Type::Dyn), ("more", Type::Dyn), ("broken", Type::Dyn)]));
    let activation = Activation::new().with("object", Val::dynamic(&document)).with_composed(
        "variables",
        &programs,
        CALL_LIMIT,
    );
    check(
        &environment,
        &activation,
        r#"
        variables.more ⇒ 5
        variables.double + variables.more ⇒ 9
        variables.broken ⇒ ! composited variable "broken" fails to evaluate: no such key: missing
        variables.nothing ⇒ ? undefined field 'nothing'
        true || variables.broken ⇒ true
        "#,
    );
    let costs = |source: &str| {
        let program = environment.compile(source).unwrap();
        program.evaluate(&activation, CALL_LIMIT).cost
    };
    assert!(costs("variables.double") <= 2, "it was evaluated before, and costs nothing but its name");
}

#[derive(Debug, Default)]
struct Asked(Mutex<Vec<Question>>);

impl Authorizer for Asked {
    fn decide(&self, question: &Question) -> Decision {
        self.0.lock().unwrap().push(question.clone());
        Decision { allowed: question.verb == "get", reason: "because".to_owned(), error: String::new() }
    }
}

#[test]
fn the_authorizer_is_asked() {
    let asked = Arc::new(Asked::default());
    let start = Val::Opaque(Opaque::Authorizer(Arc::new(Check::Start(asked.clone(), Question::default()))));
    let resource =
        Question { group: "apps".to_owned(), resource: "deployments".to_owned(), ..Question::default() };
    let resource = Val::Opaque(Opaque::Authorizer(Arc::new(Check::Resource(asked.clone(), resource))));
    let environment = Environment::kubernetes()
        .with("authorizer", Declaration::of(Type::Opaque(Check::AUTHORIZER)))
        .with("authorizer.requestResource", Declaration::of(Type::Opaque(Check::RESOURCE)));
    let activation = Activation::new().with("authorizer", start).with("authorizer.requestResource", resource);
    check(
        &environment,
        &activation,
        r"
        authorizer.group('').resource('pods').subresource('log').namespace('n').name('p').check('get').allowed() ⇒ true
        authorizer.group('').resource('pods').check('list').allowed() ⇒ false
        authorizer.path('/healthz').check('get').reason() ⇒ 'because'
        authorizer.path('').check('get').allowed() ⇒ ! path must not be empty
        authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('get').errored() ⇒ false
        authorizer.requestResource.check('get').allowed() ⇒ true
        authorizer.check('get') ⇒ ? found no matching overload for 'check' applied to 'kubernetes.authorization.Authorizer.(string)'
        ",
    );
    let asked = std::mem::take(&mut *asked.0.lock().unwrap());
    let first = &asked[0];
    assert_eq!(
        (first.resource.as_str(), first.subresource.as_str(), first.name.as_str()),
        ("pods", "log", "p")
    );
    assert_eq!(asked[3].service_account, Some(("ns".to_owned(), "sa".to_owned())));
    assert_eq!((asked[4].group.as_str(), asked[4].resource.as_str()), ("apps", "deployments"));
    let expensive = environment
        .compile("[1, 2, 3].all(x, authorizer.group('').resource('pods').check('get').allowed())")
        .unwrap();
    let failure = expensive.evaluate(&activation, CALL_LIMIT).outcome.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cost);
}

#[test]
fn what_was_made_becomes_a_document() {
    let environment = Environment::kubernetes().with_patch_types();
    for (source, expected) in [
        ("Object{metadata: Object.metadata{labels: {'a': 'b'}}}", r#"{"metadata":{"labels":{"a":"b"}}}"#),
        (
            "Object{spec: Object.spec{__namespace__: 'x', a__dot__b: [1, 2]}}",
            r#"{"spec":{"namespace":"x","a.b":[1,2]}}"#,
        ),
        (
            "[JSONPatch{op: 'add', path: '/a', value: {'b': null}}]",
            r#"[{"op":"add","path":"/a","value":{"b":null}}]"#,
        ),
        ("Object{?a: optional.none(), ?b: optional.of(1)}", r#"{"b":1}"#),
    ] {
        let program = environment.compile(source).unwrap();
        let value = program.evaluate(&Activation::new(), CALL_LIMIT).outcome.unwrap();
        assert_eq!(value.to_document(), Ok(parse(expected)), "{source}: {}", show(&value));
    }
    let program = environment.compile("{1: 2}").unwrap();
    assert!(program.evaluate(&Activation::new(), CALL_LIMIT).outcome.unwrap().to_document().is_err());
}
