//! The way of lines to the log: a task of its own writes them, many at a time.

use env::Env;
use tokio::sync::mpsc;

use super::Lines;

/// Lines that wait to be written; who writes more waits, so that nothing is lost and memory is bounded.
const WAITING: usize = 1_024;
/// Lines that are written at a time.
const AT_A_TIME: usize = 256;

/// The way to the log.
#[derive(Debug)]
pub(super) struct Log {
    lines: mpsc::Sender<Vec<u8>>,
}

impl Log {
    pub(super) fn open(env: &Env, writer: Box<dyn Lines>) -> Log {
        let (lines, received) = mpsc::channel(WAITING);
        env.tasks.spawn_until_done("audit log", follow(env.clone(), writer, received));
        Log { lines }
    }

    /// Hands a line over without waiting; if there is no room it is lost, which is told.
    pub(super) fn write_now(&self, line: Vec<u8>) {
        if self.lines.try_send(line).is_err() {
            tracing::error!("an audit event was lost: too many wait to be written");
        }
    }

    pub(super) async fn write(&self, line: Vec<u8>) {
        if self.lines.send(line).await.is_err() {
            tracing::error!("an audit event came after the audit log was closed");
        }
    }
}

async fn follow(env: Env, mut writer: Box<dyn Lines>, mut lines: mpsc::Receiver<Vec<u8>>) {
    let mut stopping = env.tasks.stopping();
    let mut batch = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            received = lines.recv_many(&mut batch, AT_A_TIME) => received,
            () = &mut stopping => {
                // What is there is still written; nobody is kept waiting for more.
                while let Ok(line) = lines.try_recv() {
                    batch.push(line);
                }
                batch.len()
            }
        };
        if received == 0 {
            return;
        }
        let text = std::mem::take(&mut batch).concat();
        let Some(back) = env.tasks.blocking(move || (writer.append(&text), writer)).await else { return };
        let outcome;
        (outcome, writer) = back;
        if let Err(error) = outcome {
            tracing::error!(%error, "the audit log could not be written");
        }
    }
}
