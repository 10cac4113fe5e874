//! What holds when engines and shims are killed.

use std::collections::BTreeMap;

use cri::{ContainerState, Runtime, SandboxState};
use runtime::{Config, Engine};

use crate::harness::*;

#[test]
fn a_new_engine_takes_over_what_runs() {
    on_a_node(async |mut node| {
        let sandbox = node.sandbox("web").await;
        let runs = node
            .run(
                &sandbox,
                shell("trap 'exit 9' TERM; i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done"),
            )
            .await;
        let (ended, _) = node.script(&sandbox, "exit 4").await;
        let made = node.create(&sandbox, shell("echo late")).await;
        let quick = node.run(&sandbox, shell("while [ ! -e /go ]; do sleep 0.01; done; exit 5")).await;
        let before = node.container(&runs).await;
        node.engine().exec_sync(quick.clone(), vec!["touch".into(), "/go".into()], 10).await.unwrap();
        node.restart().await;
        let after = node.container(&runs).await;
        assert_eq!(
            (after.state, after.pid, after.started_at),
            (ContainerState::Running, before.pid, before.started_at)
        );
        assert_eq!(after, before);
        assert_eq!(node.container(&ended.id).await, ended);
        assert_eq!(node.ended(&quick).await.exit_code, 5, "an end nobody was there to hear is known");
        let sandboxes = node.engine().list_sandboxes().await.unwrap();
        assert_eq!((sandboxes[0].state, sandboxes[0].ips.len()), (SandboxState::Ready, 1));
        node.engine().start_container(made.clone()).await.unwrap();
        node.ended(&made).await;
        assert_eq!(node.output(&made).await, "late\n");
        let output =
            node.engine().exec_sync(runs.clone(), vec!["echo".into(), "hi".into()], 10).await.unwrap();
        assert_eq!(output.stdout, b"hi\n");
        node.engine().stop_container(runs.clone(), 10).await.unwrap();
        assert_eq!(node.container(&runs).await.exit_code, 9);
        let counted: Vec<usize> =
            node.output(&runs).await.lines().map(|line| line.parse().unwrap()).collect();
        assert!(counted.iter().copied().eq(1..=counted.len()), "the log has no gap");
        node
    });
}

#[test]
fn a_container_whose_shim_was_killed_is_lost_but_not_left_running() {
    on_a_node(async |mut node| {
        for restart in [false, true] {
            let sandbox = node.sandbox(if restart { "second" } else { "first" }).await;
            let id = node.run(&sandbox, shell("sleep 5555 & sleep 6666")).await;
            let made = node.create(&sandbox, shell("true")).await;
            let shim: serde_json::Value = serde_json::from_slice(
                &std::fs::read(node.root.join("s").join(&sandbox).join("shim.json")).unwrap(),
            )
            .unwrap();
            if restart {
                node.kill_engine().await;
            }
            let pid = rustix::process::Pid::from_raw(shim["pid"].as_i64().unwrap() as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            if restart {
                node.start().await;
            }
            let ended = node.ended(&id).await;
            assert_eq!(
                (ended.state, ended.exit_code, ended.reason.as_str()),
                (ContainerState::Unknown, 137, "ContainerStatusUnknown")
            );
            until("its processes are gone", || !node.processes().iter().any(|line| line.contains("sleep")))
                .await;
            assert_eq!(node.container(&made).await.state, ContainerState::Created);
            let sandboxes = node.engine().list_sandboxes().await.unwrap();
            let state = sandboxes.iter().find(|listed| listed.id == sandbox).unwrap().state;
            assert_eq!(state, SandboxState::NotReady);
            node.engine().remove_sandbox(sandbox).await.unwrap();
        }
        node
    });
}

#[test]
fn half_made_things_are_swept_away() {
    on_a_node(async |mut node| {
        let kept = node.sandbox("kept").await;
        let running = node.run(&kept, shell("sleep 1000")).await;
        let half = node.sandbox("half").await;
        let stopped = node.sandbox("stopped").await;
        let lost = node.run(&stopped, shell("sleep 1000")).await;
        node.kill_engine().await;
        std::fs::remove_file(node.root.join("s").join(&half).join("ready.json")).unwrap();
        std::fs::write(node.root.join("s").join(&stopped).join("stopped.json"), r#"{"at":1}"#).unwrap();
        std::fs::create_dir(node.root.join("s/empty")).unwrap();
        std::fs::create_dir(node.root.join("c/empty")).unwrap();
        std::fs::create_dir_all(node.root.join("trash/x/y")).unwrap();
        std::fs::write(node.root.join("c").join(&lost).join(".new-exit.json"), "{").unwrap();
        let foreign = format!("ironclad-{}/kubepods/{}", node.instance, "a".repeat(64));
        let no_pods = format!("ironclad-{}/kubepods/burstable/podgone", node.instance);
        let class = format!("ironclad-{}/kubepods/burstable", node.instance);
        // A runtime inside of a container names its groups as ours does.
        let inner = ["podinner".to_owned(), "b".repeat(64)]
            .map(|name| format!("ironclad-{}/kubepods/poduid-kept/{running}/{name}", node.instance));
        for path in [&foreign, &no_pods, &inner[0], &inner[1]] {
            std::fs::create_dir_all(group(path)).unwrap();
        }
        node.start().await;
        let listed: BTreeMap<String, SandboxState> = node
            .engine()
            .list_sandboxes()
            .await
            .unwrap()
            .into_iter()
            .map(|sandbox| (sandbox.id, sandbox.state))
            .collect();
        assert_eq!(listed, BTreeMap::from([(kept, SandboxState::Ready), (stopped, SandboxState::NotReady)]));
        assert_eq!(node.container(&lost).await.exit_code, 137);
        assert_eq!(node.container(&running).await.state, ContainerState::Running);
        assert!(!node.root.join("s").join(half).exists() && !node.root.join("c/empty").exists());
        assert!(!group(&foreign).exists() && !group(&no_pods).exists());
        assert!(group(&class).exists(), "a class of pods has its group although there are none");
        for path in &inner {
            assert!(group(path).exists(), "a container's own groups are its affair");
        }
        assert_eq!(std::fs::read_dir(node.root.join("trash")).unwrap().count(), 0);
        node
    });
}

#[test]
fn a_pod_s_group_goes_although_a_process_is_late_to_leave_it() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        node.run(&sandbox, shell("sleep 1000")).await;
        let group = group(&format!("ironclad-{}/kubepods/poduid-web", node.instance));
        let mut late = std::process::Command::new("sleep").arg("0.5").spawn().unwrap();
        std::fs::write(group.join("cgroup.procs"), late.id().to_string()).unwrap();
        let waited = std::thread::spawn(move || late.wait());
        node.engine().remove_sandbox(sandbox).await.unwrap();
        assert!(!group.exists());
        waited.join().unwrap().unwrap();
        node
    });
}

#[test]
fn a_pod_that_shares_its_processes_is_taken_over_too() {
    on_a_node(async |mut node| {
        let mut config = node.sandbox_config("shared");
        config.namespaces.pid = cri::NamespaceMode::Pod;
        let sandbox = node.engine().run_sandbox(config).await.unwrap();
        let mut config = shell("exec sleep 1000");
        config.security.namespaces.pid = cri::NamespaceMode::Pod;
        let first = node.run(&sandbox, config.clone()).await;
        node.restart().await;
        let second = node.run(&sandbox, config).await;
        for id in [first, second] {
            assert_eq!(node.container(&id).await.state, ContainerState::Running);
            let both = "while [ $(ps -o args | grep -c '^sleep 1000') != 2 ]; do sleep 0.01; done";
            let command = ["sh", "-c", both].map(str::to_owned).to_vec();
            assert_eq!(node.engine().exec_sync(id, command, 30).await.unwrap().exit_code, 0);
        }
        node
    });
}

#[test]
fn two_engines_do_not_share_a_directory() {
    on_a_node(async |node| {
        let mut config = Config::new(&node.root, "other");
        config.helper_exe = env!("CARGO_BIN_EXE_ironclad-shim").into();
        let error =
            Engine::start(config, node.network.clone(), env::Env::real()).await.unwrap_err().to_string();
        assert!(error.starts_with("another instance uses "), "{error}");
        node
    });
}

#[test]
fn nothing_is_lost_however_often_the_engine_is_killed() {
    on_a_node(async |mut node| {
        let entropy = env::Entropy::from_seed(7);
        let mut expected: BTreeMap<String, i32> = BTreeMap::new();
        for round in 0..12 {
            let sandbox = node.sandbox(&format!("p{round}")).await;
            for _ in 0..3 {
                let code = entropy.below(100) as i32;
                let id =
                    node.run(&sandbox, shell(&format!("sleep 0.{}; exit {code}", entropy.below(9)))).await;
                expected.insert(id, code);
            }
            tokio::time::sleep(std::time::Duration::from_millis(entropy.below(80))).await;
            node.restart().await;
        }
        for (id, code) in &expected {
            let ended = node.ended(id).await;
            assert_eq!((ended.exit_code, ended.state), (*code, ContainerState::Exited));
        }
        assert_eq!(node.engine().list_containers().await.unwrap().len(), expected.len());
        node
    });
}

#[test]
fn hundreds_of_pods_leave_nothing() {
    on_a_node(async |node| {
        let engine = node.engine().clone();
        let work = (0..4).map(|worker| {
            let (engine, node) = (engine.clone(), &node);
            async move {
                for round in 0..50 {
                    let sandbox = node.sandbox(&format!("w{worker}-{round}")).await;
                    let id = node.run(&sandbox, shell("echo hi; sleep 1000")).await;
                    if round % 2 == 0 {
                        engine.stop_container(id, 0).await.unwrap();
                    }
                    engine.remove_sandbox(sandbox).await.unwrap();
                }
            }
        });
        futures_util::future::join_all(work).await;
        assert!(engine.list_sandboxes().await.unwrap().is_empty());
        assert_eq!(node.processes(), Vec::<String>::new());
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < 200, "{open} descriptors are open");
        node
    });
}

/// Not a test of its own: the engine's process that [`nothing_leaks_when_the_engine_s_process_dies_at_any_instant`]
/// kills. It makes and removes pods until then.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn an_engine_that_will_be_killed() {
    let (Ok(root), Ok(instance)) = (std::env::var("NODE_ROOT"), std::env::var("NODE_INSTANCE")) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut node = Node::at(root.into(), instance);
        node.start().await;
        for round in 0.. {
            let sandbox = node.sandbox(&format!("k{round}")).await;
            let id = node.run(&sandbox, shell("exit 7")).await;
            let _running = node.run(&sandbox, shell("sleep 1000")).await;
            if round % 3 == 0 {
                node.ended(&id).await;
                node.engine().remove_container(id).await.unwrap();
            }
            if round % 2 == 0 {
                node.engine().remove_sandbox(sandbox).await.unwrap();
            }
        }
    });
}

#[test]
fn nothing_leaks_when_the_engine_s_process_dies_at_any_instant() {
    on_a_node(async |mut node| {
        let entropy = env::Entropy::from_seed(11);
        for _ in 0..25 {
            node.kill_engine().await;
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "recovery::an_engine_that_will_be_killed", "--ignored"])
                .env("NODE_ROOT", &node.root)
                .env("NODE_INSTANCE", &node.instance)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100 + entropy.below(150))).await;
            child.kill().unwrap();
            child.wait().unwrap();
            node.start().await;
            let sandboxes = node.engine().list_sandboxes().await.unwrap();
            for container in node.engine().list_containers().await.unwrap() {
                let of = sandboxes.iter().find(|sandbox| sandbox.id == container.sandbox).unwrap();
                let is_short = container.exit_code == 7;
                match container.state {
                    ContainerState::Running => assert_eq!(of.state, SandboxState::Ready),
                    ContainerState::Exited if is_short => assert_eq!(container.reason, "Error"),
                    // Killed with its sandbox, whose removal was under way.
                    ContainerState::Exited => {
                        assert_eq!((of.state, container.exit_code), (SandboxState::NotReady, 137))
                    }
                    ContainerState::Created => assert_eq!(container.pid, 0),
                    ContainerState::Unknown => panic!("nobody killed a shim: {container:?}"),
                }
            }
            // One living shim for each ready sandbox, and no other.
            let ready = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
            until("only shims of ready sandboxes run", || {
                node.processes().iter().filter(|line| line.contains("__shim")).count() == ready
            })
            .await;
        }
        node
    });
}
