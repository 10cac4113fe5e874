//! A plugin that keeps the keys which seal keys: what it is asked, and how it is reached.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use env::Env;
use grpc::{Absent, Code, Connection, Failure};
use machinery::protobuf::Error;
use store::BoxFuture;

use super::Settings;
use super::message::{self, Annotations};

/// How a plugin is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The version of the plugin's interface.
    pub version: String,
    /// `ok`, or what is wrong.
    pub healthz: String,
    /// The key that seals now.
    pub key_id: String,
}

/// A key that a plugin sealed, and what it needs to open it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The sealed key.
    pub ciphertext: Vec<u8>,
    /// What the plugin calls the key that sealed it.
    pub key_id: String,
    /// What else the plugin wants to be told.
    pub annotations: Annotations,
}

/// What a plugin does.
pub trait Plugin: Send + Sync + fmt::Debug {
    /// Tells how it is.
    fn status(&self) -> BoxFuture<'_, Result<Health, Failure>>;
    /// Seals a key. `uid` names the request in the plugin's logs.
    fn encrypt<'a>(&'a self, uid: &'a str, plain: &'a [u8]) -> BoxFuture<'a, Result<Source, Failure>>;
    /// Opens a key.
    fn decrypt<'a>(&'a self, uid: &'a str, source: &'a Source) -> BoxFuture<'a, Result<Vec<u8>, Failure>>;
}

/// A plugin at a socket of this machine.
#[derive(Debug)]
pub struct Remote {
    connection: Connection,
    timeout: Duration,
}

impl Remote {
    /// As the configuration describes it. Whoever is not there yet is waited for, as long as a call may take.
    pub fn new(settings: &Settings, env: &Env) -> Remote {
        let connection = Connection::new(Path::new(settings.socket()), Absent::Wait, env);
        Remote { connection, timeout: settings.timeout }
    }

    async fn ask<T>(
        &self,
        method: &str,
        question: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let method = format!("/v2.KeyManagementService/{method}");
        let answer = self.connection.call(&method, question, self.timeout).await?;
        read(&answer).map_err(|error| Failure::new(Code::INTERNAL, error.text))
    }
}

impl Plugin for Remote {
    fn status(&self) -> BoxFuture<'_, Result<Health, Failure>> {
        Box::pin(self.ask("Status", &[], message::status_answer))
    }

    fn encrypt<'a>(&'a self, uid: &'a str, plain: &'a [u8]) -> BoxFuture<'a, Result<Source, Failure>> {
        Box::pin(
            async move { self.ask("Encrypt", &message::encrypt(uid, plain), message::encrypt_answer).await },
        )
    }

    fn decrypt<'a>(&'a self, uid: &'a str, source: &'a Source) -> BoxFuture<'a, Result<Vec<u8>, Failure>> {
        Box::pin(
            async move { self.ask("Decrypt", &message::decrypt(uid, source), message::decrypt_answer).await },
        )
    }
}
