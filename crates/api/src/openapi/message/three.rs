//! The messages of version 3.

use machinery::Value;

use super::Form::{Any, Choice, Count, Flag, Items, Named, Number, One, Text, Texts};
use super::{Form, Message};

pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("openapi", 1, Text),
        ("info", 2, One(&INFO)),
        ("paths", 4, Named(1, &One(&PATH_ITEM))),
        ("components", 5, One(&COMPONENTS)),
    ],
    extensions: 9,
};

static INFO: Message =
    Message { fields: &[("title", 1, Text), ("description", 2, Text), ("version", 6, Text)], extensions: 7 };

static COMPONENTS: Message = Message {
    fields: &[
        ("schemas", 1, Named(1, &Choice(schema))),
        ("securitySchemes", 8, Named(1, &Choice(|_| (1, One(&SECURITY_SCHEME))))),
    ],
    extensions: 10,
};

static SECURITY_SCHEME: Message = Message {
    fields: &[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)],
    extensions: 9,
};

static PATH_ITEM: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("get", 4, One(&OPERATION)),
        ("put", 5, One(&OPERATION)),
        ("post", 6, One(&OPERATION)),
        ("delete", 7, One(&OPERATION)),
        ("options", 8, One(&OPERATION)),
        ("head", 9, One(&OPERATION)),
        ("patch", 10, One(&OPERATION)),
        ("trace", 11, One(&OPERATION)),
        ("parameters", 13, Items(&Choice(|_| (1, One(&PARAMETER))))),
    ],
    extensions: 14,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Items(&Choice(|_| (1, One(&PARAMETER))))),
        ("requestBody", 7, Choice(|_| (1, One(&REQUEST_BODY)))),
        ("responses", 8, Named(2, &Choice(|_| (1, One(&RESPONSE))))),
        ("deprecated", 10, Flag),
    ],
    extensions: 13,
};

static PARAMETER: Message = Message {
    fields: &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, Choice(schema)),
    ],
    extensions: 14,
};

static REQUEST_BODY: Message = Message {
    fields: &[("description", 1, Text), ("content", 2, Named(1, &One(&MEDIA_TYPE))), ("required", 3, Flag)],
    extensions: 4,
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Text), ("content", 3, Named(1, &One(&MEDIA_TYPE)))],
    extensions: 5,
};

static MEDIA_TYPE: Message = Message { fields: &[("schema", 1, Choice(schema))], extensions: 5 };

static REFERENCE: Message = Message { fields: &[("$ref", 1, Text)], extensions: 0 };

fn schema(value: &Value) -> (u32, Form) {
    if value.get("$ref").is_null() { (1, One(&SCHEMA)) } else { (2, One(&REFERENCE)) }
}

static SCHEMA: Message = Message {
    fields: &[
        ("nullable", 1, Flag),
        ("readOnly", 3, Flag),
        ("writeOnly", 4, Flag),
        ("externalDocs", 6, One(&EXTERNAL)),
        ("example", 7, Any),
        ("deprecated", 8, Flag),
        ("title", 9, Text),
        ("multipleOf", 10, Number),
        ("maximum", 11, Number),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Number),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Count),
        ("minLength", 16, Count),
        ("pattern", 17, Text),
        ("maxItems", 18, Count),
        ("minItems", 19, Count),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Count),
        ("minProperties", 22, Count),
        ("required", 23, Texts),
        ("enum", 24, Items(&Any)),
        ("type", 25, Text),
        ("allOf", 26, Items(&Choice(schema))),
        ("oneOf", 27, Items(&Choice(schema))),
        ("anyOf", 28, Items(&Choice(schema))),
        ("not", 29, One(&SCHEMA)),
        ("items", 30, Choice(|_| (1, Choice(schema)))),
        ("properties", 31, Named(1, &Choice(schema))),
        ("additionalProperties", 32, Choice(additional)),
        ("default", 33, Choice(default)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    extensions: 36,
};

static EXTERNAL: Message = Message { fields: &[("description", 1, Text), ("url", 2, Text)], extensions: 3 };

fn additional(value: &Value) -> (u32, Form) {
    if value.as_bool().is_some() { (2, Flag) } else { (1, Choice(schema)) }
}

/// Defaults that are objects or lists have no place in the message; the field is there and empty.
fn default(value: &Value) -> (u32, Form) {
    match value {
        Value::Bool(_) => (2, Flag),
        Value::String(_) => (3, Text),
        Value::Object(_) | Value::Array(_) => (3, Texts),
        _ => (1, Number),
    }
}
