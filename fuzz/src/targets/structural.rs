//! Definitions of custom resources and their schemas: checked, compiled, and held against documents.

use api::Table;
use machinery::Value;
use machinery::field::{Errors, Path};
use machinery::json::{self, Report};
use machinery::structural::{self, Expressions, Structural};

use super::seeds;
use crate::target::{Target, Verdict, halves, joined, outcome, same};

const WORDS: &[&str] = &[
    "\"type\":\"object\",",
    "\"type\":\"array\",",
    "\"type\":\"string\",",
    "\"default\":{},",
    "\"nullable\":true,",
    "\"items\":{},",
    "\"properties\":{},",
    "\"additionalProperties\":true,",
    "\"x-kubernetes-preserve-unknown-fields\":true,",
    "\"x-kubernetes-embedded-resource\":true,",
    "\"x-kubernetes-int-or-string\":true,",
    "\"x-kubernetes-list-type\":\"map\",",
    "\"x-kubernetes-list-map-keys\":[\"a\"],",
    "\"x-kubernetes-validations\":[{\"rule\":\"self == oldSelf\"}],",
    "\"pattern\":\"^a*$\",",
    "\"format\":\"date-time\",",
    "\"enum\":[1,\"a\"],",
    "\"multipleOf\":0.1,",
    "\"maximum\":1e300,",
    "\"maxLength\":3,",
    "\"required\":[\"a\"],",
    "\"oneOf\":[{}],",
    "\"not\":{},",
    "\"uniqueItems\":true,",
    "size(self) > 0",
];
const SCHEMAS: &[(&str, &str)] = &[
    (
        r#"{"type":"object","properties":{"spec":{"type":"object","required":["a"],"properties":{"a":{"type":"string","default":"x","maxLength":9,"pattern":"^[a-z]*$"},"b":{"type":"integer","minimum":1,"maximum":9,"multipleOf":2},"c":{"type":"array","items":{"type":"object","properties":{"k":{"type":"string","default":"d"},"v":{"type":"number"}}},"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"]},"d":{"x-kubernetes-int-or-string":true},"e":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"f":{"type":"object","additionalProperties":{"type":"string","nullable":true}},"g":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}},"h":{"type":"array","items":{"type":"string","format":"ipv4"},"x-kubernetes-list-type":"set","maxItems":3}}}}}"#,
        r#"{"apiVersion":"x.io/v1","kind":"A","metadata":{"name":"a"},"spec":{"a":"q","b":4,"c":[{"v":1.5},{"k":"e"}],"d":"50%","e":{"z":[1]},"f":{"a":null,"b":"c"},"g":{"apiVersion":"v1","kind":"B","metadata":{}},"h":["1.2.3.4"],"odd":{}}}"#,
    ),
    (
        r#"{"type":"object","x-kubernetes-validations":[{"rule":"self.spec.b >= 1","message":"no"},{"rule":"self.spec.a == oldSelf.spec.a","messageExpression":"'was ' + oldSelf.spec.a"}],"properties":{"spec":{"type":"object","properties":{"a":{"type":"string","maxLength":10,"x-kubernetes-validations":[{"rule":"self.matches('^a')","fieldPath":".b"}]},"b":{"type":"integer","format":"int32"},"l":{"type":"array","maxItems":5,"items":{"type":"string","maxLength":5},"x-kubernetes-validations":[{"rule":"self.all(x, x.size() < 3)"}]}}}}}"#,
        r#"{"apiVersion":"x.io/v1","kind":"A","metadata":{"name":"a"},"spec":{"a":"abc","b":4,"l":["a","bb"]}}"#,
    ),
    (
        r#"{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"minimum":3}],"not":{"enum":[5]},"x-kubernetes-int-or-string":true},"b":{"type":"string","format":"byte"},"c":{"type":"string","format":"duration"},"d":{"type":"array","uniqueItems":false,"items":{"type":"boolean"}}}}"#,
        r#"{"a":7,"b":"aGk=","c":"1h","d":[true,null]}"#,
    ),
];

pub fn target() -> Target {
    let table = Table::load();
    let seeds = SCHEMAS.iter().map(|(schema, document)| joined(schema, document)).collect();
    Target { name: "structural", seeds, words: WORDS, run: Box::new(move |input| run(&table, input)) }
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let (schema, body) = halves(input);
    let Ok(schema) = json::parse(schema) else { return Ok("no schema".to_owned()) };
    let told = defined(table, &schema);
    let schema = Structural::compile(&schema);
    let Ok(mut value) = json::parse(body) else { return Ok(told) };
    let old = value.clone();
    structural::drop_nulls(&mut value, &schema);
    schema.prune(&mut value, true);
    let mut again = value.clone();
    same("what was pruned needs no pruning", &schema.prune(&mut again, true), &Vec::new())?;
    schema.fill(&mut value);
    let mut again = value.clone();
    schema.fill(&mut again);
    same("what was filled in needs no filling in", &again, &value)?;
    let errors = schema.check(&Path::root(), &value, None);
    schema.check_lists(&value);
    same("what did not change is right", &schema.check(&Path::root(), &value, Some(&value)).len(), &0)?;
    schema.check(&Path::root(), &value, Some(&old));
    let mut verdicts = 0;
    if errors.is_empty()
        && let Some(expressions) = Expressions::compile(&schema)
    {
        verdicts = expressions.check(&schema, &value, None).errors.len();
        expressions.check(&schema, &value, Some(&old));
    }
    typed(table, &schema, body)?;
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    Ok(format!("{told} {} {}", outcome("", &first), verdicts.min(3)))
}

/// What a definition with this schema is told.
fn defined(table: &Table, schema: &Value) -> String {
    let rules = kinds::rules("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let mut definition = json::parse(seeds::DEFINITION.as_bytes()).unwrap_or_default();
    if let Some(version) = definition.entry("spec").entry("versions").make_array().first_mut() {
        version.entry("schema").set("openAPIV3Schema", schema.clone());
    }
    let ty = seeds::type_of(table, seeds::DEFINITION.as_bytes());
    let read = json::decode(&json::to_vec(&definition), ty, &mut Report::ignoring());
    let (Some(rules), Ok(mut definition)) = (rules, read) else { return "none of its kind".to_owned() };
    rules.default(&mut definition);
    let mut errors = Errors::new();
    rules.validate_create(&definition, &mut errors);
    errors.first().map_or_else(|| "right".to_owned(), |error| outcome("wrong", &error.to_string()))
}

/// The schema as codecs and patches see it.
fn typed(table: &Table, schema: &Structural, body: &[u8]) -> Result<(), String> {
    let metadata = seeds::pod(table).field("metadata").ok_or("pods have metadata")?.ty();
    let types = schema.schema(metadata);
    let Ok(document) = json::decode(body, types.root(), &mut Report::new()) else { return Ok(()) };
    if seeds::has_negative_zero(&document) {
        return Ok(());
    }
    let again = json::decode(&json::to_vec(&document), types.root(), &mut Report::new());
    let again = again.map_err(|error| format!("what was written is none: {error}"))?;
    same("a document is read as it was written", &json::to_string(&again), &json::to_string(&document))
}
