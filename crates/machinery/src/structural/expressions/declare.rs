//! What expressions know of a document, from its schema.

use smol_str::SmolStr;

use super::REQUEST_MAX;
use crate::cel::{Declaration, Sameness, Type, escape};
use crate::structural::{Additional, Kind, List, Structural};

/// The brackets or quotes around a value.
const AROUND: u64 = 2;
/// `null`, or the shortest number and what must stand next to it.
const NUMBER_MIN: u64 = 1;
const BOOL_MIN: u64 = 4;
/// `"2006-01-02"` as JSON.
const DATE: u64 = 12;
/// The longest point in time, and the longest span of time, as JSON.
const DATE_TIME_MAX: u64 = 37;
const DURATION_MAX: u64 = 32;
/// How many bytes a letter can have.
const LETTER_MAX: u64 = 4;

/// A declaration, and how small such a value can be as JSON.
pub(super) struct Declared {
    pub declaration: Declaration,
    pub min_size: u64,
}

impl Declared {
    fn new(declaration: Declaration, min_size: u64) -> Option<Declared> {
        Some(Declared { declaration, min_size })
    }
}

/// What a schema declares; `None` where it does not say what the value is. `whole` values have a kind and metadata.
/// `name` is that of the type.
pub(super) fn declare(schema: &Structural, whole: bool, name: &str) -> Option<Declared> {
    if schema.int_or_string {
        return Declared::new(Declaration::dynamic().at_most(REQUEST_MAX - AROUND), NUMBER_MIN);
    }
    match schema.kind? {
        Kind::Array => list(schema, name),
        Kind::Object => object(schema, whole, name),
        Kind::String => text(schema),
        Kind::Boolean => Declared::new(Declaration::of(Type::Bool), BOOL_MIN),
        Kind::Number => Declared::new(Declaration::of(Type::Double), NUMBER_MIN),
        Kind::Integer => Declared::new(Declaration::of(Type::Int), NUMBER_MIN),
    }
}

/// A limit of a schema.
fn limit(limit: Option<i64>) -> Option<u64> {
    limit.map(|limit| u64::try_from(limit).unwrap_or(0))
}

fn list(schema: &Structural, name: &str) -> Option<Declared> {
    let items = schema.items.as_deref()?;
    let item = declare(items, items.embedded, &format!("{name}.@idx"))?;
    let sameness = match &schema.list {
        Some(List::Set) => Sameness::Set,
        Some(List::Map(keys)) => Sameness::Keyed(keys.to_vec()),
        Some(List::Atomic) | None => Sameness::Ordered,
    };
    let most = limit(schema.rules.max_items).unwrap_or((REQUEST_MAX - AROUND) / (item.min_size + 1));
    Declared::new(Declaration::list(item.declaration, sameness).at_most(most), AROUND)
}

fn object(schema: &Structural, whole: bool, name: &str) -> Option<Declared> {
    if let Additional::Each(each) = &schema.additional {
        let value = declare(each, each.embedded, &format!("{name}.@elem"))?;
        // A member has quotes, a colon and a comma.
        let most =
            limit(schema.rules.max_properties).unwrap_or((REQUEST_MAX - AROUND) / (value.min_size + 6));
        return Declared::new(Declaration::map(value.declaration).at_most(most), AROUND);
    }
    let mut min_size = AROUND;
    let mut fields: Vec<(SmolStr, Declaration)> = Vec::new();
    for (field, property) in &schema.properties {
        if whole && field == "metadata" {
            continue;
        }
        let Some(declared) = declare(property, property.embedded, &format!("{name}.{field}")) else {
            continue;
        };
        if schema.rules.required.contains(field) && property.default.is_none() {
            min_size += field.len() as u64 + declared.min_size + 4;
        }
        if escape(field).is_some() {
            fields.push((field.clone(), declared.declaration));
        }
    }
    if whole {
        add_meta(&mut fields, schema, name);
    }
    Declared::new(Declaration::object(name, fields), min_size)
}

/// What every whole object has.
fn add_meta(fields: &mut Vec<(SmolStr, Declaration)>, schema: &Structural, name: &str) {
    for field in ["apiVersion", "kind"] {
        fields.retain(|(own, _)| own != field);
        fields.push((SmolStr::new_static(field), any_text()));
    }
    let own = schema.property("metadata").map(|metadata| &metadata.properties[..]).unwrap_or_default();
    let mut metadata: Vec<(SmolStr, Declaration)> = own
        .iter()
        .filter(|(field, _)| escape(field).is_some())
        .filter_map(|(field, property)| Some((field.clone(), declare(property, false, field)?.declaration)))
        .collect();
    for field in ["name", "generateName"] {
        if !metadata.iter().any(|(own, _)| own == field) {
            metadata.push((SmolStr::new_static(field), any_text()));
        }
    }
    let declaration = Declaration::object(format!("{name}.metadata"), metadata);
    fields.push((SmolStr::new_static("metadata"), declaration));
}

fn any_text() -> Declaration {
    Declaration::of(Type::String).at_most(REQUEST_MAX - AROUND)
}

fn text(schema: &Structural) -> Option<Declared> {
    let max_length = limit(schema.rules.max_length);
    let (ty, most, min_size) = match schema.rules.format.as_ref().map_or("", |format| format.name.as_str()) {
        "byte" => (Type::Bytes, max_length.unwrap_or(REQUEST_MAX - AROUND), AROUND),
        "duration" => (Type::Duration, DURATION_MAX, AROUND),
        "date" => (Type::Timestamp, DATE, DATE),
        "date-time" => (Type::Timestamp, DATE_TIME_MAX, DATE),
        _ => {
            let longest = schema.rules.choices.iter().map(|choice| choice.str_or_empty().len() as u64).max();
            let most = match max_length {
                Some(letters) => letters.saturating_mul(LETTER_MAX),
                None => longest.unwrap_or(REQUEST_MAX - AROUND),
            };
            (Type::String, most, AROUND)
        }
    };
    Declared::new(Declaration::of(ty).at_most(most), min_size)
}
