//! Nothing that arrives makes a decoder or an engine panic, and what they answer holds together.

use api::Table;
use machinery::json::{self, Report};
use machinery::schema::TypeRef;
use machinery::{Value, apply, patch, yaml};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b","c":"d"},"finalizers":["x","y"]},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80},{"containerPort":81,"protocol":"UDP"}],"resources":{"limits":{"cpu":"1500m"}}},{"name":"d"}],"nodeSelector":{"k":"v"},"volumes":[{"name":"v","emptyDir":{}}]}}"#;

fn with_pod(test: impl Fn(TypeRef<'_>)) {
    let table = Table::load();
    test(table.type_of(table.kind("", "v1", "Pod").expect("pods exist")));
}

/// Bodies near a real one: some bytes replaced, the end cut off.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::sample::select(br#"{}[]",:\0 1-.eEntfu$abpic"#.to_vec());
    let edits = prop::collection::vec((any::<Index>(), letters), 0..6);
    (edits, any::<Index>(), any::<bool>()).prop_map(|(edits, end, cut)| {
        let mut body = POD.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if cut {
            body.truncate(end.index(body.len()));
        }
        body
    })
}

/// Documents that look a little like patches and configurations of pods.
fn documents() -> impl Strategy<Value = Value> {
    let names = || {
        prop::sample::select(vec![
            "metadata",
            "spec",
            "labels",
            "finalizers",
            "containers",
            "name",
            "image",
            "ports",
            "containerPort",
            "protocol",
            "resources",
            "limits",
            "cpu",
            "nodeSelector",
            "volumes",
            "emptyDir",
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/finalizers",
            "a",
            "k",
            "odd",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-1i64..100).prop_map(Value::Int),
        prop::sample::select(vec!["c", "d", "x", "delete", "replace", "merge", "name", "TCP", "1"])
            .prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(6, 48, 4, move |inner| {
        let members = prop::collection::btree_map(names(), inner.clone(), 0..5)
            .prop_map(|map| Value::Object(machinery::Map::from_entries(map)));
        prop_oneof![members, prop::collection::vec(inner, 0..4).prop_map(Value::from)]
    });
    (inner.clone(), inner).prop_map(|(spec, metadata)| {
        Value::from([
            ("apiVersion", "v1".into()),
            ("kind", "Pod".into()),
            ("metadata", metadata),
            ("spec", spec),
        ])
    })
}

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    TestRunner::new(Config::with_cases(1500)).run(strategy, test).expect("it holds together");
}

#[test]
fn bodies_are_read_or_refused_and_reading_again_changes_nothing() {
    with_pod(|pod| {
        run(&bodies(), |body| {
            let mut report = Report::new();
            let typed = json::decode(&body, pod, &mut report);
            prop_assert_eq!(json::parse(&body).is_ok(), !typed.as_ref().is_err_and(|error| error.syntax));
            if let Ok(document) = typed {
                let once = json::to_string(&document);
                let again = json::decode(once.as_bytes(), pod, &mut Report::new());
                prop_assert_eq!(again.as_ref().map(json::to_string), Ok(once.clone()));
                let mut canonical = document.clone();
                json::canonicalize(&mut canonical, pod);
                prop_assert_eq!(json::to_string(&canonical), once);
                let mut from_yaml = yaml::decode(yaml::encode(&document).as_bytes()).unwrap_or_default();
                json::canonicalize(&mut from_yaml, pod);
                prop_assert_eq!(from_yaml, document);
            }
            Ok(())
        });
    });
}

#[test]
fn patches_apply_or_are_refused() {
    with_pod(|pod| {
        let document = json::parse(POD.as_bytes()).expect("JSON");
        run(&documents(), |change| {
            let merged = patch::merge_values(document.clone(), change.clone());
            prop_assert_eq!(&patch::merge_values(merged.clone(), change.clone()), &merged);
            if let Ok(patched) = patch::strategic_values(document.clone(), change.clone(), pod) {
                let shown = patch::Shown::Patch(&change);
                if let Ok(settled) = patch::settle(&patched, &shown, pod, &mut Report::new()) {
                    let text = json::to_string(&settled);
                    prop_assert!(!text.contains("$patch") && !text.contains("$setElementOrder"));
                }
            }
            Ok(())
        });
    });
}

#[test]
fn applying_the_same_twice_changes_nothing_the_second_time() {
    with_pod(|pod| {
        let write = apply::Write {
            ty: pod,
            manager: "m",
            api_version: "v1",
            subresource: "",
            time: "2024-01-01T00:00:00Z",
            ignored: &["status"],
        };
        let live = json::decode(POD.as_bytes(), pod, &mut Report::new()).expect("a pod");
        run(&documents(), |config| {
            let Ok(applied) = apply::apply(&live, &config, true, write) else { return Ok(()) };
            let document = applied.document.unwrap_or_else(|| live.clone());
            let Ok(mut once) = json::decode(&json::to_vec(&document), pod, &mut Report::new()) else {
                return Ok(());
            };
            once.entry("metadata").set("managedFields", applied.managed_fields);
            json::canonicalize(&mut once, pod);
            let again = apply::apply(&once, &config, false, write);
            let again = again.map_err(|status| TestCaseError::fail(status.message))?;
            let document = again.document.unwrap_or_else(|| once.clone());
            let mut twice = json::decode(&json::to_vec(&document), pod, &mut Report::new())
                .map_err(|error| TestCaseError::fail(error.text))?;
            for object in [&mut once, &mut twice] {
                object.entry("metadata").remove("managedFields");
            }
            prop_assert_eq!(json::to_string(&twice), json::to_string(&once));
            Ok(())
        });
    });
}
