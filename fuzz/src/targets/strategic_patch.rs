//! Strategic merge patches.

use api::Table;
use machinery::Value;
use machinery::json::{self, Report};
use machinery::patch::{self, Shown};

use super::seeds;
use crate::target::{Target, Verdict, halves, joined, outcome, same};

const WORDS: &[&str] = &[
    "\"$patch\":\"delete\",",
    "\"$patch\":\"replace\",",
    "\"$patch\":\"merge\",",
    "\"$retainKeys\":[\"name\"],",
    "\"$setElementOrder/containers\":[{\"name\":\"c\"}],",
    "\"$deleteFromPrimitiveList/finalizers\":[\"x\"],",
    "\"$setElementOrder/finalizers\":[\"y\",\"x\"],",
    "\"name\":\"c\",",
    "\"containerPort\":80,",
    "\"mountPath\":\"/v\",",
    "\"$patch\":7,",
    "\"$setElementOrder/\":[],",
];
const PATCHES: &[&str] = &[
    r#"{"spec":{"containers":[{"name":"c","image":"j","ports":[{"containerPort":80,"name":"h"}]},{"name":"d","$patch":"delete"},{"name":"e"}]}}"#,
    r#"{"spec":{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"name":"d","image":"x"}],"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/"}}]}}"#,
    r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"],"finalizers":["z"],"$setElementOrder/finalizers":["z","y"],"labels":{"$patch":"replace","n":"m"}}}"#,
    r#"{"spec":{"tolerations":[{"key":"k"}],"nodeSelector":null,"containers":[{"$patch":"replace"},{"name":"only"}]},"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#,
    r#"{"$patch":"replace","kind":"Pod"}"#,
    r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"},"ports":[{"port":80,"nodePort":null},{"port":81}]}}"#,
];

pub fn target() -> Target {
    let table = Table::load();
    let documents = [seeds::POD, seeds::SERVICE, seeds::DEPLOYMENT];
    let seeds = PATCHES.iter().flat_map(|text| documents.map(|document| joined(document, text))).collect();
    Target { name: "strategic-patch", seeds, words: WORDS, run: Box::new(move |input| run(&table, input)) }
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let (body, change) = halves(input);
    let ty = seeds::type_of(table, body);
    let Ok(document) = json::decode(body, ty, &mut Report::ignoring()) else {
        return Ok("no document".to_owned());
    };
    let mut report = Report::new();
    let (patched, change) = match patch::strategic(document.clone(), change, ty, &mut report) {
        Ok(patched) => patched,
        Err(status) => return Ok(outcome("refused", &status.message)),
    };
    let settled = match patch::settle(&patched, &Shown::Patch(&change), ty, &mut report) {
        Ok(settled) => settled,
        Err(status) => return Ok(outcome("none of its kind", &status.message)),
    };
    same(
        "nothing changes nothing",
        &patch::strategic_values(document.clone(), Value::object(), ty),
        &Ok(document.clone()),
    )?;
    // A list that was not there is taken as it is; to be merged again, its items need keys.
    if !json::to_string(&change).contains("\"$")
        && let Ok(again) = patch::strategic_values(patched, change.clone(), ty)
    {
        let again = patch::settle(&again, &Shown::Patch(&change), ty, &mut report);
        let again = again.map_err(|status| status.message)?;
        let promise = "a patch without directives makes what it makes once";
        same(promise, &json::to_string(&again), &json::to_string(&settled))?;
    }
    Ok(format!("patched {} {}", settled == document, report.strict_errors().len().min(3)))
}
