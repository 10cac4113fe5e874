//! Everything but what runs pods.

use super::*;

#[test]
fn every_kind_that_is_served_has_rules_and_a_table_that_fits() {
    let table = api::Table::load();
    let mut kinds = 0;
    for group in table.group_versions() {
        for resource in group.resources.iter().filter(|_| is_default(group.group, group.version)) {
            let Some(kind) = rules(resource.group, resource.version, resource.kind) else {
                panic!("{}/{} {} has no rules", resource.group, resource.version, resource.kind)
            };
            kinds += 1;
            let object = Value::from([("metadata", Value::from([("name", Value::from("x"))]))]);
            assert_eq!(kind.row(&object, 0).len(), kind.columns().len(), "{}", resource.kind);
            assert_eq!(kind.policy().namespaced, resource.namespaced, "{}", resource.kind);
            let names: Vec<&str> = kind.selectable(&object).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, kind.selectable_names(), "{}", resource.kind);
        }
    }
    assert!(kinds >= 60, "{kinds}");
}

fn is_default(group: &str, version: &str) -> bool {
    !version.contains("alpha") && !version.contains("beta") && group != "internal.apiserver.k8s.io"
}

#[test]
fn no_rule_stumbles_over_a_document_of_the_wrong_shape() {
    let shapes = [
        "null",
        "{}",
        "[]",
        "\"x\"",
        "7",
        r#"{"metadata":[],"spec":"x","status":7,"data":[1],"webhooks":{},"rules":[7],"subjects":["x"],"ports":[null],"endpoints":["x"],"subsets":[[]]}"#,
        r#"{"metadata":{"labels":[],"finalizers":{},"ownerReferences":["x"]},"spec":{"template":"x","containers":{},"ports":["x"],"selector":[],"versions":["x"],"metrics":[7],"devices":[1],"limits":["x"],"rules":[[]]}}"#,
    ];
    let table = api::Table::load();
    for group in table.group_versions() {
        for resource in &group.resources {
            let Some(kind) = rules(resource.group, resource.version, resource.kind) else { continue };
            for text in shapes {
                let old = document(text);
                let mut object = old.clone();
                kind.default(&mut object);
                kind.prepare_create(&mut object);
                let mut errors = Errors::new();
                kind.validate_create(&object, &mut errors);
                for door in [
                    Door::Main,
                    Door::Sub("status"),
                    Door::Sub("resize"),
                    Door::Sub("approval"),
                    Door::Sub("ephemeralcontainers"),
                    Door::Sub("finalize"),
                ] {
                    let mut object = document(text);
                    kind.prepare_update(&mut object, &old, door);
                    kind.validate_update(&object, &old, door, &mut errors);
                }
                kind.row(&object, 0);
                kind.selectable(&object);
                kind.warnings(&object, Some(&old));
            }
        }
    }
}

#[test]
fn services_are_checked() {
    let service = Bench::new("", "v1", "Service", r#"{"spec":{"ports":[{"port":80}]}}"#);
    service.refuses(&["metadata.name", "spec.ports[0].name"], NO_LABELS);
    service.refuses(&["spec.ports[0].port", "spec.ports[0].targetPort"], NO_PORTS);
    service.refuses(
        &[
            "spec.type",
            "spec.sessionAffinity",
            "spec.internalTrafficPolicy",
            "spec.ports[0].protocol",
            "spec.trafficDistribution",
            "spec.ipFamilyPolicy",
        ],
        NO_CHOICE,
    );
    service.refuses(&["spec.ports[0].appProtocol"], NO_QUALIFIED);
    service.check(&[
        ("spec.ports", "[]", "spec.ports: Required value"),
        ("spec.clusterIP", "\"None\"", ""),
        ("spec.clusterIP", "\"010.0.0.5\"", "spec.clusterIPs[0]: Invalid value: \"010.0.0.5\": must not have leading 0s"),
        ("spec.ports[0].nodePort", "30000", "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ("spec.externalIPs", r#"["127.0.0.1"]"#, "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range"),
        ("spec.ports", r#"[{"port":80},{"port":81}]"#, "spec.ports[0].name: Required value | spec.ports[1].name: Required value"),
        ("spec.ports", r#"[{"port":80,"name":"a"},{"port":80,"name":"b"}]"#, "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}"),
        ("spec.loadBalancerClass", "\"a.io/b\"", "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ("spec.selector", r#"{"a b":"c"}"#, "spec.selector: Invalid value: \"a b\": name part must consist"),
        ("spec.healthCheckNodePort", "30999", "spec.healthCheckNodePort: Invalid value: 30999: may only be set when"),
    ]);
    let external =
        Bench::new("", "v1", "Service", r#"{"spec":{"type":"ExternalName","externalName":"a.example.com"}}"#);
    external.check(&[
        ("spec.externalName", "\"\"", "spec.externalName: Required value"),
        (
            "spec.clusterIP",
            "\"1.2.3.4\"",
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        ),
    ]);
    let named = Bench::new("", "v1", "Service", r#"{"spec":{"clusterIP":"10.0.0.9","ports":[{"port":80}]}}"#);
    named.check_updates(
        Door::Main,
        &[
            (
                "spec.clusterIP",
                "\"10.0.0.10\"",
                "spec.clusterIPs[0]: Invalid value: [\"10.0.0.10\"]: may not change once set",
            ),
            ("spec.clusterIP", "null", ""),
            ("spec.ports[0].port", "81", ""),
        ],
    );
}

#[test]
fn configuration_is_checked() {
    let map = Bench::new("", "v1", "ConfigMap", r#"{"immutable":true,"data":{"a":"b"}}"#);
    map.check(&[
        ("data", r#"{"a b":"x"}"#, "data[a b]: Invalid value: \"a b\": a valid config key"),
        (
            "binaryData",
            r#"{"a":"eA=="}"#,
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
    ]);
    map.check_updates(
        Door::Main,
        &[
            ("data.a", "\"c\"", "data: Forbidden: field is immutable when `immutable` is set"),
            ("immutable", "false", "immutable: Forbidden: field is immutable when `immutable` is set"),
            ("metadata.labels", r#"{"a":"b"}"#, ""),
        ],
    );
    let secret = Bench::new("", "v1", "Secret", r#"{"stringData":{"a":"hello"}}"#);
    assert_eq!(secret.filled_in().at(&["data", "a"]).as_str(), Some("aGVsbG8="));
    for (kind, told) in [
        ("kubernetes.io/tls", "data[tls.crt]: Required value | data[tls.key]: Required value"),
        ("kubernetes.io/basic-auth", "data[username]: Required value | data[password]: Required value"),
        ("kubernetes.io/ssh-auth", "data[ssh-privatekey]: Required value"),
        ("kubernetes.io/dockercfg", "data[.dockercfg]: Required value"),
        ("kubernetes.io/dockerconfigjson", "data[.dockerconfigjson]: Required value"),
        (
            "kubernetes.io/service-account-token",
            "metadata.annotations[kubernetes.io/service-account.name]: Required value",
        ),
    ] {
        assert_eq!(secret.told(|object| set(object, "type", Value::from(kind))), told);
    }
    secret.check_updates(
        Door::Main,
        &[("type", "\"example.com/x\"", "type: Invalid value: \"example.com/x\": field is immutable")],
    );
}

#[test]
fn quotas_and_limits_are_checked() {
    let quota = Bench::new("", "v1", "ResourceQuota", r#"{"spec":{"hard":{"pods":"10"}}}"#);
    quota.check(&[
        (
            "spec.hard.pods",
            "\"-1\"",
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        ("spec.hard.pods", "\"1500m\"", "spec.hard[pods]: Invalid value: \"1500m\": must be an integer"),
        ("spec.scopes", r#"["Odd"]"#, "spec.scopes: Invalid value: [\"Odd\"]: unsupported scope"),
        (
            "spec.scopes",
            r#"["Terminating","NotTerminating"]"#,
            "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes",
        ),
    ]);
    quota.check_updates(
        Door::Main,
        &[(
            "spec.scopes",
            r#"["Terminating"]"#,
            "spec.scopes: Invalid value: [\"Terminating\"]: field is immutable",
        )],
    );
    let range =
        Bench::new("", "v1", "LimitRange", r#"{"spec":{"limits":[{"type":"Container","max":{"cpu":"1"}}]}}"#);
    range.check(&[
        (
            "spec.limits[0].min",
            r#"{"cpu":"2"}"#,
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        ),
        (
            "spec.limits[0].maxLimitRequestRatio",
            r#"{"cpu":"500m"}"#,
            "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
        ),
        ("spec.limits[1]", r#"{"type":"Container"}"#, "spec.limits[1].type: Duplicate value: \"Container\""),
    ]);
    assert_eq!(
        range.filled_in().at(&["spec", "limits"]).items()[0].at(&["defaultRequest", "cpu"]).as_str(),
        Some("1")
    );
}

#[test]
fn networks_are_checked() {
    let backend = r#"{"service":{"name":"s","port":{"number":80}}}"#;
    let ingress = Bench::new(
        "networking.k8s.io",
        "v1",
        "Ingress",
        &format!(
            r#"{{"spec":{{"rules":[{{"http":{{"paths":[{{"path":"/","pathType":"Prefix","backend":{backend}}}]}}}}]}}}}"#
        ),
    );
    ingress.refuses(&["spec.rules[0].host", "spec.ingressClassName"], NO_SUBDOMAINS);
    ingress.refuses(&["spec.rules[0].http.paths[0].pathType"], NO_CHOICE);
    ingress.refuses(
        &["spec.rules[0].http.paths[0].path"],
        &["\"a\"", "\"/a//b\"", "\"/a/../b\"", "\"/a/.\"", "\"/%2f\""],
    );
    ingress.refuses(&["spec.rules[0].http.paths[0].backend.service.port.number"], NO_PORTS);
    let policy = Bench::new(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        r#"{"spec":{"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}],"ports":[{"port":80}]}]}}"#,
    );
    policy.check(&[
        ("spec.ingress[0].from[0].ipBlock.except", r#"["10.1.0.0/16"]"#, ""),
        ("spec.ingress[0].from[0].ipBlock.except", r#"["11.0.0.0/16"]"#, "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`: \"10.0.0.0/8\""),
        ("spec.ingress[0].from[0].podSelector", "{}", "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"),
        ("spec.ingress[0].ports[0].endPort", "79", "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"),
    ]);
    policy.refuses(&["spec.ingress[0].ports[0].port"], NO_PORTS);
    policy.refuses(&["spec.ingress[0].ports[0].protocol", "spec.policyTypes[0]"], NO_CHOICE);
    let slice = Bench::new(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        r#"{"addressType":"IPv4","endpoints":[{"addresses":["10.1.2.3"]}],"ports":[{"port":80}]}"#,
    );
    slice.refuses(
        &["endpoints[0].addresses[0]"],
        &["\"x\"", "\"127.0.0.1\"", "\"169.254.1.1\"", "\"224.0.0.1\"", "\"0.0.0.0\""],
    );
    let foreign = "endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address";
    slice.check(&[("endpoints[0].addresses[0]", "\"2001:db8::1\"", foreign)]);
    slice.refuses(&["addressType", "ports[0].protocol"], NO_CHOICE);
    slice.check_updates(
        Door::Main,
        &[("addressType", "\"FQDN\"", "addressType: Invalid value: \"FQDN\": field is immutable")],
    );
}

#[test]
fn storage_is_checked() {
    let claim = Bench::new(
        "",
        "v1",
        "PersistentVolumeClaim",
        r#"{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#,
    );
    claim.refuses(&["spec.storageClassName", "spec.volumeAttributesClassName"], NO_SUBDOMAINS);
    claim.refuses(&["spec.volumeMode"], NO_CHOICE);
    claim.check(&[
        ("spec.accessModes", "[]", "spec.accessModes: Required value: at least 1 access mode is required"),
        (
            "spec.accessModes",
            r#"["ReadWriteOnce","ReadWriteOncePod"]"#,
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ),
        (
            "spec.resources.requests.storage",
            "\"0\"",
            "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
        ),
        ("spec.resources", "{}", "spec.resources[storage]: Required value"),
    ]);
    claim.check_updates(
        Door::Main,
        &[
            // A class may be named where there was none.
            ("spec.storageClassName", "\"other\"", ""),
            ("spec.volumeName", "\"v\"", ""),
            ("spec.accessModes", r#"["ReadWriteMany"]"#, "-  \"ReadWriteOnce\"\n+  \"ReadWriteMany\"\n"),
        ],
    );
    let volume = Bench::new(
        "",
        "v1",
        "PersistentVolume",
        r#"{"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"}}}"#,
    );
    volume.check(&[
        ("spec.capacity", "{}", "spec.capacity: Required value"),
        ("spec.hostPath", "null", "spec: Required value: must specify a volume type"),
        (
            "spec.nfs",
            r#"{"server":"s","path":"/x"}"#,
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ),
    ]);
    volume.refuses(&["spec.persistentVolumeReclaimPolicy", "spec.volumeMode"], NO_CHOICE);
    let class = Bench::new("storage.k8s.io", "v1", "StorageClass", r#"{"provisioner":"example.com/p"}"#);
    class.refuses(&["provisioner"], NO_QUALIFIED);
    class.refuses(&["reclaimPolicy", "volumeBindingMode"], NO_CHOICE);
    class.check_updates(
        Door::Main,
        &[
            (
                "provisioner",
                "\"example.com/q\"",
                "provisioner: Invalid value: \"example.com/q\": field is immutable",
            ),
            ("allowVolumeExpansion", "true", ""),
        ],
    );
}

#[test]
fn access_is_checked() {
    let role = Bench::new(
        "rbac.authorization.k8s.io",
        "v1",
        "Role",
        r#"{"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#,
    );
    role.refuses(&["metadata.name"], &["\"a%b\"", "\"a/b\"", "\"..\"", "\".\""]);
    role.check(&[
        ("metadata.name", "\"system:any:Name\"", ""),
        ("rules[0].verbs", "[]", "rules[0].verbs: Required value: verbs must contain at least one value"),
        ("rules[0].apiGroups", "[]", "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
        ("rules[0].resources", "[]", "rules[0].resources: Required value: resource rules must supply at least one resource"),
        ("rules[0].nonResourceURLs", r#"["/x"]"#, "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"),
    ]);
    let binding = Bench::new(
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        r#"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"}]}"#,
    );
    binding.refuses(
        &["roleRef.kind", "roleRef.apiGroup", "subjects[0].kind", "subjects[0].apiGroup"],
        NO_CHOICE,
    );
    binding.check_updates(Door::Main, &[(
        "roleRef.name",
        "\"other\"",
        "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"other\"}: cannot change roleRef",
    )]);
    let class = Bench::new("scheduling.k8s.io", "v1", "PriorityClass", r#"{"value":100}"#);
    class.check(&[
        (
            "value",
            "1000000001",
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            "metadata.name",
            "\"system-mine\"",
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved",
        ),
    ]);
    class
        .check_updates(Door::Main, &[("value", "101", "value: Forbidden: may not be changed in an update.")]);
    let budget = Bench::new("policy", "v1", "PodDisruptionBudget", r#"{"spec":{"minAvailable":1}}"#);
    budget.check(&[
        (
            "spec.minAvailable",
            "-1",
            "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "spec.minAvailable",
            "\"101%\"",
            "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
    ]);
    let lease = Bench::new("coordination.k8s.io", "v1", "Lease", r#"{"spec":{"leaseDurationSeconds":15}}"#);
    lease.refuses(&["spec.leaseDurationSeconds"], &["0", "-1"]);
    lease.refuses(&["spec.leaseTransitions"], NEGATIVE);
}
