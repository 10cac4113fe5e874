//! How a command ended, as it is told on the stream for errors: nothing, or a `Status` in JSON.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// The exit code, or why there is none.
pub(super) fn read(told: &[u8]) -> Result<i32, String> {
    if told.is_empty() {
        return Ok(0);
    }
    let status: Status = serde_json::from_slice(told)
        .map_err(|error| format!("the container runtime does not say how the command ended: {error}"))?;
    if status.status == "Success" {
        return Ok(0);
    }
    if status.reason != "NonZeroExitCode" {
        return Err(status.message);
    }
    let causes = status.details.unwrap_or_default().causes;
    let code = causes.into_iter().find(|cause| cause.reason == "ExitCode").map(|cause| cause.message);
    code.and_then(|code| code.parse().ok()).ok_or(status.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_by_statuses() {
        let exit = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"exit code 7",
            "details":{"causes":[{"reason":"Other","message":"1"},{"reason":"ExitCode","message":"7"}]}}"#;
        let odd =
            r#"{"status":"Failure","reason":"NonZeroExitCode","message":"odd","details":{"causes":[]}}"#;
        for (told, wanted) in [
            ("", Ok(0)),
            (r#"{"metadata":{},"status":"Success"}"#, Ok(0)),
            (exit, Ok(7)),
            (odd, Err("odd")),
            (r#"{"status":"Failure","reason":"InternalError","message":"gone"}"#, Err("gone")),
        ] {
            assert_eq!(read(told.as_bytes()), wanted.map_err(str::to_owned), "{told}");
        }
        assert!(read(b"bang").is_err());
    }
}
