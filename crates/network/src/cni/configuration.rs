//! Configurations of networks: which plugins, one after the other, and what each is told. Read from the folder where
//! network operators put them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::failure::{Failure, code};

/// The versions of CNI that are spoken, oldest first.
pub const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// Larger files are no configurations.
const BYTES_MAX: u64 = 1 << 20;
/// What ends the names of configurations: lists of plugins, and single ones.
const ENDINGS: [&str; 3] = ["conflist", "conf", "json"];

/// A network: its plugins, in the order in which they add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The network's name.
    pub name: String,
    /// The version its plugins are spoken to in.
    pub version: String,
    /// Whether its plugins must not be asked to check.
    pub is_check_disabled: bool,
    /// Whether its plugins must not be asked to collect what was left behind.
    pub is_collection_disabled: bool,
    /// What each is told. Each has a `type`, the name of its program.
    pub plugins: Vec<Map<String, Value>>,
}

/// The first configuration of a folder by name that can be used.
pub fn load(folder: &Path) -> Result<Configuration, Failure> {
    let mut problem = None;
    for file in files(folder)? {
        match read(&file) {
            Ok(found) => return Ok(found),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a network configuration cannot be used");
                problem = problem.or(Some(error));
            }
        }
    }
    let none = format!("no network config found in {}: cni plugin not initialized", folder.display());
    Err(problem.unwrap_or_else(|| Failure::new(code::INVALID_CONFIGURATION, none)))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::new(code::IO, format!("{}: {error}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ENDINGS.contains(&ending) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Configuration, Failure> {
    let failed = |error: std::io::Error| Failure::new(code::IO, format!("{}: {error}", file.display()));
    if std::fs::metadata(file).map_err(failed)?.len() > BYTES_MAX {
        return Err(invalid(format!("{} is too large", file.display())));
    }
    parse(&std::fs::read(file).map_err(failed)?)
        .map_err(|error| Failure::new(error.code, format!("{}: {}", file.display(), error.msg)))
}

/// Reads a list of plugins, or a single one.
pub fn parse(bytes: &[u8]) -> Result<Configuration, Failure> {
    let value: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(code::DECODING, format!("it cannot be read: {error}")))?;
    let plugins = match value.get("plugins") {
        Some(Value::Array(plugins)) => {
            plugins.iter().map(|one| one.as_object().cloned()).collect::<Option<Vec<_>>>()
        }
        Some(_) => None,
        None => Some(vec![value.clone()]),
    };
    let plugins = plugins.ok_or_else(|| invalid("its plugins are no list of objects"))?;
    if plugins.is_empty() {
        return Err(invalid("it has no plugins"));
    }
    for plugin in &plugins {
        let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind.is_empty() || kind.contains('/') || kind.starts_with('.') {
            return Err(invalid(format!("a plugin's type is {kind:?}, which is no name of a program")));
        }
    }
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_name(name) {
        return Err(invalid(format!("its name is {name:?}: a letter or digit, then those and any of _.-")));
    }
    let is = |key: &str| {
        let value = value.get(key);
        value.is_some_and(|value| value == &Value::Bool(true) || value.as_str() == Some("true"))
    };
    Ok(Configuration {
        name: name.to_owned(),
        version: version(&value)?,
        is_check_disabled: is("disableCheck"),
        is_collection_disabled: is("disableGC"),
        plugins,
    })
}

/// The newest of the versions a configuration offers that is spoken here.
fn version(value: &Map<String, Value>) -> Result<String, Failure> {
    let one = value.get("cniVersion").and_then(Value::as_str);
    let several = value.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let mut offered: Vec<&str> = one.into_iter().chain(several.filter_map(Value::as_str)).collect();
    if offered.is_empty() {
        // From the time when there was no other.
        offered.push(VERSIONS[0]);
    }
    let spoken = VERSIONS.iter().rev().find(|version| offered.contains(version));
    spoken.map(|version| (*version).to_owned()).ok_or_else(|| {
        let what = format!("CNI {} is not supported, only {}", offered.join(", "), VERSIONS.join(", "));
        Failure::new(code::INCOMPATIBLE_VERSION, what)
    })
}

/// Whether a version is this one or a later one.
pub fn is_at_least(version: &str, bound: &str) -> bool {
    let place = |wanted: &str| VERSIONS.iter().position(|version| *version == wanted);
    matches!((place(version), place(bound)), (Some(version), Some(bound)) if version >= bound)
}

/// Whether a text can name a network or a container.
pub fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|letter| letter.is_ascii_alphanumeric())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
}

fn invalid(what: impl Into<String>) -> Failure {
    Failure::new(code::INVALID_CONFIGURATION, what)
}

impl Configuration {
    /// Whether its plugins can be asked whether all is as they made it.
    pub fn can_check(&self) -> bool {
        !self.is_check_disabled && is_at_least(&self.version, "0.4.0")
    }

    /// Whether its plugins can be told which containers there still are.
    pub fn can_collect(&self) -> bool {
        !self.is_collection_disabled && is_at_least(&self.version, "1.1.0")
    }

    /// Whether plugins are told the earlier result when they remove.
    pub fn tells_result_at_end(&self) -> bool {
        is_at_least(&self.version, "0.4.0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_plugins_are_read() {
        let list = br#"{"cniVersion":"1.0.0","name":"net","disableCheck":true,
            "plugins":[{"type":"bridge"},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;
        let list = parse(list).unwrap();
        assert_eq!((list.name.as_str(), list.version.as_str(), list.plugins.len()), ("net", "1.0.0", 2));
        assert!(!list.can_check() && list.tells_result_at_end() && !list.can_collect());
        let single = parse(br#"{"name":"old","type":"ptp","mtu":1400}"#).unwrap();
        assert_eq!((single.version.as_str(), single.plugins[0]["mtu"].as_u64()), ("0.1.0", Some(1400)));
        let newest =
            parse(br#"{"cniVersion":"0.4.0","cniVersions":["1.1.0","9.0.0"],"name":"n","type":"x"}"#);
        assert_eq!(newest.unwrap().version, "1.1.0");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, reason) in [
            ("[]", "cannot be read"),
            ("{}", "type is \"\""),
            (r#"{"name":"n","plugins":[]}"#, "no plugins"),
            (r#"{"name":"n","plugins":[1]}"#, "no list of objects"),
            (r#"{"name":"n","type":"../sh"}"#, "no name of a program"),
            (r#"{"name":"n","type":".."}"#, "no name of a program"),
            (r#"{"name":"-n","type":"x"}"#, "its name is"),
            (r#"{"name":"n/m","type":"x"}"#, "its name is"),
            (r#"{"cniVersion":"2.0.0","name":"n","type":"x"}"#, "CNI 2.0.0 is not supported"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_first_by_name_that_can_be_used_counts() {
        let folder = std::env::temp_dir().join(format!("ironclad-cni-{}", std::process::id()));
        let missing = load(&folder).unwrap_err().to_string();
        assert!(missing.contains("no network config found in"), "{missing}");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("00-broken.conf"), "{").unwrap();
        assert!(load(&folder).unwrap_err().to_string().contains("00-broken.conf"));
        std::fs::write(folder.join("05-no.txt"), r#"{"name":"text","type":"x"}"#).unwrap();
        std::fs::write(folder.join("20-b.conflist"), r#"{"name":"b","plugins":[{"type":"x"}]}"#).unwrap();
        std::fs::write(folder.join("10-a.json"), r#"{"name":"a","type":"x"}"#).unwrap();
        assert_eq!(load(&folder).unwrap().name, "a");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
