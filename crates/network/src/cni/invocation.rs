//! One call of a plugin's program: what it is told, and what it answers.
//!
//! Its standard streams are files in memory, so that neither side waits for the other to read.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Timespec, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::failure::{Failure, code};
use crate::netlink::Namespace;

/// How long a plugin may take: some wait for an address from elsewhere.
const LIMIT: Duration = Duration::from_secs(90);
/// More than this of an answer is not read.
const ANSWER_MAX: u64 = 1 << 20;

/// What a plugin is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Attach a container.
    Add,
    /// Take a container off.
    Delete,
    /// See whether all is as it was made.
    Check,
    /// Take off what is not listed.
    Collect,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Delete => "DEL",
            Verb::Check => "CHECK",
            Verb::Collect => "GC",
        }
    }
}

/// Which container, and where programs are.
#[derive(Clone, Debug)]
pub struct Invocation<'a> {
    /// The namespace of the node, in which programs run.
    pub node: &'a Namespace,
    /// Where programs are.
    pub programs: &'a [PathBuf],
    /// The container's id; empty if it is about none.
    pub container: &'a str,
    /// Its network namespace, if it still exists.
    pub netns: Option<&'a Path>,
    /// What its link is called inside.
    pub interface: &'a str,
    /// What else plugins may want to know: `K8S_POD_NAME=web;…`
    pub arguments: &'a str,
}

impl Invocation<'_> {
    /// Runs a plugin's program; answers what it printed.
    pub fn run(&self, verb: Verb, plugin: &str, configuration: &Value) -> Result<Vec<u8>, Failure> {
        let program = self.program(plugin)?;
        let failed = |error: std::io::Error| {
            Failure::new(code::IO, format!("cannot run {}: {error}", program.display()))
        };
        let mut input = stream().map_err(failed)?;
        input.write_all(configuration.to_string().as_bytes()).map_err(failed)?;
        input.rewind().map_err(failed)?;
        let (mut output, mut errors) = (stream().map_err(failed)?, stream().map_err(failed)?);
        let mut command = self.command(verb, &program).map_err(failed)?;
        command
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output.try_clone().map_err(failed)?))
            .stderr(Stdio::from(errors.try_clone().map_err(failed)?));
        let entered = self.node.run(|| command.spawn());
        let mut child = entered.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
        if !has_ended(child.id()).map_err(failed)? {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            let what = format!("it was ended after {} seconds without an answer", LIMIT.as_secs());
            return Err(Failure::new(code::TRY_LATER, what));
        }
        let status = child.wait().map_err(failed)?;
        let answer = read(&mut output).map_err(failed)?;
        if status.success() {
            return Ok(answer);
        }
        Err(refusal(&answer, &read(&mut errors).map_err(failed)?, status))
    }

    fn program(&self, plugin: &str) -> Result<PathBuf, Failure> {
        let mut places = self.programs.iter().map(|folder| folder.join(plugin));
        places.find(|place| place.is_file()).ok_or_else(|| {
            let folders: Vec<String> = self.programs.iter().map(|one| one.display().to_string()).collect();
            let what = format!("failed to find plugin {plugin:?} in path [{}]", folders.join(" "));
            Failure::new(code::INVALID_CONFIGURATION, what)
        })
    }

    fn command(&self, verb: Verb, program: &Path) -> std::io::Result<Command> {
        let path = std::env::join_paths(self.programs).map_err(std::io::Error::other)?;
        let mut command = Command::new(program);
        command.env("CNI_COMMAND", verb.name()).env("CNI_PATH", path).current_dir("/");
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS", "CNI_NETNS"] {
            command.env_remove(name);
        }
        if verb != Verb::Collect {
            command
                .env("CNI_CONTAINERID", self.container)
                .env("CNI_IFNAME", self.interface)
                .env("CNI_ARGS", self.arguments)
                .env("CNI_NETNS", self.netns.unwrap_or(Path::new("")));
        }
        Ok(command)
    }
}

/// An empty file in memory.
fn stream() -> std::io::Result<File> {
    Ok(File::from(memfd_create("cni", MemfdFlags::CLOEXEC)?))
}

fn read(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(ANSWER_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a child ends in time. It stays to be waited for.
fn has_ended(child: u32) -> std::io::Result<bool> {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("the program has no process id"))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)], Some(&limit)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a plugin that failed says of it.
fn refusal(answer: &[u8], errors: &[u8], status: ExitStatus) -> Failure {
    if let Ok(failure) = serde_json::from_slice::<Failure>(answer)
        && (failure.code != 0 || !failure.msg.is_empty())
    {
        return failure;
    }
    let said = [answer, errors].into_iter().find(|text| !text.trim_ascii().is_empty());
    let said = said.map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
    Failure::new(
        code::FAILED,
        match said {
            Some(said) => format!("netplugin failed: {said:?}"),
            None => format!("netplugin failed with no error message: {status}"),
        },
    )
}
