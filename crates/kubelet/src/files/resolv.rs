//! The pod's resolver configuration, from its DNS policy, the cluster's, and the node's.

use std::net::IpAddr;

use crate::pod::PodView;

/// What resolvers look at.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH: usize = 2_048;

/// A resolver configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolv {
    /// Who is asked.
    pub servers: Vec<String>,
    /// What is appended to short names.
    pub searches: Vec<String>,
    /// Everything else.
    pub options: Vec<String>,
}

impl Resolv {
    /// Reads one, as far as it is understood.
    pub fn parse(text: &str) -> Resolv {
        let mut resolv = Resolv::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolv.servers.extend(words.next().map(str::to_owned)),
                // The last line of these counts.
                Some("search") => resolv.searches = words.map(str::to_owned).collect(),
                Some("options") => resolv.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolv
    }

    /// Its text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// What the cluster says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cluster<'a> {
    /// Its DNS servers.
    pub servers: &'a [IpAddr],
    /// Its domain.
    pub domain: &'a str,
}

/// The pod's configuration, and what the user should be told of what was left out.
pub(crate) fn resolv(pod: &PodView, cluster: Cluster<'_>, of_node: &Resolv) -> (Resolv, Vec<String>) {
    let spec = pod.spec();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let of_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.host_network(),
        _ => false,
    };
    let mut resolv = match policy {
        "None" => Resolv::default(),
        _ if of_cluster && !cluster.servers.is_empty() => {
            let domain = cluster.domain;
            let mut searches = Vec::new();
            if !domain.is_empty() {
                searches.push(format!("{}.svc.{domain}", pod.namespace()));
                searches.push(format!("svc.{domain}"));
                searches.push(domain.to_owned());
            }
            searches.extend(of_node.searches.iter().cloned());
            Resolv {
                servers: cluster.servers.iter().map(IpAddr::to_string).collect(),
                searches: without_repeats(searches),
                options: vec!["ndots:5".to_owned()],
            }
        }
        _ => of_node.clone(),
    };
    if let Some(config) = &spec.dns_config {
        resolv.servers.extend(config.nameservers.iter().flatten().cloned());
        resolv.searches.extend(config.searches.iter().flatten().cloned());
        resolv.servers = without_repeats(resolv.servers);
        resolv.searches = without_repeats(resolv.searches);
        for option in config.options.iter().flatten() {
            let Some(name) = option.name.as_deref().filter(|name| !name.is_empty()) else { continue };
            // The pod's own word on an option takes the place of any other.
            resolv.options.retain(|known| known.split(':').next() != Some(name));
            resolv.options.push(match option.value.as_deref().filter(|value| !value.is_empty()) {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            });
        }
    }
    let warnings = limit(&mut resolv);
    (resolv, warnings)
}

fn without_repeats(list: Vec<String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for item in list {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn limit(resolv: &mut Resolv) -> Vec<String> {
    let mut warnings = Vec::new();
    if resolv.servers.len() > MOST_SERVERS {
        resolv.servers.truncate(MOST_SERVERS);
        warnings.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            resolv.servers.join(" ")
        ));
    }
    let length = |searches: &[String]| searches.iter().map(|search| search.len() + 1).sum::<usize>();
    let before = resolv.searches.len();
    resolv.searches.truncate(MOST_SEARCHES);
    while length(&resolv.searches) > LONGEST_SEARCH + 1 {
        resolv.searches.pop();
    }
    if resolv.searches.len() < before {
        warnings.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            resolv.searches.join(" ")
        ));
    }
    warnings
}
