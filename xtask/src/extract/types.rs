//! Types of Go as lines of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, bail};
use serde_json::Value;

use super::go::{Body, Decl, Member, Package, marker};
use super::openapi::{definition_name, package_name};

/// Types that are written in a way of their own in JSON or protobuf.
const WELL_KNOWN: [(&str, &str, &str); 12] = [
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "Time", "time"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "MicroTime", "utime"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "Duration", "duration"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "FieldsV1", "fields"),
    ("k8s.io/apimachinery/pkg/api/resource", "Quantity", "quantity"),
    ("k8s.io/apimachinery/pkg/util/intstr", "IntOrString", "intstr"),
    ("k8s.io/apimachinery/pkg/runtime", "RawExtension", "raw"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSON", "json"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSONSchemaPropsOrArray", "schema-or-array"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", "JSONSchemaPropsOrBool", "schema-or-bool"),
    (
        "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
        "JSONSchemaPropsOrStringArray",
        "schema-or-strings",
    ),
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "TypeMeta", "typemeta"),
];

/// Go's own types.
const BASIC: [(&str, &str); 7] = [
    ("bool", "bool"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("float64", "float"),
    ("string", "string"),
    ("[]byte", "bytes"),
    ("interface{}", "any"),
];

/// Where a member is declared: names mean what they mean there.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    decl: &'p Decl,
}

/// Collects the types that kinds reach and writes them.
pub struct Writer<'a> {
    packages: &'a BTreeMap<String, Package>,
    definitions: &'a Value,
    open: Vec<(String, String)>,
    seen: BTreeSet<(String, String)>,
    enums: BTreeMap<(String, String), Vec<String>>,
    differences: Vec<String>,
    /// The package whose lines are being written; its own types are named without it.
    home: String,
}

impl<'a> Writer<'a> {
    /// Over these packages, with OpenAPI's definitions for what they do not say.
    pub fn new(packages: &'a BTreeMap<String, Package>, definitions: &'a Value) -> Writer<'a> {
        Writer {
            packages,
            definitions,
            open: Vec::new(),
            seen: BTreeSet::new(),
            enums: BTreeMap::new(),
            differences: Vec::new(),
            home: String::new(),
        }
    }

    /// What OpenAPI says otherwise; to be looked at by whoever extracts.
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// The lines that say which kinds there are.
    pub fn kinds(&mut self) -> anyhow::Result<String> {
        let mut text = String::new();
        let packages = self.packages;
        for (path, package) in packages {
            let version = path.rsplit('/').next().unwrap_or(path);
            let group = package.group.clone().with_context(|| format!("{path} has no GroupName"))?;
            for (name, decl) in &package.types {
                let is_kind = match &decl.body {
                    Body::Struct(members) => {
                        members.iter().any(|member| member.go_type.ends_with("TypeMeta"))
                    }
                    Body::Named(target) => target == "metav1.List",
                    Body::Alias(_) => false,
                };
                // Types that go nowhere but into other types, or that tests made.
                if !is_kind || name == "TypeMeta" || name.starts_with("Internal") {
                    continue;
                }
                let name = name.as_str();
                let api_version =
                    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
                let reference = self.reference(path, name);
                writeln!(text, "kind {api_version} {name} {reference}")?;
            }
        }
        // Not made of TypeMeta, yet a kind in every group.
        let reference = self.reference("k8s.io/apimachinery/pkg/apis/meta/v1", "WatchEvent");
        writeln!(text, "kind meta.k8s.io/v1 WatchEvent {reference}")?;
        Ok(text)
    }

    /// The lines of all types that the kinds reach, package by package.
    pub fn write(&mut self) -> anyhow::Result<String> {
        let mut by_package: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        while let Some((path, name)) = self.open.pop() {
            self.home.clone_from(&path);
            let text = self.write_type(&path, &name).with_context(|| format!("{path}.{name}"))?;
            by_package.entry(path).or_default().insert(name, text);
        }
        let mut text = String::new();
        for (path, types) in by_package {
            writeln!(text, "package {} {}", short_name(&path), package_name(&path))?;
            for (name, lines) in types {
                match self.enums.get(&(path.clone(), name)) {
                    Some(values) => writeln!(text, "{} {}", lines.trim_end(), values.join(","))?,
                    None => text.push_str(&lines),
                }
            }
        }
        Ok(text)
    }

    fn write_type(&mut self, path: &str, name: &str) -> anyhow::Result<String> {
        let packages = self.packages;
        let Some(decl) = packages.get(path).and_then(|package| package.types.get(name)) else {
            // The few names for strings of packages that hold no kinds.
            return Ok(format!("named {name} string\n"));
        };
        match &decl.body {
            Body::Struct(members) => {
                let definition = &self.definitions[definition_name(path, name)];
                let mut text = format!("struct {name}");
                if marker(&decl.markers, "structType") == Some("atomic") {
                    text.push_str(" atomic");
                }
                if let Some(unions) = definition.get("x-kubernetes-unions") {
                    write!(text, " unions={unions}")?;
                }
                text.push('\n');
                self.write_members(Place { path, decl }, members, definition, &mut text)?;
                Ok(text)
            }
            Body::Named(target) | Body::Alias(target) => {
                if let Some(structure) = self.named_structure(path, decl, target) {
                    // A structure under another name.
                    let (inner_path, inner_name) = structure;
                    let text = self.write_type(&inner_path, &inner_name)?;
                    return Ok(text.replacen(&format!("struct {inner_name}"), &format!("struct {name}"), 1));
                }
                let target = self.expression(path, decl, target)?;
                Ok(format!("named {name} {target}\n"))
            }
        }
    }

    fn write_members(
        &mut self,
        place: Place<'_>,
        members: &[Member],
        definition: &Value,
        text: &mut String,
    ) -> anyhow::Result<()> {
        for member in members {
            if !member.json.is_empty() {
                self.write_field(place, member, definition, text)?;
                continue;
            }
            let (inner_path, inner_name) =
                self.resolve(place.path, place.decl, member.go_type.trim_start_matches('*'))?;
            if inner_name == "TypeMeta" {
                text.push_str(" kind string\n apiVersion string\n");
                continue;
            }
            let packages = self.packages;
            let inner = &packages[&inner_path].types[&inner_name];
            let Body::Struct(inner_members) = &inner.body else {
                bail!("{inner_name} is inlined but no struct")
            };
            let number = member.protobuf.unwrap_or(0);
            writeln!(text, "({number} {inner_name}")?;
            self.write_members(Place { path: &inner_path, decl: inner }, inner_members, definition, text)?;
            text.push_str(")\n");
        }
        Ok(())
    }

    fn write_field(
        &mut self,
        place: Place<'_>,
        member: &Member,
        definition: &Value,
        text: &mut String,
    ) -> anyhow::Result<()> {
        let Place { path, decl } = place;
        let expression = self.expression(path, decl, &member.go_type)?;
        let option = |name: &str| member.json_options.iter().any(|option| option == name);
        write!(text, " {} {expression}", member.json)?;
        if let Some(number) = member.protobuf {
            write!(text, " {number}")?;
        }
        let known = !definition.is_null();
        let property = &definition["properties"][&member.json];
        if known && property.is_null() {
            self.differences.push(format!("{path} {} is missing there", member.json));
        }
        text.push_str(match () {
            () if option("omitzero") => " 0",
            () if !option("omitempty") => " !",
            () => "",
        });
        let required = is_required(member);
        if known {
            let listed = definition["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|name| *name == member.json.as_str()));
            if listed != required {
                self.differences.push(format!("{path} {}: required is {listed} there", member.json));
            }
        }
        if required {
            text.push_str(" r");
        }
        self.write_merge_facts(path, member, property, text)?;
        self.note_enum(path, decl, member, property)?;
        if let Some(default) = member.marker("default") {
            match default.strip_prefix("ref(").and_then(|rest| rest.strip_suffix(')')) {
                Some(constant) => write!(text, " d={}", Value::from(self.constant(path, constant)?))?,
                None => write!(text, " d={default}")?,
            }
        }
        text.push('\n');
        Ok(())
    }

    fn write_merge_facts(
        &mut self,
        path: &str,
        member: &Member,
        property: &Value,
        text: &mut String,
    ) -> anyhow::Result<()> {
        let list_type = member.marker("listType").unwrap_or("");
        let keys = member.all_markers("listMapKey");
        if !property.is_null() {
            let there = property["x-kubernetes-list-type"].as_str().unwrap_or("");
            let keys_there: Vec<&str> = property["x-kubernetes-list-map-keys"]
                .as_array()
                .map(|keys| keys.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            let strategy_there = property["x-kubernetes-patch-strategy"].as_str().unwrap_or("");
            let key_there = property["x-kubernetes-patch-merge-key"].as_str().unwrap_or("");
            let ours =
                (list_type, keys.as_slice(), member.patch_strategy.as_str(), member.patch_merge_key.as_str());
            let theirs = (there, keys_there.as_slice(), strategy_there, key_there);
            if ours != theirs {
                self.differences.push(format!("{path} {}: {ours:?} is {theirs:?} there", member.json));
            }
        }
        match list_type {
            "" => {}
            "map" => write!(text, " l=map:{}", keys.join(","))?,
            other => write!(text, " l={other}")?,
        }
        for kind in ["mapType", "structType"] {
            if let Some(ownership @ ("atomic" | "granular")) = member.marker(kind) {
                write!(text, " {ownership}")?;
            }
        }
        if !member.patch_strategy.is_empty() {
            write!(text, " p={}", member.patch_strategy)?;
        }
        if !member.patch_merge_key.is_empty() {
            write!(text, " k={}", member.patch_merge_key)?;
        }
        Ok(())
    }

    /// Enums belong to the named type of the field (or of its items), whichever way OpenAPI shows them.
    fn note_enum(
        &mut self,
        path: &str,
        decl: &Decl,
        member: &Member,
        property: &Value,
    ) -> anyhow::Result<()> {
        let inner =
            ["items", "additionalProperties"].into_iter().find_map(|inner| property[inner].get("enum"));
        let values = property.get("enum").or(inner);
        let Some(values) = values.and_then(Value::as_array) else { return Ok(()) };
        let inner = member.go_type.rsplit(']').next().unwrap_or("").trim_start_matches('*');
        let named = self.resolve(path, decl, inner)?;
        let values = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        self.enums.insert(named, values);
        Ok(())
    }

    /// The value of a constant, named alone or with its package's path.
    fn constant(&self, path: &str, name: &str) -> anyhow::Result<&str> {
        let (path, name) = name.rsplit_once('.').unwrap_or((path, name));
        let value = self.packages.get(path).and_then(|package| package.constants.get(name));
        Ok(value.with_context(|| format!("no constant {name}"))?)
    }

    /// A type as written in Go, as written in the table.
    fn expression(&mut self, path: &str, decl: &Decl, go_type: &str) -> anyhow::Result<String> {
        if let Some((_, basic)) = BASIC.iter().find(|(name, _)| *name == go_type) {
            return Ok((*basic).to_owned());
        }
        if let Some(inner) = go_type.strip_prefix('*') {
            return Ok(format!("*{}", self.expression(path, decl, inner)?));
        }
        if let Some(inner) = go_type.strip_prefix("[]") {
            return Ok(format!("[]{}", self.expression(path, decl, inner)?));
        }
        if let Some(rest) = go_type.strip_prefix("map[") {
            let (_, inner) = rest.split_once(']').context("map without key")?;
            return Ok(format!("{{}}{}", self.expression(path, decl, inner)?));
        }
        let (target_path, name) = self.resolve(path, decl, go_type)?;
        let well_known = WELL_KNOWN.iter().find(|(path, known, _)| *path == target_path && *known == name);
        if let Some((_, _, text)) = well_known {
            if text.starts_with("schema-or") {
                self.reference(&target_path, "JSONSchemaProps");
            }
            return Ok((*text).to_owned());
        }
        let reference = self.reference(&target_path, &name);
        if target_path == self.home { Ok(name) } else { Ok(reference) }
    }

    /// Package and name of a type that is named in this file, aliases followed.
    fn resolve(&self, path: &str, decl: &Decl, go_type: &str) -> anyhow::Result<(String, String)> {
        let (target, name) = match go_type.split_once('.') {
            Some((package, name)) => {
                (decl.imports.get(package).with_context(|| format!("import {package}"))?.clone(), name)
            }
            None => (path.to_owned(), go_type),
        };
        if let Some(found) = self.packages.get(&target).and_then(|package| package.types.get(name))
            && let Body::Alias(alias) = &found.body
        {
            return self.resolve(&target, found, alias);
        }
        Ok((target, name.to_owned()))
    }

    /// The structure that this names, if it names one.
    fn named_structure(&self, path: &str, decl: &Decl, target: &str) -> Option<(String, String)> {
        let (path, name) = self.resolve(path, decl, target).ok()?;
        let found = self.packages.get(&path)?.types.get(&name)?;
        matches!(found.body, Body::Struct(_)).then_some((path, name))
    }

    fn reference(&mut self, path: &str, name: &str) -> String {
        let key = (path.to_owned(), name.to_owned());
        if self.seen.insert(key.clone()) {
            self.open.push(key);
        }
        format!("{}.{name}", short_name(path))
    }
}

fn is_required(member: &Member) -> bool {
    if member.marker("optional").is_some() {
        return false;
    }
    if member.marker("required").is_some() {
        return true;
    }
    !member.json_options.iter().any(|option| option == "omitempty" || option == "omitzero")
}

/// The last two parts of an import path, which are unique among ours: `core.v1`.
fn short_name(path: &str) -> String {
    let mut parts = path.rsplit('/');
    let last = parts.next().unwrap_or("");
    format!("{}.{last}", parts.next().unwrap_or(""))
}
