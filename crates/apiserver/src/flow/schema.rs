//! Flow schemas: which requests belong to which level, and what tells flows apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use machinery::Value;

use super::level::Level;
use super::{Headers, Seat};
use crate::identity::Identity;
use crate::route::Route;

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// By whom.
    pub identity: &'a Identity,
    /// What.
    pub route: &'a Route,
}

/// A flow schema whose level exists.
#[derive(Debug)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its level.
    pub level: Arc<Level>,
    /// Its level's name.
    pub level_name: String,
    /// What clients are told of it.
    pub headers: Headers,
    /// How many requests were let in.
    pub entered: AtomicU64,
    /// How many were sent away.
    pub refused: AtomicU64,
    precedence: i64,
    distinguishes: Distinguishes,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguishes {
    Nothing,
    Users,
    Namespaces,
}

#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<Resources>,
    paths: Vec<Paths>,
}

#[derive(Debug)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount(String, String),
}

#[derive(Debug)]
struct Resources {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    of_cluster: bool,
}

#[derive(Debug)]
struct Paths {
    verbs: Vec<String>,
    paths: Vec<String>,
}

fn texts(list: &Value) -> Vec<String> {
    list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == "*" || one == text)
}

impl Schema {
    /// From its document; `None` if its level does not exist.
    pub fn read(document: &Value, levels: &BTreeMap<String, Arc<Level>>) -> Option<Schema> {
        let spec = document.get("spec");
        let level_name = spec.at(&["priorityLevelConfiguration", "name"]).str_or_empty();
        let level = levels.get(level_name)?.clone();
        let uid = document.at(&["metadata", "uid"]).str_or_empty();
        let headers = Headers {
            schema: HeaderValue::from_str(uid).ok(),
            level: HeaderValue::from_str(&level.uid()).ok(),
        };
        Some(Schema {
            name: document.at(&["metadata", "name"]).str_or_empty().to_owned(),
            level,
            level_name: level_name.to_owned(),
            headers,
            entered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            precedence: spec.get("matchingPrecedence").as_int().unwrap_or(0),
            distinguishes: match spec.at(&["distinguisherMethod", "type"]).str_or_empty() {
                "ByUser" => Distinguishes::Users,
                "ByNamespace" => Distinguishes::Namespaces,
                _ => Distinguishes::Nothing,
            },
            rules: spec.get("rules").items().iter().map(Rule::read).collect(),
        })
    }

    /// Those that come first are asked first.
    pub fn order(&self) -> (i64, &str) {
        (self.precedence, &self.name)
    }

    /// Whether a request belongs to it.
    pub fn matches(&self, asked: Asked<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
    }

    /// What tells the request's flow from others of the schema.
    pub fn distinguisher<'a>(&self, asked: Asked<'a>) -> &'a str {
        match self.distinguishes {
            Distinguishes::Nothing => "",
            Distinguishes::Users => &asked.identity.name,
            Distinguishes::Namespaces => &asked.route.namespace,
        }
    }

    /// Counts a request that was let in.
    pub fn counted(&self, seat: Seat) -> Seat {
        self.entered.fetch_add(1, Ordering::Relaxed);
        seat
    }
}

impl Rule {
    fn read(document: &Value) -> Rule {
        let subject = |subject: &Value| {
            let name = |kind: &str| subject.at(&[kind, "name"]).str_or_empty().to_owned();
            match subject.get("kind").str_or_empty() {
                "User" => Some(Subject::User(name("user"))),
                "Group" => Some(Subject::Group(name("group"))),
                "ServiceAccount" => {
                    let namespace = subject.at(&["serviceAccount", "namespace"]).str_or_empty();
                    Some(Subject::ServiceAccount(namespace.to_owned(), name("serviceAccount")))
                }
                _ => None,
            }
        };
        let resources = |rule: &Value| Resources {
            verbs: texts(rule.get("verbs")),
            groups: texts(rule.get("apiGroups")),
            resources: texts(rule.get("resources")),
            namespaces: texts(rule.get("namespaces")),
            of_cluster: rule.get("clusterScope").is_true(),
        };
        let paths = |rule: &Value| Paths {
            verbs: texts(rule.get("verbs")),
            paths: texts(rule.get("nonResourceURLs")),
        };
        Rule {
            subjects: document.get("subjects").items().iter().filter_map(subject).collect(),
            resources: document.get("resourceRules").items().iter().map(resources).collect(),
            paths: document.get("nonResourceRules").items().iter().map(paths).collect(),
        }
    }

    fn matches(&self, asked: Asked<'_>) -> bool {
        self.subjects.iter().any(|subject| subject.is(asked.identity))
            && if asked.route.is_resource {
                self.resources.iter().any(|rule| rule.matches(asked.route))
            } else {
                self.paths.iter().any(|rule| rule.matches(asked.route))
            }
    }
}

impl Subject {
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Subject::User(name) => name == "*" || *name == identity.name,
            Subject::Group(name) => name == "*" || identity.is_in(name),
            Subject::ServiceAccount(namespace, name) => {
                let account = identity.name.strip_prefix("system:serviceaccount:");
                account
                    .and_then(|account| account.split_once(':'))
                    .is_some_and(|(own, account)| own == namespace && (name == "*" || name == account))
            }
        }
    }
}

impl Resources {
    fn matches(&self, route: &Route) -> bool {
        let whole;
        let resource = if route.subresource.is_empty() {
            &route.resource
        } else {
            whole = format!("{}/{}", route.resource, route.subresource);
            &whole
        };
        let placed = if route.namespace.is_empty() {
            self.of_cluster
        } else {
            has(&self.namespaces, &route.namespace)
        };
        placed
            && has(&self.verbs, &route.verb)
            && has(&self.groups, &route.group)
            && has(&self.resources, resource)
    }
}

impl Paths {
    fn matches(&self, route: &Route) -> bool {
        let fits = |pattern: &String| {
            pattern == "*"
                || *pattern == route.path
                || pattern.strip_suffix('*').is_some_and(|begin| route.path.starts_with(begin))
        };
        has(&self.verbs, &route.verb) && self.paths.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_takes_what_its_rules_name() {
        let schema = machinery::json::parse(
            br#"{"metadata":{"name":"s"},"spec":{"priorityLevelConfiguration":{"name":"l"},"rules":[
            {"subjects":[{"kind":"Group","group":{"name":"g"}},{"kind":"ServiceAccount","serviceAccount":
            {"namespace":"n","name":"*"}}],"resourceRules":[{"verbs":["get","list"],"apiGroups":[""],
            "resources":["pods","pods/log"],"namespaces":["n"]}],"nonResourceRules":[{"verbs":["*"],
            "nonResourceURLs":["/healthz","/x/*"]}]}]}}"#,
        )
        .unwrap();
        let levels = BTreeMap::from([("l".to_owned(), Arc::new(Level::default()))]);
        assert!(Schema::read(&schema, &BTreeMap::new()).is_none(), "its level is missing");
        let schema = Schema::read(&schema, &levels).unwrap();
        let (member, other) = (Identity::new("a", &["g"]), Identity::new("b", &[]));
        let robot = Identity::new("system:serviceaccount:n:r", &[]);
        let cases = [
            (&member, "/api/v1/namespaces/n/pods", true),
            (&member, "/api/v1/namespaces/n/pods/p/log", true),
            (&member, "/api/v1/namespaces/n/pods/p/status", false),
            (&member, "/api/v1/namespaces/m/pods", false),
            (&member, "/api/v1/pods", false),
            (&member, "/apis/apps/v1/namespaces/n/pods", false),
            (&robot, "/api/v1/namespaces/n/pods", true),
            (&other, "/api/v1/namespaces/n/pods", false),
            (&member, "/healthz", true),
            (&member, "/healthz/x", false),
            (&member, "/x/y", true),
        ];
        for (identity, path, expected) in cases {
            let query = crate::query::Query::parse("");
            let route = &Route::read(&http::Method::GET, path, &query);
            assert_eq!(schema.matches(Asked { identity, route }), expected, "{} {path}", identity.name);
        }
    }
}
