//! What a server serves by default, as lines of the table: group versions, resources, subresources.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

const ALL_VERBS: &str = "create,delete,deletecollection,get,list,patch,update,watch";

/// The lines for everything in the discovery documents of this reference.
pub fn write(reference: &Path) -> anyhow::Result<String> {
    let priorities = read_priorities(&reference.join("bootstrap/apiservices.yaml"))?;
    let groups = read_json(&reference.join("discovery/apis.json"))?;
    let mut text = String::new();
    let mut group_versions = vec![(String::new(), "v1".to_owned(), "api__v1.json".to_owned())];
    for group in groups["groups"].as_array().context("groups")? {
        let name = group["name"].as_str().context("name")?;
        for version in group["versions"].as_array().context("versions")? {
            let version = version["version"].as_str().context("version")?;
            group_versions.push((
                name.to_owned(),
                version.to_owned(),
                format!("apis__{name}__{version}.json"),
            ));
        }
    }
    for (group, version, file) in group_versions {
        let service = format!("{version}.{group}");
        let (group_priority, version_priority) = match group.as_str() {
            // The aggregator serves this one itself, before all others, without an APIService.
            "apiregistration.k8s.io" => &(20_000, 100),
            _ => priorities.get(&service).with_context(|| format!("no APIService {service}"))?,
        };
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        writeln!(text, "serves {api_version} {group_priority} {version_priority}")?;
        let list = read_json(&reference.join("discovery").join(file))?;
        write_resources(&list, &mut text)?;
    }
    Ok(text)
}

fn write_resources(list: &Value, text: &mut String) -> anyhow::Result<()> {
    let resources = list["resources"].as_array().context("resources")?;
    let name_of = |resource: &Value| resource["name"].as_str().unwrap_or("").to_owned();
    for resource in resources.iter().filter(|resource| !name_of(resource).contains('/')) {
        let name = name_of(resource);
        let scope = if resource["namespaced"] == true { "namespaced" } else { "cluster" };
        let word = |key: &str| resource[key].as_str().unwrap_or("").to_owned();
        write!(text, " {name} {} {} {scope} {}", word("singularName"), word("kind"), verbs(resource))?;
        for (key, mark) in [("shortNames", "short"), ("categories", "in")] {
            let words = strings(&resource[key]);
            if !words.is_empty() {
                write!(text, " {mark}={}", words.join(","))?;
            }
        }
        if let Some(hash) = resource["storageVersionHash"].as_str() {
            write!(text, " hash={hash}")?;
        }
        text.push('\n');
        let prefix = format!("{name}/");
        for sub in resources {
            let sub_name = name_of(sub);
            let Some(sub_name) = sub_name.strip_prefix(&prefix) else { continue };
            write!(text, "  {sub_name} {} {}", sub["kind"].as_str().unwrap_or(""), verbs(sub))?;
            if let Some(version) = sub["version"].as_str() {
                let group = sub["group"].as_str().unwrap_or("");
                let separator = if group.is_empty() { "" } else { "/" };
                write!(text, " of={group}{separator}{version}")?;
            }
            text.push('\n');
        }
    }
    Ok(())
}

fn verbs(resource: &Value) -> String {
    let verbs = strings(&resource["verbs"]).join(",");
    match verbs.as_str() {
        ALL_VERBS => "all".to_owned(),
        "" => "-".to_owned(),
        _ => verbs,
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().map(|words| words.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// `groupPriorityMinimum` and `versionPriority` by name of APIService.
fn read_priorities(path: &Path) -> anyhow::Result<BTreeMap<String, (u32, u32)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut priorities = BTreeMap::new();
    let (mut name, mut group) = (String::new(), 0);
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once(": ") else { continue };
        match key {
            "name" => name = value.to_owned(),
            "groupPriorityMinimum" => group = value.parse()?,
            "versionPriority" => {
                priorities.insert(name.clone(), (group, value.parse()?));
            }
            _ => {}
        }
    }
    Ok(priorities)
}
