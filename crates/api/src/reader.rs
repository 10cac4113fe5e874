//! Reads `table.txt`. Its lines:
//!
//! ```text
//! kind apps/v1 Deployment apps.v1.Deployment
//! package apps.v1 io.k8s.api.apps.v1          what follows belongs to it; `apps.v1` is what others call it
//! named RestartPolicy string Always,Never      a type of its own, with the values it may have
//! struct PodSpec [atomic] [unions=JSON]
//!  containers []Container 2 ! r l=map:name p=merge k=name d=JSON
//! (2 VolumeSource                              fields of an inlined structure, which protobuf has as field 2 here
//! )
//! serves apps/v1 17800 15                      priorities of group and version
//!  deployments deployment Deployment namespaced all short=deploy in=all hash=8aSe+NMegvE=
//!   scale Scale get,patch,update of=autoscaling/v1
//! ```
//!
//! A field has a name, a type (`*` may be unset, `[]` list, `{}` map), a number in protobuf, `!` if it is never left out
//! (`0` if it is left out when all of it is zero; else when it is empty), `r` if it is required, `atomic` or `granular`, `l=`
//! list type
//! and keys, `p=` patch strategy, `k=` patch merge key, `d=` default.

use std::collections::HashMap;
use std::sync::Arc;

use machinery::json;
use machinery::schema::{
    Alternative, Field, Free, Inline, ListKind, ListType, MapType, Omission, Patch, Shape, Struct, Type,
    TypeId, Types,
};
use machinery::value::Name;
use smol_str::SmolStr;

use crate::table::{GroupVersion, Kind, Resource, Subresource, Table, Verb};

/// Reads the text. It is part of this program, and a test reads it; so what is wrong with it is a bug.
pub(crate) fn read(text: &'static str) -> Table {
    let mut reader = Reader::default();
    reader.declare(text);
    // Structures ask what their fields' types are, so what has a name but is no structure comes first.
    for line in text.lines() {
        reader.package_or_named(line);
    }
    let mut kinds = Vec::new();
    let mut group_versions: Vec<GroupVersion> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "kind" => kinds.push(rest),
            "package" => reader.package = rest.split_once(' ').expect("package has two names").0,
            "struct" => {
                let mut members = Vec::new();
                while let Some(member) = lines.next_if(|line| line.starts_with([' ', '(', ')'])) {
                    members.push(member);
                }
                reader.structure(rest, &members);
            }
            "serves" => group_versions.push(group_version(rest)),
            "" if rest.starts_with(' ') => subresource(&rest[1..], &mut group_versions),
            "" if !rest.is_empty() => resource(rest, &mut group_versions),
            _ => {}
        }
    }
    finish(reader, &kinds, group_versions)
}

fn finish(reader: Reader, kinds: &[&'static str], mut group_versions: Vec<GroupVersion>) -> Table {
    let mut by_name = HashMap::new();
    let mut all = Vec::new();
    for line in kinds {
        let mut words = line.split(' ');
        let (group, version) = split_api_version(words.next().expect("apiVersion"));
        let kind = words.next().expect("kind");
        let type_id = reader.foreign(words.next().expect("type"));
        let served = group_versions.iter().any(|other| other.group == group && other.version == version);
        by_name.insert((group, version, kind), all.len());
        all.push(Kind { group, version, kind, type_id, served });
    }
    for group_version in &mut group_versions {
        group_version.resources.sort_by_key(|resource| resource.plural);
    }
    Table { types: Arc::new(reader.types), kinds: all, by_name, group_versions }
}

fn group_version(rest: &'static str) -> GroupVersion {
    let mut words = rest.split(' ');
    let (group, version) = split_api_version(words.next().expect("apiVersion"));
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("priority");
    GroupVersion {
        group,
        version,
        group_priority: number(),
        version_priority: number(),
        resources: Vec::new(),
    }
}

fn resource(line: &'static str, group_versions: &mut [GroupVersion]) {
    let group_version = group_versions.last_mut().expect("resources follow their version");
    let mut words = line.split(' ');
    let mut word = || words.next().expect("a resource has five words");
    let mut resource = Resource {
        group: group_version.group,
        version: group_version.version,
        plural: word(),
        singular: word(),
        kind: word(),
        namespaced: word() == "namespaced",
        verbs: verbs(word()),
        short_names: Vec::new(),
        categories: Vec::new(),
        storage_hash: "",
        subresources: Vec::new(),
    };
    for option in words {
        match option.split_once('=') {
            Some(("short", names)) => resource.short_names = names.split(',').collect(),
            Some(("in", names)) => resource.categories = names.split(',').collect(),
            Some(("hash", hash)) => resource.storage_hash = hash,
            _ => {}
        }
    }
    group_version.resources.push(resource);
}

fn subresource(line: &'static str, group_versions: &mut [GroupVersion]) {
    let resources = &mut group_versions.last_mut().expect("subresources follow their version").resources;
    let resource = resources.last_mut().expect("subresources follow their resource");
    let mut words = line.split(' ');
    let mut word = || words.next().expect("a subresource has three words");
    let (name, kind, allowed) = (word(), word(), verbs(word()));
    let of = words.next().and_then(|word| word.strip_prefix("of=")).map(split_api_version);
    resource.subresources.push(Subresource {
        name,
        group: of.map(|(group, _)| group),
        version: of.map(|(_, version)| version),
        kind,
        verbs: allowed,
    });
}

fn verbs(word: &str) -> Vec<Verb> {
    match word {
        "all" => Verb::ALL.to_vec(),
        _ => {
            let known = |name: &str| Verb::ALL.into_iter().find(|verb| verb.as_str() == name);
            word.split(',').filter_map(known).collect()
        }
    }
}

fn split_api_version(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}

#[derive(Default)]
struct Reader {
    types: Types,
    /// Named types by package and name.
    ids: HashMap<(&'static str, &'static str), TypeId>,
    /// Types without names, by package and how they are written.
    unnamed: HashMap<(&'static str, &'static str, &'static str, bool), TypeId>,
    /// Names of fields; many structures have fields of one name, which is kept once.
    names: HashMap<&'static str, Name>,
    package: &'static str,
}

impl Reader {
    /// Adds all named types, so that they can refer to each other.
    fn declare(&mut self, text: &'static str) {
        let (mut short, mut long) = ("", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("package ") {
                (short, long) = rest.split_once(' ').expect("package has two names");
            }
            let Some(rest) = line.strip_prefix("named ").or_else(|| line.strip_prefix("struct ")) else {
                continue;
            };
            let name = rest.split(' ').next().unwrap_or(rest);
            // Go knows a package by its last part: `v1.Pod`, `types.UID`.
            let package = short.rsplit('.').next().unwrap_or(short);
            let id = self.types.add(Type {
                name: SmolStr::from(format!("{long}.{name}")),
                go_name: SmolStr::from(format!("{package}.{name}")),
                shape: Shape::Struct(Struct::default()),
                enumeration: Box::default(),
            });
            self.ids.insert((short, name), id);
        }
    }

    fn package_or_named(&mut self, line: &'static str) {
        if let Some(rest) = line.strip_prefix("package ") {
            self.package = rest.split_once(' ').expect("package has two names").0;
        } else if let Some(rest) = line.strip_prefix("named ") {
            self.named(rest);
        }
    }

    fn own(&self, name: &'static str) -> TypeId {
        self.ids[&(self.package, name)]
    }

    /// A type of any package: `core.v1.Pod`.
    fn foreign(&self, text: &'static str) -> TypeId {
        self.ids[&text.rsplit_once('.').expect("a package and a name")]
    }

    fn named(&mut self, rest: &'static str) {
        let mut words = rest.splitn(3, ' ');
        let name = words.next().expect("a name");
        let target = words.next().expect("a type");
        let values = words.next().map(|values| values.split(',').map(SmolStr::new_static).collect());
        let target_id = self.expression(target, "", false).0;
        let mut shape = self.types.get(target_id).shape().clone();
        if let Shape::List(list) = &mut shape {
            list.wrapped = matches!(self.types.get(list.item).shape(), Shape::String);
        }
        self.types.define(self.own(name), shape, values.unwrap_or_default());
    }

    fn structure(&mut self, rest: &'static str, members: &[&'static str]) {
        let (name, options) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut fields = Vec::with_capacity(members.len());
        let mut inlines: Vec<Inline> = Vec::new();
        let mut open: Vec<u16> = vec![0];
        for member in members {
            let inline = *open.last().expect("the structure itself is never closed");
            if let Some(inner) = member.strip_prefix('(') {
                let (number, name) = inner.split_once(' ').expect("a number and a name");
                let number = number.parse().expect("a number");
                inlines.push(Inline { name: SmolStr::new_static(name), number, parent: inline });
                open.push(inlines.len() as u16);
            } else if *member == ")" {
                open.pop();
            } else {
                fields.push(self.field(&member[1..], inline));
            }
        }
        let mut inner = Struct::with_inlines(fields, inlines);
        inner.atomic = options.starts_with("atomic");
        inner.unions = SmolStr::new(options.split_once("unions=").map_or("", |(_, unions)| unions));
        self.types.define(self.own(name), Shape::Struct(inner), Box::default());
    }

    fn field(&mut self, line: &'static str, inline: u16) -> Field {
        let (line, default) = match line.split_once(" d=") {
            Some((line, default)) => (line, Some(default)),
            None => (line, None),
        };
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let expression = words.next().expect("a type");
        let name = self.names.entry(name).or_insert_with(|| Name::lasting(name)).clone();
        let mut field = Field::new(name, self.own_scalar("string"));
        field.inline = inline;
        field.default = default.map(|text| json::parse(text.as_bytes()).expect("defaults are JSON"));
        let mut list_type = "";
        for word in words {
            match word.split_once('=') {
                Some(("l", value)) => list_type = value,
                Some(("p", value)) => {
                    let has = |strategy: &str| value.split(',').any(|part| part == strategy);
                    let (merge, replace, retain_keys) = (has("merge"), has("replace"), has("retainKeys"));
                    field.patch = Patch { merge, replace, retain_keys, key: field.patch.key };
                }
                Some(("k", value)) => field.patch.key = SmolStr::new_static(value),
                _ if word == "!" => field.omission = Omission::Never,
                _ if word == "0" => field.omission = Omission::Zero,
                _ if word == "r" => field.required = true,
                _ if word == "atomic" => field.atomic = Some(true),
                _ if word == "granular" => field.atomic = Some(false),
                _ => field.number = word.parse().expect("a number"),
            }
        }
        (field.type_id, field.pointer) = self.expression(expression, list_type, field.atomic == Some(true));
        // To Go, bytes are a list.
        if list_type == "atomic" && matches!(self.types.get(field.type_id).shape(), Shape::Bytes) {
            field.atomic = Some(true);
        }
        // Go leaves out what is empty, and structures never are.
        if !field.pointer && field.omission == Omission::Empty && self.is_never_empty(field.type_id) {
            field.omission = Omission::Never;
        }
        field
    }

    /// Whether Go never calls a value of this type empty. Structures count even before they are read.
    fn is_never_empty(&self, id: TypeId) -> bool {
        !matches!(
            self.types.get(id).shape(),
            Shape::Bool
                | Shape::Int32
                | Shape::Int64
                | Shape::Float
                | Shape::String
                | Shape::Bytes
                | Shape::Map(_)
                | Shape::List(_)
        )
    }

    /// A type as it is written, and whether it may be unset.
    fn expression(&mut self, text: &'static str, list_type: &'static str, atomic: bool) -> (TypeId, bool) {
        if let Some(inner) = text.strip_prefix('*') {
            return (self.expression(inner, list_type, atomic).0, true);
        }
        if let Some(inner) = text.strip_prefix("[]") {
            let key = (self.package, text, list_type, atomic);
            if let Some(id) = self.unnamed.get(&key) {
                return (*id, false);
            }
            let (item, nullable) = self.expression(inner, "", false);
            let kind = list_kind(list_type);
            let id = self.types.add_shape(Shape::List(ListType { item, nullable, kind, wrapped: false }));
            self.unnamed.insert(key, id);
            return (id, false);
        }
        if let Some(inner) = text.strip_prefix("{}") {
            let key = (self.package, text, "", atomic);
            if let Some(id) = self.unnamed.get(&key) {
                return (*id, false);
            }
            let (value, nullable) = self.expression(inner, "", false);
            let id = self.types.add_shape(Shape::Map(MapType { value, nullable, atomic }));
            self.unnamed.insert(key, id);
            return (id, false);
        }
        if text.contains('.') {
            return (self.foreign(text), false);
        }
        if text.starts_with(|letter: char| letter.is_ascii_uppercase()) {
            return (self.declared(self.own(text), list_type), false);
        }
        (self.own_scalar(text), false)
    }

    /// A type with a name; where a field says what the list means, a copy of it that says so too.
    fn declared(&mut self, id: TypeId, list_type: &'static str) -> TypeId {
        let original = self.types.get(id);
        let Shape::List(list) = original.shape() else { return id };
        if list_type.is_empty() {
            return id;
        }
        let copy = Type {
            name: SmolStr::default(),
            go_name: original.go_name.clone(),
            shape: Shape::List(ListType { kind: list_kind(list_type), ..list.clone() }),
            enumeration: Box::default(),
        };
        self.types.add(copy)
    }

    fn own_scalar(&mut self, text: &'static str) -> TypeId {
        let key = ("", text, "", false);
        if let Some(id) = self.unnamed.get(&key) {
            return *id;
        }
        let schema = |reader: &Reader| reader.foreign("apiextensions.v1.JSONSchemaProps");
        let shape = match text {
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "float" => Shape::Float,
            "string" => Shape::String,
            "bytes" => Shape::Bytes,
            "time" => Shape::Time,
            "utime" => Shape::MicroTime,
            "duration" => Shape::Duration,
            "quantity" => Shape::Quantity,
            "intstr" => Shape::IntOrString,
            "raw" => Shape::Any(Free::Raw),
            "json" => Shape::Any(Free::Json),
            "fields" => Shape::Any(Free::Fields),
            "any" => Shape::Any(Free::Interface),
            "schema-or-array" => Shape::SchemaOr(Alternative::Schemas, schema(self)),
            "schema-or-bool" => Shape::SchemaOr(Alternative::Bool, schema(self)),
            "schema-or-strings" => Shape::SchemaOr(Alternative::Strings, schema(self)),
            other => unreachable!("the extraction writes no type {other}"),
        };
        let id = self.types.add_shape(shape);
        self.unnamed.insert(key, id);
        id
    }
}

fn list_kind(text: &'static str) -> ListKind {
    match text {
        "" => ListKind::Plain,
        "atomic" => ListKind::Atomic,
        "set" => ListKind::Set,
        keys => {
            let keys = keys.strip_prefix("map:").unwrap_or(keys);
            ListKind::Map(keys.split(',').map(SmolStr::new_static).collect())
        }
    }
}
