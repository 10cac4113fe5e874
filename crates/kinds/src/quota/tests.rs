use machinery::Value;

use super::{Tracked, pods, shown};

/// A point in time after all that stands in these documents.
const NOW: i64 = 1_767_225_600;

fn value(text: &str) -> Value {
    machinery::json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn used(group: &str, plural: &str, object: &str) -> String {
    shown(&Tracked::new(group, plural).usage(&value(object), NOW))
}

#[test]
fn every_name_belongs_to_one_resource() {
    let cases = [
        ("pods", ("", "pods")),
        ("cpu", ("", "pods")),
        ("requests.cpu", ("", "pods")),
        ("limits.memory", ("", "pods")),
        ("limits.ephemeral-storage", ("", "pods")),
        ("hugepages-2Mi", ("", "pods")),
        ("requests.hugepages-2Mi", ("", "pods")),
        ("requests.example.com/gpu", ("", "pods")),
        ("services", ("", "services")),
        ("services.nodeports", ("", "services")),
        ("services.loadbalancers", ("", "services")),
        ("persistentvolumeclaims", ("", "persistentvolumeclaims")),
        ("requests.storage", ("", "persistentvolumeclaims")),
        ("gold.storageclass.storage.k8s.io/requests.storage", ("", "persistentvolumeclaims")),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", ("", "persistentvolumeclaims")),
        ("configmaps", ("", "configmaps")),
        ("secrets", ("", "secrets")),
        ("replicationcontrollers", ("", "replicationcontrollers")),
        ("resourcequotas", ("", "resourcequotas")),
        ("count/pods", ("", "pods")),
        ("count/deployments.apps", ("apps", "deployments")),
        ("count/widgets.example.com", ("example.com", "widgets")),
        ("count/jobs.batch", ("batch", "jobs")),
    ];
    for (name, (group, plural)) in cases {
        assert_eq!(Tracked::by(name), Some(Tracked::new(group, plural)), "{name}");
    }
    for name in
        ["limits.example.com/gpu", "example.com/gpu", "storage", "gold.storageclass.storage.k8s.io/other"]
    {
        assert_eq!(Tracked::by(name), None, "{name}");
    }
}

#[test]
fn pods_use_what_they_ask_for() {
    let cases = [
        (r#"{"spec":{"containers":[{"name":"a"}]}}"#, "count/pods=1,pods=1"),
        (
            r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"500m","memory":"1Gi"},"limits":{"cpu":"1"}}},
            {"resources":{"requests":{"cpu":"250m"}}}]}}"#,
            "count/pods=1,cpu=750m,limits.cpu=1,memory=1Gi,pods=1,requests.cpu=750m,requests.memory=1Gi",
        ),
        (
            r#"{"spec":{"initContainers":[{"resources":{"requests":{"cpu":"2"}}}],
            "containers":[{"resources":{"requests":{"cpu":"1"}}}]}}"#,
            "count/pods=1,cpu=2,pods=1,requests.cpu=2",
        ),
        (
            r#"{"spec":{"overhead":{"cpu":"100m"},"containers":[{"resources":{"requests":{"cpu":"1"}}}]}}"#,
            "count/pods=1,cpu=1100m,pods=1,requests.cpu=1100m",
        ),
        (
            r#"{"spec":{"containers":[{"resources":{"requests":{"example.com/gpu":"3","hugepages-2Mi":"4Mi"},
            "limits":{"example.com/gpu":"3"}}}]}}"#,
            "count/pods=1,hugepages-2Mi=4Mi,pods=1,requests.example.com/gpu=3,requests.hugepages-2Mi=4Mi",
        ),
        (r#"{"spec":{"containers":[]},"status":{"phase":"Succeeded"}}"#, "count/pods=1"),
        (r#"{"spec":{"containers":[]},"status":{"phase":"Failed"}}"#, "count/pods=1"),
        (r#"{"spec":{"containers":[]},"status":{"phase":"Running"}}"#, "count/pods=1,pods=1"),
        (
            r#"{"metadata":{"deletionTimestamp":"2025-12-31T23:59:29Z","deletionGracePeriodSeconds":30},"spec":{}}"#,
            "count/pods=1",
        ),
        (
            r#"{"metadata":{"deletionTimestamp":"2025-12-31T23:59:30Z","deletionGracePeriodSeconds":30},"spec":{}}"#,
            "count/pods=1,pods=1",
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(used("", "pods", pod), expected, "{pod}");
    }
}

#[test]
fn services_claims_and_the_rest_use_what_they_are() {
    let ports = r#""ports":[{"port":80},{"port":443,"nodePort":30443}]"#;
    let service = |spec: &str| format!(r#"{{"spec":{{{spec}{ports}}}}}"#);
    let services = [
        ("", "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0"),
        (
            r#""type":"NodePort","#,
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            r#""type":"LoadBalancer","#,
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
        ),
        (
            r#""type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"#,
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            r#""type":"ExternalName","#,
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0",
        ),
    ];
    for (spec, expected) in services {
        assert_eq!(used("", "services", &service(spec)), expected, "{spec}");
    }
    let claims = [
        (r#"{"spec":{}}"#, "count/persistentvolumeclaims=1,persistentvolumeclaims=1"),
        (
            r#"{"spec":{"resources":{"requests":{"storage":"1500m"}}}}"#,
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2",
        ),
        (
            r#"{"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"1Gi"}}},
            "status":{"allocatedResources":{"storage":"3Gi"}}}"#,
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=3Gi,persistentvolumeclaims=1,requests.storage=3Gi",
        ),
        (
            r#"{"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"old"}},
            "spec":{"storageClassName":"gold"}}"#,
            "count/persistentvolumeclaims=1,old.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             persistentvolumeclaims=1",
        ),
    ];
    for (claim, expected) in claims {
        assert_eq!(used("", "persistentvolumeclaims", claim), expected, "{claim}");
    }
    assert_eq!(used("", "secrets", "{}"), "count/secrets=1,secrets=1");
    assert_eq!(used("", "events", "{}"), "count/events=1");
    assert_eq!(used("example.com", "widgets", "{}"), "count/widgets.example.com=1");
}

#[test]
fn a_quota_is_about_what_all_of_its_scopes_hold_for() {
    let plain = r#"{"spec":{"containers":[{}]}}"#;
    let ends = r#"{"spec":{"activeDeadlineSeconds":5,"containers":[{}]}}"#;
    let asks = r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]}}"#;
    let high = r#"{"spec":{"priorityClassName":"high","containers":[{}]}}"#;
    let foreign = r#"{"spec":{"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[
        {"podAffinityTerm":{"namespaces":["x"]}}]}},"containers":[{}]}}"#;
    let home = r#"{"spec":{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
        {"topologyKey":"a"}]}},"containers":[{}]}}"#;
    let priority = |operator: &str, values: &str| {
        format!(
            r#"{{"scopeSelector":{{"matchExpressions":[{{"scopeName":"PriorityClass","operator":"{operator}","values":{values}}}]}}}}"#
        )
    };
    let scopes = |names: &str| format!(r#"{{"scopes":[{names}]}}"#);
    let cases = [
        (plain, "{}".to_owned(), true),
        (plain, scopes(r#""BestEffort""#), true),
        (asks, scopes(r#""BestEffort""#), false),
        (plain, scopes(r#""NotBestEffort""#), false),
        (asks, scopes(r#""NotBestEffort""#), true),
        (ends, scopes(r#""Terminating""#), true),
        (plain, scopes(r#""Terminating""#), false),
        (plain, scopes(r#""NotTerminating""#), true),
        (ends, scopes(r#""NotTerminating""#), false),
        (ends, scopes(r#""Terminating","BestEffort""#), true),
        (ends, scopes(r#""Terminating","NotBestEffort""#), false),
        (high, scopes(r#""PriorityClass""#), true),
        (plain, scopes(r#""PriorityClass""#), false),
        (high, priority("In", r#"["high","low"]"#), true),
        (high, priority("In", r#"["low"]"#), false),
        (high, priority("NotIn", r#"["low"]"#), true),
        (plain, priority("NotIn", r#"["low"]"#), true),
        (plain, priority("DoesNotExist", "[]"), true),
        (high, priority("DoesNotExist", "[]"), false),
        (foreign, scopes(r#""CrossNamespacePodAffinity""#), true),
        (home, scopes(r#""CrossNamespacePodAffinity""#), false),
        (plain, scopes(r#""VolumeAttributesClass""#), false),
    ];
    for (pod, spec, expected) in cases {
        let is_in = Tracked::new("", "pods").is_in_scopes(&value(&spec), &value(pod));
        assert_eq!(is_in, expected, "{pod} in {spec}");
    }
    let claims = Tracked::new("", "persistentvolumeclaims");
    let attributes = value(
        r#"{"scopeSelector":{"matchExpressions":[{"scopeName":"VolumeAttributesClass","operator":"In","values":["fast"]}]}}"#,
    );
    for (claim, expected) in [
        (r#"{"spec":{"volumeAttributesClassName":"fast"}}"#, true),
        (
            r#"{"spec":{"volumeAttributesClassName":"slow"},"status":{"currentVolumeAttributesClassName":"fast"}}"#,
            true,
        ),
        (r#"{"spec":{"volumeAttributesClassName":"slow"}}"#, false),
        (r#"{"spec":{}}"#, false),
    ] {
        assert_eq!(claims.is_in_scopes(&attributes, &value(claim)), expected, "{claim}");
    }
    let services = Tracked::new("", "services");
    assert!(services.is_in_scopes(&value("{}"), &value("{}")));
    assert!(!services.is_in_scopes(&value(&scopes(r#""NotTerminating""#)), &value("{}")));
}

#[test]
fn what_is_limited_must_be_said_by_every_container() {
    let pod = value(
        r#"{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}},{"name":"b"}],
        "initContainers":[{"name":"i","resources":{"limits":{"memory":"1Gi"}}}]}}"#,
    );
    let cases: [(&[&str], Option<&str>); 5] = [
        (&["pods", "requests.ephemeral-storage", "requests.example.com/gpu"], None),
        (&["cpu"], Some("must specify cpu for: b,i")),
        (&["limits.memory"], Some("must specify limits.memory for: a,b")),
        (
            &["requests.cpu", "limits.cpu", "pods"],
            Some("must specify limits.cpu for: a,b,i; requests.cpu for: b,i"),
        ),
        (&[], None),
    ];
    for (names, told) in cases {
        assert_eq!(pods::unsaid(&pod, names.iter().copied()).as_deref(), told, "{names:?}");
    }
    let whole = value(r#"{"spec":{"resources":{"requests":{"cpu":"1"}},"containers":[{"name":"a"}]}}"#);
    assert_eq!(pods::unsaid(&whole, ["cpu", "requests.cpu"]), None);
}
