//! Rules of roles: what they allow, whether some of them cover others, and how they are written in error texts.

use machinery::Value;
use machinery::field::go_quote;

use super::Attributes;

/// One rule: verbs on resources, or on paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `get`, `list`, …
    pub verbs: Vec<String>,
    /// API groups.
    pub groups: Vec<String>,
    /// Plurals, with subresources after a slash.
    pub resources: Vec<String>,
    /// Names of objects; none means all.
    pub names: Vec<String>,
    /// Paths that are no resources.
    pub paths: Vec<String>,
}

fn texts(list: &Value) -> Vec<String> {
    list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list(texts: &[String]) -> Value {
    Value::from(texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>())
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|text| text == wanted)
}

impl Rule {
    /// The rules of a role's document.
    pub fn all_of(rules: &Value) -> Vec<Rule> {
        rules.items().iter().map(Rule::read).collect()
    }

    fn read(rule: &Value) -> Rule {
        Rule {
            verbs: texts(rule.get("verbs")),
            groups: texts(rule.get("apiGroups")),
            resources: texts(rule.get("resources")),
            names: texts(rule.get("resourceNames")),
            paths: texts(rule.get("nonResourceURLs")),
        }
    }

    /// As it stands in a document.
    pub fn to_value(&self) -> Value {
        let mut rule = Value::from([("verbs", list(&self.verbs))]);
        let members = [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        for (name, texts) in members {
            if !texts.is_empty() {
                rule.set(name, list(texts));
            }
        }
        rule
    }

    /// Whether it allows what is asked.
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        if !has(&self.verbs, "*") && !has(&self.verbs, asked.verb) {
            return false;
        }
        if !asked.is_resource {
            return self.paths.iter().any(|path| path_matches(path, asked.path));
        }
        (has(&self.groups, "*") || has(&self.groups, asked.group))
            && self.resources.iter().any(|rule| resource_matches(rule, asked.resource, asked.subresource))
            && (self.names.is_empty() || has(&self.names, asked.name))
    }

    /// The rule taken apart, so that each part has one of everything.
    fn parts(&self) -> Vec<Rule> {
        let mut parts = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for verb in &self.verbs {
            for group in &self.groups {
                for resource in &self.resources {
                    let part = |names| Rule {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        names,
                        paths: Vec::new(),
                    };
                    if self.names.is_empty() {
                        parts.push(part(Vec::new()));
                    }
                    parts.extend(self.names.iter().map(|name| part(one(name))));
                }
            }
            for path in &self.paths {
                parts.push(Rule { verbs: one(verb), paths: one(path), ..Rule::default() });
            }
        }
        parts
    }

    /// Whether it allows all that one part of a rule allows.
    fn covers(&self, part: &Rule) -> bool {
        let within = |own: &[String], wanted: &[String]| wanted.iter().all(|text| has(own, text));
        let verbs = has(&self.verbs, "*") || within(&self.verbs, &part.verbs);
        let groups = has(&self.groups, "*") || within(&self.groups, &part.groups);
        let resources = part.resources.iter().all(|wanted| {
            let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
            // Everything of a resource is more than everything below all resources.
            has(&self.resources, "*")
                || has(&self.resources, wanted)
                || (!subresource.is_empty()
                    && resource != "*"
                    && has(&self.resources, &format!("*/{subresource}")))
        });
        let names = match (self.names.as_slice(), part.names.as_slice()) {
            ([], _) => true,
            (_, []) => false,
            (own, wanted) => within(own, wanted),
        };
        let paths = part.paths.iter().all(|wanted| self.paths.iter().any(|own| path_covers(own, wanted)));
        verbs && groups && resources && names && paths
    }
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((of, below)) => below == subresource && (of == resource || of == "*"),
        None => false,
    }
}

fn path_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|begin| path.starts_with(begin))
}

fn path_covers(own: &str, wanted: &str) -> bool {
    own == "*" || own == wanted || own.strip_suffix('*').is_some_and(|begin| wanted.starts_with(begin))
}

/// What of `wanted` is not covered by `own`, in as few rules as it can be said.
pub fn missing(own: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(Rule::parts);
    let uncovered = parts.filter(|part| !own.iter().any(|rule| rule.covers(part)));
    compact(uncovered.collect())
}

/// Joins parts that are the same but for their verbs; they are ordered as error texts order them.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut joined: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |rule: &&mut Rule| {
            (&rule.groups, &rule.resources, &rule.names, &rule.paths)
                == (&part.groups, &part.resources, &part.names, &part.paths)
        };
        match joined.iter_mut().find(same) {
            Some(rule) if part.verbs.iter().all(|verb| has(&rule.verbs, verb)) => {}
            Some(rule) => rule.verbs.extend(part.verbs),
            None => joined.push(part),
        }
    }
    joined.sort_by_cached_key(describe);
    joined
}

/// A rule as error texts show it.
pub fn describe(rule: &Rule) -> String {
    let quoted = |texts: &[String]| texts.iter().map(|text| go_quote(text)).collect::<Vec<_>>().join(" ");
    let members = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.names),
        ("NonResourceURLs", &rule.paths),
        ("Verbs", &rule.verbs),
    ];
    let shown: Vec<String> = members
        .iter()
        .filter(|(_, texts)| !texts.is_empty())
        .map(|(name, texts)| format!("{name}:[{}]", quoted(texts)))
        .collect();
    format!("{{{}}}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn split(text: &str) -> Vec<String> {
        text.split(',').filter(|part| !part.is_empty()).map(|part| part.replace("core", "")).collect()
    }

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
        Rule {
            verbs: split(verbs),
            groups: split(groups),
            resources: split(resources),
            names: split(names),
            paths: Vec::new(),
        }
    }

    fn path_rule(verbs: &str, paths: &str) -> Rule {
        Rule { verbs: split(verbs), paths: split(paths), ..Rule::default() }
    }

    #[test]
    fn rules_allow_what_they_name() {
        let identity = Identity::default();
        let cases = [
            (rule("get", "core", "pods", ""), "get pods", true),
            (rule("get", "core", "pods", ""), "list pods", false),
            (rule("get", "apps", "pods", ""), "get pods", false),
            (rule("*", "*", "*", ""), "delete pods/exec", true),
            (rule("get", "core", "pods", ""), "get pods/log", false),
            (rule("get", "core", "pods/log", ""), "get pods/log", true),
            (rule("get", "core", "*/log", ""), "get pods/log", true),
            (rule("get", "core", "*/log", ""), "get pods", false),
            (rule("get", "core", "pods/*", ""), "get pods/log", false),
            (rule("get", "core", "pods", "a,b"), "get pods b", true),
            (rule("get", "core", "pods", "a,b"), "get pods c", false),
            (rule("list", "core", "pods", "a,b"), "list pods", false),
        ];
        for (rule, asked, allowed) in cases {
            let words: Vec<&str> = asked.split(' ').collect();
            let (resource, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
            let attributes = Attributes {
                identity: &identity,
                verb: words[0],
                is_resource: true,
                path: "",
                group: "",
                resource,
                subresource,
                namespace: "n",
                name: words.get(2).copied().unwrap_or_default(),
                selectors: None,
            };
            assert_eq!(rule.allows(&attributes), allowed, "{rule:?} {asked}");
        }
    }

    #[test]
    fn paths_match_exactly_or_by_their_beginning() {
        for (rule, path, matches) in [
            ("*", "/metrics", true),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
            ("/healthz*", "/healthz/ping", true),
            ("/metrics", "/metrics/x", false),
        ] {
            assert_eq!(path_matches(rule, path), matches, "{rule} {path}");
        }
    }

    #[test]
    fn nobody_grants_what_he_does_not_have() {
        let own = [
            rule("get,list", "core", "pods,*/status", ""),
            rule("get", "core", "secrets", "mine"),
            path_rule("get", "/api/*"),
        ];
        let cases: [(Rule, &[&str]); 9] = [
            (rule("get", "core", "pods", ""), &[]),
            (rule("list,get", "core", "pods", "a"), &[]),
            (rule("get", "core", "nodes/status", ""), &[]),
            (rule("get", "core", "secrets", "mine"), &[]),
            (
                rule("get", "core", "secrets", ""),
                &[r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
            ),
            (
                rule("get,watch", "core", "secrets", "mine,yours"),
                &[
                    r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["mine"], Verbs:["watch"]}"#,
                    r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["yours"], Verbs:["get" "watch"]}"#,
                ],
            ),
            (rule("*", "core", "pods", ""), &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#]),
            (path_rule("get", "/api/v1"), &[]),
            (path_rule("get", "*"), &[r#"{NonResourceURLs:["*"], Verbs:["get"]}"#]),
        ];
        for (wanted, expected) in cases {
            let found: Vec<String> =
                missing(&own, std::slice::from_ref(&wanted)).iter().map(describe).collect();
            assert_eq!(found, expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_rule_goes_into_a_document_and_back() {
        let rules = [rule("get", "core,apps", "pods", "x"), path_rule("get", "/a,/b")];
        let document = Value::from(rules.iter().map(Rule::to_value).collect::<Vec<_>>());
        assert_eq!(Rule::all_of(&document), rules);
    }
}
