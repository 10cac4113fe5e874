//! `kubectl wait`: until a condition holds, a JSONPath finds a value, or an object is there or gone.

use std::time::Duration;

use machinery::Value;

use crate::Failure;
use crate::args::{Files, Selection};
use crate::commands::{get, set};
use crate::resource::{Target, targets};
use crate::session::{Session, Watched};
use machinery::jsonpath::Template;

/// Flags of `wait`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// What to wait for: pod/web, pods -l app=web, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub files: Files,
    /// All of the kind in the namespace
    #[arg(long)]
    pub all: bool,
    /// condition=Ready, condition=Ready=False, delete, create, or jsonpath='{.status.phase}'=Running
    #[arg(long = "for", value_name = "STATE")]
    pub state: String,
    /// How long to wait: 30s, 5m
    #[arg(long, default_value = "30s")]
    pub timeout: String,
}

/// What is waited for.
#[derive(Debug)]
enum State {
    Condition { name: String, value: String },
    JsonPath { template: Template, value: Option<String> },
    Deleted,
    Created,
}

/// Waits.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let state = parse(&args.state)?;
    let limit = duration(&args.timeout)?.unwrap_or(Duration::from_secs(7 * 86_400));
    let wanted = wanted(session, args).await?;
    if wanted.is_empty() {
        return match state {
            State::Deleted => Ok(()),
            _ => Err(Failure::client("no matching resources found")),
        };
    }
    for target in wanted {
        let shown = target.served.result_name(&target.name);
        match session.env.clock.timeout(limit, until(session, &target, &state)).await {
            Some(result) => result?,
            None => return Err(Failure::client(format!("timed out waiting for the condition on {shown}"))),
        }
        println!("{shown} condition met");
    }
    Ok(())
}

async fn wanted(session: &Session, args: &Args) -> Result<Vec<Target>, Failure> {
    let by_name = args.selection.selector.is_none() && args.selection.field_selector.is_none() && !args.all;
    if by_name || !args.files.filenames.is_empty() {
        return set::chosen(session, &args.words, &args.files).await;
    }
    let mut found = Vec::new();
    for target in targets(session.discovery().await?, &args.words)? {
        let mut query = Vec::new();
        query.extend(args.selection.selector.clone().map(|selector| ("labelSelector", selector)));
        query.extend(args.selection.field_selector.clone().map(|selector| ("fieldSelector", selector)));
        let list = session.get(&target.served.path(session.namespace(), "", ""), &query).await?;
        found.extend(get::list_items(&list).iter().map(|item| Target {
            served: target.served.clone(),
            name: item.at(&["metadata", "name"]).str_or_empty().to_owned(),
        }));
    }
    Ok(found)
}

fn parse(text: &str) -> Result<State, Failure> {
    let (what, rest) = text.split_once('=').unwrap_or((text, ""));
    match what.to_lowercase().as_str() {
        "delete" => Ok(State::Deleted),
        "create" => Ok(State::Created),
        "condition" => {
            let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
            Ok(State::Condition { name: name.to_lowercase(), value: value.to_lowercase() })
        }
        "jsonpath" => {
            let end = rest.rfind('}').map_or(rest.len(), |position| position + 1);
            let (path, value) = rest.split_at(end);
            let value = value.strip_prefix('=').map(|value| value.trim_matches(['"', '\'']).to_owned());
            let template = Template::parse(path.trim_matches('\'')).map_err(Failure::client)?;
            Ok(State::JsonPath { template, value })
        }
        _ => Err(Failure::client(format!("unrecognized condition: {text:?}"))),
    }
}

impl State {
    fn holds(&self, object: &Value) -> bool {
        match self {
            State::Deleted => false,
            State::Created => true,
            State::JsonPath { template, value } => {
                let found = template.fill(object).unwrap_or_default();
                value.as_ref().map_or(!found.is_empty(), |value| *value == found)
            }
            State::Condition { name, value } => {
                let generation = object.at(&["metadata", "generation"]).as_int().unwrap_or(0);
                object.at(&["status", "conditions"]).items().iter().any(|condition| {
                    let is_fresh =
                        condition.get("observedGeneration").as_int().is_none_or(|seen| seen >= generation);
                    condition.get("type").str_or_empty().to_lowercase() == *name
                        && condition.get("status").str_or_empty().to_lowercase() == *value
                        && is_fresh
                })
            }
        }
    }
}

async fn until(session: &Session, target: &Target, state: &State) -> Result<(), Failure> {
    let collection = target.served.path(session.namespace(), "", "");
    let query = [("fieldSelector", format!("metadata.name={}", target.name))];
    loop {
        let list = session.get(&collection, &query).await?;
        let items = list.get("items").items();
        match (items.first(), state) {
            (None, State::Deleted) => return Ok(()),
            (Some(object), state) if state.holds(object) => return Ok(()),
            (None, State::Condition { .. } | State::JsonPath { .. }) => {
                // Says so in the server's words.
                session.get(&target.served.path(session.namespace(), &target.name, ""), &[]).await?;
            }
            _ => {}
        }
        let revision = list.at(&["metadata", "resourceVersion"]).str_or_empty();
        let watched = session
            .watch((&collection, &query), revision, Watched::Objects, |event| {
                let gone = event.get("type").as_str() == Some("DELETED");
                match (gone, state) {
                    (true, State::Deleted) => Ok(false),
                    (true, _) => Ok(true),
                    (false, state) => Ok(!state.holds(event.get("object"))),
                }
            })
            .await;
        match watched {
            Ok(()) => return Ok(()),
            Err(Failure::Server(status)) if status.code == 410 => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// `30s`, `5m`, `1h30m`, or seconds; zero means no limit.
pub fn duration(text: &str) -> Result<Option<Duration>, Failure> {
    let bad = || Failure::client(format!("invalid duration {text:?}: write 30s, 5m or 1h"));
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok((seconds > 0).then(|| Duration::from_secs(seconds)));
    }
    let mut total = Duration::ZERO;
    let mut digits = String::new();
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    while let Some(letter) = rest.chars().next() {
        if letter.is_ascii_digit() || letter == '.' {
            digits.push(letter);
            rest = &rest[1..];
            continue;
        }
        let units = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(bad)?;
        let count: f64 = digits.parse().map_err(|_| bad())?;
        total += Duration::try_from_secs_f64(count * factor).map_err(|_| bad())?;
        digits.clear();
        rest = &rest[unit.len()..];
    }
    if !digits.is_empty() || text.is_empty() {
        return Err(bad());
    }
    Ok((!total.is_zero()).then_some(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ready: &str) -> Value {
        let condition = Value::from([("type", Value::from("Ready")), ("status", Value::from(ready))]);
        let status =
            Value::from([("conditions", Value::from(vec![condition])), ("phase", Value::from("Running"))]);
        Value::from([("status", status)])
    }

    #[test]
    fn states_hold_or_do_not() {
        let holds = |state: &str, ready: &str| parse(state).expect("known").holds(&pod(ready));
        assert!(holds("condition=Ready", "True") && !holds("condition=ready", "False"));
        assert!(holds("condition=Ready=false", "False"));
        assert!(holds("jsonpath='{.status.phase}'=Running", "True"));
        assert!(!holds("jsonpath={.status.phase}=Pending", "True"));
        assert!(holds("jsonpath={.status.phase}", "True") && !holds("jsonpath={.spec}", "True"));
        assert!(parse("nonsense").is_err());
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1h30m").expect("right"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s").expect("right"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("0s").expect("right"), None);
        assert_eq!(duration("20").expect("right"), Some(Duration::from_secs(20)));
        assert!(duration("5x").is_err() && duration("").is_err() && duration("5m3").is_err());
    }
}
