//! Pods and what runs them.

use super::*;

const POD: &str = r#"{"spec":{"serviceAccountName":"default","containers":[{"name":"c","image":"i:1"}]}}"#;
const TEMPLATE: &str =
    r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#;

fn pod() -> Bench {
    Bench::new("", "v1", "Pod", POD)
}

fn workload(group: &str, kind: &str, rest: &str) -> Bench {
    let text =
        format!(r#"{{"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{TEMPLATE}{rest}}}}}"#);
    Bench::new(group, "v1", kind, &text)
}

#[test]
fn pods_are_filled_in() {
    let pod = pod().filled_in();
    for (path, value) in [
        (&["spec", "restartPolicy"] as &[&str], Value::from("Always")),
        (&["spec", "dnsPolicy"], Value::from("ClusterFirst")),
        (&["spec", "terminationGracePeriodSeconds"], Value::from(30i64)),
        (&["spec", "serviceAccount"], Value::from("default")),
        (&["spec", "enableServiceLinks"], Value::from(true)),
        (&["spec", "schedulerName"], Value::from("default-scheduler")),
        (&["status", "phase"], Value::from("Pending")),
        (&["status", "qosClass"], Value::from("BestEffort")),
        (&["metadata", "generation"], Value::from(1i64)),
    ] {
        assert_eq!(*pod.at(path), value, "{path:?}");
    }
    let container = &pod.at(&["spec", "containers"]).items()[0];
    assert_eq!(container.get("imagePullPolicy").as_str(), Some("IfNotPresent"));
    assert_eq!(container.get("terminationMessagePolicy").as_str(), Some("File"));
}

#[test]
fn names_in_pods_are_names() {
    let pod = pod();
    pod.refuses(
        &["spec.hostname", "spec.subdomain", "spec.containers[0].name", "spec.volumes[0].name"],
        NO_LABELS,
    );
    pod.refuses(
        &[
            "spec.nodeName",
            "spec.serviceAccountName",
            "spec.priorityClassName",
            "spec.runtimeClassName",
            "metadata.name",
        ],
        NO_SUBDOMAINS,
    );
    pod.refuses(&["spec.readinessGates[0].conditionType"], NO_QUALIFIED);
}

#[test]
fn choices_in_pods_are_choices() {
    let pod = pod();
    pod.refuses(
        &[
            "spec.restartPolicy",
            "spec.dnsPolicy",
            "spec.preemptionPolicy",
            "spec.containers[0].imagePullPolicy",
            "spec.containers[0].terminationMessagePolicy",
            "spec.containers[0].restartPolicy",
            "spec.containers[0].securityContext.procMount",
            "spec.containers[0].securityContext.seccompProfile.type",
            "spec.containers[0].securityContext.appArmorProfile.type",
            "spec.securityContext.fsGroupChangePolicy",
            "spec.securityContext.supplementalGroupsPolicy",
            "spec.securityContext.seLinuxChangePolicy",
            "spec.securityContext.seccompProfile.type",
            "spec.tolerations[0].operator",
            "spec.tolerations[0].effect",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable",
            "spec.topologySpreadConstraints[0].nodeAffinityPolicy",
            "spec.topologySpreadConstraints[0].nodeTaintsPolicy",
        ],
        NO_CHOICE,
    );
}

#[test]
fn numbers_in_pods_are_bounded() {
    let pod = pod();
    pod.refuses(&["spec.activeDeadlineSeconds"], &["0", "-1", "2147483648"]);
    pod.refuses(
        &["spec.containers[0].ports[0].containerPort", "spec.containers[0].ports[0].hostPort"],
        NO_PORTS,
    );
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        for member in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"] {
            for value in NEGATIVE {
                let path = format!("spec.containers[0].{probe}");
                let text = format!(r#"{{"exec":{{"command":["x"]}},"{member}":{value}}}"#);
                let told = pod.told(|object| set(object, &path, document(&text)));
                assert_eq!(
                    told,
                    format!("{path}.{member}: Invalid value: {value}: must be greater than or equal to 0")
                );
            }
        }
    }
    pod.refuses(
        &[
            "spec.securityContext.runAsUser",
            "spec.securityContext.runAsGroup",
            "spec.securityContext.fsGroup",
            "spec.containers[0].securityContext.runAsUser",
            "spec.containers[0].securityContext.runAsGroup",
        ],
        &["-1", "2147483648"],
    );
}

#[test]
fn pods_are_checked() {
    pod().check(&[
        ("spec.containers", "[]", "spec.containers: Required value"),
        ("spec.containers[0].name", "null", "spec.containers[0].name: Required value"),
        ("spec.containers[0].image", "null", "spec.containers[0].image: Required value"),
        ("spec.containers[0].image", "\" i\"", "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace"),
        ("spec.containers[1]", r#"{"name":"c","image":"i"}"#, "spec.containers[1].name: Duplicate value: \"c\""),
        ("spec.initContainers[0]", r#"{"name":"c","image":"i"}"#, "spec.initContainers[0].name: Duplicate value: \"c\""),
        ("spec.initContainers[0]", r#"{"name":"d","image":"i","lifecycle":{"preStop":{"exec":{"command":["x"]}}}}"#, "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"),
        ("spec.initContainers[0]", r#"{"name":"d","image":"i","restartPolicy":"Always","livenessProbe":{"exec":{"command":["x"]}}}"#, ""),
        ("spec.ephemeralContainers[0]", r#"{"name":"d","image":"i"}"#, "spec.ephemeralContainers: Forbidden: cannot be set on create"),
        ("spec.schedulingGates[0].name", "\"a b\"", "spec.schedulingGates[0]: Invalid value: \"a b\": name part must consist"),
        ("spec.containers[0].ports", r#"[{"containerPort":80,"name":"a"},{"containerPort":81,"name":"a"}]"#, "spec.containers[0].ports[1].name: Duplicate value: \"a\""),
        ("spec.containers[0].ports", r#"[{"containerPort":80,"hostPort":80},{"containerPort":81,"hostPort":80}]"#, "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""),
        ("spec.containers[0].env", r#"[{"name":"A","value":"x"},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]"#, ""),
        ("spec.containers[0].env[0]", r#"{"name":"a=b"}"#, "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name"),
        ("spec.containers[0].env[0]", r#"{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels"}}}"#, "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\""),
        ("spec.containers[0].env[0]", r#"{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['x']"}}}"#, ""),
        ("spec.containers[0].env[0]", r#"{"name":"A","valueFrom":{}}"#, "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of"),
        ("spec.containers[0].env[0]", r#"{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"5"}}}"#, "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"),
        ("spec.containers[0].volumeMounts[0]", r#"{"name":"v","mountPath":"/x"}"#, "spec.containers[0].volumeMounts[0].name: Not found: \"v\""),
        ("spec.containers[0].resources", r#"{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#, "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"),
        ("spec.containers[0].resources", r#"{"requests":{"cpu":"-1"}}"#, "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"),
        ("spec.containers[0].resources", r#"{"limits":{"example.com/x":"2"}}"#, ""),
        ("spec.containers[0].resources", r#"{"requests":{"example.com/x":"2"}}"#, "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"),
        ("spec.containers[0].resources", r#"{"limits":{"hugepages-2Mi":"2Mi"}}"#, "spec.containers[0].resources: Forbidden: HugePages require cpu or memory"),
        ("spec.containers[0].resources", r#"{"limits":{"hugepages-2Mi":"3Mi","cpu":"1"}}"#, "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi"),
        ("spec.containers[0].livenessProbe", "{}", "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        ("spec.containers[0].livenessProbe", r#"{"exec":{"command":["x"]},"successThreshold":2}"#, "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        ("spec.containers[0].livenessProbe", r#"{"exec":{"command":["x"]},"tcpSocket":{"port":1}}"#, "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
        ("spec.containers[0].livenessProbe", r#"{"httpGet":{"port":"Bad Port"}}"#, "spec.containers[0].livenessProbe.httpGet.port: Invalid value: \"Bad Port\": must contain only"),
        ("spec.containers[0].lifecycle", r#"{"preStop":{"sleep":{"seconds":31}}}"#, "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
        ("spec.volumes[0]", r#"{"name":"v","emptyDir":{},"hostPath":{"path":"/x"}}"#, "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
        ("spec.volumes[0]", r#"{"name":"v","hostPath":{"path":"/a/../b"}}"#, "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        ("spec.volumes[0]", r#"{"name":"v","hostPath":{"path":"/a","type":"Odd"}}"#, "spec.volumes[0].hostPath.type: Unsupported value: \"Odd\""),
        ("spec.volumes[0]", r#"{"name":"v","secret":{}}"#, "spec.volumes[0].secret.secretName: Required value"),
        ("spec.volumes[0]", r#"{"name":"v","configMap":{"name":"m","defaultMode":1000}}"#, "spec.volumes[0].configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive"),
        ("spec.volumes[0]", r#"{"name":"v","configMap":{"name":"m","items":[{"key":"a","path":"/b"}]}}"#, "spec.volumes[0].configMap.items[0].path: Invalid value: \"/b\": must be a relative path"),
        ("spec.volumes[0]", r#"{"name":"v","nfs":{"server":"s","path":"p"}}"#, "spec.volumes[0].nfs.path: Invalid value: \"p\": must be an absolute path"),
        ("spec.volumes[0]", r#"{"name":"v","csi":{"driver":""}}"#, "spec.volumes[0].csi.driver: Required value"),
        ("spec.volumes[0]", r#"{"name":"v","ephemeral":{}}"#, "spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"),
        ("spec.dnsPolicy", "\"None\"", "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        ("spec.dnsConfig", r#"{"nameservers":["x"]}"#, "spec.dnsConfig.nameservers[0]: Invalid value: \"x\": must be a valid IP address"),
        ("spec.hostAliases[0]", r#"{"ip":"1.2.3.4","hostnames":["A"]}"#, "spec.hostAliases[0].hostnames[0]: Invalid value: \"A\""),
        ("spec.tolerations[0]", r#"{"operator":"Exists","value":"v"}"#, "spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'"),
        ("spec.tolerations[0]", r#"{"key":"a","tolerationSeconds":3}"#, "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"),
        ("spec.affinity", r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[]}}}"#, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"),
        ("spec.affinity", r#"{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,"preference":{}}]}}"#, "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100"),
        ("spec.hostNetwork", "true", ""),
        ("spec.hostUsers", "false", ""),
        ("spec.os", r#"{"name":"plan9"}"#, "spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""),
        ("spec.resourceClaims[0]", r#"{"name":"r"}"#, "spec.resourceClaims[0]: Invalid value: {\"Name\":\"r\",\"ResourceClaimName\":null"),
    ]);
}

#[test]
fn quality_of_service_follows_from_requests_and_limits() {
    for (resources, class) in [
        ("{}", "BestEffort"),
        (r#"{"requests":{"cpu":"0"}}"#, "BestEffort"),
        (r#"{"requests":{"cpu":"1"}}"#, "Burstable"),
        (r#"{"limits":{"cpu":"1"}}"#, "Burstable"),
        (r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#, "Guaranteed"),
        (r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}"#, "Burstable"),
        (
            r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1024Mi"}}"#,
            "Guaranteed",
        ),
    ] {
        let text = format!(
            r#"{{"spec":{{"serviceAccountName":"d","containers":[{{"name":"c","image":"i","resources":{resources}}}]}}}}"#
        );
        let pod = Bench::new("", "v1", "Pod", &text).filled_in();
        assert_eq!(pod.at(&["status", "qosClass"]).as_str(), Some(class), "{resources}");
    }
}

#[test]
fn little_of_a_pod_may_change() {
    let pod = pod();
    pod.check_updates(Door::Main, &[
        ("spec.containers[0].image", "\"other\"", ""),
        ("spec.activeDeadlineSeconds", "30", ""),
        ("spec.tolerations", r#"[{"operator":"Exists"}]"#, ""),
        ("metadata.labels", r#"{"a":"b"}"#, ""),
        ("spec.nodeName", "\"n\"", "spec: Forbidden: pod updates may not change fields other than"),
        ("spec.containers[0].name", "\"d\"", "-   \"Name\": \"c\",\n+   \"Name\": \"d\","),
        ("spec.containers[1]", r#"{"name":"d","image":"i"}"#, "spec.containers: Forbidden: pod updates may not add or remove containers"),
        ("spec.schedulingGates[0].name", "\"a.io/b\"", "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a.io/b'"),
        ("metadata.uid", "\"u-2\"", "metadata.uid: Invalid value: \"u-2\": field is immutable"),
    ]);
    pod.check_updates(
        Door::Sub("status"),
        &[
            ("status.phase", "\"Running\"", ""),
            ("spec.nodeName", "\"n\"", ""),
            (
                "status.qosClass",
                "\"Guaranteed\"",
                "status.qosClass: Invalid value: \"Guaranteed\": field is immutable",
            ),
            (
                "status.conditions",
                r#"[{"type":"a b","status":"True"}]"#,
                "status.conditions[0].Type: Invalid value: \"a b\"",
            ),
        ],
    );
    pod.check_updates(
        Door::Sub("ephemeralcontainers"),
        &[
            ("spec.ephemeralContainers[0]", r#"{"name":"d","image":"i","targetContainerName":"c"}"#, ""),
            (
                "spec.ephemeralContainers[0]",
                r#"{"name":"c","image":"i"}"#,
                "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
            ),
            (
                "spec.ephemeralContainers[0]",
                r#"{"name":"d","image":"i","ports":[{"containerPort":1}]}"#,
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
        ],
    );
}

#[test]
fn workloads_are_checked() {
    for (group, kind, bench) in [
        ("apps", "Deployment", workload("apps", "Deployment", "")),
        ("apps", "ReplicaSet", workload("apps", "ReplicaSet", "")),
        ("apps", "StatefulSet", workload("apps", "StatefulSet", r#","serviceName":"s""#)),
        ("apps", "DaemonSet", workload("apps", "DaemonSet", "")),
    ] {
        if kind != "DaemonSet" {
            bench.refuses(&["spec.replicas"], NEGATIVE);
        }
        bench.refuses(&["spec.minReadySeconds"], NEGATIVE);
        bench.check(&[
            ("spec.template.metadata.labels", r#"{"x":"y"}"#, "spec.template.metadata.labels: Invalid value: {\"x\":\"y\"}: `selector` does not match template `labels`"),
            ("spec.template.spec.restartPolicy", "\"Never\"", "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""),
        ]);
        assert!(
            !bench.told(|object| set(object, "spec.selector", Value::object())).is_empty(),
            "{group}/{kind}"
        );
    }
    workload("apps", "Deployment", "").check(&[
        ("spec.selector", "null", "spec.selector: Required value"),
        ("spec.selector", "{}", "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        ("spec.strategy", r#"{"type":"Recreate","rollingUpdate":{}}"#, "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
        ("spec.strategy", r#"{"type":"Odd"}"#, "spec.strategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\""),
        ("spec.strategy", r#"{"rollingUpdate":{"maxSurge":0,"maxUnavailable":0}}"#, "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
        ("spec.strategy", r#"{"rollingUpdate":{"maxUnavailable":"101%"}}"#, "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
        ("spec.progressDeadlineSeconds", "0", "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
        ("spec.revisionHistoryLimit", "-1", "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
        ("spec.template.spec.containers[0].name", "\"A\"", "spec.template.spec.containers[0].name: Invalid value: \"A\""),
    ]);
    workload("apps", "Deployment", "").check_updates(Door::Main, &[
        ("spec.replicas", "3", ""),
        ("spec.selector.matchLabels.c", "\"d\"", "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"),
    ]);
    workload("apps", "StatefulSet", "").check_updates(
        Door::Main,
        &[
            ("spec.replicas", "3", ""),
            (
                "spec.serviceName",
                "\"other\"",
                "spec: Forbidden: updates to statefulset spec for fields other than",
            ),
        ],
    );
}

#[test]
fn jobs_are_checked() {
    let text =
        r#"{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}"#;
    let job = Bench::new("batch", "v1", "Job", text);
    job.refuses(
        &[
            "spec.parallelism",
            "spec.completions",
            "spec.backoffLimit",
            "spec.activeDeadlineSeconds",
            "spec.ttlSecondsAfterFinished",
        ],
        NEGATIVE,
    );
    job.refuses(&["spec.completionMode", "spec.podReplacementPolicy"], NO_CHOICE);
    job.check(&[
        ("spec.template.spec.restartPolicy", "\"Always\"", "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""),
        ("spec.backoffLimitPerIndex", "1", "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
        ("spec.managedBy", "\"nodomain\"", "spec.managedBy: Invalid value: \"nodomain\": must be a domain-prefixed path"),
        ("spec.successPolicy", r#"{"rules":[{"succeededCount":1}]}"#, "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: requires indexed completion mode"),
    ]);
    let filled = job.filled_in();
    assert_eq!(
        filled.at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"]).as_str(),
        Some("u-1")
    );
    let text = format!(r#"{{"spec":{{"schedule":"* * * * *","jobTemplate":{text}}}}}"#);
    let cron = Bench::new("batch", "v1", "CronJob", &text);
    cron.refuses(&["spec.concurrencyPolicy"], NO_CHOICE);
    cron.refuses(
        &["spec.schedule"],
        &["\"\"", "\"* * *\"", "\"60 * * * *\"", "\"x * * * *\"", "\"TZ=UTC * * * * *\""],
    );
    cron.refuses(
        &["spec.startingDeadlineSeconds", "spec.successfulJobsHistoryLimit", "spec.failedJobsHistoryLimit"],
        NEGATIVE,
    );
    cron.refuses(&["spec.timeZone"], &["\"\"", "\"Local\"", "\"Nowhere/At_all\"", "\"../x\""]);
}

#[test]
fn a_wrong_label_of_an_update_is_told_as_often_as_rules_look_at_it() {
    for (group, version, kind, rest, times) in [
        ("", "v1", "ConfigMap", "{}", 4),
        ("", "v1", "ServiceAccount", "{}", 4),
        ("", "v1", "Namespace", "{}", 4),
        ("discovery.k8s.io", "v1", "EndpointSlice", r#"{"addressType":"IPv4","endpoints":[]}"#, 3),
        ("policy", "v1", "PodDisruptionBudget", r#"{"spec":{"selector":{}}}"#, 2),
    ] {
        let bench = Bench::new(group, version, kind, rest);
        let old = bench.filled_in();
        let mut new = old.clone();
        set(&mut new, "metadata.labels", document(r#"{"a":"-"}"#));
        let mut errors = Errors::new();
        bench.kind.validate_update(&new, &old, Door::Main, &mut errors);
        assert_eq!(errors.len(), times, "{kind}: {errors:?}");
    }
}
