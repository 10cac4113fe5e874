//! The door for this machine's administrator: a socket in the data directory through which `ironclad image …`,
//! `ironclad backup` and our network plugin ask the process that has the images, the objects and the pod network. One
//! question and one answer a connection, each a line of JSON.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use env::Env;
use network::cni::entry::Wish;
use network::cni::{Failure, Provider};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::compose::containers::Containers;
use crate::datastore::Opened;

/// Bytes of a question: paths, names, the configuration of a network.
const QUESTION_BYTES_MAX: u64 = 1024 * 1024;

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Take an archive's images in.
    Import(PathBuf),
    /// Fetch an image.
    Pull(String),
    /// All images.
    List,
    /// Write a backup to this file.
    Backup(PathBuf),
    /// What another runtime wishes of our pod network.
    Network(Box<Wish>),
}

/// What questions are answered from.
#[derive(Clone, Debug)]
pub struct Doors {
    /// What runs containers, if there is a node.
    pub containers: Option<Containers>,
    /// The objects, unless the node's server keeps them elsewhere.
    pub objects: Option<Opened>,
    /// The pod network, if there is a node and its pods are on ours.
    pub pods: Option<Provider>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The names of what was taken in, or the id of what was fetched.
    Names(Vec<String>),
    /// All images.
    Images(Vec<cri::Image>),
    /// The revision of the backup that was written.
    BackedUp(u64),
    /// What a network plugin is to print, if anything, or why it fails.
    Network(Result<Option<serde_json::Value>, Failure>),
    /// It failed.
    Failed(String),
}

/// Serves questions until the tasks of `env` stop.
pub fn serve(path: &Path, doors: Doors, env: &Env) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let tasks = env.tasks.clone();
    env.tasks.spawn("control socket", async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let doors = doors.clone();
                    tasks.spawn("control question", async move {
                        if let Err(error) = converse(stream, &doors).await {
                            tracing::warn!(%error, "a question on the control socket was not answered");
                        }
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket is broken; `ironclad image`, `ironclad backup` and the network plugin will not work");
                    return;
                }
            }
        }
    });
    Ok(())
}

async fn converse(stream: UnixStream, doors: &Doors) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(QUESTION_BYTES_MAX).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(question) => {
            answer(question, doors).await.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")))
        }
        Err(error) => Answer::Failed(format!("the question cannot be read: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await?;
    Ok(())
}

async fn answer(question: Question, doors: &Doors) -> anyhow::Result<Answer> {
    let containers =
        || doors.containers.as_ref().context("there is no node here, and so there are no images");
    Ok(match question {
        Question::Import(path) => Answer::Names(containers()?.import(path).await?),
        Question::Pull(name) => Answer::Names(vec![containers()?.port().pull_image(name, Vec::new()).await?]),
        Question::List => Answer::Images(containers()?.port().list_images().await?),
        Question::Backup(file) => {
            let objects = doors.objects.as_ref().context("this node keeps no objects: ask its server")?;
            Answer::BackedUp(objects.backup(&file).await?)
        }
        Question::Network(wish) => {
            let pods = doors.pods.as_ref().context("there is no pod network of ours here")?;
            Answer::Network(pods.answer(*wish).await)
        }
    })
}

/// Asks the process that runs the instance.
pub fn ask(path: &Path, question: &Question) -> anyhow::Result<Answer> {
    use std::io::{BufRead, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(path).with_context(|| {
        format!("nobody answers at {}; is the cluster up (`ironclad up`)?", path.display())
    })?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    std::io::BufReader::new(stream).read_line(&mut text)?;
    match serde_json::from_str(&text).context("the answer cannot be read")? {
        Answer::Failed(problem) => bail!(problem),
        answer => Ok(answer),
    }
}
