//! The small files every pod finds: `/etc/hosts`, `/etc/resolv.conf`, and its host name.

pub(crate) mod resolv;

use std::fmt::Write;
use std::net::IpAddr;

use crate::pod::PodView;

/// The longest host name the kernel takes, with room for its end.
const LONGEST_NAME: usize = 63;

/// The pod's host name: its own or its name, cut to what is allowed.
pub(crate) fn hostname(pod: &PodView, domain: &str) -> String {
    let spec = pod.spec();
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let short = short_name(pod);
    if spec.set_hostname_as_fqdn == Some(true)
        && let Some(full) = full_name(pod, domain)
    {
        return full;
    }
    short
}

fn short_name(pod: &PodView) -> String {
    let name = pod.spec().hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(pod.name());
    let cut = &name[..name.len().min(LONGEST_NAME)];
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The pod's name in the cluster's DNS, if it has a subdomain.
fn full_name(pod: &PodView, domain: &str) -> Option<String> {
    let subdomain = pod.spec().subdomain.as_deref().filter(|name| !name.is_empty())?;
    Some(format!("{}.{subdomain}.{}.svc.{domain}", short_name(pod), pod.namespace()))
}

/// The pod's `/etc/hosts`. On the node's network it begins with the node's own.
pub(crate) fn hosts(pod: &PodView, ips: &[IpAddr], domain: &str, of_node: &str) -> String {
    let mut text = String::new();
    if pod.host_network() {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(of_node);
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n");
        text.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
        text.push_str("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\n");
        text.push_str("fe00::2\tip6-allrouters\n");
        let own = hostname(pod, domain);
        let short = short_name(pod);
        let names = match full_name(pod, domain) {
            Some(full) => format!("{full}\t{short}"),
            None => own,
        };
        for ip in ips {
            let _ = writeln!(text, "{ip}\t{names}");
        }
    }
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
    }
    text
}

#[cfg(test)]
mod tests;
