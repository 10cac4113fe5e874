//! Pods that the pod security standards look at: all of them are right as pods, whatever a standard thinks of them. Those
//! of upstream are read where they are found (`REFERENCE_PODS`, or beside the working tree); here are the kinds of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use api::Table;
use machinery::field::Errors;
use machinery::json::{self, Report};
use machinery::yaml;

/// What is wrong with a pod, from its body to its rules.
fn told(table: &Table, text: &str) -> Vec<String> {
    let document = match yaml::decode(text.as_bytes()) {
        Ok(document) => document,
        Err(error) => return vec![error.to_string()],
    };
    let ty = table.type_of(table.kind("", "v1", "Pod").expect("pods exist"));
    let rules = kinds::rules("", "v1", "Pod").expect("pods have rules");
    let mut report = Report::new();
    let mut pod = match json::decode(&json::to_vec(&document), ty, &mut report) {
        Ok(pod) => pod,
        Err(error) => return vec![error.text],
    };
    let mut problems = report.strict_errors().to_vec();
    // Some are named after the check that they are for, as no pod could be.
    pod.entry("metadata").set("name", "p");
    pod.entry("metadata").set("namespace", "default");
    // A server has filled this in before the rules are asked.
    if pod.at(&["spec", "serviceAccountName"]).is_null() {
        pod.entry("spec").set("serviceAccountName", "default");
    }
    rules.default(&mut pod);
    rules.prepare_create(&mut pod);
    let mut errors = Errors::new();
    rules.validate_create(&pod, &mut errors);
    problems.extend(errors.iter().map(ToString::to_string));
    problems
}

/// A pod of two containers; the first two texts go into the pod, the last into its container.
fn pod(metadata: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{metadata}}}\nspec:\n  containers: [{{name: a, image: i{container}}}]\n  \
         initContainers: [{{name: b, image: i}}]\n{spec}"
    )
}

#[test]
fn what_the_standards_look_at_is_right_as_a_pod() {
    let table = Table::load();
    let of_pod = |text: &str| pod("", &format!("  securityContext: {text}\n"), "");
    let of_container = |text: &str| pod("", "", &format!(", securityContext: {text}"));
    let of_spec = |text: &str| pod("", &format!("  {text}\n"), "");
    for text in [
        pod("", "", ""),
        pod(", annotations: {container.apparmor.security.beta.kubernetes.io/a: runtime/default}", "", ""),
        of_container(
            "{allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}",
        ),
        of_container("{privileged: true}"),
        of_container("{procMount: Unmasked}").replace("initContainers", "hostUsers: false\n  initContainers"),
        of_container("{runAsNonRoot: true, runAsUser: 1000, readOnlyRootFilesystem: true}"),
        of_container("{seccompProfile: {type: Localhost, localhostProfile: a.json}}"),
        of_container("{appArmorProfile: {type: Unconfined}}"),
        of_container("{seLinuxOptions: {type: container_t, level: s0}}"),
        of_container("{windowsOptions: {gmsaCredentialSpecName: g}}"),
        of_pod("{fsGroup: 1, supplementalGroups: [2], runAsNonRoot: true, runAsUser: 0}"),
        of_pod("{seccompProfile: {type: RuntimeDefault}}"),
        of_pod(
            "{sysctls: [{name: kernel.shm_rmid_forced, value: '0'}, {name: net.ipv4.tcp_syncookies, value: '0'}]}",
        ),
        of_pod("{windowsOptions: {hostProcess: true}}")
            .replace("initContainers", "hostNetwork: true\n  initContainers"),
        of_spec("hostIPC: true"),
        of_spec("hostPID: true"),
        of_spec("hostNetwork: true"),
        of_spec("os: {name: windows}"),
        of_spec(
            "volumes: [{name: v, hostPath: {path: /x}}, {name: w, emptyDir: {}}, {name: x, gcePersistentDisk: {pdName: d}}]",
        ),
        pod("", "", ", ports: [{containerPort: 80, hostPort: 80}]"),
        pod(
            "",
            "",
            ", livenessProbe: {httpGet: {host: 8.8.8.8, port: 80}}, lifecycle: {preStop: {tcpSocket: {host: a.b, port: 1}}}",
        ),
    ] {
        assert_eq!(told(&table, &text), Vec::<String>::new(), "{text}");
    }
}

fn reference() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("REFERENCE_PODS") {
        return Some(PathBuf::from(file));
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let archive = "shared/reference/pod-security-fixtures.tar.xz";
    manifest.ancestors().map(|folder| folder.join(archive)).find(|file| file.is_file())
}

/// All files below a folder that end like that.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

#[test]
fn every_pod_of_upstreams_is_right_as_a_pod() {
    let Some(archive) = reference() else {
        println!("no reference pods here");
        return;
    };
    let folder = std::env::temp_dir().join(format!("ironclad-pods-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the pods");
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&folder).status();
    let mut pods = Vec::new();
    files(&folder, "yaml", &mut pods);
    let table = Table::load();
    let mut wrong = Vec::new();
    for file in &pods {
        let text = std::fs::read_to_string(file).expect("a pod");
        let mut told = told(&table, &text);
        // Upstream refuses these, too: whoever unmasks `/proc` needs users of the pod's own.
        told.retain(|problem| !problem.ends_with("`hostUsers` must be false to use `Unmasked`"));
        if !told.is_empty() {
            wrong.push(format!("{}: {told:?}", file.strip_prefix(&folder).unwrap_or(file).display()));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    assert!(unpacked.is_ok_and(|status| status.success()) && pods.len() > 4_000, "{} pods", pods.len());
    println!("{} pods", pods.len());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        pods.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}
