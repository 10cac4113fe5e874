//! What logind is asked, and what it tells.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use env::Env;

use super::bus::{Arguments, Bus, BusError, Call};

const SERVICE: &str = "org.freedesktop.login1";
const OBJECT: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SIGNAL: &str = "PrepareForShutdown";
const SETTINGS_FILE: &str = "99-ironclad.conf";
const SIGHUP: u32 = 1;
/// How often, and after what pauses, it is looked whether logind has read its settings again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

/// logind, over the machine's bus.
pub(super) struct Logind {
    bus: Bus,
}

impl Logind {
    pub async fn connect(bus: &Path) -> Result<Logind, BusError> {
        Ok(Logind { bus: Bus::connect(bus).await? })
    }

    /// Lets it be held back for so long, if it is not allowed yet.
    pub async fn allow(&mut self, wanted: Duration, settings: &Path, env: &Env) -> Result<(), BusError> {
        let mut most = self.delay_max().await?;
        if most >= wanted {
            return Ok(());
        }
        let text = format!("[Login]\nInhibitDelayMaxSec={}\n", wanted.as_secs());
        std::fs::create_dir_all(settings)?;
        std::fs::write(settings.join(SETTINGS_FILE), text)?;
        self.read_settings_again().await?;
        for pause in PAUSES {
            env.clock.sleep(pause).await;
            most = self.delay_max().await?;
            if most >= wanted {
                return Ok(());
            }
        }
        Err(BusError::Refused(format!(
            "logind lets itself be held back for {} s only, not {} s (InhibitDelayMaxSec)",
            most.as_secs(),
            wanted.as_secs()
        )))
    }

    async fn delay_max(&mut self) -> Result<Duration, BusError> {
        let call = Call {
            destination: SERVICE,
            path: OBJECT,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            arguments: Arguments::default().text(MANAGER).text("InhibitDelayMaxUSec"),
        };
        Ok(Duration::from_micros(self.bus.call(&call).await?.variant_u64()?))
    }

    async fn read_settings_again(&mut self) -> Result<(), BusError> {
        let call = Call {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "KillUnit",
            arguments: Arguments::default().text("systemd-logind.service").text("all").signed(SIGHUP),
        };
        self.bus.call(&call).await.map(drop)
    }

    /// Holds shutdowns back until what is answered is closed.
    pub async fn inhibit(&mut self) -> Result<OwnedFd, BusError> {
        let why = "Pods are asked to end before the machine goes";
        let call = Call {
            destination: SERVICE,
            path: OBJECT,
            interface: MANAGER,
            member: "Inhibit",
            arguments: Arguments::default().text("shutdown").text("ironclad").text(why).text("delay"),
        };
        self.bus.call(&call).await?.file()
    }

    /// Has it tell of shutdowns.
    pub async fn watch(&mut self) -> Result<(), BusError> {
        let rule = format!("type='signal',interface='{MANAGER}',member='{SIGNAL}',path='{OBJECT}'");
        self.bus.call(&Call::of_bus("AddMatch", Arguments::default().text(&rule))).await.map(drop)
    }

    /// Waits until a shutdown begins (true) or is called off.
    pub async fn next(&mut self) -> Result<bool, BusError> {
        loop {
            let signal = self.bus.signal().await?;
            if signal.is(MANAGER, SIGNAL) {
                return signal.boolean();
            }
        }
    }
}
