//! Documents from the flags of `create`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Value;

use super::{Common, Data, Deployment, Job, Kind, Ports, Secret, Service};
use crate::Failure;

/// The document that the flags describe.
pub fn document(kind: &Kind) -> Result<(Value, &Common), Failure> {
    Ok(match kind {
        Kind::Deployment(flags) => (deployment(flags), &flags.named.common),
        Kind::Namespace(named) => (start("v1", "Namespace", &named.name), &named.common),
        Kind::Serviceaccount(named) => (start("v1", "ServiceAccount", &named.name), &named.common),
        Kind::Configmap(flags) => (config_map(flags)?, &flags.named.common),
        Kind::Secret(Secret::Generic(flags)) => (secret(flags)?, &flags.named.common),
        Kind::Service(Service::Clusterip(flags)) => (service(flags, "ClusterIP")?, &flags.named.common),
        Kind::Service(Service::Nodeport(flags)) => (service(flags, "NodePort")?, &flags.named.common),
        Kind::Job(flags) => (job(flags), &flags.named.common),
    })
}

fn start(api_version: &str, kind: &str, name: &str) -> Value {
    Value::from([
        ("apiVersion", Value::from(api_version)),
        ("kind", Value::from(kind)),
        ("metadata", Value::from([("name", Value::from(name))])),
    ])
}

fn strings(words: &[String]) -> Value {
    Value::from(words.iter().map(|word| Value::from(word.as_str())).collect::<Vec<_>>())
}

/// `registry/path/name:tag@digest` gives `name`.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@']).next().unwrap_or(last).to_lowercase().replace(['_', '.'], "-")
}

fn deployment(flags: &Deployment) -> Value {
    let labels = Value::from([("app", Value::from(flags.named.name.as_str()))]);
    let containers: Vec<Value> = flags
        .image
        .iter()
        .map(|image| {
            let mut container = Value::from([
                ("name", Value::from(container_name(image))),
                ("image", Value::from(image.as_str())),
            ]);
            if !flags.command.is_empty() {
                container.set("command", strings(&flags.command));
            }
            if let Some(port) = flags.port {
                container.set("ports", vec![Value::from([("containerPort", Value::Int(port))])]);
            }
            container
        })
        .collect();
    let mut document = start("apps/v1", "Deployment", &flags.named.name);
    *document.at_mut(&["metadata", "labels"]) = labels.clone();
    let spec = document.entry("spec");
    spec.set("replicas", flags.replicas);
    *spec.at_mut(&["selector", "matchLabels"]) = labels.clone();
    *spec.at_mut(&["template", "metadata", "labels"]) = labels;
    *spec.at_mut(&["template", "spec", "containers"]) = Value::from(containers);
    document
}

fn job(flags: &Job) -> Value {
    let mut container = Value::from([
        ("name", Value::from(flags.named.name.as_str())),
        ("image", Value::from(flags.image.as_str())),
    ]);
    if !flags.command.is_empty() {
        container.set("command", strings(&flags.command));
    }
    let mut document = start("batch/v1", "Job", &flags.named.name);
    let pod = document.at_mut(&["spec", "template", "spec"]);
    pod.set("containers", vec![container]);
    pod.set("restartPolicy", "Never");
    document
}

/// Keys and contents, in the order of the flags.
fn contents(flags: &Data) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    for literal in &flags.from_literal {
        let (key, value) = literal.split_once('=').ok_or_else(|| {
            Failure::client(format!("invalid literal source {literal}, expected key=value"))
        })?;
        found.push((key.to_owned(), value.as_bytes().to_vec()));
    }
    for source in &flags.from_file {
        let (key, path) = match source.split_once('=') {
            Some((key, path)) => (key.to_owned(), path),
            None => (source.rsplit('/').next().unwrap_or(source).to_owned(), source.as_str()),
        };
        let content = std::fs::read(path).map_err(|error| Failure::client(format!("{path}: {error}")))?;
        found.push((key, content));
    }
    Ok(found)
}

fn config_map(flags: &Data) -> Result<Value, Failure> {
    let mut document = start("v1", "ConfigMap", &flags.named.name);
    for (key, content) in contents(flags)? {
        match String::from_utf8(content) {
            Ok(text) => document.entry("data").set(&key, text),
            Err(error) => document.entry("binaryData").set(&key, STANDARD.encode(error.as_bytes())),
        }
    }
    Ok(document)
}

fn secret(flags: &Data) -> Result<Value, Failure> {
    let mut document = start("v1", "Secret", &flags.named.name);
    if let Some(secret_type) = &flags.secret_type {
        document.set("type", secret_type.as_str());
    }
    for (key, content) in contents(flags)? {
        document.entry("data").set(&key, STANDARD.encode(content));
    }
    Ok(document)
}

fn service(flags: &Ports, service_type: &str) -> Result<Value, Failure> {
    let bad = |text: &str| Failure::client(format!("invalid port {text:?}: write 80 or 80:8080"));
    let mut ports = Vec::new();
    for text in &flags.tcp {
        let (port, target) = text.split_once(':').unwrap_or((text, text));
        let number: i64 = port.parse().map_err(|_| bad(text))?;
        let target = target.parse::<i64>().map_or_else(|_| Value::from(target), Value::Int);
        let mut entry = Value::from([
            ("name", Value::from(text.replace(':', "-"))),
            ("port", Value::Int(number)),
            ("protocol", Value::from("TCP")),
            ("targetPort", target),
        ]);
        if let Some(node_port) = flags.node_port {
            entry.set("nodePort", node_port);
        }
        ports.push(entry);
    }
    if ports.is_empty() {
        return Err(Failure::client("at least one tcp port specifier must be provided"));
    }
    let labels = Value::from([("app", Value::from(flags.named.name.as_str()))]);
    let mut document = start("v1", "Service", &flags.named.name);
    *document.at_mut(&["metadata", "labels"]) = labels.clone();
    let spec = document.entry("spec");
    spec.set("ports", ports);
    spec.set("selector", labels);
    spec.set("type", service_type);
    Ok(document)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Kubectl, Verb};

    fn built(words: &[&str]) -> Value {
        let words = ["kubectl", "create"].iter().chain(words);
        let Verb::Create(args) = Kubectl::try_parse_from(words).expect("right words").verb else {
            unreachable!("it is create")
        };
        document(&args.kind.expect("a kind")).expect("right flags").0
    }

    #[test]
    fn a_deployment_names_its_container_after_its_image() {
        let made = built(&[
            "deployment",
            "web",
            "--image=reg:5000/a/my_app:1",
            "--replicas=2",
            "--port=80",
            "--",
            "x",
            "-y",
        ]);
        let container = &made.at(&["spec", "template", "spec", "containers"]).items()[0];
        assert_eq!(container.get("name").as_str(), Some("my-app"));
        assert_eq!(container.get("command").items().len(), 2);
        assert_eq!(made.at(&["spec", "selector", "matchLabels", "app"]).as_str(), Some("web"));
    }

    #[test]
    fn data_and_ports_are_read() {
        let made = built(&["secret", "generic", "s", "--from-literal=a=b=c"]);
        assert_eq!(made.at(&["data", "a"]).as_str(), Some("Yj1j"));
        let made = built(&["service", "nodeport", "web", "--tcp=80:http", "--node-port=30080"]);
        let port = &made.at(&["spec", "ports"]).items()[0];
        assert_eq!(port.get("targetPort").as_str(), Some("http"));
        assert_eq!(port.get("nodePort").as_int(), Some(30080));
    }
}
