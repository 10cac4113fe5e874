//! Environments from every source.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::*;
use crate::amounts::Amounts;
use crate::tests::pod;

fn made(container: Value, services: &[(&str, &str)]) -> Result<Environment, String> {
    let mut container = container;
    container["name"] = json!("app");
    let pod =
        pod(json!({"nodeName": "n1", "serviceAccountName": "sa", "containers": [container]}), json!({}));
    let data = Data::from([
        ("key".to_owned(), b"value".to_vec()),
        ("with-dash".to_owned(), b"dashed".to_vec()),
        ("a=b".to_owned(), b"x".to_vec()),
    ]);
    let objects = BTreeMap::from([
        ((SourceKind::ConfigMap, "cfg".to_owned()), Some(data.clone())),
        ((SourceKind::Secret, "sec".to_owned()), Some(data)),
        ((SourceKind::ConfigMap, "none".to_owned()), None),
    ]);
    let ips: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    let host: [IpAddr; 1] = ["192.0.2.1".parse().unwrap()];
    let allocatable = Amounts::from([
        ("cpu".to_owned(), Quantity("2".to_owned())),
        ("memory".to_owned(), Quantity("1Gi".to_owned())),
    ]);
    environment(&Ingredients {
        own: Myself { pod: &pod, pod_ips: &ips, host_ips: &host, allocatable: &allocatable },
        container: &pod.spec().containers[0],
        objects: &objects,
        services: services.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        files: &BTreeMap::new(),
    })
}

fn one(source: Value) -> Result<Option<String>, String> {
    made(json!({"env": [{"name": "X", "valueFrom": source}]}), &[]).map(|environment| environment.get("X"))
}

#[test]
fn every_source_gives_its_value() {
    for (source, wanted) in [
        (json!({"configMapKeyRef": {"name": "cfg", "key": "key"}}), Ok(Some("value"))),
        (json!({"secretKeyRef": {"name": "sec", "key": "key"}}), Ok(Some("value"))),
        (
            json!({"configMapKeyRef": {"name": "cfg", "key": "no"}}),
            Err("couldn't find key no in ConfigMap default/cfg"),
        ),
        (
            json!({"secretKeyRef": {"name": "sec", "key": "no"}}),
            Err("couldn't find key no in Secret default/sec"),
        ),
        (json!({"configMapKeyRef": {"name": "cfg", "key": "no", "optional": true}}), Ok(None)),
        (json!({"configMapKeyRef": {"name": "none", "key": "no"}}), Err("configmap \"none\" not found")),
        (json!({"configMapKeyRef": {"name": "none", "key": "no", "optional": true}}), Ok(None)),
        (json!({"secretKeyRef": {"name": "none", "key": "no"}}), Err("secret \"none\" not found")),
        (json!({"fieldRef": {"fieldPath": "metadata.name"}}), Ok(Some("web"))),
        (json!({"fieldRef": {"fieldPath": "metadata.namespace"}}), Ok(Some("default"))),
        (json!({"fieldRef": {"fieldPath": "metadata.uid"}}), Ok(Some("u1"))),
        (json!({"fieldRef": {"fieldPath": "metadata.labels['none']"}}), Ok(Some(""))),
        (json!({"fieldRef": {"fieldPath": "spec.nodeName"}}), Ok(Some("n1"))),
        (json!({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}), Ok(Some("sa"))),
        (json!({"fieldRef": {"fieldPath": "status.podIP"}}), Ok(Some("10.0.0.1"))),
        (json!({"fieldRef": {"fieldPath": "status.podIPs"}}), Ok(Some("10.0.0.1,fd00::1"))),
        (json!({"fieldRef": {"fieldPath": "status.hostIP"}}), Ok(Some("192.0.2.1"))),
        (json!({"fieldRef": {"fieldPath": "status.hostIPs"}}), Ok(Some("192.0.2.1"))),
        (json!({"fieldRef": {"fieldPath": "status.phase"}}), Err("unsupported fieldPath: status.phase")),
        (json!({"resourceFieldRef": {"resource": "limits.cpu"}}), Ok(Some("2"))),
        (json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}), Ok(Some("2000"))),
        (json!({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}), Ok(Some("1024"))),
        (json!({"resourceFieldRef": {"resource": "requests.cpu"}}), Ok(Some("0"))),
        (
            json!({"resourceFieldRef": {"resource": "limits.gpu"}}),
            Err("unsupported container resource : limits.gpu"),
        ),
        (
            json!({"resourceFieldRef": {"resource": "limits.cpu", "containerName": "no"}}),
            Err("container no not found"),
        ),
    ] {
        let wanted = wanted.map(|value| value.map(str::to_owned)).map_err(str::to_owned);
        assert_eq!(one(source.clone()), wanted, "{source}");
    }
}

#[test]
fn later_values_win_and_may_use_earlier_ones() {
    let environment = made(
        json!({
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cfg"}}, {"secretRef": {"name": "sec"}}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(key)-$(SVC)-$(NO)"},
                    {"name": "key", "value": "own"}, {"name": "EMPTY"}, {"name": "A", "value": "2"}],
        }),
        &[("SVC", "10.0.0.5"), ("A", "hidden")],
    )
    .unwrap();
    for (name, value) in [
        ("A", "2"),
        ("B", "1-value-10.0.0.5-$(NO)"),
        ("key", "own"),
        ("EMPTY", ""),
        ("SVC", "10.0.0.5"),
        ("P_with-dash", "dashed"),
        ("with-dash", "dashed"),
    ] {
        assert_eq!(environment.get(name).as_deref(), Some(value), "{name}");
    }
    let names: Vec<&String> = environment.variables.iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| **name == "A").count(), 1);
    assert_eq!(
        environment.warnings[1],
        "Keys [a=b] from the EnvFrom secret default/sec were skipped since they are considered invalid environment \
         variable names."
    );
    assert_eq!(
        made(json!({"envFrom": [{"secretRef": {"name": "none"}}]}), &[]),
        Err("secret \"none\" not found".to_owned())
    );
    assert!(made(json!({"envFrom": [{"secretRef": {"name": "none", "optional": true}}]}), &[]).is_ok());
}

#[test]
fn services_become_variables() {
    let facts = |address: Option<&str>, ports: &[(&str, &str, i32)]| ServiceFacts {
        address: address.map(|address| address.parse().unwrap()),
        ports: ports
            .iter()
            .map(|(name, protocol, port)| ((*name).to_owned(), (*protocol).to_owned(), *port))
            .collect(),
    };
    let redis = facts(Some("10.96.0.7"), &[("", "TCP", 6_379)]);
    let web = facts(Some("fd00::7"), &[("http-alt", "TCP", 80), ("dns", "UDP", 53)]);
    let headless = facts(None, &[("", "TCP", 1)]);
    let variables =
        service_variables([("redis-master", &redis), ("web", &web), ("headless", &headless)].into_iter());
    for (name, value) in [
        ("REDIS_MASTER_SERVICE_HOST", "10.96.0.7"),
        ("REDIS_MASTER_SERVICE_PORT", "6379"),
        ("REDIS_MASTER_PORT", "tcp://10.96.0.7:6379"),
        ("REDIS_MASTER_PORT_6379_TCP", "tcp://10.96.0.7:6379"),
        ("REDIS_MASTER_PORT_6379_TCP_PROTO", "tcp"),
        ("REDIS_MASTER_PORT_6379_TCP_PORT", "6379"),
        ("REDIS_MASTER_PORT_6379_TCP_ADDR", "10.96.0.7"),
        ("WEB_SERVICE_PORT_HTTP_ALT", "80"),
        ("WEB_PORT_53_UDP", "udp://[fd00::7]:53"),
    ] {
        assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!variables.keys().any(|name| name.starts_with("HEADLESS")));
}
