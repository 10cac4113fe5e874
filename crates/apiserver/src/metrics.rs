//! What the server counted, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The content type of Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Counters of requests, by verb, resource and code.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: RwLock<BTreeMap<Request, Arc<AtomicU64>>>,
}

/// What a request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `GET`, `LIST`, `WATCH`, …
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The code it was answered with.
    pub code: u16,
}

impl Metrics {
    /// Counts a request.
    pub fn count(&self, request: Request) {
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner).get(&request).cloned();
        let counter = known.unwrap_or_else(|| {
            let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
            requests.entry(request).or_default().clone()
        });
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run \
             value, group, version, resource, scope, component, and HTTP response code.\n\
             # TYPE apiserver_request_total counter\n",
        );
        for (request, count) in self.requests.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let Request { verb, group, version, resource, subresource, code } = request;
            text.push_str(&format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",group=\"{group}\",resource=\
                 \"{resource}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"}} {}\n",
                count.load(Ordering::Relaxed)
            ));
        }
        text
    }
}
