//! A call of our own program as a plugin: what its environment and standard input say, and how it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::configuration::{VERSIONS, is_name};
use super::failure::{Failure, code};

/// The first version in which one result says all that we answer; those before it are not spoken as a plugin.
const OLDEST: &str = "0.3.0";
/// What a version is if nothing says so.
const UNSAID: &str = "0.1.0";
/// The longest name of a link.
const INTERFACE_MAX: usize = 15;

/// What a runtime wants of us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Wish {
    /// Attach a container.
    Add(Attachment),
    /// Take it off.
    Delete(Attachment),
    /// See whether it is as it was attached.
    Check(Attachment),
    /// Take off all that are not listed.
    Collect(Vec<Listed>),
    /// Say whether containers can be attached.
    Status,
}

/// One link of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container's id.
    pub container: String,
    /// What the link is called inside.
    pub interface: String,
    /// The container's network namespace as the runtime names it; empty if it is gone.
    pub sandbox: String,
    /// The same as a path that the process that answers can open.
    pub netns: PathBuf,
    /// `K8S_POD_NAME` and the like.
    pub arguments: Map<String, Value>,
    /// What it was told to do.
    pub configuration: Map<String, Value>,
}

/// One link of a container that still exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The container's id.
    #[serde(rename = "containerID")]
    pub container: String,
    /// What the link is called inside.
    #[serde(rename = "ifname")]
    pub interface: String,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The version to be answered in.
    pub version: String,
    /// What is wanted; none if only which versions there are.
    pub wish: Option<Wish>,
    /// Which instance is asked, by its data directory; none for the usual one.
    pub data_dir: Option<PathBuf>,
}

impl Call {
    /// Reads a call. The version is answered in even if there is an error.
    pub fn read(variable: impl Fn(&str) -> Option<String>, input: &[u8]) -> Result<Call, (String, Failure)> {
        let configuration: Map<String, Value> = serde_json::from_slice(input).map_err(|error| {
            (UNSAID.to_owned(), Failure::new(code::DECODING, format!("the configuration: {error}")))
        })?;
        let version = configuration.get("cniVersion").and_then(Value::as_str).unwrap_or(UNSAID).to_owned();
        let wish = wish(&variable, &configuration, &version).map_err(|error| (version.clone(), error))?;
        let data_dir = configuration.get("dataDir").and_then(Value::as_str).map(PathBuf::from);
        Ok(Call { version, wish, data_dir })
    }

    /// The answer to a question for versions.
    pub fn versions(&self) -> Value {
        json!({"cniVersion": self.version, "supportedVersions": supported()})
    }
}

/// An error as it is answered.
pub fn refusal(version: &str, failure: &Failure) -> Value {
    let mut answer = json!({"cniVersion": version, "code": failure.code, "msg": failure.msg});
    if !failure.details.is_empty() {
        answer["details"] = json!(failure.details);
    }
    answer
}

fn supported() -> &'static [&'static str] {
    let first = VERSIONS.iter().position(|version| *version == OLDEST).unwrap_or_default();
    &VERSIONS[first..]
}

fn wish(
    variable: &impl Fn(&str) -> Option<String>,
    configuration: &Map<String, Value>,
    version: &str,
) -> Result<Option<Wish>, Failure> {
    let command = variable("CNI_COMMAND").unwrap_or_default();
    if command == "VERSION" {
        return Ok(None);
    }
    if !supported().contains(&version) {
        let what =
            format!("incompatible CNI versions; config is {version:?}, plugin supports {:?}", supported());
        return Err(Failure::new(code::INCOMPATIBLE_VERSION, what));
    }
    let attachment = || attachment(variable, configuration, command.as_str() != "DEL");
    Ok(Some(match command.as_str() {
        "ADD" => {
            if configuration.contains_key("prevResult") {
                let what = "this plugin makes a pod's link and has to be the first of its list";
                return Err(Failure::new(code::INVALID_CONFIGURATION, what));
            }
            Wish::Add(attachment()?)
        }
        "DEL" => Wish::Delete(attachment()?),
        "CHECK" => Wish::Check(attachment()?),
        "GC" => {
            let listed = configuration.get("cni.dev/valid-attachments").cloned().unwrap_or(json!([]));
            let listed = serde_json::from_value(listed).map_err(|error| {
                Failure::new(code::DECODING, format!("cni.dev/valid-attachments: {error}"))
            })?;
            Wish::Collect(listed)
        }
        "STATUS" => Wish::Status,
        other => {
            let what = format!("unknown CNI_COMMAND: {other}");
            return Err(Failure::new(code::INVALID_ENVIRONMENT, what));
        }
    }))
}

fn attachment(
    variable: &impl Fn(&str) -> Option<String>,
    configuration: &Map<String, Value>,
    needs_namespace: bool,
) -> Result<Attachment, Failure> {
    let of = |name: &str| variable(name).unwrap_or_default();
    let invalid = |what: String| Failure::new(code::INVALID_ENVIRONMENT, what);
    let (container, interface, sandbox) = (of("CNI_CONTAINERID"), of("CNI_IFNAME"), of("CNI_NETNS"));
    if !is_name(&container) {
        return Err(invalid(format!("invalid CNI_CONTAINERID: {container:?}")));
    }
    let is_link = (1..=INTERFACE_MAX).contains(&interface.len())
        && interface != "."
        && interface != ".."
        && !interface.contains(|letter: char| letter == '/' || letter == ':' || letter.is_whitespace());
    if !is_link {
        return Err(invalid(format!("invalid CNI_IFNAME: {interface:?}")));
    }
    if needs_namespace && sandbox.is_empty() {
        return Err(invalid("required env variables [CNI_NETNS] missing".to_owned()));
    }
    let arguments = of("CNI_ARGS");
    let pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
    Ok(Attachment {
        container,
        interface,
        netns: PathBuf::from(&sandbox),
        sandbox,
        arguments: pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect(),
        configuration: configuration.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(variables: &[(&str, &str)], input: &str) -> Result<Call, String> {
        let variable =
            |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        Call::read(variable, input.as_bytes())
            .map_err(|(version, failure)| refusal(&version, &failure).to_string())
    }

    const ADD: [(&str, &str); 5] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web"),
    ];

    #[test]
    fn a_call_is_read_from_environment_and_input() {
        let read =
            call(&ADD, r#"{"cniVersion":"1.0.0","name":"n","type":"ironclad","dataDir":"/d"}"#).unwrap();
        assert_eq!((read.version.as_str(), read.data_dir), ("1.0.0", Some(PathBuf::from("/d"))));
        let Some(Wish::Add(attachment)) = read.wish else { panic!("it is an ADD") };
        assert_eq!((attachment.container.as_str(), attachment.interface.as_str()), ("c1", "eth0"));
        assert_eq!(attachment.arguments["K8S_POD_NAME"], "web");
        let versions = call(&[("CNI_COMMAND", "VERSION")], r#"{"cniVersion":"0.1.0"}"#).unwrap();
        assert_eq!(versions.wish, None);
        assert_eq!(versions.versions()["supportedVersions"][0], "0.3.0");
        let collect =
            r#"{"cniVersion":"1.1.0","cni.dev/valid-attachments":[{"containerID":"c","ifname":"e"}]}"#;
        let listed = Listed { container: "c".into(), interface: "e".into() };
        assert_eq!(call(&[("CNI_COMMAND", "GC")], collect).unwrap().wish, Some(Wish::Collect(vec![listed])));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_number() {
        let with = |name: &'static str, value: &'static str| {
            ADD.map(|(one, old)| if one == name { (one, value) } else { (one, old) })
        };
        let good = r#"{"cniVersion":"1.0.0"}"#;
        for (variables, input, wanted) in [
            (with("CNI_COMMAND", "EAT"), good, r#""code":4"#),
            (with("CNI_CONTAINERID", "../c"), good, r#""code":4"#),
            (with("CNI_IFNAME", "a/b"), good, r#""code":4"#),
            (with("CNI_IFNAME", "a-name-that-is-too-long"), good, r#""code":4"#),
            (with("CNI_NETNS", ""), good, r#""code":4"#),
            (ADD, "{", r#""code":6"#),
            (ADD, r#"{"cniVersion":"0.2.0"}"#, r#""code":1"#),
            (ADD, r#"{"cniVersion":"9.0.0"}"#, r#""code":1"#),
            (ADD, r#"{"cniVersion":"1.0.0","prevResult":{}}"#, r#""code":7"#),
        ] {
            let refused = call(&variables, input).unwrap_err();
            assert!(refused.contains(wanted), "{refused}");
        }
        assert!(call(&with("CNI_COMMAND", "DEL"), good).is_ok());
        let mut gone = with("CNI_COMMAND", "DEL");
        gone[2].1 = "";
        assert!(call(&gone, good).is_ok(), "a namespace that is gone is no obstacle to an end");
    }
}
