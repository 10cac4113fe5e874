//! Where a proxied request goes: `name`, `name:port` or `scheme:name:port` of a pod, a Service or a node.

use std::net::{IpAddr, SocketAddr};

use machinery::{Status, Value};

use crate::handler::objects::Call;
use crate::kubelet;
use crate::route::Route;
use crate::verbs::get;

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Place {
    /// Host and port, as links may name them.
    pub authority: String,
    /// How it is reached.
    pub way: Way,
}

/// How a place is reached.
#[derive(Debug)]
pub(super) enum Way {
    /// The server of a node, as which it knows us.
    Kubelet(Value),
    /// An address.
    Direct {
        /// The address.
        address: SocketAddr,
        /// Whether TLS is spoken.
        is_tls: bool,
    },
}

/// The parts of a name with scheme and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

/// Finds the place a request is about.
pub(super) async fn find(call: &Call<'_>, route: &Route) -> Result<Place, Status> {
    let what = route.resource.trim_end_matches('s');
    let named = split(&route.name)
        .ok_or_else(|| Status::bad_request(format!("invalid {what} request {:?}", route.name)))?;
    let key = (route.namespace.as_str(), named.name);
    let object = get::get(call.core, call.served, key, "").await?.object().to_value()?;
    match route.resource.as_str() {
        "pods" => pod(&object, named),
        "services" => {
            let endpoints = call.core.caches.collection("core/endpoints");
            let endpoints = endpoints.and_then(|all| all.get(&format!("{}/{}", key.0, key.1)));
            let subsets = endpoints.map(|entry| entry.object().to_value()).transpose()?;
            let pick = call.core.env.entropy.next_u64();
            service(&object, &subsets.unwrap_or_default(), named, pick)
        }
        _ => node(object, named),
    }
}

/// Reads `name`, `name:port` and `scheme:name:port`, of which scheme and port may be empty.
fn split(text: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let named = match parts.as_slice() {
        [name] => Named { scheme: "", name, port: "" },
        [name, port] => Named { scheme: "", name, port },
        [scheme @ ("" | "http" | "https"), name, port] => Named { scheme, name, port },
        _ => return None,
    };
    (!named.name.is_empty()).then_some(named)
}

fn pod(pod: &Value, named: Named<'_>) -> Result<Place, Status> {
    let spec = pod.get("spec");
    let first = spec.get("containers").items().iter().flat_map(|one| one.get("ports").items()).next();
    let first = first.and_then(|port| port.get("containerPort").as_int());
    let port = match (named.port, first) {
        ("", Some(first)) => u16::try_from(first).ok(),
        ("", None) => Some(if named.scheme == "https" { 443 } else { 80 }),
        (text, _) => text.parse().ok(),
    };
    let port =
        port.ok_or_else(|| Status::bad_request(format!("invalid pod request: {:?} is no port", named.port)))?;
    direct(pod.at(&["status", "podIP"]).str_or_empty(), port, named.scheme)
}

fn service(service: &Value, endpoints: &Value, named: Named<'_>, pick: u64) -> Result<Place, Status> {
    let unavailable = |message: String| Status::new(503, machinery::Reason::ServiceUnavailable, message);
    let none = || unavailable(format!("no endpoints available for service {:?}", named.name));
    // A number is the Service's own port; its endpoints are found by the name of that port.
    let port = match named.port.parse::<i64>() {
        Err(_) => named.port.to_owned(),
        Ok(number) => {
            let ports = service.at(&["spec", "ports"]).items();
            let found = ports.iter().find(|port| port.get("port").as_int() == Some(number));
            let found = found.ok_or_else(|| {
                unavailable(format!("no service port {number} found for service {:?}", named.name))
            })?;
            found.get("name").str_or_empty().to_owned()
        }
    };
    let mut candidates = Vec::new();
    for subset in endpoints.get("subsets").items() {
        let number = subset.get("ports").items().iter().find(|one| one.get("name").str_or_empty() == port);
        let number = number.and_then(|one| u16::try_from(one.get("port").as_int()?).ok());
        let addresses = subset.get("addresses").items().iter();
        candidates.extend(number.into_iter().flat_map(|number| {
            addresses.clone().map(move |address| (address.get("ip").str_or_empty(), number))
        }));
    }
    if candidates.is_empty() {
        return Err(none());
    }
    let (address, port) = candidates[(pick % candidates.len() as u64) as usize];
    direct(address, port, named.scheme)
}

fn node(node: Value, named: Named<'_>) -> Result<Place, Status> {
    let (host, kubelet_port) = kubelet::address_of(&node).ok_or_else(|| kubelet::nowhere(&node))?;
    if named.port.is_empty() || named.port.parse() == Ok(kubelet_port) {
        let authority = format!("{host}:{kubelet_port}");
        return Ok(Place { authority, way: Way::Kubelet(node) });
    }
    let port = named.port.parse().ok().filter(|port| *port != 0);
    let port = port
        .ok_or_else(|| Status::bad_request(format!("invalid node request: {:?} is no port", named.port)))?;
    direct(&host, port, named.scheme)
}

fn direct(host: &str, port: u16, scheme: &str) -> Result<Place, Status> {
    let address = host.parse::<IpAddr>().ok().filter(is_allowed);
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    let address = SocketAddr::new(address, port);
    Ok(Place { authority: address.to_string(), way: Way::Direct { address, is_tls: scheme == "https" } })
}

/// Addresses that mean somebody else on each machine would lead to the server's own neighbours.
fn is_allowed(address: &IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(address) => {
            address.is_link_local() || (address.is_multicast() && address.octets()[..3] == [224, 0, 0])
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || (address.is_multicast() && matches!(address.segments()[0] & 0xf, 1 | 2))
        }
    };
    !address.is_loopback() && !address.is_unspecified() && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    fn to(place: Result<Place, Status>) -> String {
        match place {
            Ok(Place { way: Way::Direct { address, is_tls }, .. }) => {
                format!("{}{address}", if is_tls { "https " } else { "" })
            }
            Ok(Place { authority, .. }) => format!("kubelet {authority}"),
            Err(status) => format!("{}: {}", status.code, status.message),
        }
    }

    #[test]
    fn names_have_a_scheme_and_a_port_if_need_be() {
        let named = |scheme, name, port| Some(Named { scheme, name, port });
        for (text, expected) in [
            ("a", named("", "a", "")),
            ("a:", named("", "a", "")),
            ("a:80", named("", "a", "80")),
            ("http:a:80", named("http", "a", "80")),
            ("https:a:", named("https", "a", "")),
            (":a:web", named("", "a", "web")),
            ("ftp:a:80", None),
            ("http:a", named("", "http", "a")),
            (":80", None),
            ("https::80", None),
            ("", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn a_pods_first_port_is_meant_if_none_is_named() {
        let with = r#"{"spec":{"containers":[{"name":"a"},{"name":"b","ports":[{"containerPort":8080},
            {"containerPort":9090}]}]},"status":{"podIP":"10.1.0.5"}}"#;
        let without = r#"{"spec":{"containers":[{"name":"a"}]},"status":{"podIP":"fd00::5"}}"#;
        let waiting = r#"{"spec":{"containers":[{"name":"a"}]},"status":{}}"#;
        let local = r#"{"spec":{"containers":[]},"status":{"podIP":"169.254.169.254"}}"#;
        for (object, name, expected) in [
            (with, "p", "10.1.0.5:8080"),
            (with, "https:p:", "https 10.1.0.5:8080"),
            (with, "p:162", "10.1.0.5:162"),
            (without, "p", "[fd00::5]:80"),
            (without, "https:p:", "https [fd00::5]:443"),
            (with, "p:web", r#"400: invalid pod request: "web" is no port"#),
            (waiting, "p", "400: address not allowed"),
            (local, "p", "400: address not allowed"),
        ] {
            assert_eq!(to(pod(&value(object), split(name).unwrap())), expected, "{name}");
        }
    }

    #[test]
    fn a_services_endpoints_are_found_by_the_name_of_its_port() {
        let object = value(r#"{"spec":{"ports":[{"name":"web","port":80},{"name":"tls","port":443}]}}"#);
        let endpoints = value(
            r#"{"subsets":[{"addresses":[{"ip":"10.1.0.5"},{"ip":"10.1.0.6"}],"ports":[{"name":"web","port":160}]},
                {"addresses":[{"ip":"10.1.0.7"}],"notReadyAddresses":[{"ip":"10.1.0.8"}],
                 "ports":[{"name":"web","port":161},{"name":"tls","port":460}]},
                {"notReadyAddresses":[{"ip":"10.1.0.9"}],"ports":[{"name":"later","port":1}]}]}"#,
        );
        for (name, pick, expected) in [
            ("s:web", 0, "10.1.0.5:160"),
            ("s:web", 1, "10.1.0.6:160"),
            ("s:web", 2, "10.1.0.7:161"),
            ("http:s:80", 3, "10.1.0.5:160"),
            ("https:s:tls", 7, "https 10.1.0.7:460"),
            ("https:s:443", 7, "https 10.1.0.7:460"),
            ("s", 0, r#"503: no endpoints available for service "s""#),
            ("s:later", 0, r#"503: no endpoints available for service "s""#),
            ("s:other", 0, r#"503: no endpoints available for service "s""#),
            ("s:81", 0, r#"503: no service port 81 found for service "s""#),
        ] {
            assert_eq!(to(service(&object, &endpoints, split(name).unwrap(), pick)), expected, "{name}");
        }
        let none = to(service(&object, &Value::Null, split("s:web").unwrap(), 0));
        assert_eq!(none, r#"503: no endpoints available for service "s""#);
    }

    #[test]
    fn a_nodes_own_server_is_spoken_to_as_ourselves() {
        let object = value(
            r#"{"status":{"addresses":[{"type":"Hostname","address":"n"},{"type":"InternalIP","address":"192.0.2.7"}],
                "daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}}"#,
        );
        for (name, expected) in [
            ("n", "kubelet 192.0.2.7:10250"),
            ("https:n:10250", "kubelet 192.0.2.7:10250"),
            ("n:9100", "192.0.2.7:9100"),
            ("https:n:9100", "https 192.0.2.7:9100"),
            ("n:0", r#"400: invalid node request: "0" is no port"#),
        ] {
            assert_eq!(to(node(object.clone(), split(name).unwrap())), expected, "{name}");
        }
    }
}
