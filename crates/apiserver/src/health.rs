//! `/healthz`, `/livez` and `/readyz`: one check per line.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// How far the start of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The caches are filled and followed.
    Cached,
    /// Requests are answered.
    Serving,
    /// The objects that every cluster has are there.
    Bootstrapped,
}

/// What stands before the names of what is done at start.
const HOOK: &str = "poststarthook/";

/// Upstream's names for what is done at start, and the phase that does it here.
const HOOKS: &[(&str, Phase)] = &[
    ("start-apiserver-admission-initializer", Phase::Cached),
    ("generic-apiserver-start-informers", Phase::Cached),
    ("priority-and-fairness-config-consumer", Phase::Cached),
    ("priority-and-fairness-filter", Phase::Serving),
    ("storage-object-count-tracker-hook", Phase::Cached),
    ("start-apiextensions-informers", Phase::Cached),
    ("start-apiextensions-controllers", Phase::Cached),
    ("crd-informer-synced", Phase::Cached),
    ("start-system-namespaces-controller", Phase::Bootstrapped),
    ("peer-endpoint-reconciler-controller", Phase::Serving),
    ("start-cluster-authentication-info-controller", Phase::Bootstrapped),
    ("start-kube-apiserver-identity-lease-controller", Phase::Serving),
    ("start-kube-apiserver-identity-lease-garbage-collector", Phase::Serving),
    ("storage-readiness", Phase::Cached),
    ("start-legacy-token-tracking-controller", Phase::Serving),
    ("start-service-ip-repair-controllers", Phase::Bootstrapped),
    ("rbac/bootstrap-roles", Phase::Bootstrapped),
    ("scheduling/bootstrap-system-priority-classes", Phase::Bootstrapped),
    ("priority-and-fairness-config-producer", Phase::Bootstrapped),
    ("bootstrap-controller", Phase::Bootstrapped),
    ("start-kubernetes-service-cidr-controller", Phase::Bootstrapped),
    ("aggregator-reload-proxy-client-cert", Phase::Serving),
    ("start-kube-aggregator-informers", Phase::Cached),
    ("apiservice-status-local-available-controller", Phase::Bootstrapped),
    ("apiservice-status-remote-available-controller", Phase::Bootstrapped),
    ("apiservice-registration-controller", Phase::Bootstrapped),
    ("apiservice-wait-for-first-sync", Phase::Bootstrapped),
    ("apiservice-discovery-controller", Phase::Serving),
    ("kube-apiserver-autoregistration", Phase::Bootstrapped),
    ("apiservice-openapi-controller", Phase::Serving),
    ("apiservice-openapiv3-controller", Phase::Serving),
];

/// Which endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`
    Healthz,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
}

/// What a health endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// 200, 404 or 500.
    pub code: u16,
    /// Plain text.
    pub text: String,
}

/// How far the server is.
#[derive(Debug, Default)]
pub struct Health {
    reached: watch::Sender<Option<Phase>>,
    stopping: AtomicBool,
}

impl Health {
    /// A phase of the start is done, and all before it.
    pub fn reached(&self, phase: Phase) {
        self.reached.send_modify(|reached| *reached = (*reached).max(Some(phase)));
    }

    /// Waits until the whole start is done.
    pub async fn wait_until_ready(&self) {
        let mut reached = self.reached.subscribe();
        // The sender lives as long as we do.
        let _ = reached.wait_for(|phase| *phase == Some(Phase::Bootstrapped)).await;
    }

    /// The server is about to stop: it is no longer ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether all hooks are done and nobody asked it to stop.
    pub fn is_ready(&self) -> bool {
        self.phase() == Some(Phase::Bootstrapped) && !self.is_stopping()
    }

    fn phase(&self) -> Option<Phase> {
        *self.reached.borrow()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Answers `/readyz` and its siblings; `check` is what follows the endpoint in the path.
    /// `plugins` is how those are that keep keys, if there are any.
    pub fn report(
        &self,
        endpoint: Endpoint,
        check: &str,
        query: &crate::query::Query,
        plugins: Option<Result<(), String>>,
    ) -> Report {
        let mut checks = self.checks(endpoint);
        // A server without them lives: to start it anew would not bring them back.
        if let Some(state) = plugins.filter(|_| endpoint != Endpoint::Livez) {
            let at = checks.iter().position(|(name, _)| name.starts_with(HOOK)).unwrap_or(checks.len());
            checks.insert(at, ("kms-providers".to_owned(), state));
        }
        if !check.is_empty() {
            return match checks.iter().find(|(name, _)| name == check) {
                Some((_, Ok(()))) => Report { code: 200, text: "ok".to_owned() },
                Some((_, Err(why))) => Report { code: 500, text: format!("internal server error: {why}\n") },
                None => Report { code: 404, text: "404 page not found\n".to_owned() },
            };
        }
        let excluded: Vec<&str> = query.all("exclude").collect();
        let mut lines = String::new();
        let mut failed = false;
        for (name, outcome) in &checks {
            match outcome {
                _ if excluded.contains(&name.as_str()) => {
                    lines.push_str(&format!("[+]{name} excluded: ok\n"));
                }
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(_) => {
                    failed = true;
                    lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                }
            }
        }
        let unknown: Vec<String> = excluded
            .iter()
            .filter(|name| !checks.iter().any(|(check, _)| check == *name))
            .map(|name| machinery::field::go_quote(name))
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
        }
        let name = endpoint.name();
        if failed {
            Report { code: 500, text: format!("{lines}{name} check failed\n") }
        } else if query.get("verbose").is_some() {
            Report { code: 200, text: format!("{lines}{name} check passed\n") }
        } else {
            Report { code: 200, text: "ok".to_owned() }
        }
    }

    fn checks(&self, endpoint: Endpoint) -> Vec<(String, Result<(), String>)> {
        let reached = self.phase();
        let state =
            |phase: Phase| if reached >= Some(phase) { Ok(()) } else { Err("not finished".to_owned()) };
        let mut checks: Vec<(String, Result<(), String>)> =
            vec![("ping".to_owned(), Ok(())), ("log".to_owned(), Ok(()))];
        if endpoint == Endpoint::Readyz {
            checks.push(("informer-sync".to_owned(), state(Phase::Cached)));
        } else {
            checks.push(("loopback-serving-certificate".to_owned(), Ok(())));
            checks.push(("etcd".to_owned(), state(Phase::Cached)));
        }
        for (hook, phase) in HOOKS {
            checks.push((format!("{HOOK}{hook}"), state(*phase)));
            if *hook == "kube-apiserver-autoregistration" {
                checks.push(("autoregister-completion".to_owned(), state(Phase::Bootstrapped)));
            }
        }
        if endpoint == Endpoint::Readyz {
            let stopping =
                if self.is_stopping() { Err("process is shutting down".to_owned()) } else { Ok(()) };
            checks.push(("shutdown".to_owned(), stopping));
        }
        checks
    }
}

impl Endpoint {
    /// The endpoint a path names, and the check that follows it.
    pub fn of(path: &str) -> Option<(Endpoint, &str)> {
        [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz].into_iter().find_map(|endpoint| {
            let rest = path.strip_prefix('/')?.strip_prefix(endpoint.name())?;
            match rest.strip_prefix('/') {
                Some(check) => Some((endpoint, check)),
                None => rest.is_empty().then_some((endpoint, "")),
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Endpoint::Healthz => "healthz",
            Endpoint::Livez => "livez",
            Endpoint::Readyz => "readyz",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn ask(health: &Health, path: &str, query: &str) -> Report {
        let (endpoint, check) = Endpoint::of(path).unwrap();
        health.report(endpoint, check, &Query::parse(query), None)
    }

    #[test]
    fn plugins_that_keep_keys_have_a_check_where_there_are_any() {
        let health = Health::default();
        health.reached(Phase::Bootstrapped);
        let ask = |path: &str, plugins| {
            let (endpoint, check) = Endpoint::of(path).unwrap();
            health.report(endpoint, check, &Query::parse("verbose"), plugins)
        };
        let unwell = || Some(Err("kms-provider-0: gone".to_owned()));
        let single = Report { code: 500, text: "internal server error: kms-provider-0: gone\n".to_owned() };
        assert_eq!(ask("/healthz/kms-providers", unwell()), single);
        assert_eq!(ask("/healthz/kms-providers", Some(Ok(()))).text, "ok");
        assert_eq!(ask("/healthz/kms-providers", None).code, 404);
        let ready = ask("/readyz", unwell());
        assert_eq!(ready.code, 500);
        assert!(
            ready.text.contains("[-]kms-providers failed: reason withheld\n[+]poststarthook/"),
            "{}",
            ready.text
        );
        assert_eq!(
            ask("/livez", unwell()).code,
            200,
            "a plugin that is gone does not come back with a new server"
        );
    }

    #[test]
    fn a_server_is_ready_when_every_hook_is_done() {
        let health = Health::default();
        assert_eq!(ask(&health, "/readyz", "").code, 500);
        health.reached(Phase::Bootstrapped);
        assert_eq!(ask(&health, "/readyz", ""), Report { code: 200, text: "ok".into() });
        health.stop();
        assert_eq!(ask(&health, "/readyz", "").code, 500);
        assert_eq!(ask(&health, "/livez", "").code, 200);
    }

    #[test]
    fn single_checks_and_exclusions() {
        let health = Health::default();
        assert_eq!(ask(&health, "/healthz/ping", "").text, "ok");
        assert_eq!(ask(&health, "/readyz/etcd", "").code, 404);
        assert_eq!(ask(&health, "/livez/nothing", "").text, "404 page not found\n");
        health.reached(Phase::Bootstrapped);
        let report = ask(&health, "/livez", "verbose&exclude=etcd&exclude=nothing");
        assert!(report.text.contains("[+]etcd excluded: ok\n"), "{}", report.text);
        assert!(report.text.contains("no matches for \"nothing\""));
        assert!(Endpoint::of("/healthzz").is_none());
    }
}
