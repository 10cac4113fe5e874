use super::evaluate::{details, evaluate};
use super::*;
use crate::identity::Identity;

fn parse(json: &str) -> Value {
    machinery::json::parse(json.as_bytes()).unwrap()
}

/// What a standard (`baseline:34`) finds wrong with a pod, in one sentence.
fn judged(standard: &str, pod: &Value) -> String {
    let (level, version) = standard.split_once(':').unwrap();
    let version = version.parse().map_or(Version::Latest, Version::Minor);
    let standard = Standard { level: Level::parse(level).unwrap(), version };
    details(&evaluate(standard, Pod { metadata: pod.get("metadata"), spec: pod.get("spec") }))
}

/// A pod of one container, `c`, with more in its spec and in the container; good enough for `restricted`.
fn pod(spec: &str, container: &str) -> Value {
    let mut pod = parse(
        r#"{"metadata":{"name":"p"},"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
        "containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}"#,
    );
    let more = parse(spec);
    for (name, value) in more.members() {
        merge(pod.entry("spec").entry(name), value);
    }
    let more = parse(container);
    for (name, value) in more.members() {
        let container = &mut pod.entry("spec").entry("containers").items_mut()[0];
        merge(container.entry(name), value);
    }
    pod
}

fn merge(into: &mut Value, more: &Value) {
    if into.as_object().is_none() || more.as_object().is_none() {
        *into = more.clone();
        return;
    }
    for (name, value) in more.members() {
        merge(into.entry(name), value);
    }
}

#[test]
fn what_baseline_forbids() {
    // The spec, the container, the last version that lets it pass if there is one, and what is said from then on.
    let cases: &[(&str, &str, Option<u32>, &str)] = &[
        (
            r#"{"hostNetwork":true,"hostPID":true}"#,
            "{}",
            None,
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (r#"{"hostIPC":true,"hostPID":false}"#, "{}", None, "host namespaces (hostIPC=true)"),
        (
            "{}",
            r#"{"securityContext":{"privileged":true}}"#,
            None,
            "privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (
            "{}",
            r#"{"securityContext":{"capabilities":{"add":["SYS_TIME","NET_ADMIN","CHOWN"]}}}"#,
            None,
            "non-default capabilities (container \"c\" must not include \"NET_ADMIN\", \"SYS_TIME\" in \
             securityContext.capabilities.add)",
        ),
        (
            r#"{"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"w","emptyDir":{}}]}"#,
            "{}",
            None,
            "hostPath volumes (volume \"v\")",
        ),
        (
            "{}",
            r#"{"ports":[{"hostPort":80},{"hostPort":0},{"hostPort":443}]}"#,
            None,
            "hostPort (container \"c\" uses hostPorts 443, 80)",
        ),
        (
            "{}",
            r#"{"livenessProbe":{"httpGet":{"host":"10.0.0.1"}},"lifecycle":{"preStop":{"tcpSocket":{"host":"a"}}}}"#,
            Some(33),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle hosts \"10.0.0.1\", \"a\")",
        ),
        ("{}", r#"{"livenessProbe":{"httpGet":{"host":""}}}"#, Some(99), ""),
        (
            r#"{"securityContext":{"appArmorProfile":{"type":"Unconfined"}}}"#,
            r#"{"securityContext":{"appArmorProfile":{"type":"Localhost"}}}"#,
            None,
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            "{}",
            r#"{"securityContext":{"procMount":"Unmasked"}}"#,
            None,
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            r#"{"securityContext":{"seLinuxOptions":{"type":"x","user":"u"}}}"#,
            "{}",
            None,
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set)",
        ),
        (
            r#"{"securityContext":{"seLinuxOptions":{"role":"r"}}}"#,
            r#"{"securityContext":{"seLinuxOptions":{"type":"container_kvm_t"}}}"#,
            None,
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be set)",
        ),
        (
            r#"{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}"#,
            "{}",
            Some(18),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            r#"{"securityContext":{"sysctls":[{"name":"kernel.msgmax"},{"name":"kernel.shm_rmid_forced"}]}}"#,
            "{}",
            None,
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            r#"{"securityContext":{"windowsOptions":{"hostProcess":true}}}"#,
            r#"{"securityContext":{"windowsOptions":{"hostProcess":true}}}"#,
            None,
            "hostProcess (pod and container \"c\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ];
    for (spec, container, passes, expected) in cases {
        let pod = pod(spec, container);
        for minor in [0, 18, 19, 33, 34, 99] {
            let expected = if passes.is_some_and(|last| minor <= last) { "" } else { expected };
            assert_eq!(
                judged(&format!("baseline:{minor}"), &pod),
                *expected,
                "{spec} {container} v1.{minor}"
            );
        }
        assert_eq!(judged("privileged:latest", &pod), "");
    }
}

#[test]
fn what_was_found_harmless_later_passes_from_then_on() {
    let sysctl =
        |name: &str| pod(&format!(r#"{{"securityContext":{{"sysctls":[{{"name":"{name}"}}]}}}}"#), "{}");
    for (pod, since) in [
        (sysctl("net.ipv4.ip_local_reserved_ports"), 27),
        (sysctl("net.ipv4.tcp_keepalive_time"), 29),
        (sysctl("net.ipv4.tcp_wmem"), 32),
        (pod(r#"{"securityContext":{"seLinuxOptions":{"type":"container_engine_t"}}}"#, "{}"), 31),
        (pod(r#"{"hostUsers":false}"#, r#"{"securityContext":{"procMount":"Unmasked"}}"#), 35),
    ] {
        assert_ne!(judged(&format!("baseline:{}", since - 1), &pod), "", "{since}");
        assert_eq!(judged(&format!("baseline:{since}"), &pod), "", "{since}");
        assert_eq!(judged("baseline:latest", &pod), "", "{since}");
    }
    let unmasked = pod(r#"{"hostUsers":false}"#, r#"{"securityContext":{"procMount":"Unmasked"}}"#);
    let text = "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")";
    assert_eq!(judged("restricted:latest", &unmasked), text, "restricted stays strict, and says so once");
}

#[test]
fn old_annotations_count_where_the_fields_were_not_there() {
    let mut pod = pod("{}", "{}");
    let annotations = pod.at_mut(&["metadata", "annotations"]);
    annotations.set("seccomp.security.alpha.kubernetes.io/pod", "unconfined");
    annotations.set("container.seccomp.security.alpha.kubernetes.io/c", "localhost/x");
    let text =
        "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")";
    assert_eq!(judged("baseline:18", &pod), text);
    assert_eq!(judged("baseline:19", &pod), "");
    pod.at_mut(&["metadata", "annotations"])
        .set("container.apparmor.security.beta.kubernetes.io/c", "unconfined");
    let text = judged("baseline:latest", &pod);
    assert_eq!(
        text,
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
         \"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\")"
    );
}

#[test]
fn what_restricted_asks_for() {
    let bare =
        parse(r#"{"metadata":{},"spec":{"containers":[{"name":"a"}],"initContainers":[{"name":"i"}]}}"#);
    assert_eq!(
        judged("restricted:latest", &bare),
        "allowPrivilegeEscalation != false (containers \"i\", \"a\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers \"i\", \"a\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or containers \"i\", \"a\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or containers \"i\", \"a\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let text = judged("restricted:0", &bare);
    assert!(text.starts_with("runAsNonRoot != true (pod or") && !text.contains("seccomp"), "{text}");
    let cases = [
        ("{}", "{}", ""),
        (
            r#"{"os":{"name":"windows"}}"#,
            r#"{"securityContext":{"allowPrivilegeEscalation":null,"capabilities":null}}"#,
            "",
        ),
        (
            "{}",
            r#"{"securityContext":{"capabilities":{"add":["CHOWN","NET_BIND_SERVICE"]}}}"#,
            "unrestricted capabilities (container \"c\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            r#"{"volumes":[{"name":"v","hostPath":{}},{"name":"w","nfs":{}},{"name":"x","image":{}},{"name":"y","csi":{}}]}"#,
            "{}",
            "restricted volume types (volumes \"v\", \"w\", \"x\" use restricted volume types \"hostPath\", \"nfs\", \
             \"unknown\")",
        ),
        (
            r#"{"securityContext":{"runAsNonRoot":false}}"#,
            r#"{"securityContext":{"runAsNonRoot":true}}"#,
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (r#"{"hostUsers":false,"securityContext":{"runAsNonRoot":false,"runAsUser":0}}"#, "{}", ""),
        (
            "{}",
            r#"{"securityContext":{"runAsUser":0}}"#,
            "runAsUser=0 (container \"c\" must not set runAsUser=0)",
        ),
        (
            r#"{"securityContext":{"seccompProfile":{"type":"Localhost"}}}"#,
            r#"{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}"#,
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
    ];
    for (spec, container, expected) in cases {
        assert_eq!(judged("restricted:latest", &pod(spec, container)), expected, "{spec} {container}");
    }
}

#[test]
fn only_updates_of_what_standards_look_at_are_judged() {
    let old = parse(r#"{"metadata":{"labels":{"a":"1"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#);
    let mut new = old.clone();
    *new.at_mut(&["metadata", "labels", "a"]) = Value::from("2");
    assert!(!matters(&new, &old));
    new.entry("spec").set("ephemeralContainers", vec![parse(r#"{"name":"e","image":"i"}"#)]);
    assert!(matters(&new, &old));
    assert!(!matters(&new, &new));
    let mut image = old.clone();
    image.entry("spec").entry("containers").items_mut()[0].set("image", "j");
    assert!(matters(&image, &old));
}

#[test]
fn pods_that_are_there_are_told_of_by_what_they_violate() {
    let standard = Standard { level: Level::Baseline, version: Version::Latest };
    let found = [("privileged", "b", 1), ("hostPort", "a", 2), ("host namespaces", "c", 5)];
    let found: BTreeMap<String, (String, usize)> =
        found.into_iter().map(|(reason, pod, count)| (reason.to_owned(), (pod.to_owned(), count))).collect();
    assert_eq!(
        told("n", standard, (PODS_MAX + 1, found)),
        [
            "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods",
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): hostPort",
            "b: privileged",
            "c (and 4 other pods): host namespaces",
        ]
    );
    assert!(told("n", standard, (1, BTreeMap::new())).is_empty());
}

#[test]
fn who_is_exempt_is_said() {
    let settings = Settings {
        namespaces: vec!["kube-system".to_owned()],
        usernames: vec!["root".to_owned()],
        ..Settings::default()
    };
    let plugin = PodSecurity::new(settings);
    let (root, alice) = (Identity::new("root", &[]), Identity::new("alice", &[]));
    for (identity, namespace, exempt) in
        [(&root, "n", Some("user")), (&alice, "kube-system", Some("namespace")), (&alice, "n", None)]
    {
        assert_eq!(plugin.exempts(identity, namespace), exempt);
    }
}

#[test]
fn defaults_and_exemptions_come_from_a_file() {
    let head = "kind: PodSecurityConfiguration\napiVersion: pod-security.admission.config.k8s.io/v1\n";
    let settings = Settings::parse(&format!(
        "{head}defaults: {{enforce: baseline, enforce-version: v1.30, warn: restricted}}\nexemptions: {{namespaces: \
         [kube-system], usernames: [], runtimeClasses: [vm]}}\n"
    ))
    .unwrap();
    assert_eq!(settings.defaults.enforce.to_string(), "baseline:v1.30");
    assert_eq!(settings.defaults.warn.to_string(), "restricted:latest");
    assert_eq!(
        (settings.namespaces.as_slice(), settings.runtime_classes.as_slice()),
        (&["kube-system".to_owned()][..], &["vm".to_owned()][..])
    );
    assert!(Settings::parse("kind: X").is_err());
    assert!(Settings::parse(&format!("{head}defaults: {{enforce: x}}")).is_err());
}
