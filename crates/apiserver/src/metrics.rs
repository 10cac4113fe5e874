//! What the server counted, for `/metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry::Registry;

/// The content type of Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Verbs that are counted apart; the last stands for all others.
const VERBS: [&str; 10] =
    ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "CONNECT", "OTHER"];
/// Codes that are counted apart; zero stands for all others.
const CODES: [u16; 20] =
    [200, 201, 204, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504, 101, 0];

/// Counters of requests by verb and code: no lock, no allocation.
#[derive(Debug)]
pub struct Counters {
    counts: [[AtomicU64; CODES.len()]; VERBS.len()],
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { counts: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))) }
    }
}

impl Counters {
    /// Counts a request; `verb` is authorization's name for it.
    pub fn count(&self, verb: &str, code: u16) {
        let verb = match verb {
            "get" => 0,
            "list" => 1,
            "watch" => 2,
            "create" => 3,
            "update" => 4,
            "patch" => 5,
            "delete" => 6,
            "deletecollection" => 7,
            "connect" | "proxy" => 8,
            _ => 9,
        };
        let code = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
        self.counts[verb][code].fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, labels: &str, out: &mut String) {
        for (verb, codes) in VERBS.iter().zip(&self.counts) {
            for (code, count) in CODES.iter().zip(codes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    // Writing to memory does not fail.
                    let _ = writeln!(
                        out,
                        "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",{labels},verb=\
                         \"{verb}\"}} {count}"
                    );
                }
            }
        }
    }
}

/// What is counted for the server as a whole.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that are not about objects of a resource that exists.
    pub other_requests: Counters,
}

impl Metrics {
    /// Everything in Prometheus' text format.
    pub fn text(&self, registry: &Registry) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run \
             value, group, version, resource, scope, component, and HTTP response code.\n\
             # TYPE apiserver_request_total counter\n",
        );
        for served in registry.all() {
            let labels = |subresource: &str| {
                format!(
                    "group=\"{}\",resource=\"{}\",scope=\"\",subresource=\"{subresource}\",version=\"{}\"",
                    served.group, served.plural, served.version
                )
            };
            served.counters.write(&labels(""), &mut text);
            for sub in &served.subresources {
                sub.counters.write(&labels(&sub.name), &mut text);
            }
        }
        let nothing = "group=\"\",resource=\"\",scope=\"\",subresource=\"\",version=\"\"";
        self.other_requests.write(nothing, &mut text);
        text.push_str(
            "# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of last check split by kind.\n\
             # TYPE apiserver_storage_objects gauge\n",
        );
        for served in registry.all().iter().filter(|served| !served.is_alias()) {
            if let Ok(collection) = served.collection() {
                let dot = if served.group.is_empty() { "" } else { "." };
                let (plural, group, count) = (&served.plural, &served.group, collection.len());
                let _ =
                    writeln!(text, "apiserver_storage_objects{{resource=\"{plural}{dot}{group}\"}} {count}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_shown() {
        let counters = Counters::default();
        counters.count("list", 200);
        counters.count("list", 200);
        counters.count("options", 418);
        let mut text = String::new();
        counters.write("group=\"\"", &mut text);
        let expected = "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",verb=\
                        \"LIST\"} 2\napiserver_request_total{code=\"0\",component=\"apiserver\",dry_run=\"\",group=\
                        \"\",verb=\"OTHER\"} 1\n";
        assert_eq!(text, expected);
    }
}
