//! Work that only one of several may do: begun when the election is won, ended when it is lost.

use std::time::Duration;

use env::{Env, TaskHandle, Tasks};
use tokio::sync::watch;

use super::Election;
use crate::{Client, Key};

/// How long work gets to end when the election is lost. Whoever leads next may already be at work by then, so what is
/// still under way is cut off: plans survive that.
const LEAVE: Duration = Duration::from_secs(1);

/// Work that goes on while this process leads.
#[derive(Debug)]
pub struct Leadership {
    stopping: watch::Sender<bool>,
    task: TaskHandle<()>,
}

impl Leadership {
    /// Stands for the lease `key` under the name `identity`. `begin` starts the work, on tasks that end when this process
    /// leads no more; it may be asked again.
    pub fn start(
        client: Client,
        key: Key,
        identity: String,
        env: &Env,
        begin: impl Fn(Env) + Send + 'static,
    ) -> Leadership {
        let stopping = watch::Sender::new(false);
        let election = Election::start(client, key, identity, env);
        let task = env.tasks.spawn("leadership", lead(election, env.clone(), begin, stopping.subscribe()));
        Leadership { stopping, task }
    }

    /// Ends the work and lets go of the lease.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        self.task.join().await;
    }
}

async fn lead(mut election: Election, env: Env, begin: impl Fn(Env), mut stopping: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(async move {
        // Whoever drops the leadership wants it to go on.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = election.elected() => {}
        }
        tracing::info!("leads now");
        let own = Env { tasks: Tasks::new(), ..env.child("leading") };
        let _ended = EndWith(own.tasks.clone());
        begin(own.clone());
        tokio::select! {
            biased;
            () = &mut stopped => {
                own.tasks.stop(LEAVE).await;
                break;
            }
            () = election.deposed() => {
                tracing::warn!("leads no more");
                own.tasks.stop(LEAVE).await;
            }
        }
    }
    election.resign().await;
}

/// Tasks that are asked to stop when this is dropped: when everything stops, nobody waits for the end of a lease.
struct EndWith(Tasks);

impl Drop for EndWith {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
