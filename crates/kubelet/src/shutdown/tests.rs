//! A logind that does as it should, and one that does not; the bus is the real one where it is installed.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::bus::{ANSWER, Arguments, Bus, CALL, Call, Field, Message, SIGNAL, encode};
use super::*;
use crate::tests::{TempDir, World, pod};

const OBJECT: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// A logind as far as it is asked anything here.
#[derive(Clone)]
struct FakeLogind {
    settings: PathBuf,
    /// Whether it reads its settings when it is told to.
    obedient: bool,
    /// The other ends of what it handed out to hold it back.
    locks: Arc<Mutex<Vec<std::fs::File>>>,
}

impl FakeLogind {
    fn new(settings: &Path, obedient: bool) -> FakeLogind {
        FakeLogind { settings: settings.to_owned(), obedient, locks: Arc::default() }
    }

    /// Answers calls, and tells of shutdowns as it is told to.
    async fn serve(self, mut bus: Bus, mut shutdowns: mpsc::Receiver<bool>) {
        let mut delay = 5;
        loop {
            tokio::select! {
                Some(begins) = shutdowns.recv() => {
                    let fields = [Field::Path(OBJECT), Field::Interface(MANAGER), Field::Member("PrepareForShutdown")];
                    send(&bus, &encode(SIGNAL, 77, &fields, &Arguments::default().boolean(begins)), None).await;
                }
                message = bus.receive() => match message {
                    Ok(message) if message.kind == CALL => self.answer(&bus, &message, &mut delay).await,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }
    }

    async fn answer(&self, bus: &Bus, call: &Message, delay: &mut u64) {
        let mut given = None;
        let arguments = match call.member.as_str() {
            "Get" => Arguments::default().variant_u64(*delay * 1_000_000),
            "KillUnit" => {
                assert_eq!(call.first_text().unwrap(), "systemd-logind.service");
                let text = std::fs::read_to_string(self.settings.join("99-ironclad.conf")).unwrap();
                let secs = text.trim().strip_prefix("[Login]\nInhibitDelayMaxSec=").unwrap().parse().unwrap();
                *delay = if self.obedient { secs } else { *delay };
                Arguments::default()
            }
            "Inhibit" => {
                assert_eq!(call.first_text().unwrap(), "shutdown");
                let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
                self.locks.lock().unwrap().push(ours.into());
                given = Some(theirs);
                Arguments::default().file()
            }
            _ => Arguments::default(),
        };
        let mut fields = vec![Field::AnswerTo(call.serial)];
        fields.extend((!call.sender.is_empty()).then_some(Field::Destination(&call.sender)));
        fields.extend(given.is_some().then_some(Field::Files(1)));
        send(bus, &encode(ANSWER, 5, &fields, &arguments), given).await;
    }

    /// Which of its locks are still held, in the order in which they were asked for.
    fn held(&self) -> Vec<bool> {
        let mut locks = self.locks.lock().unwrap();
        locks.iter_mut().map(|lock| lock.read(&mut [0]).is_err()).collect()
    }
}

async fn send(bus: &Bus, message: &[u8], file: Option<OwnedFd>) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    bus.stream().writable().await.unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = file.iter().map(AsFd::as_fd).collect();
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    }
    let slices = [std::io::IoSlice::new(message)];
    assert_eq!(sendmsg(bus.stream(), &slices, &mut control, SendFlags::empty()).unwrap(), message.len());
}

/// A bus with nobody on it but logind, which waits for one caller after another.
fn begin_logind(directory: &Path, logind: &FakeLogind) -> (PathBuf, mpsc::Sender<bool>) {
    let path = directory.join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let (tell, told) = mpsc::channel(4);
    let logind = logind.clone();
    env::Tasks::new().spawn("logind", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        greet(&mut stream).await;
        logind.serve(Bus::over(stream), told).await;
    });
    (path, tell)
}

/// The bus's part of the greeting.
async fn greet(stream: &mut UnixStream) {
    for (heard, said) in
        [("\0AUTH EXTERNAL ", "OK 0123\r\n"), ("NEGOTIATE_UNIX_FD", "AGREE_UNIX_FD\r\n"), ("BEGIN", "")]
    {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        assert!(line.starts_with(heard.as_bytes()), "{line:?}");
        stream.write_all(said.as_bytes()).await.unwrap();
    }
}

fn spec(priority: i32) -> Value {
    json!({"priority": priority, "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
           "containers": [{"name": "app", "image": "img:1", "command": ["run"]}]})
}

fn ready(world: &World) -> (String, String) {
    let node = world.api.get("nodes", "", "node-1").unwrap();
    let condition = &node["status"]["conditions"][3];
    (condition["status"].as_str().unwrap().to_owned(), condition["message"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_until_pods_have_ended_and_is_forgotten_when_it_is_called_off() {
    let directory = TempDir::new("shutdown");
    let logind = FakeLogind::new(&directory.0.join("settings"), true);
    let (bus, tell) = begin_logind(&directory.0, &logind);
    let grace = ShutdownGrace {
        bus,
        logind_settings: logind.settings.clone(),
        ..ShutdownGrace::new(secs(60), secs(20))
    };
    let world = World::with_config("shutdown", |config| config.shutdown = Some(grace)).await;
    world.create("ordinary", spec(0));
    world.create("critical", spec(2_000_000_000));
    for name in ["ordinary", "critical"] {
        world.until(name, |pod| pod["status"]["phase"] == "Running").await;
    }
    assert_eq!(logind.held(), [true]);
    tell.send(true).await.unwrap();
    let first = world.until("ordinary", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(world.pod("critical")["status"]["phase"], "Running", "the critical ones go last");
    assert_eq!((&first["status"]["reason"], &first["status"]["message"]), (&json!(ENDED.0), &json!(ENDED.1)));
    world.until("critical", |pod| pod["status"]["phase"] == "Failed").await;
    world.pass(1).await;
    assert_eq!(logind.held(), [false], "the machine waits no longer");
    assert_eq!(ready(&world), ("False".to_owned(), OBSTACLE.to_owned()));
    world.create("late", spec(0));
    let late = world.until("late", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(late["status"]["reason"], REFUSED.0);
    tell.send(false).await.unwrap();
    world.create("after", spec(0));
    world
        .until("after", |pod| pod["status"]["phase"] == "Running" || pod["status"]["reason"] == REFUSED.0)
        .await;
    world.pass(1).await;
    assert_eq!(logind.held(), [false, true], "the next one is held back again");
    assert_eq!(ready(&world).0, "True");
    let seen = world.api.events();
    for what in ["event", "cancellation"] {
        let event = format!("Normal NodeShutdown: Shutdown manager detected shutdown {what}");
        assert!(seen.contains(&event), "{event}: {seen:?}");
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn logind_is_allowed_to_be_held_back_for_as_long_as_it_takes() {
    for (obedient, wanted, is_fine) in [(true, 5, true), (true, 60, true), (false, 60, false)] {
        let directory = TempDir::new("shutdown-allow");
        let fake = FakeLogind::new(&directory.0.join("settings"), obedient);
        let (bus, _tell) = begin_logind(&directory.0, &fake);
        let mut logind = Logind::connect(&bus).await.unwrap();
        let allowed = logind.allow(secs(wanted), &fake.settings, &env::Env::real()).await;
        assert_eq!(allowed.is_ok(), is_fine, "{allowed:?}");
        assert_eq!(fake.settings.exists(), wanted > 5, "its settings are written only if they must be");
    }
}

/// A bus of our own, as Debian's package makes one; it ends with what is answered.
struct RealBus(Child);

impl Drop for RealBus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn real_bus(directory: &Path) -> Option<(RealBus, PathBuf)> {
    let socket = directory.join("real-bus");
    let settings = directory.join("bus.conf");
    let text = format!(
        "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        socket.display()
    );
    std::fs::write(&settings, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    let child = command.arg("--nofork").arg(format!("--config-file={}", settings.display())).spawn().ok()?;
    let bus = RealBus(child);
    for _ in 0..6_000 {
        if socket.exists() {
            return Some((bus, socket));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the bus does not listen");
}

#[tokio::test]
async fn a_real_bus_carries_it_all() {
    let directory = TempDir::new("shutdown-bus");
    let Some((_bus, socket)) = real_bus(&directory.0) else {
        println!("not run: dbus-daemon is not installed");
        return;
    };
    let mut theirs = Bus::connect(&socket).await.unwrap();
    for name in ["org.freedesktop.login1", "org.freedesktop.systemd1"] {
        theirs.call(&Call::of_bus("RequestName", Arguments::default().text(name).unsigned(0))).await.unwrap();
    }
    let fake = FakeLogind::new(&directory.0.join("settings"), true);
    let (tell, told) = mpsc::channel(4);
    let tasks = env::Tasks::new();
    tasks.spawn("logind", fake.clone().serve(theirs, told));
    let mut logind = Logind::connect(&socket).await.unwrap();
    logind.allow(secs(60), &fake.settings, &env::Env::real()).await.unwrap();
    logind.watch().await.unwrap();
    let lock = logind.inhibit().await.unwrap();
    assert_eq!(fake.held(), [true]);
    for begins in [true, false] {
        tell.send(begins).await.unwrap();
        assert_eq!(logind.next().await.unwrap(), begins);
    }
    drop(lock);
    assert_eq!(fake.held(), [false]);
    let nobody = Call { destination: "org.example.Nobody", ..Call::of_bus("Hello", Arguments::default()) };
    let mut bus = Bus::connect(&socket).await.unwrap();
    let refused = bus.call(&nobody).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("Hello of org.example.Nobody: org.freedesktop.DBus.Error.ServiceUnknown: "),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let good =
        encode(SIGNAL, 1, &[Field::Path(OBJECT), Field::Member("M")], &Arguments::default().boolean(true));
    let mut wrong: Vec<Vec<u8>> = (16..good.len()).map(|length| good[..length].to_vec()).collect();
    for (at, value) in
        [(0, b'B'), (4, 0xff), (7, 0xff), (12, 0xff), (15, 0xff), (17, 0xff), (18, 0), (18, b'q')]
    {
        let mut bytes = good.clone();
        bytes[at] = value;
        wrong.push(bytes);
    }
    for bytes in wrong {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&bytes).await.unwrap();
        drop(ours);
        let mut bus = Bus::over(theirs);
        // What ends too early is an end of the connection; all else is told apart from it. Nothing panics.
        while bus.receive().await.is_ok() {}
    }
}

#[test]
fn pods_go_in_groups_and_their_times_add_up() {
    let grace = |total, critical| {
        ShutdownGrace::new(secs(total), secs(critical)).periods().map(|(_, period)| period.as_secs())
    };
    assert_eq!(grace(30, 10), [20, 10]);
    assert_eq!(grace(30, 0), [30, 0]);
    assert_eq!(grace(10, 30), [0, 10]);
    assert_eq!(Group::of(&pod(spec(1_999_999_999), json!({}))), Group::Ordinary);
    assert_eq!(Group::of(&pod(spec(2_000_000_000), json!({}))), Group::Critical);
}
