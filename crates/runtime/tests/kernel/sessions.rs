//! Commands run in containers, terminals, attached streams, ports.

use cri::{AttachRequest, ContainerConfig, ExecRequest, Runtime, RuntimeError, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::harness::*;

fn command(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

async fn all_of(stream: Option<mpsc::Receiver<Vec<u8>>>) -> String {
    let (mut stream, mut bytes) = (stream.unwrap(), Vec::new());
    while let Some(chunk) = stream.recv().await {
        bytes.extend(chunk);
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads until a text was seen.
async fn read_until(stream: &mut mpsc::Receiver<Vec<u8>>, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(60), stream.recv()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("{text:?} does not come: {seen:?}"));
        let chunk = chunk.unwrap_or_else(|| panic!("it ended before {text:?}: {seen:?}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    seen
}

#[test]
fn a_command_s_output_and_code_come_back() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let mut config = shell("sleep 1000");
        config.security.run_as_user = Some(33);
        config.envs = vec![("FROM_POD".into(), "yes".into())];
        let id = node.run(&sandbox, config).await;
        let engine = node.engine();
        let script = "echo out $FROM_POD $FROM_IMAGE $(id -u); echo err >&2; exit 5";
        let output = engine.exec_sync(id.clone(), command(script), 10).await.unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice(), output.exit_code),
            (&b"out yes yes 33\n"[..], &b"err\n"[..], 5)
        );
        let killed = engine.exec_sync(id.clone(), command("kill -9 $$"), 10).await.unwrap();
        assert_eq!(killed.exit_code, 137);
        let missing = engine.exec_sync(id.clone(), vec!["nope".into()], 10).await.unwrap_err();
        let text = "unable to start container process: exec: \"nope\": executable file not found in $PATH";
        assert_eq!(missing, RuntimeError::Failed(text.into()));
        let late = engine.exec_sync(id.clone(), command("sleep 1234"), 1).await.unwrap_err();
        assert_eq!(late, RuntimeError::Timeout("command \"sh -c sleep 1234\" timed out after 1s".into()));
        let left =
            engine.exec_sync(id.clone(), command("ps -o args | grep -c '[s]leep 1234'"), 10).await.unwrap();
        assert_eq!(left.stdout, b"0\n", "what was too late is killed");
        let large = engine.exec_sync(id.clone(), command("seq 1 300000"), 60).await.unwrap();
        assert_eq!(large.stdout.len(), 1_988_895);
        engine.stop_container(id.clone(), 0).await.unwrap();
        let ended = engine.exec_sync(id, command("true"), 10).await.unwrap_err();
        assert_eq!(ended, RuntimeError::Failed("container is in CONTAINER_EXITED state".into()));
        node
    });
}

#[test]
fn a_connected_command_reads_and_writes() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let id = node.run(&sandbox, shell("sleep 1000")).await;
        let request = ExecRequest {
            command: command("cat; echo end >&2; exit 3"),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let session = node.engine().exec(id.clone(), request).await.unwrap();
        let Session { stdin, stdout, stderr, exit, .. } = session;
        let stdin = stdin.unwrap();
        let sending = async {
            for _ in 0..100 {
                stdin.send(vec![b'x'; 10_000]).await.unwrap();
            }
            drop(stdin);
        };
        let ((), out, err) = tokio::join!(sending, all_of(stdout), all_of(stderr));
        assert_eq!((out.len(), err.as_str()), (1_000_000, "end\n"));
        assert_eq!(exit.await.unwrap(), Ok(3));
        let request = ExecRequest { command: command("sleep 4321"), stdout: true, ..ExecRequest::default() };
        drop(node.engine().exec(id.clone(), request).await.unwrap());
        let gone = command("ps -o args | grep -c '[s]leep 4321'");
        for _ in 0..500 {
            if node.engine().exec_sync(id.clone(), gone.clone(), 10).await.unwrap().stdout == b"0\n" {
                return node;
            }
        }
        panic!("a command outlives the interest in it");
    });
}

#[test]
fn a_terminal_is_a_terminal() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let id = node.run(&sandbox, shell("sleep 1000")).await;
        let request =
            ExecRequest { command: vec!["sh".into()], tty: true, stdin: true, stdout: true, stderr: false };
        let mut session = node.engine().exec(id, request).await.unwrap();
        let (stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        session.resize.as_ref().unwrap().send((111, 33)).await.unwrap();
        stdin
            .send(
                b"tty; while [ \"$(stty size)\" != '33 111' ]; do sleep 0.01; done; stty size; echo $TERM\n"
                    .to_vec(),
            )
            .await
            .unwrap();
        let seen = read_until(&mut stdout, "xterm").await;
        assert!(seen.contains("/dev/pts/0") && seen.contains("33 111"), "{seen}");
        stdin.send(b"sh -c \"echo run''ning; sleep 1000\"\n".to_vec()).await.unwrap();
        read_until(&mut stdout, "running").await;
        stdin.send(vec![3]).await.unwrap();
        stdin.send(b"echo after $?; exit 6\n".to_vec()).await.unwrap();
        read_until(&mut stdout, "after 130").await;
        drop(stdin);
        while stdout.recv().await.is_some() {}
        assert_eq!(session.exit.await.unwrap(), Ok(6));
        node
    });
}

#[test]
fn a_container_s_own_terminal_can_be_attached_to() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let config = ContainerConfig { tty: true, stdin: true, command: vec!["sh".into()], ..shell("") };
        let id = node.run(&sandbox, config).await;
        let request = AttachRequest { tty: true, stdin: true, stdout: true, stderr: false };
        let mut session = node.engine().attach(id.clone(), request).await.unwrap();
        let (stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        session.resize.as_ref().unwrap().send((99, 44)).await.unwrap();
        stdin
            .send(b"tty; while [ \"$(stty size)\" != '44 99' ]; do sleep 0.01; done; echo si''ze\n".to_vec())
            .await
            .unwrap();
        read_until(&mut stdout, "size").await;
        stdin.send(b"exit 8\n".to_vec()).await.unwrap();
        assert_eq!(session.exit.await.unwrap(), Ok(8));
        assert!(node.output(&id).await.contains("/dev/pts/0"));
        node
    });
}

#[test]
fn attached_streams_carry_all_and_close() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let config = ContainerConfig { stdin: true, stdin_once: true, ..shell("cat; echo end >&2") };
        let id = node.run(&sandbox, config).await;
        let request = AttachRequest { tty: false, stdin: true, stdout: true, stderr: true };
        let session = node.engine().attach(id.clone(), request).await.unwrap();
        let stdin = session.stdin.unwrap();
        let sending = async {
            for _ in 0..100 {
                stdin.send(vec![b'y'; 9_999]).await.unwrap();
                stdin.send(b"\n".to_vec()).await.unwrap();
            }
            drop(stdin);
        };
        let ((), out, err) = tokio::join!(sending, all_of(session.stdout), all_of(session.stderr));
        assert_eq!((out.len(), err.as_str()), (1_000_000, "end\n"));
        assert_eq!(session.exit.await.unwrap(), Ok(0));
        assert_eq!(node.output(&id).await.len(), 1_000_000 + 4);
        node
    });
}

#[test]
fn who_attaches_and_does_not_read_holds_nobody_for_good() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let id = node.run(&sandbox, shell("while [ ! -e /go ]; do sleep 0.02; done; seq 1 1000000")).await;
        let request = AttachRequest { stdout: true, ..AttachRequest::default() };
        let session = node.engine().attach(id.clone(), request).await.unwrap();
        node.engine().exec_sync(id.clone(), command("touch /go"), 10).await.unwrap();
        let ended = node.ended(&id).await;
        assert_eq!(ended.exit_code, 0);
        assert_eq!(node.output(&id).await.lines().count(), 1_000_000, "its log has all of it");
        drop(session);
        node
    });
}

#[test]
fn ports_are_reached_inside_the_pod() {
    on_a_node(async |node| {
        let sandbox = node.sandbox("web").await;
        let id =
            node.run(&sandbox, shell("echo up; nc -l -p 8080 -e sh -c 'read line; echo got $line'")).await;
        let path = node.container(&id).await.log_path;
        until("it is up", || std::fs::read_to_string(&path).unwrap_or_default().contains("up")).await;
        let mut stream = loop {
            match node.engine().port_forward(sandbox.clone(), 8080).await {
                Ok(stream) => break stream,
                Err(error) => {
                    assert!(error.to_string().contains("failed to connect to localhost:8080"), "{error}")
                }
            }
        };
        stream.write_all(b"hello\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "got hello\n");
        assert!(node.engine().port_forward(sandbox, 8081).await.is_err());
        node
    });
}
