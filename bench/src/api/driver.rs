//! The program that makes the load, and what it tells.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// Names the program.
pub const VARIABLE: &str = "APIBENCH";

/// What the server is called in what the driver tells.
const SERVER: &str = "ironclad";

/// The program.
#[derive(Debug)]
pub struct Driver {
    program: PathBuf,
}

/// What the driver tells of one scenario.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Driver {
    /// The program that the environment names; `None` if it names none.
    pub fn find() -> Result<Option<Driver>> {
        let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) else {
            return Ok(None);
        };
        let program = std::fs::canonicalize(&named)
            .with_context(|| format!("{VARIABLE}={}", PathBuf::from(&named).display()))?;
        Ok(Some(Driver { program }))
    }

    /// Runs one of its commands against a cluster. What it says is shown as it says it.
    pub fn run(&self, cluster: &Cluster, command: &str) -> Result<Vec<Record>> {
        println!("== apibench {command}");
        let file = cluster.data().with_file_name("records");
        // There is none before the first command.
        let _ = std::fs::remove_file(&file);
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .args(["--pids", &format!("{SERVER}={}", cluster.process()?), "--out"])
            .arg(&file)
            .args(command.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}", self.program.display()))?;
        let output = child.stdout.take().context("the output is piped")?;
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)) {
            // The lines for machines are in the file as well.
            let line = line?;
            if !line.starts_with('{') {
                println!("{line}");
            }
        }
        ensure!(child.wait()?.success(), "apibench {command} failed");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| Ok(Record(serde_json::from_str(line)?))).collect()
    }
}

impl Record {
    /// Whether it is of this scenario (`list/json`: of this mode of it).
    pub fn is(&self, scenario: &str) -> bool {
        let (name, mode) = scenario.split_once('/').unwrap_or((scenario, ""));
        self.0["scenario"] == name && (mode.is_empty() || self.0["params"]["mode"] == mode)
    }

    /// A figure of it by its path: `lat_ms/p99`.
    pub fn number(&self, path: &str) -> Result<f64> {
        let found = path.split('/').fold(&self.0, |node, name| &node[name]);
        found.as_f64().with_context(|| format!("apibench told no {path}"))
    }

    /// A figure of the server: `cpu_s_per_1k`.
    pub fn of_server(&self, name: &str) -> Result<f64> {
        let server =
            self.0["procs"].as_array().into_iter().flatten().find(|process| process["name"] == SERVER);
        let figure = server.and_then(|server| server[name].as_f64());
        figure.with_context(|| format!("apibench told no {name} of the server"))
    }

    /// Fails if any request did.
    pub fn check(&self) -> Result<()> {
        let failed = self.number("errors")?;
        ensure!(failed == 0.0, "{failed} requests failed; the first: {}", self.0["first_error"]);
        Ok(())
    }
}
