//! Variables that lead to Services: `REDIS_SERVICE_HOST` and those that Docker's links once had.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use machinery::{Object, Status};

/// What variables need to know of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    /// Its address; `None` for headless Services and names of other hosts.
    pub address: Option<IpAddr>,
    /// Its ports: name, protocol, number.
    pub ports: Vec<(String, String, i32)>,
}

impl client::cache::Facts for ServiceFacts {
    fn of(object: &Object) -> Result<ServiceFacts, Status> {
        let service = object.view::<Service>()?;
        let Some(spec) = &service.spec else { return Ok(ServiceFacts::default()) };
        let ports = spec.ports.iter().flatten().map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (port.name.clone().unwrap_or_default(), protocol, port.port)
        });
        Ok(ServiceFacts {
            address: spec.cluster_ip.as_deref().and_then(|address| address.parse().ok()),
            ports: ports.collect(),
        })
    }
}

/// The variables of Services, by the Service's name.
pub(crate) fn service_variables<'a>(
    services: impl Iterator<Item = (&'a str, &'a ServiceFacts)>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, facts) in services {
        let (Some(address), Some((_, _, first))) = (facts.address, facts.ports.first()) else { continue };
        let prefix = upper(name);
        let mut set = |suffix: String, value: String| variables.insert(format!("{prefix}_{suffix}"), value);
        set("SERVICE_HOST".to_owned(), address.to_string());
        set("SERVICE_PORT".to_owned(), first.to_string());
        for (position, (port_name, protocol, port)) in facts.ports.iter().enumerate() {
            if !port_name.is_empty() {
                set(format!("SERVICE_PORT_{}", upper(port_name)), port.to_string());
            }
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let lower = protocol.to_lowercase();
            let url = format!("{lower}://{host}:{port}");
            if position == 0 {
                set("PORT".to_owned(), url.clone());
            }
            let link = format!("PORT_{port}_{}", protocol.to_uppercase());
            set(link.clone(), url);
            set(format!("{link}_PROTO"), lower);
            set(format!("{link}_PORT"), port.to_string());
            set(format!("{link}_ADDR"), address.to_string());
        }
    }
    variables
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
