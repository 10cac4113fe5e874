//! Reading documents of custom resources: metadata by their type, the rest by the definition's schema.

use machinery::json::{self, Report};
use machinery::schema::Schema;
use machinery::{Map, Value};

use super::Custom;

/// Why a document cannot be read, in upstream's words.
type Unreadable = String;

/// Brings a document into the form its schema says: what is not described goes and is told, metadata are what they must
/// be, members come in order. Defaults are not filled in here.
pub fn settle(custom: &Custom, mut document: Value, report: &mut Report) -> Result<Value, Unreadable> {
    let mut metadata_told = Vec::new();
    let metadata = match document.remove("metadata") {
        None | Some(Value::Null) => None,
        Some(metadata) => {
            let (metadata, told) = typed_metadata(&custom.metadata, &metadata, "metadata")?;
            metadata_told = told;
            Some(metadata)
        }
    };
    let schema = &custom.kind.schema;
    let gone = schema.prune(&mut document, true);
    let (mut embedded_told, mut wrong) = (Vec::new(), None);
    schema.for_each_embedded(&mut document, &mut |path, object| {
        if let Err(why) = settle_embedded(&custom.metadata, path, object, &mut embedded_told) {
            wrong.get_or_insert(why);
        }
    });
    if let Some(why) = wrong {
        return Err(why);
    }
    embedded_told.sort();
    for path in metadata_told.iter().chain(&gone).chain(&embedded_told) {
        report.push(format!("unknown field {}", machinery::field::go_quote(path)));
    }
    Ok(in_order(document, metadata))
}

/// Metadata as their type has them, and the paths of what it does not know.
fn typed_metadata(schema: &Schema, metadata: &Value, path: &str) -> Result<(Value, Vec<String>), Unreadable> {
    let mut report = Report::new();
    let typed = json::decode(&json::to_vec(metadata), schema.root(), &mut report)
        .map_err(|error| error.to_string())?;
    let told = report.strict_errors().iter().filter_map(|finding| {
        let unknown = finding.strip_prefix("unknown field \"")?.strip_suffix('"')?;
        Some(format!("{path}.{unknown}"))
    });
    Ok((typed, told.collect()))
}

fn settle_embedded(
    schema: &Schema,
    path: &str,
    object: &mut Value,
    told: &mut Vec<String>,
) -> Result<(), Unreadable> {
    for name in ["apiVersion", "kind"] {
        let value = object.get(name);
        if !value.is_null() && value.as_str().is_none() {
            let shown = json::to_string(value);
            return Err(format!("{path}.{name}: Invalid value: {shown}: must be a string"));
        }
    }
    let Some(metadata) = object.get_mut("metadata") else { return Ok(()) };
    let place = format!("{path}.metadata");
    let (typed, unknown) = typed_metadata(schema, metadata, &place)
        .map_err(|why| format!("{place}: Invalid value: {}: {why}", json::to_string(metadata)))?;
    *metadata = typed;
    told.extend(unknown);
    Ok(())
}

/// What an object is comes first, then its metadata, then the rest by name.
fn in_order(document: Value, metadata: Option<Value>) -> Value {
    let Value::Object(mut rest) = document else { return document };
    let mut members = Vec::with_capacity(rest.len() + 1);
    for name in ["kind", "apiVersion"] {
        if let Some(value) = rest.remove(name) {
            members.push((name.into(), value));
        }
    }
    if let Some(metadata) = metadata {
        members.push(("metadata".into(), metadata));
    }
    rest.sort();
    members.extend(rest.into_entries());
    Value::Object(Map::from_entries(members))
}
