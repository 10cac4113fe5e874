//! CSIDriver.

use std::collections::BTreeSet;

use machinery::Value;

use crate::place::{Place, same};
use crate::pod_spec::defaults::or;
use crate::pod_spec::volumes::check_csi_driver_name;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CsiDriver;

impl Kind for CsiDriver {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().conditional_update()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or(spec, "attachRequired", true);
        or(spec, "podInfoOnMount", false);
        or(spec, "storageCapacity", false);
        or(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if spec.get("volumeLifecycleModes").is_empty() {
            spec.set("volumeLifecycleModes", vec![Value::from("Persistent")]);
        }
        or(spec, "requiresRepublish", false);
        or(spec, "seLinuxMount", false);
    }

    fn prepare_create(&self, object: &mut Value) {
        // A new object has no generation yet; the first change gives it one.
        object.entry("metadata").remove("generation");
    }

    fn check(&self, object: Place<'_>) {
        let metadata = object.get("metadata");
        check_csi_driver_name(metadata.get("name"));
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        let spec = object.get("spec");
        let old_spec = old.get("spec");
        check_spec(spec);
        if !same(spec.value().get("attachRequired"), old_spec.get("attachRequired")) {
            spec.with(spec.value().get("attachRequired"))
                .at("attachedRequired")
                .invalid("field is immutable");
        }
        spec.get("volumeLifecycleModes").immutable(old_spec.get("volumeLifecycleModes"));
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::CSI_DRIVER
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        let truth = |member: &str, default: bool| Value::from(spec.get(member).as_bool().unwrap_or(default));
        let texts = |list: &Value, text: fn(&Value) -> &str| {
            list.items().iter().map(text).collect::<Vec<_>>().join(",")
        };
        let tokens = match spec.get("tokenRequests") {
            Value::Null => "<unset>".to_owned(),
            tokens => texts(tokens, |token| token.get("audience").str_or_empty()),
        };
        vec![
            table::name(object),
            truth("attachRequired", true),
            truth("podInfoOnMount", false),
            truth("storageCapacity", false),
            Value::from(tokens),
            truth("requiresRepublish", false),
            Value::from(texts(spec.get("volumeLifecycleModes"), Value::str_or_empty)),
            table::age(object, now_secs),
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    for member in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !spec.get(member).is_set() {
            spec.get(member).required("");
        }
    }
    let policy = spec.get("fsGroupPolicy");
    if policy.is_set() {
        policy.one_of(&["File", "None", "ReadWriteOnceWithFSType"]);
    } else {
        policy.required("");
    }
    check_tokens(spec.get("tokenRequests"));
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.value().items() {
        if !matches!(mode.str_or_empty(), "Persistent" | "Ephemeral") {
            modes.unsupported_as(mode.str_or_empty(), &["Persistent", "Ephemeral"]);
        }
    }
    if !spec.get("seLinuxMount").is_set() {
        spec.get("seLinuxMount").required("");
    }
    check_seconds(spec.get("nodeAllocatableUpdatePeriodSeconds"));
}

fn check_seconds(period: Place<'_>) {
    if period.number().is_some_and(|seconds| seconds < 10) {
        period.invalid("must be greater than or equal to 10 seconds");
    }
}

fn check_tokens(tokens: Place<'_>) {
    let mut seen = BTreeSet::new();
    for token in tokens.items() {
        let audience = token.get("audience");
        if !seen.insert(audience.key()) {
            audience.duplicate_as(audience.text());
        }
        let seconds = token.get("expirationSeconds");
        if seconds.is_set() && seconds.int() < 600 {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
        if seconds.int() > 1 << 32 {
            seconds.invalid("may not specify a duration larger than 2^32 seconds");
        }
    }
}
