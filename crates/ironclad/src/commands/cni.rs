//! Called by another container runtime as the plugin of a network: the process that runs the node is asked.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use network::cni::Failure;
use network::cni::entry::{Attachment, Call, Wish, refusal};
use network::cni::failure::code;
use serde_json::Value;

use crate::args::DEFAULT_DATA_DIR;
use crate::config::Instance;
use crate::control::{self, Answer, Question};

/// Larger configurations are none.
const INPUT_MAX: u64 = 512 * 1024;

/// Does what the environment says; the program's exit code.
pub fn run() -> u8 {
    let mut input = Vec::new();
    let outcome = match std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut input) {
        Ok(_) => answer(&input),
        Err(error) => Err((String::new(), Failure::new(code::IO, format!("standard input: {error}")))),
    };
    let (code, text) = match outcome {
        Ok(None) => return 0,
        Ok(Some(result)) => (0, result),
        Err((version, failure)) => (1, refusal(&version, &failure)),
    };
    // Whoever does not listen does not learn it.
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => code,
        Err(_) => 1,
    }
}

fn answer(input: &[u8]) -> Result<Option<Value>, (String, Failure)> {
    let call = Call::read(|name| std::env::var(name).ok(), input)?;
    let Some(wish) = &call.wish else { return Ok(Some(call.versions())) };
    let data_dir = call.data_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    ask(wish.clone(), &data_dir).map_err(|failure| (call.version, failure))
}

fn ask(mut wish: Wish, data_dir: &Path) -> Result<Option<Value>, Failure> {
    // The node may live among other mounts than the runtime: what it gets is the namespace, not its name.
    let held = match &mut wish {
        Wish::Add(attachment) | Wish::Check(attachment) => Some(hold(attachment)?),
        Wish::Delete(_) | Wish::Collect(_) | Wish::Status => None,
    };
    // A node that is away, or starts just now, will be there later.
    let later = |error: anyhow::Error| Failure::new(code::TRY_LATER, format!("{error:#}"));
    let instance = Instance::in_dir(data_dir).map_err(later)?;
    let answer =
        control::ask(&instance.control_socket(), &Question::Network(Box::new(wish))).map_err(later)?;
    drop(held);
    match answer {
        Answer::Network(result) => result,
        other => Err(Failure::new(code::FAILED, format!("the node answered {other:?}"))),
    }
}

/// Opens the container's namespace, by a path that leads there from everywhere while this process lives.
fn hold(attachment: &mut Attachment) -> Result<File, Failure> {
    let file = File::open(&attachment.netns).map_err(|error| {
        let what = format!("the network namespace {}: {error}", attachment.sandbox);
        Failure::new(code::INVALID_ENVIRONMENT, what)
    })?;
    attachment.netns = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    Ok(file)
}
