//! The environment of a container: from ConfigMaps and Secrets, from its own fields, from Services, from values.

mod expand;
mod services;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource};

use crate::downward::{self, Myself};

pub(crate) use expand::{expand, expand_all};
pub(crate) use services::{ServiceFacts, service_variables};

/// The data of a ConfigMap or Secret by key.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

/// Which object a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl SourceKind {
    /// As errors call it.
    pub fn word(self) -> &'static str {
        match self {
            SourceKind::ConfigMap => "configmap",
            SourceKind::Secret => "secret",
        }
    }

    fn title(self) -> &'static str {
        match self {
            SourceKind::ConfigMap => "ConfigMap",
            SourceKind::Secret => "Secret",
        }
    }
}

/// All that an environment is made from.
pub(crate) struct Ingredients<'a> {
    /// The pod and where it runs.
    pub own: Myself<'a>,
    /// The container.
    pub container: &'a Container,
    /// The objects it refers to; `None` for those that do not exist.
    pub objects: &'a BTreeMap<(SourceKind, String), Option<Data>>,
    /// Variables that lead to Services.
    pub services: BTreeMap<String, String>,
    /// Values read from files of its volumes, by volume, path and key.
    pub files: &'a BTreeMap<(String, String, String), Result<Option<String>, String>>,
}

/// A finished environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Names and values in order.
    pub variables: Vec<(String, String)>,
    /// What the user should be told: keys that are no names.
    pub warnings: Vec<String>,
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn set(&mut self, name: &str, value: String) {
        // A later value takes the place of an earlier one.
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value));
    }
}

/// The objects that a container's environment refers to, with whether it can do without.
pub(crate) fn references(container: &Container) -> BTreeSet<(SourceKind, String)> {
    let mut references = BTreeSet::new();
    for source in container.env_from.iter().flatten() {
        if let Some(source) = &source.config_map_ref {
            references.insert((SourceKind::ConfigMap, source.name.clone()));
        }
        if let Some(source) = &source.secret_ref {
            references.insert((SourceKind::Secret, source.name.clone()));
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(source) = &source.config_map_key_ref {
            references.insert((SourceKind::ConfigMap, source.name.clone()));
        }
        if let Some(source) = &source.secret_key_ref {
            references.insert((SourceKind::Secret, source.name.clone()));
        }
    }
    references
}

/// Makes the environment. The error is what the user is shown.
pub(crate) fn environment(from: &Ingredients<'_>) -> Result<Environment, String> {
    let mut environment = Environment::default();
    take_whole_objects(from, &mut environment)?;
    for variable in from.container.env.iter().flatten() {
        let value = match (&variable.value_from, variable.value.as_deref()) {
            (_, Some(text)) if !text.is_empty() => {
                Some(expand(text, &|name| environment.get(name).or_else(|| from.services.get(name).cloned())))
            }
            (Some(source), _) => value_from(from, variable, source)?,
            (None, _) => Some(String::new()),
        };
        if let Some(value) = value {
            environment.set(&variable.name, value);
        }
    }
    for (name, value) in &from.services {
        if environment.get(name).is_none() {
            environment.variables.push((name.clone(), value.clone()));
        }
    }
    Ok(environment)
}

fn take_whole_objects(from: &Ingredients<'_>, environment: &mut Environment) -> Result<(), String> {
    for source in from.container.env_from.iter().flatten() {
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(source), _) => (SourceKind::ConfigMap, &source.name, source.optional),
            (None, Some(source)) => (SourceKind::Secret, &source.name, source.optional),
            (None, None) => continue,
        };
        let Some(data) = object(from, kind, name, optional == Some(true))? else { continue };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut invalid = Vec::new();
        for (key, value) in data {
            let variable = format!("{prefix}{key}");
            if is_name(&variable) {
                environment.set(&variable, String::from_utf8_lossy(value).into_owned());
            } else {
                invalid.push(variable);
            }
        }
        if !invalid.is_empty() {
            let title = if kind == SourceKind::ConfigMap { "configMap" } else { "secret" };
            environment.warnings.push(format!(
                "Keys [{}] from the EnvFrom {title} {}/{name} were skipped since they are considered invalid \
                 environment variable names.",
                invalid.join(", "),
                from.own.pod.namespace()
            ));
        }
    }
    Ok(())
}

/// Anything printable but `=` is a name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

fn object<'a>(
    from: &'a Ingredients<'_>,
    kind: SourceKind,
    name: &str,
    optional: bool,
) -> Result<Option<&'a Data>, String> {
    match from.objects.get(&(kind, name.to_owned())).and_then(Option::as_ref) {
        Some(data) => Ok(Some(data)),
        None if optional => Ok(None),
        None => Err(format!("{} {} not found", kind.word(), machinery::field::go_quote(name))),
    }
}

fn value_from(
    from: &Ingredients<'_>,
    variable: &EnvVar,
    source: &EnvVarSource,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return downward::field(&from.own, field).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return downward::resource(&from.own, resource, Some(from.container)).map(Some);
    }
    if let Some(file) = &source.file_key_ref {
        let place = (file.volume_name.clone(), file.path.clone(), file.key.clone());
        let value = from.files.get(&place).cloned().unwrap_or(Ok(None))?;
        return match value {
            Some(value) => Ok(Some(value)),
            None if file.optional == Some(true) => Ok(None),
            None => Err(format!("environment variable key {} not found in file {}", file.key, file.path)),
        };
    }
    let (kind, name, key, optional) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(source), _) => {
            (SourceKind::ConfigMap, &source.name, &source.key, source.optional == Some(true))
        }
        (None, Some(source)) => {
            (SourceKind::Secret, &source.name, &source.key, source.optional == Some(true))
        }
        (None, None) => return Err(format!("the source of variable {} is not supported", variable.name)),
    };
    let Some(data) = object(from, kind, name, optional)? else { return Ok(None) };
    match data.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => {
            Err(format!("couldn't find key {key} in {} {}/{name}", kind.title(), from.own.pod.namespace()))
        }
    }
}
