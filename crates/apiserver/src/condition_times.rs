//! The conditions of signing requests get their times from the server, whatever their writer left out.

use machinery::Value;
use machinery::time::Timestamp;

use crate::write::Request;

/// Stamps the conditions of a signing request.
pub fn stamp(request: Request<'_>, object: &mut Value, old: &Value) {
    if request.served.is("certificates.k8s.io", "certificatesigningrequests") {
        let now = request.core.env.clock.now().secs();
        fill_in(object, old, &Timestamp::from_secs(now).to_rfc3339());
    }
}

fn fill_in(object: &mut Value, old: &Value, now: &str) {
    let path = ["status", "conditions"];
    if object.at(&path).items().is_empty() {
        return;
    }
    for condition in object.at_mut(&path).items_mut() {
        if condition.get("lastUpdateTime").is_null() {
            condition.set("lastUpdateTime", now);
        }
        if condition.get("lastTransitionTime").is_null() {
            // A condition that was so before has been so since then.
            let same = |other: &&Value| {
                ["type", "status"].iter().all(|field| other.get(field) == condition.get(field))
            };
            let before = old.at(&path).items().iter().find(same);
            let since = before.map(|before| before.get("lastTransitionTime").str_or_empty());
            let since = since.filter(|since| !since.is_empty()).unwrap_or(now).to_owned();
            condition.set("lastTransitionTime", since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_so_before_keeps_its_time() {
        let parse = |json: &str| machinery::json::parse(json.as_bytes()).unwrap();
        let old = parse(
            r#"{"status":{"conditions":[{"type":"Approved","status":"True","lastTransitionTime":"then"}]}}"#,
        );
        let mut new = parse(
            r#"{"status":{"conditions":[{"type":"Approved","status":"True"},{"type":"Failed","status":"True"}]}}"#,
        );
        fill_in(&mut new, &old, "now");
        let conditions = new.at(&["status", "conditions"]).items();
        let times: Vec<&str> =
            conditions.iter().map(|one| one.get("lastTransitionTime").str_or_empty()).collect();
        assert_eq!(times, ["then", "now"]);
        assert_eq!(conditions[0].get("lastUpdateTime").str_or_empty(), "now");
    }
}
