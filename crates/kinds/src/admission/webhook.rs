//! ValidatingWebhookConfiguration and MutatingWebhookConfiguration.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::expressions::Scope;
use super::rules;
use crate::place::Place;
use crate::pod_spec::defaults::{members, or};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind of webhooks that refuse.
pub struct ValidatingWebhookConfiguration;
/// The kind of webhooks that change.
pub struct MutatingWebhookConfiguration;

const POLICY: Policy = Policy::cluster(NameRule::Subdomain).generation().conditional_update().any_finalizer();
const TIMEOUT_MAX: i64 = 30;

fn default(object: &mut Value, mutating: bool) {
    for webhook in members(object, "webhooks") {
        or(webhook, "failurePolicy", "Fail");
        rules::default(webhook, &["rules"]);
        or(webhook, "timeoutSeconds", 10i64);
        if mutating {
            or(webhook, "reinvocationPolicy", "Never");
        }
        if let Some(config) = webhook.get_mut("clientConfig")
            && let Some(service) = config.get_mut("service")
        {
            or(service, "port", 443i64);
        }
    }
}

fn check(object: Place<'_>) {
    let mut seen = BTreeSet::new();
    for webhook in object.get("webhooks").items() {
        check_webhook(webhook);
        check_versions(webhook.get("admissionReviewVersions"));
        let name = webhook.get("name");
        if !name.text().is_empty() && !seen.insert(name.key()) {
            name.duplicate();
        }
    }
}

fn check_webhook(webhook: Place<'_>) {
    let name = webhook.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::fully_qualified_name(name.text()));
    }
    for rule in webhook.get("rules").items() {
        rules::check(rule);
    }
    let choice = |member: &'static str, allowed: &[&str]| {
        let place = webhook.get(member);
        if place.is_set() {
            place.one_of(allowed);
        }
    };
    choice("failurePolicy", &["Fail", "Ignore"]);
    choice("matchPolicy", &["Equivalent", "Exact"]);
    let effects = webhook.get("sideEffects");
    if effects.is_set() {
        effects.one_of(&["None", "NoneOnDryRun"]);
    } else {
        effects.required("must specify one of None, NoneOnDryRun");
    }
    let timeout = webhook.get("timeoutSeconds");
    if timeout.is_set() && !(1..=TIMEOUT_MAX).contains(&timeout.int()) {
        timeout.invalid("the timeout value must be between 1 and 30 seconds");
    }
    rules::check_selectors(webhook);
    choice("reinvocationPolicy", &["IfNeeded", "Never"]);
    check_client(webhook.get("clientConfig"));
    let scope = Scope { authorizer: true, ..Scope::default() };
    rules::check_conditions(webhook.get("matchConditions"), &scope);
}

/// What is wrong with how a webhook is reached.
pub(crate) fn check_client(config: Place<'_>) {
    let (url, service) = (config.get("url"), config.get("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => check_url(url),
        (false, true) => check_service(service),
        _ => config.required("exactly one of url or service is required"),
    }
}

const URL_FORM: &str = "desired format: https://host[/path]";

fn check_url(url: Place<'_>) {
    let text = url.text();
    let Some((scheme, rest)) = text.split_once("://") else {
        if !text.starts_with("https:") {
            let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
            url.invalid_as(scheme, format!("'https' is the only allowed URL scheme; {URL_FORM}"));
        }
        return url.invalid_as("", format!("host must be specified; {URL_FORM}"));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" {
        url.invalid_as(&scheme, format!("'https' is the only allowed URL scheme; {URL_FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').map_or((rest, ""), |(rest, fragment)| (rest, fragment));
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        url.invalid_as("", format!("host must be specified; {URL_FORM}"));
    }
    if let Some((user, _)) = host.split_once('@') {
        url.invalid_as(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        url.invalid_as(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        url.invalid_as(query, "query parameters are not permitted in the URL");
    }
}

fn check_service(service: Place<'_>) {
    // Upstream tells each under the name of the other.
    for (member, told) in [("namespace", "name"), ("name", "namespace")] {
        if service.get(member).text().is_empty() {
            service.get(told).required("");
        }
    }
    let port = service.get("port");
    if !names::port_number(port.int()).is_empty() {
        port.invalid_as(port.int(), "port is not valid: must be between 1 and 65535, inclusive");
    }
    let path = service.get("path");
    let text = path.text();
    if !path.is_set() || text == "/" {
        return;
    }
    if text.is_empty() {
        return;
    }
    if !text.starts_with('/') {
        path.invalid("must start with a '/'");
    }
    let inner = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (position, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            path.invalid(format!("segment[{position}] may not be empty"));
            continue;
        }
        for fault in names::dns1123_subdomain(step) {
            path.invalid(format!("segment[{position}]: {fault}"));
        }
    }
}

fn check_versions(versions: Place<'_>) {
    if versions.is_empty() {
        return versions.required("must specify one of v1, v1beta1");
    }
    let mut seen = BTreeSet::new();
    let mut known = false;
    for version in versions.items() {
        if !seen.insert(version.key()) {
            version.invalid("duplicate version");
            continue;
        }
        version.faults(names::dns1035_label(version.text()));
        known |= matches!(version.text(), "v1" | "v1beta1");
    }
    if !known {
        versions.invalid("must include at least one of v1, v1beta1");
    }
}

fn row(object: &Value, now_secs: i64) -> Vec<Value> {
    let count = object.get("webhooks").items().len();
    vec![
        table::name(object),
        Value::from(i64::try_from(count).unwrap_or(i64::MAX)),
        table::age(object, now_secs),
    ]
}

impl Kind for ValidatingWebhookConfiguration {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        default(object, false);
    }

    fn check(&self, object: Place<'_>) {
        check(object);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::MUTATING_WEBHOOK_CONFIGURATION
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}

impl Kind for MutatingWebhookConfiguration {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        default(object, true);
    }

    fn check(&self, object: Place<'_>) {
        check(object);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::MUTATING_WEBHOOK_CONFIGURATION
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}
