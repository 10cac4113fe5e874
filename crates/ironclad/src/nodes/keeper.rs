//! Keeps one node of this machine running: starts its agent, or finds the one that outlived an earlier server, and starts
//! it again when it ends.

use std::process::Child;
use std::time::Duration;

use anyhow::Context;
use client::Client;
use client::https::pinned::Fingerprint;
use env::Env;
use network::machine;
use rustix::process::Pid;

use super::LocalNode;
use crate::background;
use crate::config::Cluster;
use crate::join::token::JoinToken;
use crate::pki::write_private;

/// How long an agent may take to end by itself.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// The pause before an agent that ended is started again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often the cable to a node is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// For how long the token is good that a node joins with.
const TOKEN_SECS: i64 = 3_600;

/// What it takes to keep one node.
#[derive(Debug)]
pub struct Keeper {
    /// The node.
    pub node: LocalNode,
    /// The cluster.
    pub cluster: Cluster,
    /// The API.
    pub client: Client,
    /// The fingerprint of the cluster's authority.
    pub authority: Fingerprint,
    /// The world; the node ends with its tasks.
    pub env: Env,
}

/// An agent that runs.
#[derive(Debug)]
struct Agent {
    pid: Pid,
    /// If it is a child of this process, which has to collect it.
    child: Option<Child>,
}

impl Agent {
    /// Waits for its end; says how it was, as far as that can be known.
    fn wait(self) -> String {
        match self.child {
            Some(mut child) => match child.wait() {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            None => match background::wait_for_end(self.pid) {
                Ok(()) => "it was not our child".to_owned(),
                Err(error) => error.to_string(),
            },
        }
    }
}

impl Keeper {
    /// Keeps the node running until the tasks stop; then ends it.
    pub async fn keep(self) {
        let mut pause = PAUSE.0;
        while !self.env.tasks.is_stopping() {
            let began = self.env.clock.monotonic();
            match self.start().await {
                Ok(agent) => {
                    let pid = agent.pid;
                    let mut ended = std::pin::pin!(self.env.tasks.blocking(move || agent.wait()));
                    let how = loop {
                        tokio::select! {
                            biased;
                            () = self.env.tasks.stopping() => {
                                self.end(pid).await;
                                ended.await;
                                return;
                            }
                            how = &mut ended => break how.unwrap_or_default(),
                            () = self.env.clock.sleep(LOOK) => self.mend().await,
                        }
                    };
                    tracing::warn!(
                        node = self.node.name,
                        how,
                        "the node's process has ended; it is started again"
                    );
                }
                Err(error) => {
                    tracing::error!(node = self.node.name, "a node could not be started: {error:#}")
                }
            }
            let lasted = self.env.clock.monotonic().saturating_sub(began);
            pause = if lasted > PAUSE.1 { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::select! {
                biased;
                () = self.env.tasks.stopping() => return,
                () = self.env.clock.sleep(pause) => {}
            }
        }
    }

    async fn start(&self) -> anyhow::Result<Agent> {
        let (node, cluster) = (self.node.clone(), self.cluster.clone());
        let found = self.env.tasks.blocking(move || {
            node.prepare(&cluster)?;
            background::running(&node.instance)
        });
        if let Some(pid) = found.await.context("the preparation panicked")?? {
            tracing::info!(node = self.node.name, pid = pid.as_raw_nonzero(), "the node runs already");
            return Ok(Agent { pid, child: None });
        }
        let token_file = self.node.instance.data_dir.join("token");
        let has_papers = self.node.instance.pki_dir().join("serving.crt").exists();
        if !has_papers {
            let token = JoinToken::new(self.authority)?;
            token.publish(&self.client, self.env.clock.now().secs() + TOKEN_SECS).await?;
            write_private(&token_file, token.to_string().as_bytes())?;
        }
        let token = (!has_papers).then_some(token_file.as_path());
        let child =
            self.node.agent(&self.cluster, token)?.spawn().context("its process cannot be started")?;
        Ok(Agent { pid: Pid::from_child(&child), child: Some(child) })
    }

    /// Mends the cable to the node, should somebody have taken it down and put it up again.
    async fn mend(&self) {
        let (node, cluster) = (self.node.clone(), self.cluster.clone());
        match self.env.tasks.blocking(move || node.at_cable(&cluster, machine::mend)).await {
            Some(Ok(true)) => tracing::info!(node = self.node.name, "the cable to a node was mended"),
            Some(Err(error)) => {
                tracing::warn!(node = self.node.name, "the cable to a node could not be mended: {error:#}");
            }
            Some(Ok(false)) | None => {}
        }
    }

    async fn end(&self, pid: Pid) {
        let stopped = self.env.tasks.blocking(move || background::stop(pid, PATIENCE)).await;
        if let Some(Err(error)) = stopped {
            tracing::error!(node = self.node.name, "a node could not be ended: {error:#}");
        }
    }
}
