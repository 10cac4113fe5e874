//! The audit policy: how much is written down of which requests.

use machinery::Value;

use crate::identity::Identity;
use crate::route::Route;

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when.
    Metadata,
    /// What was sent too.
    Request,
    /// The answer too.
    RequestResponse,
}

/// When something is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request came.
    RequestReceived,
    /// A long answer begins.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// Something broke.
    Panic,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

/// How much is written down of which requests.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

/// What holds for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How much.
    pub level: Level,
    /// When not.
    pub omit_stages: Vec<Stage>,
    /// Whether `managedFields` are left out.
    pub omit_managed_fields: bool,
}

#[derive(Debug)]
struct Rule {
    level: Level,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    namespaces: Vec<String>,
    resources: Vec<Resources>,
    paths: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug)]
struct Resources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

impl Stage {
    const ALL: [Stage; 4] =
        [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn stages(list: &Value) -> Result<Vec<Stage>, PolicyError> {
    texts(list)
        .iter()
        .map(|text| {
            let found = Stage::ALL.into_iter().find(|stage| stage.name() == text);
            found.ok_or_else(|| PolicyError(format!("omitStages: invalid stage \"{text}\"")))
        })
        .collect()
}

impl Policy {
    /// Reads a policy of `audit.k8s.io/v1`.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let document =
            machinery::yaml::decode(text.as_bytes()).map_err(|error| PolicyError(error.to_string()))?;
        let (kind, version) =
            (document.get("kind").str_or_empty(), document.get("apiVersion").str_or_empty());
        if kind != "Policy" || version != "audit.k8s.io/v1" {
            return Err(PolicyError("it is no Policy of audit.k8s.io/v1".to_owned()));
        }
        let rules: Vec<Rule> =
            document.get("rules").items().iter().map(Rule::read).collect::<Result<_, _>>()?;
        if rules.is_empty() {
            return Err(PolicyError("it has no rules, so nothing would be written down".to_owned()));
        }
        Ok(Policy {
            rules,
            omit_stages: stages(document.get("omitStages"))?,
            omit_managed_fields: document.get("omitManagedFields").is_true(),
        })
    }

    /// What holds for a request: the first rule that is about it says.
    pub fn verdict(&self, identity: &Identity, route: &Route) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(identity, route)) else {
            return Verdict { level: Level::None, omit_stages: Vec::new(), omit_managed_fields: false };
        };
        Verdict {
            level: rule.level,
            omit_stages: [&self.omit_stages[..], &rule.omit_stages].concat(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn read(document: &Value) -> Result<Rule, PolicyError> {
        let level = match document.get("level").str_or_empty() {
            "None" => Level::None,
            "Metadata" => Level::Metadata,
            "Request" => Level::Request,
            "RequestResponse" => Level::RequestResponse,
            other => {
                return Err(PolicyError(format!(
                    "level: \"{other}\" must be one of None, Metadata, Request, RequestResponse"
                )));
            }
        };
        let resources: Vec<Resources> = document
            .get("resources")
            .items()
            .iter()
            .map(|entry| Resources {
                group: entry.get("group").str_or_empty().to_owned(),
                resources: texts(entry.get("resources")),
                names: texts(entry.get("resourceNames")),
            })
            .collect();
        let (namespaces, paths) = (texts(document.get("namespaces")), texts(document.get("nonResourceURLs")));
        let is_of_resources = !resources.is_empty() || !namespaces.is_empty();
        if !paths.is_empty() && is_of_resources {
            let why = "nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs";
            return Err(PolicyError(why.to_owned()));
        }
        Ok(Rule {
            level,
            users: texts(document.get("users")),
            groups: texts(document.get("userGroups")),
            verbs: texts(document.get("verbs")),
            namespaces,
            resources,
            paths,
            omit_stages: stages(document.get("omitStages"))?,
            omit_managed_fields: document.get("omitManagedFields").as_bool(),
        })
    }

    fn matches(&self, identity: &Identity, route: &Route) -> bool {
        let among = |list: &[String], text: &String| list.is_empty() || list.contains(text);
        if !among(&self.users, &identity.name) || !among(&self.verbs, &route.verb) {
            return false;
        }
        if !self.groups.is_empty() && !self.groups.iter().any(|group| identity.is_in(group)) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return route.is_resource
                && among(&self.namespaces, &route.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|one| one.matches(route)));
        }
        if self.paths.is_empty() {
            return true;
        }
        let fits = |pattern: &String| {
            *pattern == route.path
                || pattern.strip_suffix('*').is_some_and(|begin| route.path.starts_with(begin))
        };
        !route.is_resource && self.paths.iter().any(fits)
    }
}

impl Resources {
    fn matches(&self, route: &Route) -> bool {
        if self.group != route.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let (resource, sub) = (&route.resource, &route.subresource);
        let means = |pattern: &String| match pattern.split_once('/') {
            None => pattern == "*" || (pattern == resource && sub.is_empty()),
            Some(("*", of)) => of == sub,
            Some((of, "*")) => of == resource,
            Some((of, below)) => of == resource && below == sub,
        };
        (self.names.is_empty() || self.names.contains(&route.name)) && self.resources.iter().any(means)
    }
}
