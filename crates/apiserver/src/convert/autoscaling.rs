//! Autoscalers: version 2 is stored; version 1 knows the CPU only and keeps the rest in annotations.

use machinery::{Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Whether a metric is the one that version 1 has a field for.
fn is_cpu(metric: &Value) -> bool {
    metric.get("type").as_str() == Some("Resource")
        && metric.at(&["resource", "name"]).as_str() == Some("cpu")
}

fn cpu_target(percent: Value) -> Value {
    let target = Value::from([("type", Value::from("Utilization")), ("averageUtilization", percent)]);
    let resource = Value::from([("name", Value::from("cpu")), ("target", target)]);
    Value::from([("type", Value::from("Resource")), ("resource", resource)])
}

/// As version 2 shows it.
pub(super) fn to_v2(mut scaler: Value) -> Value {
    let mut metrics =
        take_annotation(&mut scaler, METRICS).map(|kept| kept.items().to_vec()).unwrap_or_default();
    let behavior = take_annotation(&mut scaler, BEHAVIOR);
    let current = take_annotation(&mut scaler, CURRENT_METRICS);
    let conditions = take_annotation(&mut scaler, CONDITIONS);
    let spec = scaler.entry("spec");
    if let Some(percent) = spec.remove("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null())
    {
        metrics.insert(0, cpu_target(percent));
    }
    if !metrics.is_empty() {
        spec.set("metrics", metrics);
    }
    if let Some(behavior) = behavior {
        spec.set("behavior", behavior);
    }
    let status = scaler.entry("status");
    let mut current = current.map(|kept| kept.items().to_vec()).unwrap_or_default();
    if let Some(percent) =
        status.remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null())
    {
        let now = Value::from([("averageUtilization", percent)]);
        let resource = Value::from([("name", Value::from("cpu")), ("current", now)]);
        current.insert(0, Value::from([("type", Value::from("Resource")), ("resource", resource)]));
    }
    if !current.is_empty() {
        status.set("currentMetrics", current);
    }
    if let Some(conditions) = conditions {
        status.set("conditions", conditions);
    }
    scaler
}

/// As version 1 shows it.
pub(super) fn to_v1(mut scaler: Value) -> Value {
    let spec = scaler.entry("spec");
    let mut metrics = spec.remove("metrics").map(|list| list.items().to_vec()).unwrap_or_default();
    let percent_of = |metric: &Value| metric.at(&["resource", "target", "averageUtilization"]).clone();
    let cpu = metrics.iter().position(|metric| is_cpu(metric) && !percent_of(metric).is_null());
    if let Some(position) = cpu {
        let percent = percent_of(&metrics.remove(position));
        spec.set("targetCPUUtilizationPercentage", percent);
    }
    let behavior = spec.remove("behavior");
    let status = scaler.entry("status");
    let mut current = status.remove("currentMetrics").map(|list| list.items().to_vec()).unwrap_or_default();
    let now_of = |metric: &Value| metric.at(&["resource", "current", "averageUtilization"]).clone();
    let cpu = current.iter().position(|metric| is_cpu(metric) && !now_of(metric).is_null());
    if let Some(position) = cpu {
        let percent = now_of(&current[position]);
        current.remove(position);
        status.set("currentCPUUtilizationPercentage", percent);
    }
    let conditions = status.remove("conditions");
    keep_annotation(&mut scaler, METRICS, Value::from(metrics));
    keep_annotation(&mut scaler, CURRENT_METRICS, Value::from(current));
    keep_annotation(&mut scaler, BEHAVIOR, behavior.unwrap_or_default());
    keep_annotation(&mut scaler, CONDITIONS, conditions.unwrap_or_default());
    scaler
}

fn keep_annotation(scaler: &mut Value, key: &str, value: Value) {
    if !value.is_empty() {
        scaler.at_mut(&["metadata", "annotations"]).set(key, json::to_string(&value));
    }
}

fn take_annotation(scaler: &mut Value, key: &str) -> Option<Value> {
    let annotations = scaler.entry("metadata").get_mut("annotations")?;
    let text = annotations.remove(key)?;
    let empty = annotations.as_object().is_some_and(machinery::Map::is_empty);
    if empty {
        scaler.entry("metadata").remove("annotations");
    }
    // Whoever wrote nonsense there gets nothing for it.
    json::parse(text.str_or_empty().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way_through_version_1() {
        let metric = Value::from([("type", Value::from("Pods")), ("pods", Value::object())]);
        let v2 = Value::from([
            ("metadata", Value::from([("name", Value::from("h"))])),
            ("spec", Value::from([("metrics", Value::from(vec![cpu_target(Value::from(50i64)), metric]))])),
            ("status", Value::from([("currentReplicas", Value::from(1i64))])),
        ]);
        let v1 = to_v1(v2.clone());
        assert_eq!(v1.at(&["spec", "targetCPUUtilizationPercentage"]).as_int(), Some(50));
        assert!(v1.at(&["metadata", "annotations", METRICS]).str_or_empty().contains("Pods"));
        assert_eq!(to_v2(v1), v2);
    }
}
