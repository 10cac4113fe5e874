//! The members of an etcd cluster as one: whoever answers is asked, and when it does not, the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use tokio_rustls::TlsConnector;

use crate::StoreError;
use crate::etcd::Config;
use crate::etcd::connection::{CONNECT_LIMIT, Connection};
use crate::etcd::failure::{Failure, Repeat};
use crate::etcd::wire::Writer;

/// How long a question may take, whoever is asked.
const LIMIT: Duration = Duration::from_secs(15);
/// How long one member is given before another is asked, if that is safe. Longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long to wait before the next member is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// All members.
#[derive(Debug)]
pub(super) struct Cluster {
    config: Config,
    tls: Option<TlsConnectorBox>,
    env: Env,
    current: Mutex<Current>,
    /// Held by the one who connects, so that the others wait for its connection.
    connecting: tokio::sync::Mutex<()>,
}

/// A connector that says no more of itself than that it is one.
struct TlsConnectorBox(TlsConnector);

impl std::fmt::Debug for TlsConnectorBox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TlsConnector")
    }
}

#[derive(Debug, Default)]
struct Current {
    /// Who is asked next when there is no connection.
    member: usize,
    connection: Option<Arc<Connection>>,
}

impl Cluster {
    /// Checks the configuration. Nothing is sent before the first question.
    pub(super) fn new(config: Config, env: Env) -> Result<Cluster, StoreError> {
        let tls = match &config.tls {
            None => None,
            Some(tls) => Some(TlsConnectorBox(TlsConnector::from(tls.config()?))),
        };
        let connecting = tokio::sync::Mutex::new(());
        Ok(Cluster { config, tls, env, current: Mutex::new(Current::default()), connecting })
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        self.config.to_string()
    }

    /// Asks until somebody answers, as far as that is safe.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        message: &Writer,
        repeat: Repeat,
    ) -> Result<Bytes, Failure> {
        let start = self.env.clock.monotonic();
        loop {
            let failure = match self.ask_once(method, message, repeat).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let late = self.env.clock.monotonic() - start + PAUSE >= LIMIT;
            if late || !failure.may_repeat(repeat) {
                return Err(failure);
            }
            tracing::debug!(?failure, method, "asking another member of etcd");
            self.env.clock.sleep(PAUSE).await;
        }
    }

    async fn ask_once(
        &self,
        method: &'static str,
        message: &Writer,
        repeat: Repeat,
    ) -> Result<Bytes, Failure> {
        let connection = self.connection().await?;
        // A write that may have been heard cannot be asked again, so its answer is waited for longer.
        let patience = if repeat == Repeat::Freely { PATIENCE } else { LIMIT };
        let answer = self.env.clock.timeout(patience, connection.ask(method, message)).await;
        let answer = answer.unwrap_or_else(|| Err(Failure::Broken(format!("no answer in {patience:?}"))));
        match &answer {
            Err(Failure::NotSent(_) | Failure::Broken(_)) => self.leave(&connection),
            Err(failure @ Failure::Refused { .. }) if failure.may_repeat(Repeat::Freely) => {
                self.leave(&connection);
            }
            _ => {}
        }
        answer
    }

    /// The connection that there is, or one to the next member that can be reached.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let first = self.current().member;
        let count = self.config.endpoints.len();
        let mut failures = Vec::new();
        for member in (first..first + count).map(|member| member % count) {
            let endpoint = &self.config.endpoints[member];
            let opening =
                Connection::open((member, endpoint), self.tls.as_ref().map(|tls| &tls.0), &self.env);
            match self.env.clock.timeout(CONNECT_LIMIT, opening).await {
                Some(Ok(connection)) => {
                    let connection = Arc::new(connection);
                    let mut current = self.current();
                    current.member = member;
                    current.connection = Some(connection.clone());
                    return Ok(connection);
                }
                Some(Err(Failure::NotSent(why))) => failures.push(why),
                Some(Err(other)) => failures.push(format!("{other:?}")),
                None => failures.push(format!("no word from {}", endpoint.address())),
            }
        }
        Err(Failure::NotSent(failures.join("; ")))
    }

    /// Turns away from a member that does not answer as it should.
    pub(super) fn leave(&self, connection: &Arc<Connection>) {
        connection.retire();
        let mut current = self.current();
        if current.connection.as_ref().is_some_and(|other| Arc::ptr_eq(other, connection)) {
            current.connection = None;
            current.member = (connection.member + 1) % self.config.endpoints.len();
        }
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        self.current().connection.clone().filter(|connection| !connection.is_closed())
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
