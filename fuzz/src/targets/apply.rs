//! Server-side apply, with managers that nobody in their right mind has.

use api::Table;
use machinery::Value;
use machinery::apply::{self, Write};
use machinery::json::{self, Report};
use machinery::schema::TypeRef;

use super::seeds;
use crate::target::{Target, Verdict, halves, joined, outcome, same};

const WORDS: &[&str] = &[
    "\"f:spec\":{},",
    "\"f:metadata\":{\"f:labels\":{\".\":{}}},",
    "\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{}},",
    "\"v:\\\"x\\\"\":{},",
    "\"i:0\":{},",
    "\"fieldsV1\":{},",
    "\"manager\":\"m\",",
    "\"operation\":\"Apply\",",
    "\"apiVersion\":\"v1\",",
    "\"managedFields\":[{}],",
    "\"subresource\":\"status\",",
    "\"name\":\"c\",",
    "\"protocol\":\"UDP\",",
];
const MANAGED: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","uid":"u","labels":{"a":"b"},"managedFields":[{"manager":"m","operation":"Apply","apiVersion":"v1","time":"2024-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{"f:a":{}},"f:finalizers":{".":{},"v:\"x\"":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},"f:nodeSelector":{}}}},{"manager":"o","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:tolerations":{"i:0":{}}}},"subresource":"status"}]},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}]}],"nodeSelector":{"k":"v"}}}"#;
const CONFIGS: &[&str] = &[
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"c"},"finalizers":["x","z"]},"spec":{"containers":[{"name":"c","image":"j","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}]}]}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"n","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"x"}}}]}],"tolerations":[{"key":"k"}]}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","managedFields":[{}]},"spec":{"odd":1}}"#,
];

pub fn target() -> Target {
    let table = Table::load();
    let seeds =
        CONFIGS.iter().flat_map(|config| [MANAGED, seeds::POD].map(|live| joined(live, config))).collect();
    Target { name: "apply", seeds, words: WORDS, run: Box::new(move |input| run(&table, input)) }
}

/// What a server writes after an apply, read and made canonical as it does.
pub fn written(live: &Value, applied: apply::Applied, ty: TypeRef<'_>) -> Result<Value, String> {
    let document = applied.document.unwrap_or_else(|| live.clone());
    let read = json::decode(&json::to_vec(&document), ty, &mut Report::ignoring());
    let mut document = read.map_err(|error| error.text)?;
    document.entry("metadata").remove("managedFields");
    if !applied.managed_fields.is_null() {
        document.entry("metadata").set("managedFields", applied.managed_fields);
    }
    json::canonicalize(&mut document, ty);
    Ok(document)
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let (body, config) = halves(input);
    let ty = seeds::pod(table);
    let time = "2024-01-01T00:00:00Z";
    let write = Write { ty, manager: "m", api_version: "v1", subresource: "", time, ignored: &["status"] };
    let Ok(mut live) = json::decode(body, ty, &mut Report::ignoring()) else {
        return Ok("no object".to_owned());
    };
    live.entry("metadata").set("uid", "u");
    json::canonicalize(&mut live, ty);
    let Ok(config) = json::parse(config) else { return Ok("no configuration".to_owned()) };
    apply::track_update(&live, &config, write);
    let peaceful = match apply::apply(&live, &config, false, write) {
        Ok(_) => "in peace".to_owned(),
        Err(status) => outcome("not in peace", &status.message),
    };
    let applied = match apply::apply(&live, &config, true, write) {
        Ok(applied) => applied,
        Err(status) => return Ok(outcome("refused", &status.message)),
    };
    // What an apply makes may be none of its kind; whoever reads it next says so.
    let Ok(once) = written(&live, applied, ty) else { return Ok("none of its kind".to_owned()) };
    // Who manages nothing is forgotten. An object that nobody manages any more counts as one from before the first apply:
    // the next one finds a manager of that name for all that is there, as upstream's does.
    if once.at(&["metadata", "managedFields"]).is_empty() {
        return Ok(format!("applied {peaceful}, and nobody manages anything"));
    }
    let again =
        apply::apply(&once, &config, false, write).map_err(|status| format!("again: {}", status.message))?;
    let twice = written(&once, again, ty)?;
    same(
        "what is applied twice is as if it were applied once",
        &json::to_string(&twice),
        &json::to_string(&once),
    )?;
    Ok(format!("applied {peaceful}"))
}
