//! `APIBENCH=PROGRAM bench api [BINARY]`: the API server under load, over TLS and with durable writes, on the cores that
//! it shares with the program that makes the load: CPU, rates, latencies and memory beside upstream's.

mod driver;
mod measures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use env::Env;
use http::{HeaderMap, Method};

use self::driver::Driver;
use self::measures::Part;
use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::report::{Figure, print};

/// How long a server may calm down before it is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures and prints. `PART…` narrows it to some parts.
pub async fn run(arguments: &[String]) -> Result<()> {
    let Some(driver) = Driver::find()? else {
        println!(
            "{} does not name the program that makes the load, so nothing was measured.\nIt is `apibench`, a driver for \
             any Kubernetes API server; build it with `cargo build --release` where its sources are, and say\n    \
             {}=PATH/apibench cargo run --release --package bench -- api",
            driver::VARIABLE,
            driver::VARIABLE
        );
        return Ok(());
    };
    if !enter_namespaces()? {
        return Ok(());
    }
    let is_part = |word: &String| measures::ALL.iter().any(|part| part.name == word.as_str());
    let (wanted, others): (Vec<String>, Vec<String>) = arguments.iter().cloned().partition(is_part);
    let binary = measured_binary(&others)?;
    let mut figures = Vec::new();
    for part in measures::ALL {
        if wanted.is_empty() || wanted.iter().any(|name| name == part.name) {
            figures.extend(measure(&binary, &driver, part).await?);
        }
    }
    print(&figures);
    Ok(())
}

/// Measures one part on a fresh cluster.
async fn measure(binary: &Path, driver: &Driver, part: &Part) -> Result<Vec<Figure>> {
    let env = Env::real();
    let cluster = Cluster::prepare(binary)?;
    start(&cluster, &env).await?;
    driver.run(&cluster, "create -n 500 -c 16 --prefix warm --namespace warm")?;
    let mut figures = Vec::new();
    for step in part.steps {
        // What an earlier step left to be done does not count for this one.
        env.clock.sleep(SETTLE).await;
        let records = driver.run(&cluster, step.command)?;
        for take in step.takes {
            figures.push(take.figure(&records)?);
        }
    }
    if let Some(restart) = &part.restart {
        let process = cluster.process()?;
        terminate(process, &env).await?;
        let taken = start(&cluster, &env).await?;
        figures.push(restart.of(taken.as_secs_f64()));
    }
    Ok(figures)
}

/// Starts the control plane; how long it took to be ready.
async fn start(cluster: &Cluster, env: &Env) -> Result<Duration> {
    let begin = env.clock.monotonic();
    let mut up = cluster.begin_control_plane()?;
    let ready = until(env, begin, || async {
        let Ok(connection) = cluster.connection(env) else { return false };
        let answer = connection.request(Method::GET, "/readyz", HeaderMap::new(), Bytes::new()).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await?;
    up.wait()?;
    Ok(ready)
}

/// Ends a process as hard as power loss would, and waits until it is gone.
async fn terminate(process: u32, env: &Env) -> Result<()> {
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status()?;
    anyhow::ensure!(killed.success(), "process {process} cannot be ended");
    let place = PathBuf::from(format!("/proc/{process}/exe"));
    // A process that nobody waits for has no program any more either.
    until(env, env.clock.monotonic(), || async { std::fs::read_link(&place).is_err() }).await?;
    Ok(())
}
