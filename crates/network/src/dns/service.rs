//! The Service by which the cluster's DNS is known to those who look for it by name. Nothing is behind it: every node
//! answers at its address itself. It also keeps the address from being given to another Service.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use client::{Call, SharedTransport, Write, resources};
use env::Env;
use serde_json::json;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
/// How long to wait before trying again: the namespace comes a moment after the API.
const RETRY: Duration = Duration::from_millis(500);

/// Makes the Service if it is missing.
pub async fn ensure(transport: SharedTransport, addresses: Vec<IpAddr>, env: Env) {
    let body = Bytes::from(document(&addresses).to_string());
    loop {
        // Made at an earlier start: asked first, because its address would be refused as taken.
        if transport.get(resources::SERVICES, Call::object(NAMESPACE, NAME)).await.is_ok() {
            return;
        }
        let call = Call { namespace: NAMESPACE.to_owned(), ..Call::default() };
        let Err(status) = transport.write(resources::SERVICES, call, Write::Create(body.clone())).await
        else {
            return;
        };
        match status.code {
            // Somebody else was faster.
            409 => return,
            400 | 401 | 403 | 422 => {
                tracing::warn!("the Service {NAMESPACE}/{NAME} cannot be made: {}", status.message);
                return;
            }
            // No namespace yet, or no API.
            _ => env.clock.sleep(RETRY).await,
        }
    }
}

fn document(addresses: &[IpAddr]) -> serde_json::Value {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let port = |name: &str, protocol: &str| json!({"name": name, "port": 53, "protocol": protocol, "targetPort": 53});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": texts.first(),
            "clusterIPs": texts,
            "ipFamilyPolicy": if texts.len() > 1 { "PreferDualStack" } else { "SingleStack" },
            "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")],
            "type": "ClusterIP",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_address_and_ports_that_clients_look_for() {
        let document = document(&["10.96.0.10".parse().unwrap()]);
        assert_eq!(document["spec"]["clusterIP"], "10.96.0.10");
        let ports: Vec<_> =
            document["spec"]["ports"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(ports, ["dns", "dns-tcp"]);
    }
}
