//! Sandboxes and containers from their making to their end.

use cri::{ContainerConfig, ContainerState, Event, Runtime, RuntimeError, SandboxState};

use crate::harness::*;

#[test]
fn a_container_runs_and_its_end_is_known() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let (ended, output) =
            node.script(&sandbox, "echo out; echo err >&2; echo $FROM_IMAGE; hostname; exit 3").await;
        assert_eq!(
            (ended.state, ended.exit_code, ended.reason.as_str()),
            (ContainerState::Exited, 3, "Error")
        );
        assert!(ended.created_at <= ended.started_at && ended.started_at <= ended.finished_at);
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out", "web", "yes"]);
        let log = std::fs::read_to_string(&ended.log_path).unwrap();
        assert!(log.contains(" stdout F out\n") && log.contains(" stderr F err\n"), "{log}");
        let (ended, _) = node.script(&sandbox, "true").await;
        assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"));
        let (ended, _) = node.script(&sandbox, "kill -9 $$; sleep 1").await;
        assert_eq!(ended.exit_code, 0, "process 1 is deaf to its own signals");
        let (ended, _) = node.script(&sandbox, "sh -c 'kill -9 $$'; exit $?").await;
        assert_eq!(ended.exit_code, 137);
        node
    });
}

#[test]
fn a_sandbox_is_listed_with_its_address_until_it_is_removed() {
    on_a_node(async |node| {
        let engine = node.engine();
        let id = node.sandbox("web").await;
        let listed = engine.list_sandboxes().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].state, listed[0].ips.len()), (SandboxState::Ready, 1));
        let container = node.run(&id, shell("sleep 1000")).await;
        engine.stop_sandbox(id.clone()).await.unwrap();
        engine.stop_sandbox(id.clone()).await.unwrap();
        assert_eq!(engine.list_sandboxes().await.unwrap()[0].state, SandboxState::NotReady);
        assert_eq!(node.container(&container).await.exit_code, 137);
        assert!(node.network.attached.lock().unwrap().is_empty());
        let refused = engine.create_container(id.clone(), shell("true")).await;
        assert!(matches!(refused, Err(RuntimeError::Failed(_))), "{refused:?}");
        engine.remove_sandbox(id.clone()).await.unwrap();
        engine.remove_sandbox(id).await.unwrap();
        assert!(engine.list_sandboxes().await.unwrap().is_empty());
        assert!(engine.list_containers().await.unwrap().is_empty());
        node
    });
}

#[test]
fn stopping_asks_first_and_kills_then() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let engine = node.engine();
        let polite = "trap 'echo bye; exit 7' TERM; echo up; while true; do sleep 0.05; done";
        let id = node.run(&sandbox, shell(polite)).await;
        wait_for_output(&node, &id, "up").await;
        engine.stop_container(id.clone(), 30).await.unwrap();
        let ended = node.container(&id).await;
        assert_eq!((ended.exit_code, ended.reason.as_str()), (7, "Error"));
        assert_eq!(node.output(&id).await, "up\nbye\n");
        let deaf = node.run(&sandbox, shell("trap '' TERM; echo up; while true; do sleep 0.05; done")).await;
        wait_for_output(&node, &deaf, "up").await;
        engine.stop_container(deaf.clone(), 1).await.unwrap();
        assert_eq!(node.container(&deaf).await.exit_code, 137);
        engine.stop_container(deaf, 1).await.unwrap();
        let hup = ContainerConfig {
            stop_signal: "SIGHUP".into(),
            ..shell("trap 'exit 9' HUP; echo up; while true; do sleep 0.05; done")
        };
        let id = node.run(&sandbox, hup).await;
        wait_for_output(&node, &id, "up").await;
        engine.stop_container(id.clone(), 30).await.unwrap();
        assert_eq!(node.container(&id).await.exit_code, 9);
        node
    });
}

async fn wait_for_output(node: &Node, id: &str, text: &str) {
    let path = node.container(id).await.log_path;
    until(text, || std::fs::read_to_string(&path).unwrap_or_default().contains(text)).await;
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let directory = || vec!["/etc".to_owned()];
        let cases: [(ContainerConfig, &str); 6] = [
            (
                ContainerConfig { command: vec!["nope".into()], ..shell("") },
                "exec: \"nope\": executable file not found in $PATH",
            ),
            (
                ContainerConfig { command: vec!["/bin/nope".into()], ..shell("") },
                "exec: \"/bin/nope\": stat /bin/nope: no such file or directory",
            ),
            (
                ContainerConfig { command: vec!["/etc/passwd".into()], ..shell("") },
                "exec: \"/etc/passwd\": permission denied",
            ),
            (ContainerConfig { command: directory(), ..shell("") }, "exec: \"/etc\": is a directory"),
            (
                ContainerConfig { working_dir: "/etc/passwd".into(), ..shell("true") },
                "make directory /etc/passwd: file exists",
            ),
            (
                {
                    let mut config = shell("true");
                    config.security.run_as_username = "nobody-here".into();
                    config
                },
                "unable to find user nobody-here: no matching entries in passwd file",
            ),
        ];
        for (config, why) in cases {
            let id = node.create(&sandbox, config).await;
            let error = node.engine().start_container(id.clone()).await.unwrap_err().to_string();
            assert_eq!(error, format!("unable to start container process: {why}"));
            let ended = node.container(&id).await;
            assert_eq!(
                (ended.state, ended.exit_code, ended.reason.as_str()),
                (ContainerState::Exited, 128, "StartError")
            );
            assert!(ended.message.contains(why));
        }
        let unknown = ContainerConfig { image: "test.local/none".into(), ..shell("true") };
        let error = node.engine().create_container(sandbox, unknown).await.unwrap_err();
        assert_eq!(error, RuntimeError::NotFound { what: "image", id: "test.local/none".into() });
        node
    });
}

#[test]
fn events_tell_of_each_change() {
    on_a_node(async |node| {
        let mut events = node.engine().events().await.unwrap();
        let sandbox = node.sandbox("web").await;
        let pod = node.sandbox_config("web").pod;
        assert_eq!(events.next().await, Some(Event::Pod(pod.clone())));
        let (_, _) = node.script(&sandbox, "true").await;
        for _ in ["created", "started", "ended"] {
            assert_eq!(events.next().await, Some(Event::Pod(pod.clone())));
        }
        node
    });
}

#[test]
fn logs_survive_their_rotation() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let id =
            node.run(&sandbox, shell("echo one; while [ ! -e /go ]; do sleep 0.02; done; echo two")).await;
        wait_for_output(&node, &id, "one").await;
        let path = node.container(&id).await.log_path;
        let old = path.with_extension("old");
        std::fs::rename(&path, &old).unwrap();
        node.engine().reopen_log(id.clone()).await.unwrap();
        node.engine().exec_sync(id.clone(), vec!["touch".into(), "/go".into()], 10).await.unwrap();
        node.ended(&id).await;
        assert_eq!(plain_log(&std::fs::read_to_string(old).unwrap()), "one\n");
        assert_eq!(node.output(&id).await, "two\n");
        node
    });
}

#[test]
fn all_output_is_there_when_the_end_is_told() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let (_, output) = node.script(&sandbox, "seq 1 200000").await;
        assert_eq!(output.lines().count(), 200_000);
        assert_eq!(output.lines().last(), Some("200000"));
        let (_, output) = node.script(&sandbox, "head -c 100000 /dev/zero | tr '\\0' x").await;
        assert_eq!(output.len(), 100_000, "a line longer than a log line comes back whole");
        node
    });
}

#[test]
fn a_handler_that_is_not_there_is_refused_and_ours_has_two_names() {
    on_a_node(async |node| {
        let engine = node.engine();
        assert!(engine.handlers().iter().any(|handler| handler.name.is_empty()));
        let named = cri::SandboxConfig { handler: "ironclad".into(), ..node.sandbox_config("named") };
        engine.run_sandbox(named).await.unwrap();
        let foreign = cri::SandboxConfig { handler: "kata".into(), ..node.sandbox_config("foreign") };
        let error = engine.run_sandbox(foreign).await.unwrap_err();
        let text = "failed to get sandbox runtime: no runtime for \"kata\" is configured";
        assert_eq!(error, RuntimeError::Invalid(text.into()));
        assert_eq!(engine.list_sandboxes().await.unwrap().len(), 1);
        node
    });
}
