//! What all connections of a server share.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Env, Tasks};
use http::{Request, Response};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::Incoming;
use crate::connection::{Connection, INPUT};
use crate::fault::Error;
use crate::output::Rooms;
use crate::receive::Limits;

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What a peer may do.
    pub limits: Limits,
    /// How long its first words may take.
    pub preface: Duration,
    /// How long it may be silent before it is asked whether it lives, and again before it is left.
    pub ping: Duration,
    /// How long open requests get to end when the server stops.
    pub drain: Duration,
}

/// Serves connections.
#[derive(Clone, Debug)]
pub struct Server(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    pub rooms: Rooms,
    pub inputs: Rooms,
    pub clock: Clock,
    pub tasks: Tasks,
}

impl Server {
    /// For connections that end when the tasks of `env` are stopped.
    pub fn new(config: Config, env: &Env) -> Server {
        let (clock, tasks) = (env.clock.clone(), env.tasks.clone());
        Server(Arc::new(Shared { config, rooms: Rooms::default(), inputs: Rooms::of(INPUT), clock, tasks }))
    }

    /// Serves one connection to its end. Each request is answered in a task of its own; it is dropped when whoever asked
    /// takes it back, or is gone.
    pub async fn serve<S, A, F, B>(&self, io: S, answer: A) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        A: FnMut(Request<Incoming>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    {
        Connection::new(io, self.0.clone(), answer).run().await
    }
}

impl Shared {
    pub fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep(duration).await })
    }
}
