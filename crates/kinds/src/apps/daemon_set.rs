//! DaemonSet.

use machinery::Value;

use super::rollout;
use crate::internal;
use crate::label_selector::{self, Values, is_blank};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, or, or_text};
use crate::pod_spec::template;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct DaemonSet;

/// How often the template changed, where it was counted before generations were.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn set_template_generation(object: &mut Value, generation: i64) {
    let annotations = object.at_mut(&["metadata", "annotations"]);
    annotations.set(TEMPLATE_GENERATION, generation.to_string());
    if let Some(map) = annotations.as_object_mut() {
        map.sort_by_key(str::to_owned);
    }
}

impl Kind for DaemonSet {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        defaults::template(spec.entry("template"));
        let strategy = spec.entry("updateStrategy");
        or_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").str_or_empty() == "RollingUpdate" {
            let rolling = strategy.entry("rollingUpdate");
            or(rolling, "maxUnavailable", 1i64);
            or(rolling, "maxSurge", 0i64);
        }
        or(spec, "revisionHistoryLimit", 10i64);
        // Every version of the object says it, as of before anything was counted.
        if object.at(&["metadata", "annotations", TEMPLATE_GENERATION]).is_null() {
            set_template_generation(object, 0);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.remove("status");
        object.entry("metadata").set("generation", 1i64);
        set_template_generation(object, 1);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        crate::policy::prepare_update(self.policy(), object, old, door);
        let before =
            old.at(&["metadata", "annotations", TEMPLATE_GENERATION]).str_or_empty().parse().unwrap_or(1);
        let template = ["spec", "template"];
        let changed = !door.is_status() && !same(object.at(&template), old.at(&template));
        set_template_generation(object, if changed { before + 1 } else { before });
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            let status = object.get("status");
            for member in [
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ] {
                status.get(member).not_negative();
            }
            return;
        }
        let spec = object.get("spec");
        spec.get("selector").immutable(old.at(&["spec", "selector"]));
        check_spec(spec);
    }

    fn columns(&self) -> &'static [Column] {
        columns::apps::DAEMON_SET
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let pod = spec.at(&["template", "spec"]);
        let (names, images) = table::containers(pod);
        vec![
            table::name(object),
            table::int(status.get("desiredNumberScheduled")),
            table::int(status.get("currentNumberScheduled")),
            table::int(status.get("numberReady")),
            table::int(status.get("updatedNumberScheduled")),
            table::int(status.get("numberAvailable")),
            table::labels(pod.get("nodeSelector")),
            table::age(object, now_secs),
            names,
            images,
            table::selector(spec.get("selector")),
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    let selector = spec.get("selector");
    label_selector::check(selector, Values::Valid);
    let template = spec.get("template");
    if let Some(parsed) = label_selector::parsed(selector.value()) {
        template::check_selected(template, &parsed);
    }
    if selector.is_set() && is_blank(selector) {
        selector.invalid("empty selector is invalid for daemonset");
    }
    template::check(template);
    template::check_long_running(template, "DaemonSet");
    spec.get("minReadySeconds").not_negative();
    check_strategy(spec.get("updateStrategy"));
    spec.get("revisionHistoryLimit").not_negative();
}

fn check_strategy(strategy: Place<'_>) {
    match strategy.get("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.get("rollingUpdate");
            if !rolling.is_set() {
                return rolling.required("");
            }
            check_rolling(rolling);
        }
        _ => {
            let shown = internal::show("DaemonSetUpdateStrategy", strategy.value());
            strategy.unsupported_as(Raw(shown), &["RollingUpdate", "OnDelete"]);
        }
    }
}

fn check_rolling(rolling: Place<'_>) {
    let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
    rollout::check_int_or_percent(unavailable);
    rollout::check_not_above_all(unavailable);
    rollout::check_int_or_percent(surge);
    rollout::check_not_above_all(surge);
    let (some_down, some_up) =
        (rollout::number_of(unavailable.value()) != 0, rollout::number_of(surge.value()) != 0);
    match (some_down, some_up) {
        (true, true) => surge.invalid("may not be set when maxUnavailable is non-zero"),
        (false, false) => unavailable.required("cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}
