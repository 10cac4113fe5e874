//! How registries are spoken to: a file that names those that are to be spoken to otherwise than by default.
//!
//! ```yaml
//! docker.io: {mirrors: [mirror.example.com]}
//! mirror.example.com: {authorities: /etc/ssl/mirror.pem}
//! registry.example.com:5000: {plainHttp: true}
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use runtime::RegistryConfig;

use crate::config::Instance;

/// By `host[:port]`.
pub type Registries = BTreeMap<String, RegistryConfig>;

/// The file that was named, or the instance's own if it has one.
pub fn file(named: Option<&Path>, instance: &Instance) -> Option<PathBuf> {
    let own = || Some(instance.data_dir.join("registries.yaml")).filter(|own| own.exists());
    named.map(Path::to_owned).or_else(own)
}

/// What a file says; nothing if there is none.
pub fn read(file: Option<&Path>) -> anyhow::Result<Registries> {
    let Some(file) = file else { return Ok(Registries::new()) };
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    parse(&text).with_context(|| {
        format!("{} is no list of registries (host: {{mirrors: [host], plainHttp: true, …}})", file.display())
    })
}

fn parse(text: &[u8]) -> anyhow::Result<Registries> {
    let document = machinery::yaml::decode(text)?;
    if document.is_null() {
        return Ok(Registries::new());
    }
    Ok(serde_json::from_slice(&machinery::json::to_vec(&document))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_those_of_the_file() {
        let text = "docker.io: {mirrors: [one.test, 'two.test:5000']}\n'two.test:5000':\n  plainHttp: true\n\
                    three.test: {skipVerify: true, authorities: /etc/three.pem}\n";
        let found = parse(text.as_bytes()).expect("it is right");
        assert_eq!(found["docker.io"].mirrors, ["one.test", "two.test:5000"]);
        assert!(found["two.test:5000"].plain_http && !found["docker.io"].plain_http);
        assert!(found["three.test"].skip_verify);
        assert_eq!(found["three.test"].authorities.as_deref(), Some(Path::new("/etc/three.pem")));
        assert!(parse(b"").expect("nothing is said").is_empty());
    }

    #[test]
    fn what_nobody_understands_is_refused() {
        for wrong in ["- a", "docker.io: {mirror: [a]}", "docker.io: {mirrors: a}", "docker.io: [", "7"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_was_named_goes_before_the_instance_s_own() {
        let dir = std::env::temp_dir().join(format!("ironclad-registries-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let instance = Instance::in_dir(&dir).expect("a path");
        assert_eq!(file(None, &instance), None);
        std::fs::write(dir.join("registries.yaml"), "a.test: {plainHttp: true}").expect("ours");
        let own = file(None, &instance).expect("it is there");
        assert_eq!(read(Some(&own)).expect("it is right").len(), 1);
        let named = file(Some(Path::new("/named")), &instance).expect("it was named");
        let missing = format!("{:#}", read(Some(&named)).expect_err("it is not there"));
        assert!(missing.starts_with("/named cannot be read"), "{missing}");
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
