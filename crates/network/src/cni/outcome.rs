//! What plugins answer when they have attached a container.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// The addresses a container got, in the order in which they are told: those of links on the node's side left out.
pub fn addresses(result: &Value) -> Vec<IpAddr> {
    let interfaces = result["interfaces"].as_array();
    let is_inside = |ip: &Value| {
        let interface = ip["interface"].as_u64().and_then(|place| usize::try_from(place).ok());
        let interface = interface.and_then(|place| interfaces?.get(place));
        interface.is_none_or(|one| one["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty()))
    };
    let told = result["ips"].as_array().into_iter().flatten().filter(|ip| is_inside(ip));
    // Until 0.2.0 there was at most one of each family.
    let old = ["ip4", "ip6"].into_iter().map(|family| &result[family]["ip"]);
    let texts = told.map(|ip| &ip["address"]).chain(old).filter_map(Value::as_str);
    texts.filter_map(address).collect()
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpNet>().map(|net| net.addr()).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_addresses_of_every_version_are_found() {
        let new = json!({"cniVersion": "1.0.0",
            "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
            "ips": [{"address": "10.1.0.1/24", "interface": 0}, {"address": "10.1.0.5/24", "interface": 1},
                {"address": "fd00::5/64", "interface": 1}]});
        let without = json!({"ips": [{"version": "4", "address": "10.1.0.6/24"}]});
        let old = json!({"ip4": {"ip": "10.1.0.7/24"}, "ip6": {"ip": "fd00::7/64"}});
        for (result, wanted) in
            [(new, "10.1.0.5 fd00::5"), (without, "10.1.0.6"), (old, "10.1.0.7 fd00::7"), (json!({}), "")]
        {
            let found: Vec<String> = addresses(&result).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), wanted);
        }
    }
}
