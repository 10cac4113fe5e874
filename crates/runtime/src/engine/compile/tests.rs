//! Plans from configurations and images.

use super::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn plan(config: &ContainerConfig, image: &ImageConfig) -> Result<ContainerPlan, RuntimeError> {
    container("id", config, image, &SandboxConfig::default())
}

#[test]
fn commands_and_arguments_of_pod_and_image() {
    // Image's entry point and arguments; the pod's; what runs.
    type Words = &'static [&'static str];
    let table: [(Words, Words, Words, Words, Words); 7] = [
        (&["/e"], &["c"], &[], &[], &["/e", "c"]),
        (&["/e"], &["c"], &["/x"], &[], &["/x"]),
        (&["/e"], &["c"], &[], &["a"], &["/e", "a"]),
        (&["/e"], &["c"], &["/x"], &["a"], &["/x", "a"]),
        (&[], &["c"], &[], &[], &["c"]),
        (&[], &["c"], &[], &["a"], &["a"]),
        (&["/e", "1"], &[], &[], &[], &["/e", "1"]),
    ];
    for (entrypoint, cmd, command, args, expected) in table {
        let image =
            ImageConfig { entrypoint: strings(entrypoint), cmd: strings(cmd), ..ImageConfig::default() };
        let config =
            ContainerConfig { command: strings(command), args: strings(args), ..ContainerConfig::default() };
        assert_eq!(plan(&config, &image).unwrap().process.argv, expected);
    }
    let nothing = plan(&ContainerConfig::default(), &ImageConfig::default());
    assert_eq!(nothing.unwrap_err(), RuntimeError::Invalid("no command specified".into()));
}

#[test]
fn later_variables_win_and_keep_the_place_of_earlier_ones() {
    let image = ImageConfig { env: strings(&["PATH=/bin", "A=image", "B=image"]), ..ImageConfig::default() };
    let config = ContainerConfig {
        envs: vec![("A".into(), "pod".into()), ("C".into(), "x=y".into()), ("C".into(), "z".into())],
        tty: true,
        ..ContainerConfig::default()
    };
    let expected = ["PATH=/bin", "HOSTNAME=web", "TERM=xterm", "A=pod", "B=image", "C=z"];
    assert_eq!(environment(&config, &image, "web"), expected);
    assert_eq!(environment(&ContainerConfig::default(), &ImageConfig::default(), ""), [DEFAULT_PATH]);
}

#[test]
fn users_of_pod_and_image() {
    let image = ImageConfig { user: "web:www".into(), ..ImageConfig::default() };
    let find =
        |security: cri::Security| user(&ContainerConfig { security, ..ContainerConfig::default() }, &image);
    let plan = |user: &str, group: &str| UserPlan {
        user: user.into(),
        group: group.into(),
        supplemental: vec![],
        image_groups: true,
    };
    let security = cri::Security::default;
    assert_eq!(find(security()), Ok(plan("web", "www")));
    assert_eq!(find(cri::Security { run_as_user: Some(5), ..security() }), Ok(plan("5", "")));
    assert_eq!(find(cri::Security { run_as_username: "bob".into(), ..security() }), Ok(plan("bob", "")));
    assert_eq!(find(cri::Security { run_as_group: Some(7), ..security() }), Ok(plan("web", "7")));
    let strict =
        cri::Security { supplemental_groups: vec![9], strict_supplemental_groups: true, ..security() };
    let expected = UserPlan { supplemental: vec![9], image_groups: false, ..plan("web", "www") };
    assert_eq!(find(strict), Ok(expected));
    assert!(find(cri::Security { run_as_user: Some(-1), ..security() }).is_err());
}

#[test]
fn privileged_means_nothing_is_kept_back() {
    let security = cri::Security {
        privileged: true,
        drop_capabilities: strings(&["ALL"]),
        masked_paths: strings(&["/proc/kcore"]),
        ..cri::Security::default()
    };
    let config = ContainerConfig { command: strings(&["x"]), security, ..ContainerConfig::default() };
    let plan = plan(&config, &ImageConfig::default()).unwrap();
    assert_eq!(plan.process.capabilities, capabilities::ALL);
    assert!(matches!(plan.process.seccomp, SeccompPlan::Unconfined));
    assert!(plan.masked_paths.is_empty());
}

#[test]
fn mistakes_are_named() {
    let with = |change: fn(&mut ContainerConfig)| {
        let mut config = ContainerConfig { command: strings(&["x"]), ..ContainerConfig::default() };
        change(&mut config);
        plan(&config, &ImageConfig::default()).unwrap_err().to_string()
    };
    let unknown = with(|config| config.security.add_capabilities = strings(&["FLY"]));
    assert_eq!(unknown, "unknown capability \"FLY\"");
    let relative = with(|config| {
        config.mounts = vec![cri::Mount { host_path: "data".into(), ..cri::Mount::default() }];
    });
    assert_eq!(relative, "mount source \"data\" is not absolute");
}

#[test]
fn signals_by_every_name() {
    let table = [
        ("SIGTERM", Some(15)),
        ("term", Some(15)),
        ("9", Some(9)),
        ("SIGRTMIN+3", Some(37)),
        ("RTMAX-1", Some(63)),
        ("RTMIN", Some(34)),
        ("SIGWINCH", Some(28)),
        ("65", None),
        ("0", None),
        ("SIGFOO", None),
        ("", None),
        ("RTMIN+31", None),
        ("RTMIN3", None),
    ];
    for (text, expected) in table {
        assert_eq!(signal_number(text), expected, "{text}");
    }
}
