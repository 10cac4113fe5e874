//! What `/version` answers: the version of Kubernetes this server speaks.

use machinery::Value;

/// The minor version of Kubernetes whose API is served.
pub const MINOR: &str = "36";
/// The full version of Kubernetes whose API is served.
pub const GIT_VERSION: &str = "v1.36.2";

/// The document.
pub fn document() -> Value {
    Value::from([
        ("major", Value::from("1")),
        ("minor", Value::from(MINOR)),
        ("emulationMajor", Value::from("1")),
        ("emulationMinor", Value::from(MINOR)),
        ("minCompatibilityMajor", Value::from("1")),
        ("minCompatibilityMinor", Value::from("35")),
        ("gitVersion", Value::from(GIT_VERSION)),
        ("gitCommit", Value::from("")),
        ("gitTreeState", Value::from("clean")),
        ("buildDate", Value::from("1970-01-01T00:00:00Z")),
        ("goVersion", Value::from("go1.26.6")),
        ("compiler", Value::from("gc")),
        ("platform", Value::from("linux/amd64")),
    ])
}
