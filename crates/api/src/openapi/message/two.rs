//! The messages of version 2.

use machinery::Value;

use super::Form::{Any, Choice, Count, Flag, Items, Named, Number, One, Text, Texts};
use super::{Form, Message};

pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, One(&INFO)),
        ("host", 3, Text),
        ("basePath", 4, Text),
        ("schemes", 5, Texts),
        ("consumes", 6, Texts),
        ("produces", 7, Texts),
        ("paths", 8, Named(2, &One(&PATH_ITEM))),
        ("definitions", 9, Named(1, &One(&SCHEMA))),
        ("parameters", 10, Named(1, &Choice(parameter))),
        ("security", 12, Items(&Named(1, &Choice(|_| (1, Texts))))),
        ("securityDefinitions", 13, Named(1, &Choice(|_| (2, One(&API_KEY))))),
    ],
    extensions: 16,
};

static INFO: Message =
    Message { fields: &[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], extensions: 7 };

static API_KEY: Message = Message {
    fields: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: 5,
};

static PATH_ITEM: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, Items(&Choice(parameter_or_reference))),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Items(&Choice(parameter_or_reference))),
        ("responses", 9, Named(1, &Choice(|_| (1, One(&RESPONSE))))),
        ("schemes", 10, Texts),
        ("deprecated", 11, Flag),
    ],
    extensions: 13,
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Text), ("schema", 2, Choice(|_| (1, One(&SCHEMA))))],
    extensions: 5,
};

static REFERENCE: Message = Message { fields: &[("$ref", 1, Text), ("description", 2, Text)], extensions: 0 };

fn parameter_or_reference(value: &Value) -> (u32, Form) {
    if value.get("$ref").is_null() { (1, Choice(parameter)) } else { (2, One(&REFERENCE)) }
}

fn parameter(value: &Value) -> (u32, Form) {
    match value.get("in").str_or_empty() {
        "body" => (1, One(&BODY)),
        _ => (2, Choice(bodiless)),
    }
}

fn bodiless(value: &Value) -> (u32, Form) {
    match value.get("in").str_or_empty() {
        "header" => (1, One(&ELSEWHERE)),
        "path" => (4, One(&ELSEWHERE)),
        _ => (3, One(&QUERY)),
    }
}

static BODY: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, One(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("allowEmptyValue", 5, Flag),
        ("type", 6, Text),
        ("format", 7, Text),
        ("default", 10, Any),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};

/// A parameter in the path or among the headers.
static ELSEWHERE: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("default", 9, Any),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Count),
        ("minLength", 12, Count),
        ("pattern", 13, Text),
        ("maxItems", 14, Count),
        ("minItems", 15, Count),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Count),
        ("minProperties", 18, Count),
        ("required", 19, Texts),
        ("enum", 20, Items(&Any)),
        ("additionalProperties", 21, Choice(additional)),
        ("type", 22, Choice(|_| (1, Texts))),
        ("items", 23, Choice(|_| (1, One(&SCHEMA)))),
        ("allOf", 24, Items(&One(&SCHEMA))),
        ("properties", 25, Named(1, &One(&SCHEMA))),
        ("discriminator", 26, Text),
        ("readOnly", 27, Flag),
        ("externalDocs", 29, One(&EXTERNAL)),
        ("example", 30, Any),
    ],
    extensions: 31,
};

static EXTERNAL: Message = Message { fields: &[("description", 1, Text), ("url", 2, Text)], extensions: 3 };

fn additional(value: &Value) -> (u32, Form) {
    if value.as_bool().is_some() { (2, Flag) } else { (1, One(&SCHEMA)) }
}
