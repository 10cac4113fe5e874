//! The way to whatever server there is at the moment: it may be down, and come back as another process on the same
//! store.

use std::sync::{Arc, Mutex, PoisonError};

use apiserver::{Identity, Server};
use client::SharedTransport;
use env::Env;

use crate::door::Door;
use crate::ledger::Ledger;
use crate::life::Life;

/// The place where servers run, one at a time.
#[derive(Debug)]
pub struct Gateway {
    ledger: Arc<Ledger>,
    running: Mutex<Option<(Life, Arc<Server>)>>,
}

impl Gateway {
    /// Nobody is there yet.
    pub fn new(ledger: Arc<Ledger>) -> Gateway {
        Gateway { ledger, running: Mutex::new(None) }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Life, Arc<Server>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a server; the life is over when it crashes, which its start may do, too.
    pub async fn start(&self, world: &Env, name: &str) -> Life {
        let life = Life::begin(world, name);
        let door = Arc::new(Door::new(self.ledger.clone(), life.clone()));
        let server = apiserver::start(testkit::cluster::settings(), life.env.clone(), door);
        let server = server.await.expect("a server in memory starts");
        *self.running() = Some((life.clone(), Arc::new(server)));
        life
    }

    /// Resolves when the server has made what every cluster has.
    pub async fn ready(&self) {
        let server = self.running().as_ref().map(|(_, server)| server.clone());
        if let Some(server) = server {
            server.ready().await;
        }
    }

    /// The API as somebody, and the life of the server that offers it; `None` while there is none.
    pub fn reach(&self, identity: &Identity) -> Option<(SharedTransport, Life)> {
        let running = self.running();
        let (life, server) = running.as_ref().filter(|(life, _)| !life.is_over())?;
        let transport: SharedTransport = server.transport(identity.clone());
        Some((transport, life.clone()))
    }
}
