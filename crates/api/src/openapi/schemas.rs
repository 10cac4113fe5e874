//! What documents look like: types of the table as schemas.

use std::collections::{BTreeMap, BTreeSet};

use machinery::schema::{FieldRef, Free, ListKind, Shape, TypeRef};
use machinery::{Map, Value, json};
use smol_str::SmolStr;

use super::descriptions::Descriptions;
use super::extras::VERSION_INFO;
use super::parameters;
use super::paths::{Operation, Parameter};
use crate::table::{Kind, Table};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The name under which OpenAPI has a type that Go reads in a way of its own; empty for what has none.
fn well_known(shape: &Shape) -> &'static str {
    match shape {
        Shape::Time => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        Shape::MicroTime => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        Shape::Duration => "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
        Shape::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity",
        Shape::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        Shape::Any(Free::Raw) => "io.k8s.apimachinery.pkg.runtime.RawExtension",
        Shape::Any(Free::Fields) => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        Shape::Any(Free::Json) => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        Shape::SchemaOr(alternative, _) => match alternative {
            machinery::schema::Alternative::Schemas => {
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray"
            }
            machinery::schema::Alternative::Bool => {
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool"
            }
            machinery::schema::Alternative::Strings => {
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
            }
        },
        _ => "",
    }
}

/// The version of OpenAPI that schemas are written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// All groups in one document; no defaults, no alternatives.
    Two,
    /// A document for each group and version.
    Three,
}

/// Collects the schemas that a document needs.
pub(super) struct Schemas<'t> {
    table: &'t Table,
    dialect: Dialect,
    descriptions: Descriptions,
    /// The group and version the document is of; kinds of every group are shown as kinds of it.
    group_version: Option<(&'t str, &'t str)>,
    kinds: BTreeMap<&'t str, Vec<&'t Kind>>,
    written: BTreeMap<String, Value>,
    open: BTreeSet<String>,
}

impl<'t> Schemas<'t> {
    /// For the document of a group and version, or for one that is of none.
    pub(super) fn new(table: &'t Table, group_version: Option<(&'t str, &'t str)>) -> Schemas<'t> {
        Schemas::of(table, Dialect::Three, group_version)
    }

    /// For the one document of version 2.
    pub(super) fn of_all(table: &'t Table) -> Schemas<'t> {
        Schemas::of(table, Dialect::Two, None)
    }

    fn of(table: &'t Table, dialect: Dialect, group_version: Option<(&'t str, &'t str)>) -> Schemas<'t> {
        let mut kinds: BTreeMap<&str, Vec<&Kind>> = BTreeMap::new();
        for kind in table.kinds() {
            kinds.entry(table.type_of(kind).full_name()).or_default().push(kind);
        }
        let descriptions = Descriptions::load();
        Schemas {
            table,
            dialect,
            descriptions,
            group_version,
            kinds,
            written: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// A reference to the schema of a type with a name.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        if !self.written.contains_key(name) {
            self.open.insert(name.to_owned());
        }
        let folder = match self.dialect {
            Dialect::Two => "#/definitions",
            Dialect::Three => "#/components/schemas",
        };
        Value::from([("$ref", format!("{folder}/{name}").into())])
    }

    /// The version of OpenAPI that schemas are written in.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is said of a field of a type of the table.
    pub(super) fn description(&self, name: &str, field: &str) -> Option<String> {
        self.descriptions.of_field(name, field)
    }

    /// What is said of a parameter of an operation.
    pub(super) fn about_parameter(
        &self,
        parameter: &Parameter<'_>,
        operation: &Operation<'_>,
    ) -> Option<String> {
        parameters::about(parameter, operation, &self.descriptions)
    }

    /// Adds the schema of a type that is not in the table.
    pub(super) fn define(&mut self, name: String, schema: Value) {
        self.open.remove(&name);
        self.written.insert(name, schema);
    }

    /// All schemas that were referred to, with all that they refer to, by name.
    pub(super) fn finish(mut self) -> Value {
        while let Some(name) = self.open.pop_first() {
            let schema = self.definition(&name);
            self.written.insert(name, schema);
        }
        Value::Object(Map::from_entries(self.written))
    }

    fn definition(&mut self, name: &str) -> Value {
        let schema = match self.table.types().named(name) {
            Some(ty) => self.structure(ty),
            None if name == VERSION_INFO => self.version_info(),
            None => special(name, self.dialect),
        };
        described(self.descriptions.of_type(name), schema)
    }

    /// What the server tells about its own version.
    fn version_info(&self) -> Value {
        const ALWAYS: [&str; 9] = [
            "major",
            "minor",
            "gitVersion",
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        ];
        const SOMETIMES: [&str; 4] =
            ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
        let mut properties = Value::object();
        for name in ALWAYS.into_iter().chain(SOMETIMES) {
            let mut property = Value::from([("type", Value::from("string"))]);
            if self.dialect == Dialect::Three && ALWAYS.contains(&name) {
                property.set("default", "");
            }
            properties.set(name, described(self.descriptions.of_field(VERSION_INFO, name), property));
        }
        Value::from([
            ("type", "object".into()),
            ("required", ALWAYS.into_iter().map(Value::from).collect::<Vec<_>>().into()),
            ("properties", properties),
        ])
    }

    fn structure(&mut self, ty: TypeRef<'t>) -> Value {
        let mut schema = Value::from([("type", "object".into())]);
        let required: Vec<&str> =
            ty.fields().filter(|field| field.required).map(|field| field.get().name.as_str()).collect();
        if !required.is_empty() {
            schema.set("required", required.into_iter().map(Value::from).collect::<Vec<_>>());
        }
        let mut fields: Vec<FieldRef<'t>> = ty.fields().collect();
        fields.sort_by_key(|field| field.get().name.as_str());
        if !fields.is_empty() {
            let properties =
                fields.into_iter().map(|field| (field.name.clone(), self.described_property(ty, field)));
            schema.set("properties", Map::from_entries(properties));
        }
        let kinds = self.kinds_of(ty);
        if !kinds.is_empty() {
            schema.set("x-kubernetes-group-version-kind", kinds);
        }
        if let Some(inner) = ty.as_struct() {
            if inner.atomic {
                schema.set("x-kubernetes-map-type", "atomic");
            }
            if let Ok(unions) = json::parse(inner.unions.as_bytes()) {
                schema.set("x-kubernetes-unions", unions);
            }
        }
        schema
    }

    /// Under which groups and versions a type is a kind.
    fn kinds_of(&self, ty: TypeRef<'_>) -> Vec<Value> {
        let shown = |group: &str, version: &str, kind: &str| {
            Value::from([("group", group.into()), ("kind", kind.into()), ("version", version.into())])
        };
        let Some(kinds) = self.kinds.get(ty.name.as_str()) else { return Vec::new() };
        let mut values = Vec::new();
        for kind in kinds {
            if kind.group != "meta.k8s.io" {
                values.push(shown(kind.group, kind.version, kind.kind));
                continue;
            }
            if self.dialect == Dialect::Two {
                let everywhere = self.everywhere(kind).into_iter();
                values.extend(everywhere.map(|(group, version)| shown(group, version, kind.kind)));
                continue;
            }
            // Found under the core group, and those of every group under the document's own as well.
            if self.table.kind("", "v1", kind.kind) == Some(kind) {
                values.push(shown("", "v1", kind.kind));
            }
            match self.group_version {
                Some((group, version))
                    if !group.is_empty() && self.table.kind(group, version, kind.kind) == Some(kind) =>
                {
                    values.push(shown(group, version, kind.kind));
                }
                _ => {}
            }
        }
        values
    }

    /// The groups and versions, served or not, under which a kind of every group is known.
    fn everywhere(&self, kind: &'t Kind) -> BTreeSet<(&'t str, &'t str)> {
        /// What only describes others.
        const DESCRIBING: [&str; 2] = ["meta.k8s.io", "apidiscovery.k8s.io"];
        /// Old versions that are still known by name, though none of their kinds is left.
        const OLD: [(&str, &str); 2] =
            [("apiextensions.k8s.io", "v1beta1"), ("apiregistration.k8s.io", "v1beta1")];
        let all = self.table.kinds().iter().map(|known| (known.group, known.version));
        let mut known: BTreeSet<(&str, &str)> = all
            .filter(|(group, version)| {
                !DESCRIBING.contains(group) && self.table.kind(group, version, kind.kind) == Some(kind)
            })
            .collect();
        if known.len() > 1 {
            known.extend(OLD);
        }
        known
    }

    fn described_property(&mut self, ty: TypeRef<'t>, field: FieldRef<'t>) -> Value {
        let about = self.descriptions.of_field(ty.full_name(), &field.name);
        let choices = choices(&field.ty().enumeration);
        let about = if choices.is_empty() { about } else { Some(about.unwrap_or_default() + &choices) };
        let schema = self.property(field);
        described(about, schema)
    }

    fn property(&mut self, field: FieldRef<'t>) -> Value {
        let mut schema = self.inline(field.ty());
        if self.dialect == Dialect::Three {
            if schema.as_object().is_some_and(|map| map.contains_key("$ref")) {
                schema = Value::from([("allOf", vec![schema].into())]);
            }
            if let Some(default) = default_of(field) {
                schema.set("default", default);
            }
        }
        if let Shape::List(list) = field.ty().shape() {
            let list_type = match &list.kind {
                ListKind::Plain => "",
                ListKind::Atomic => "atomic",
                ListKind::Set => "set",
                ListKind::Map(keys) => {
                    let keys: Vec<Value> = keys.iter().map(|key| Value::from(key.as_str())).collect();
                    schema.set("x-kubernetes-list-map-keys", keys);
                    "map"
                }
            };
            if !list_type.is_empty() {
                schema.set("x-kubernetes-list-type", list_type);
            }
        }
        if matches!(field.ty().shape(), Shape::Bytes) && field.atomic == Some(true) {
            schema.set("x-kubernetes-list-type", "atomic");
        } else if let Some(atomic) = field.atomic {
            schema.set("x-kubernetes-map-type", if atomic { "atomic" } else { "granular" });
        }
        if !field.patch.key.is_empty() {
            schema.set("x-kubernetes-patch-merge-key", field.patch.key.as_str());
        }
        let strategies = [
            (field.patch.merge, "merge"),
            (field.patch.replace, "replace"),
            (field.patch.retain_keys, "retainKeys"),
        ];
        let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if !strategies.is_empty() {
            schema.set("x-kubernetes-patch-strategy", strategies.join(","));
        }
        schema
    }

    /// A type where it is used.
    fn inline(&mut self, ty: TypeRef<'t>) -> Value {
        let plain = |kind: &str, format: &str| {
            let mut schema = Value::from([("type", kind.into())]);
            if !format.is_empty() {
                schema.set("format", format);
            }
            schema
        };
        match ty.shape() {
            Shape::Bool => plain("boolean", ""),
            Shape::Int32 => plain("integer", "int32"),
            Shape::Int64 => plain("integer", "int64"),
            Shape::Float => plain("number", "double"),
            Shape::Bytes => plain("string", "byte"),
            Shape::String => {
                let mut schema = plain("string", "");
                if !ty.enumeration.is_empty() {
                    let values = ty.enumeration.iter().map(|value| Value::from(value.as_str()));
                    schema.set("enum", values.collect::<Vec<_>>());
                }
                schema
            }
            Shape::List(_) => {
                let item = ty.item().map(|item| self.inline(item)).unwrap_or_default();
                Value::from([("type", "array".into()), ("items", item)])
            }
            Shape::Map(_) => {
                let value = ty.item().map(|value| self.inline(value)).unwrap_or_default();
                Value::from([("type", "object".into()), ("additionalProperties", value)])
            }
            Shape::Struct(_) => self.reference(&ty.name),
            Shape::Any(Free::Interface) => Value::object(),
            known => self.reference(well_known(known)),
        }
    }
}

/// The values that a field may have, as its description ends with; nothing if it may have any.
fn choices(enumeration: &[SmolStr]) -> String {
    if enumeration.is_empty() {
        return String::new();
    }
    let mut values: Vec<&str> = enumeration.iter().map(SmolStr::as_str).collect();
    values.sort_unstable();
    let lines: Vec<String> = values.iter().map(|value| format!(" - `\"{value}\"`")).collect();
    format!("\n\nPossible enum values:\n{}", lines.join("\n"))
}

/// A schema with its description in front.
fn described(about: Option<String>, schema: Value) -> Value {
    let (Some(about), Value::Object(map)) = (about, &schema) else { return schema };
    let first = ("description".into(), Value::from(about));
    let members = std::iter::once(first).chain(map.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(Map::from_entries(members))
}

/// The default that OpenAPI shows: the declared one, or what Go cannot tell from unset.
fn default_of(field: FieldRef<'_>) -> Option<Value> {
    let own_format = !well_known(field.ty().shape()).is_empty();
    let zero = match field.ty().shape() {
        _ if field.pointer => None,
        Shape::Struct(_) => Some(Value::object()),
        Shape::Any(_) | Shape::SchemaOr(..) | Shape::List(_) | Shape::Map(_) | Shape::Bytes => None,
        _ if own_format => None,
        _ if field.omission == machinery::schema::Omission::Never => Some(field.ty().zero()),
        _ => None,
    };
    field.default.clone().or(zero)
}

/// Types that have no fields but a form of their own.
fn special(name: &str, dialect: Dialect) -> Value {
    let plain = |members: &[(&str, &str)]| {
        let members = members.iter().map(|(name, value)| (*name, Value::from(*value)));
        Value::Object(Map::from_entries(members))
    };
    let one_of = |mut schema: Value, kinds: [&str; 2]| {
        let kinds: Vec<Value> = kinds.into_iter().map(|kind| Value::from([("type", kind.into())])).collect();
        schema.set("oneOf", kinds);
        schema
    };
    match name.rsplit('.').next().unwrap_or(name) {
        "Time" | "MicroTime" => plain(&[("type", "string"), ("format", "date-time")]),
        "Duration" => plain(&[("type", "string")]),
        "Quantity" if dialect == Dialect::Two => plain(&[("type", "string")]),
        "IntOrString" if dialect == Dialect::Two => plain(&[("type", "string"), ("format", "int-or-string")]),
        "Quantity" => one_of(Value::object(), ["string", "number"]),
        "IntOrString" => one_of(plain(&[("format", "int-or-string")]), ["integer", "string"]),
        "RawExtension" | "FieldsV1" | "Patch" => plain(&[("type", "object")]),
        _ => Value::object(),
    }
}

/// The name of what patches are documents of.
pub(super) fn patch_type() -> String {
    format!("{META}.Patch")
}
