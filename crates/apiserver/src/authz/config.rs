//! `AuthorizationConfiguration`: who is asked whether something may be done, in which order.

use std::time::Duration;

use machinery::Value;
use machinery::time::parse_duration;

use super::webhook;
use crate::expression::{About, Expression};
use crate::remote::Target;

/// Somebody who is asked.
#[derive(Clone, Debug)]
pub enum Kind {
    /// What nodes may do.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Says yes to everything.
    AlwaysAllow,
    /// Says no to everything.
    AlwaysDeny,
    /// Somebody else.
    Webhook(Box<webhook::Settings>),
}

/// Who is asked where no file says otherwise.
pub const DEFAULT: [Kind; 2] = [Kind::Node, Kind::Rbac];

/// Where a kubeconfig leads to that the file names.
type Find<'a> = &'a dyn Fn(&str) -> Result<Target, String>;

/// Reads the file; `find` reads the kubeconfigs that it names.
pub fn parse(text: &str, find: Find<'_>) -> Result<Vec<Kind>, String> {
    let document = machinery::yaml::decode(text.as_bytes()).map_err(|error| error.to_string())?;
    let version = document.get("apiVersion").str_or_empty();
    let is_known = matches!(version, "apiserver.config.k8s.io/v1" | "apiserver.config.k8s.io/v1beta1");
    if document.get("kind").as_str() != Some("AuthorizationConfiguration") || !is_known {
        return Err("it is no AuthorizationConfiguration of apiserver.config.k8s.io/v1".to_owned());
    }
    let authorizers = document.get("authorizers").items();
    if authorizers.is_empty() {
        return Err("authorizers: at least one authorization mode must be defined".to_owned());
    }
    let each = authorizers.iter().enumerate();
    each.map(|(at, entry)| read(entry, find).map_err(|why| format!("authorizers[{at}].{why}"))).collect()
}

fn read(entry: &Value, find: Find<'_>) -> Result<Kind, String> {
    match entry.get("type").str_or_empty() {
        "Node" => Ok(Kind::Node),
        "RBAC" => Ok(Kind::Rbac),
        "AlwaysAllow" => Ok(Kind::AlwaysAllow),
        "AlwaysDeny" => Ok(Kind::AlwaysDeny),
        "Webhook" => webhook(entry.get("webhook"), find)
            .map(|settings| Kind::Webhook(Box::new(settings)))
            .map_err(|why| format!("webhook.{why}")),
        other => Err(format!("type: {other:?} must be one of Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny")),
    }
}

fn webhook(entry: &Value, find: Find<'_>) -> Result<webhook::Settings, String> {
    let duration = |name: &str, default: u64| match entry.get(name).as_str() {
        None => Ok(Duration::from_secs(default)),
        Some(text) => {
            let nanos = parse_duration(text).and_then(|nanos| u64::try_from(nanos).ok());
            nanos.map(Duration::from_nanos).ok_or_else(|| format!("{name}: {text:?} is no duration"))
        }
    };
    let connection = entry.get("connectionInfo");
    let file = connection.get("kubeConfigFile").str_or_empty();
    if connection.get("type").as_str() != Some("KubeConfigFile") || file.is_empty() {
        return Err("connectionInfo: it must be of type KubeConfigFile and name a kubeConfigFile".to_owned());
    }
    let fails_closed = match entry.get("failurePolicy").str_or_empty() {
        "Deny" => true,
        "NoOpinion" => false,
        other => return Err(format!("failurePolicy: {other:?} must be one of NoOpinion, Deny")),
    };
    Ok(webhook::Settings {
        target: find(file)?,
        timeout: duration("timeout", 30)?,
        yes: duration("authorizedTTL", 300)?,
        no: duration("unauthorizedTTL", 30)?,
        fails_closed,
        conditions: conditions(entry.get("matchConditions"))?,
    })
}

/// How many conditions there may be, as upstream limits them.
const CONDITIONS_MAX: usize = 64;

fn conditions(list: &Value) -> Result<Vec<Expression>, String> {
    let list = list.items();
    if list.len() > CONDITIONS_MAX {
        return Err(format!("matchConditions: {} are too many: at most {CONDITIONS_MAX}", list.len()));
    }
    let mut all: Vec<Expression> = Vec::new();
    for (at, condition) in list.iter().enumerate() {
        let text = condition.get("expression").str_or_empty();
        let wrong = |why: &str| format!("matchConditions[{at}].expression: {why}");
        if text.trim().is_empty() {
            return Err(wrong("is required"));
        }
        if all.iter().any(|other| other.text() == text) {
            return Err(wrong("is there already"));
        }
        all.push(Expression::condition(About::Request, text).map_err(|why| wrong(&why))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_file_is_kept_and_mistakes_have_a_place() {
        let file = |list: &str| {
            format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{list}]\n"
            )
        };
        let hook = |rest: &str| {
            format!(
                "{{type: Webhook, name: w, webhook: {{connectionInfo: {{type: KubeConfigFile, kubeConfigFile: k}}{rest}}}}}"
            )
        };
        let good =
            file(&format!("{}, {{type: Node}}, {{type: RBAC}}", hook(", failurePolicy: Deny, timeout: 3s")));
        let find = |file: &str| Ok(Target { path: format!("/{file}"), ..Target::default() });
        let kinds = parse(&good, &find).unwrap();
        assert!(matches!(kinds[1..], [Kind::Node, Kind::Rbac]));
        let Kind::Webhook(settings) = &kinds[0] else { panic!("the webhook comes first") };
        assert_eq!((settings.target.path.as_str(), settings.timeout), ("/k", Duration::from_secs(3)));
        for (text, expected) in [
            (file(""), "at least one"),
            (file("{type: X}"), "authorizers[0].type"),
            (file(&hook("")), "failurePolicy"),
            (file(&hook(", failurePolicy: Deny, timeout: soon")), "timeout: \"soon\""),
            (
                file(&hook(", failurePolicy: Deny, matchConditions: [{expression: request.user}]")),
                "webhook.matchConditions[0].expression: must evaluate to bool but got string",
            ),
            ("kind: X".to_owned(), "it is no AuthorizationConfiguration"),
        ] {
            let error = parse(&text, &find).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
