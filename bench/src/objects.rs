//! What a document costs: reading, checking, writing, patching and applying a pod of two containers, and the memory that
//! a large body takes while it is read.

mod memory;

use anyhow::{Context, Result};
use api::Table;
use env::Clock;
use kinds::Kind;
use machinery::field::Errors;
use machinery::json::{self, Report, TypeMeta};
use machinery::schema::TypeRef;
use machinery::{Object, Value, apply, patch, protobuf};

use crate::report::{self, Figure};

/// Rounds of each measurement; the fastest counts, since what slows others down comes from outside.
const ROUNDS: usize = 15;
/// Repetitions in each round.
const REPETITIONS: u32 = 400;

const POD: &str = include_str!("objects/pod.json");

const CHANGE: &[u8] =
    br#"{"spec":{"containers":[{"name":"app","image":"registry.example.com/team/app:v2"}]}}"#;

const CONFIG: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"app","image":"registry.example.com/team/app:v2"}]}}"#;

/// `objects`; `objects read FILE` reads a list in a process that does nothing else and tells how much memory it took.
pub fn run(arguments: &[String]) -> Result<()> {
    if let [what, file] = arguments
        && what == "read"
    {
        return memory::read(file.as_ref());
    }
    measure()
}

fn measure() -> Result<()> {
    let clock = Clock::real();
    let load = micros(&clock, 10, Table::load);
    let table = Table::load();
    let pod = table.type_of(table.kind("", "v1", "Pod").context("pods exist")?);
    let body = POD.trim_end().as_bytes();
    let document = json::decode(body, pod, &mut Report::new())?;
    let stored = machinery::object::stored_form(&document);
    let read_and_written =
        micros(&clock, REPETITIONS, || read(body, pod).map(|document| json::to_vec(&document)));
    let rules = kinds::rules("", "v1", "Pod").context("pods have rules")?;
    let created = micros(&clock, REPETITIONS, || create(body, pod, rules));
    let from_stored = micros(&clock, REPETITIONS, || Object::from_stored(&stored, 1));
    let there_and_back = micros(&clock, REPETITIONS, || {
        let mut message = Vec::with_capacity(body.len());
        protobuf::encode(&document, pod, &mut message);
        protobuf::decode(&message, &TypeMeta::default(), pod)
    });
    let as_message = micros(&clock, REPETITIONS, || {
        let mut message = Vec::with_capacity(body.len());
        protobuf::transcode(&stored, pod, &mut message).map(|()| message)
    });
    let patched = micros(&clock, REPETITIONS, || {
        let mut report = Report::new();
        let (patched, change) = patch::strategic(document.clone(), CHANGE, pod, &mut report)?;
        patch::settle(&patched, &patch::Shown::Patch(&change), pod, &mut report)
    });
    let (live, config) = (managed(&document, pod), json::parse(CONFIG.as_bytes())?);
    let applied = micros(&clock, REPETITIONS, || apply::apply(&live, &config, true, write("applier", pod)));
    let list = list_body(&table, &document)?;
    let listed = micros(&clock, 2, || json::decode(&list.0, list.1, &mut Report::new()));
    let memory = memory::of_reading(&list.0)?;
    let megabytes = |bytes: usize, micros: f64| bytes as f64 / micros;
    report::print(&[
        Figure::at_most("table of kinds", load / 1000.0, "ms", 5.0),
        Figure::at_most("pod in, checked, out", read_and_written, "µs", 60.0),
        Figure::at_most("pod in, filled in, valid, out", created, "µs", 60.0),
        Figure::at_most("pod from the store", from_stored, "µs", 5.0),
        Figure::at_most("stored pod as protobuf", as_message, "µs", 12.0),
        Figure::at_least(
            "JSON to protobuf and back",
            megabytes(2 * body.len(), there_and_back),
            "MB/s",
            200.0,
        ),
        Figure::at_most("strategic patch of a pod", patched, "µs", 80.0),
        Figure::at_most("apply to a pod", applied, "µs", 80.0),
        Figure::at_least("list of pods in", megabytes(list.0.len(), listed), "MB/s", 80.0),
        Figure::at_most("memory to read a list", memory, "x its size", 4.0),
    ]);
    Ok(())
}

fn read(body: &[u8], ty: TypeRef<'_>) -> Result<Value, json::Error> {
    json::decode(body, ty, &mut Report::new())
}

/// All that happens to the body of a new pod before it is stored.
fn create(body: &[u8], ty: TypeRef<'_>, rules: &dyn Kind) -> Result<(Vec<u8>, Errors), json::Error> {
    let mut report = Report::new();
    let mut document = json::decode(body, ty, &mut report)?;
    rules.default(&mut document);
    rules.prepare_create(&mut document);
    let mut errors = Errors::new();
    rules.validate_create(&document, &mut errors);
    json::canonicalize(&mut document, ty);
    Ok((json::to_vec(&document), errors))
}

fn write<'a>(manager: &'a str, ty: TypeRef<'a>) -> apply::Write<'a> {
    let time = "2024-01-01T00:00:00Z";
    apply::Write { ty, manager, api_version: "v1", subresource: "", time, ignored: &["status"] }
}

/// The pod as the server keeps it, with a manager.
fn managed(document: &Value, pod: TypeRef<'_>) -> Value {
    let managed_fields =
        apply::track_update(&apply::empty(pod, "v1", "Pod"), document, write("creator", pod));
    let mut live = document.clone();
    live.entry("metadata").set("uid", "u");
    live.entry("metadata").set("managedFields", managed_fields);
    json::canonicalize(&mut live, pod);
    live
}

/// A list of so many pods that it is about three megabytes.
fn list_body<'t>(table: &'t Table, document: &Value) -> Result<(Vec<u8>, TypeRef<'t>)> {
    let kind = table.kind("", "v1", "PodList").context("lists of pods exist")?;
    let items = vec![document.clone(); 1500];
    let list = Value::from([
        ("kind", "PodList".into()),
        ("apiVersion", "v1".into()),
        ("metadata", Value::object()),
        ("items", items.into()),
    ]);
    Ok((json::to_vec(&list), table.type_of(kind)))
}

/// How long something takes at its fastest.
fn micros<T>(clock: &Clock, repetitions: u32, mut what: impl FnMut() -> T) -> f64 {
    let mut fastest = f64::MAX;
    for _ in 0..ROUNDS {
        let start = clock.monotonic();
        for _ in 0..repetitions {
            std::hint::black_box(what());
        }
        let taken = clock.monotonic() - start;
        fastest = fastest.min(taken.as_secs_f64() * 1e6 / f64::from(repetitions));
    }
    fastest
}
