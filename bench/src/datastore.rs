//! `bench store [--keys N] [--seconds N] [--rounds N] [--part commits|large] [DIRECTORY]`: how fast the embedded store commits, starts and is
//! backed up, beside what the disk below it can do at all and, if an `etcd` is there (or `IRONCLAD_ETCD` names one),
//! beside etcd on the same disk.

mod peer;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use env::{Clock, Env};
use store::embedded::Embedded;
use store::{Options, Outcome, Query, Store, Txn, Write};

use crate::report::{self, Figure};

/// The size of each value.
const VALUE: usize = 1024;

/// Runs everything and prints the figures.
pub async fn run(arguments: &[String]) -> Result<()> {
    if let [flag, directory] = arguments
        && flag == "--open"
    {
        return open_only(Path::new(directory)).await;
    }
    let settings = Settings::parse(arguments)?;
    std::fs::create_dir_all(&settings.directory)?;
    let result = run_in(&settings).await;
    std::fs::remove_dir_all(&settings.directory)?;
    result
}

struct Settings {
    keys: usize,
    period: Duration,
    rounds: u64,
    /// Only this is measured, if it is given.
    part: Option<Part>,
    directory: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Commits, beside those of the disk and of etcd.
    Commits,
    /// Start, memory and backup of a large store.
    Large,
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Settings> {
        let name = format!("ironclad-bench-store-{}", std::process::id());
        let mut settings = Settings {
            keys: 1_000_000,
            period: Duration::from_secs(5),
            rounds: 1,
            part: None,
            directory: std::env::current_dir()?.join(name.clone()),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            let mut number = || -> Result<u64> { Ok(value()?.parse()?) };
            match argument.as_str() {
                "--keys" => settings.keys = usize::try_from(number()?)?,
                "--rounds" => settings.rounds = number()?.max(1),
                "--part" => {
                    settings.part = Some(match value()?.as_str() {
                        "commits" => Part::Commits,
                        "large" => Part::Large,
                        _ => bail!("--part is commits or large"),
                    });
                }
                "--seconds" => settings.period = Duration::from_secs(number()?),
                option if option.starts_with('-') => bail!("there is no option {option}"),
                directory => settings.directory = Path::new(directory).join(&name),
            }
        }
        Ok(settings)
    }
}

async fn run_in(settings: &Settings) -> Result<()> {
    let clock = Clock::real();
    if settings.part != Some(Part::Large) {
        commits(settings, &clock).await?;
    }
    if settings.part != Some(Part::Commits) {
        large(settings, &clock).await?;
    }
    Ok(())
}

async fn commits(settings: &Settings, clock: &Clock) -> Result<()> {
    // What is compared is measured close together, and more than once: a busy machine changes from minute to minute.
    let mut rounds = Vec::new();
    for round in 1..=settings.rounds {
        println!("round {round}");
        rounds.push(compare(settings, clock).await?);
    }
    report::print(&figures(&rounds));
    Ok(())
}

/// What one round has shown.
#[derive(Default)]
struct Round {
    /// Commits of one writer per raw commit.
    share: f64,
    /// By the number of writers.
    embedded: BTreeMap<usize, f64>,
    etcd: BTreeMap<usize, f64>,
}

async fn compare(settings: &Settings, clock: &Clock) -> Result<Round> {
    let mut round = Round::default();
    for (what, overwrite) in [("overwriting", true), ("appending", false)] {
        let rate = raw(&settings.directory.join("raw"), settings.period / 2, overwrite, clock)?;
        println!("raw {what:<12} {rate:>9.0} fdatasync/s of 4 KiB");
    }
    println!(
        "{:<9} {:>7} {:>10} {:>9} {:>9} {:>9} {:>12}",
        "store", "writers", "values/s", "p50 ms", "p99 ms", "max ms", "bytes/value"
    );
    for writers in [1, 16, 128] {
        let load = Load { writers, period: settings.period, pause: Duration::ZERO };
        let directory = settings.directory.join(format!("writers-{writers}"));
        let store = Embedded::open(&directory, Options::default(), Env::real()).await?;
        let written = || disk_bytes("self");
        round.embedded.insert(writers, load.measure("embedded", store.clone(), &written, clock).await?);
        store.close().await;
        std::fs::remove_dir_all(&directory)?;
        if let Some(peer) = peer::Peer::start(&settings.directory.join("etcd"))? {
            let store = peer.store(clock).await?;
            let written = || disk_bytes(&peer.process());
            round.etcd.insert(writers, load.measure("etcd", store, &written, clock).await?);
        }
    }
    round.share = alternate(settings, clock).await?;
    Ok(round)
}

/// One writer and the raw disk by turns, each for a moment, so that both see the same disk however busy it is. Answers
/// how many commits there are for each raw one.
async fn alternate(settings: &Settings, clock: &Clock) -> Result<f64> {
    const TURN: Duration = Duration::from_millis(50);
    let directory = settings.directory.join("turns");
    let store = Embedded::open(&directory, Options::default(), Env::real()).await?;
    let mut file = Raw::new(&settings.directory.join("raw"), true)?;
    let value = Bytes::from(vec![b'v'; VALUE]);
    let (mut commits, mut writes) = (Vec::new(), Vec::new());
    let until = clock.monotonic() + settings.period * 2;
    while clock.monotonic() < until {
        let turn = clock.monotonic() + TURN;
        while clock.monotonic() < turn {
            let start = clock.monotonic();
            file.write()?;
            writes.push(clock.monotonic() - start);
        }
        let turn = clock.monotonic() + TURN;
        while clock.monotonic() < turn {
            let start = clock.monotonic();
            put(&*store, vec![(key(commits.len() as u64), value.clone())]).await?;
            commits.push(clock.monotonic() - start);
        }
    }
    let rate = |times: &[Duration]| times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
    let share = rate(&commits) / rate(&writes);
    commits.sort_unstable();
    writes.sort_unstable();
    println!(
        "by turns: {:.0} commits/s of one writer (p50 {:.2} ms), {:.0} raw ones (p50 {:.2} ms)",
        rate(&commits),
        percentile(&commits, 0.5),
        rate(&writes),
        percentile(&writes, 0.5)
    );
    store.close().await;
    std::fs::remove_dir_all(&directory)?;
    Ok(share)
}

/// The medians of all rounds beside their bounds.
fn figures(rounds: &[Round]) -> Vec<Figure> {
    let median = |of: &dyn Fn(&Round) -> Option<f64>| {
        let mut values: Vec<f64> = rounds.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let embedded = |writers| median(&|round| round.embedded.get(&writers).copied()).unwrap_or(0.0);
    let share = median(&|round| Some(round.share)).unwrap_or(0.0);
    let mut figures = vec![
        Figure::at_least("one writer, of raw commits", share * 100.0, "%", 60.0),
        Figure::at_least("values, 16 writers", embedded(16), "per s", 30_000.0),
        Figure::at_least("values, 128 writers", embedded(128), "per s", 60_000.0),
    ];
    if let Some(times) = median(&|round| Some(round.embedded.get(&16)? / round.etcd.get(&16)?)) {
        let etcd = median(&|round| round.etcd.get(&16).copied()).unwrap_or(0.0);
        println!("etcd, 16 writers: {etcd:.0} puts/s (median)");
        figures.push(Figure::at_least("times etcd's puts, 16 writers", times, "times", 8.0));
    }
    figures
}

/// How often the disk makes 4 KiB durable, one after the other.
fn raw(path: &Path, period: Duration, overwrite: bool, clock: &Clock) -> Result<f64> {
    let mut file = Raw::new(path, overwrite)?;
    let (start, mut count) = (clock.monotonic(), 0u64);
    while clock.monotonic() - start < period {
        file.write()?;
        count += 1;
    }
    Ok(count as f64 / (clock.monotonic() - start).as_secs_f64())
}

/// A file that is made durable after each 4 KiB.
struct Raw {
    file: File,
    path: PathBuf,
    overwrite: bool,
    blocks: u64,
}

impl Raw {
    /// How many blocks are written over and over: as many as a write-ahead log has.
    const BLOCKS: u64 = 4096;
    const BLOCK: [u8; 4096] = [7; 4096];

    fn new(path: &Path, overwrite: bool) -> Result<Raw> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        if overwrite {
            (0..Raw::BLOCKS).try_for_each(|_| file.write_all(&Raw::BLOCK))?;
            file.sync_all()?;
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(Raw { file, path: path.to_owned(), overwrite, blocks: 0 })
    }

    fn write(&mut self) -> Result<()> {
        if self.overwrite && self.blocks.is_multiple_of(Raw::BLOCKS) {
            self.file.seek(SeekFrom::Start(0))?;
        }
        self.blocks += 1;
        self.file.write_all(&Raw::BLOCK)?;
        Ok(self.file.sync_data()?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The whole directory goes at the end.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writers that each put one value after the other.
struct Load {
    writers: usize,
    period: Duration,
    /// Between two values of a writer.
    pause: Duration,
}

impl Load {
    /// Runs it, prints what it has shown, and answers the values per second.
    async fn measure(
        &self,
        name: &str,
        store: Arc<dyn Store>,
        written: &dyn Fn() -> Result<u64>,
        clock: &Clock,
    ) -> Result<f64> {
        let before = written()?;
        let latencies = self.run(&store, clock).await?;
        let bytes = (written()? - before) as f64 / latencies.len() as f64;
        let rate = latencies.len() as f64 / self.period.as_secs_f64();
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| percentile(&latencies, share));
        println!(
            "{name:<9} {:>7} {rate:>10.0} {half:>9.2} {most:>9.2} {all:>9.2} {bytes:>12.0}",
            self.writers
        );
        Ok(rate)
    }

    /// The latency of each commit.
    async fn run(&self, store: &Arc<dyn Store>, clock: &Clock) -> Result<Vec<Duration>> {
        let tasks = env::Tasks::new();
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(store.revision().await?));
        let mut handles = Vec::new();
        for _ in 0..self.writers {
            let (store, clock, stop, next) = (store.clone(), clock.clone(), stop.clone(), next.clone());
            let pause = self.pause;
            handles.push(tasks.spawn("writer", async move {
                let value = Bytes::from(vec![b'v'; VALUE]);
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let start = clock.monotonic();
                    put(&*store, vec![(key(number), value.clone())]).await?;
                    latencies.push(clock.monotonic() - start);
                    if !pause.is_zero() {
                        clock.sleep(pause).await;
                    }
                }
                anyhow::Ok(latencies)
            }));
        }
        clock.sleep(self.period).await;
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for handle in handles {
            all.extend(handle.join().await.context("a writer panicked")??);
        }
        all.sort_unstable();
        Ok(all)
    }
}

/// Start, memory and backup of a large store.
async fn large(settings: &Settings, clock: &Clock) -> Result<()> {
    let directory = settings.directory.join("large");
    let store = Embedded::open(&directory, Options::default(), Env::real()).await?;
    let mut number = 0;
    while number < settings.keys {
        let count = 1000.min(settings.keys - number);
        // Values differ, so that nothing below can fold them together.
        let pairs = (number..number + count).map(|number| {
            let mut value = vec![b'v'; VALUE];
            value[..8].copy_from_slice(&number.to_le_bytes());
            (key(scatter(number as u64)), Bytes::from(value))
        });
        put(&*store, pairs.collect()).await?;
        number += count;
    }
    store.close().await;
    // A process of its own has no memory but what the store takes.
    let program = std::env::current_exe()?;
    let status = std::process::Command::new(program).args(["store", "--open"]).arg(&directory).status()?;
    anyhow::ensure!(status.success(), "the store could not be opened again");

    let store = Embedded::open(&directory, Options::default(), Env::real()).await?;
    let file = settings.directory.join("backup");
    let writing: Arc<dyn Store> = store.clone();
    let load = Load { writers: 16, period: Duration::from_secs(10), pause: Duration::from_millis(14) };
    let backup = async {
        let start = clock.monotonic();
        let revision = store.backup(&file).await?;
        anyhow::Ok((revision, clock.monotonic() - start))
    };
    let (backup, latencies) = tokio::join!(backup, load.run(&writing, clock));
    let ((revision, elapsed), latencies) = (backup?, latencies?);
    let rate = latencies.len() as f64 / load.period.as_secs_f64();
    println!(
        "backup at revision {revision}: {:.2} s, while {rate:.0} values/s took at most {:.1} ms (p99 {:.1} ms)",
        elapsed.as_secs_f64(),
        percentile(&latencies, 1.0),
        percentile(&latencies, 0.99),
    );

    // Last: so much memory is given back for a while, and everybody waits for the kernel meanwhile.
    let start = clock.monotonic();
    let page = store.range(Query::default()).await?;
    let elapsed = (clock.monotonic() - start).as_secs_f64();
    println!("reading all {} values from disk: {elapsed:.2} s", page.items.len());
    Ok(())
}

/// Opens a store and says how long that took and what memory it takes.
async fn open_only(directory: &Path) -> Result<()> {
    let clock = Clock::real();
    let (memory, start) = (resident()?, clock.monotonic());
    let store = Embedded::open(directory, Options::default(), Env::real()).await?;
    let elapsed = (clock.monotonic() - start).as_secs_f64();
    let per_key = resident()?.saturating_sub(memory) as f64 / store.keys() as f64;
    println!("start with {} keys: {elapsed:.2} s, {per_key:.0} bytes of memory per key", store.keys());
    Ok(())
}

async fn put(store: &dyn Store, pairs: Vec<(Bytes, Bytes)>) -> Result<()> {
    let writes = pairs.into_iter().map(|(key, value)| Write::Put { key, value, ttl_secs: None }).collect();
    match store.commit(Txn { writes, ..Txn::default() }).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Conflict { .. } => bail!("a transaction without guards cannot conflict"),
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/core/pods/namespace-{}/pod-{number:016x}", number % 100))
}

/// Spreads numbers, so that keys do not come in order.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share) as usize;
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

/// Bytes a process has sent to disks.
fn disk_bytes(process: &str) -> Result<u64> {
    proc_number(&format!("/proc/{process}/io"), "write_bytes:")
}

/// Bytes of memory this process holds.
fn resident() -> Result<u64> {
    Ok(proc_number("/proc/self/status", "VmRSS:")? * 1024)
}

fn proc_number(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("{file} has no {name}"))?.parse()?)
}
