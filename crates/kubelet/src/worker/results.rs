//! What came of operations: taken in, told, and tried again after a pause where that may help.

use std::time::Duration;

use env::WallTime;

use super::ops::{Done, Outcome};
use super::{FIRST_MOUNT_PAUSE, LONGEST_MOUNT_PAUSE, Worker, start};
use crate::kit::about;
use crate::memory::{BackOff, FIRST_PAUSE, PullFailure, Volumes};
use crate::pod::PodView;
use crate::volumes::TokenStore;

impl Worker {
    /// Takes in what came of an operation.
    pub(super) fn apply(&mut self, done: Done) {
        let now = self.kit.env.clock.now();
        match done {
            Done::Mounted { tokens, renew_at, errors } => self.mounted(tokens, renew_at, &errors),
            Done::SandboxStarted(result) => self.sandbox_started(result, now),
            Done::Unmounted(result) => {
                self.memory.pod_busy = false;
                match result {
                    Ok(()) => self.memory.volumes = Volumes::Gone,
                    Err(error) => self.complain("its volumes cannot be taken away", &error),
                }
            }
            Done::Cleaned(result) => {
                self.memory.pod_busy = false;
                match result {
                    Ok(()) => self.memory.cleaned = true,
                    Err(error) => self.complain("what it left cannot be removed", &error),
                }
            }
            Done::OfPod(result) => {
                self.memory.pod_busy = false;
                if let Err(error) = result {
                    self.complain("a step failed and will be tried again", &error);
                }
            }
            Done::Removed(result) => {
                if let Err(error) = result {
                    self.complain("a container cannot be removed", &error);
                }
            }
            Done::Started { name, result } => self.started(&name, result, now),
            Done::Killed { name, result } => {
                self.memory.busy.remove(&name);
                if let Err(error) = result {
                    self.complain("a container cannot be stopped", &error);
                }
            }
            Done::Resized { name, result } => {
                self.memory.busy.remove(&name);
                if let Err(error) = result {
                    tracing::warn!(uid = %self.uid, container = %name, "it cannot be resized: {error}");
                }
            }
            Done::Deleted(gone) => {
                self.memory.pod_busy = false;
                self.finished = gone;
            }
        }
    }

    /// Logs a failure and sees to it that the next attempt is not made at once.
    fn complain(&mut self, what: &str, error: &str) {
        tracing::warn!(uid = %self.uid, "{what}: {error}");
        self.memory.pod_busy = true;
        let clock = self.kit.env.clock.clone();
        self.ops.push(Box::pin(async move {
            clock.sleep(Duration::from_secs(1)).await;
            Outcome { done: Done::OfPod(Ok(())), changed_runtime: false }
        }));
    }

    fn mounted(
        &mut self,
        tokens: TokenStore,
        renew_at: Option<WallTime>,
        errors: &[crate::volumes::VolumeError],
    ) {
        let now = self.kit.env.clock.now();
        self.tokens = Some(tokens);
        let were_there = matches!(self.memory.volumes, Volumes::Mounted { .. });
        if !were_there {
            self.memory.pod_busy = false;
        }
        if errors.is_empty() {
            self.memory.volumes = Volumes::Mounted { renew_at };
            return;
        }
        if let Ok(pod) = PodView::new(&self.desired().object) {
            for error in errors {
                let message =
                    format!("MountVolume.SetUp failed for volume {:?} : {}", error.volume, error.message);
                self.kit.recorder.warning(&about(&pod), "FailedMount", message);
            }
        }
        self.memory.volumes = match &self.memory.volumes {
            // What is there stays; it is renewed later.
            Volumes::Mounted { .. } => Volumes::Mounted { renew_at: Some(now.plus(LONGEST_MOUNT_PAUSE)) },
            Volumes::Failed { pause, .. } => {
                let pause = (*pause * 2).min(LONGEST_MOUNT_PAUSE);
                Volumes::Failed { retry_at: now.plus(pause), pause }
            }
            _ => Volumes::Failed { retry_at: now.plus(FIRST_MOUNT_PAUSE), pause: FIRST_MOUNT_PAUSE },
        };
    }

    fn sandbox_started(&mut self, result: Result<(), String>, now: WallTime) {
        self.memory.pod_busy = false;
        match result {
            Ok(()) => {
                self.memory.sandbox_retry = None;
                self.memory.sandbox_failures = 0;
            }
            Err(error) => {
                let doublings = self.memory.sandbox_failures.min(6);
                self.memory.sandbox_failures += 1;
                let pause = Duration::from_secs(1 << doublings);
                self.memory.sandbox_retry = Some(now.plus(pause));
                if let Ok(pod) = PodView::new(&self.desired().object) {
                    let message = format!("Failed to create pod sandbox: {error}");
                    self.kit.recorder.warning(&about(&pod), "FailedCreatePodSandBox", message);
                }
            }
        }
    }

    fn started(&mut self, name: &str, result: Result<(), start::Failure>, now: WallTime) {
        self.memory.busy.remove(name);
        self.starts.remove(name);
        let Err(failure) = result else {
            self.memory.must_restart.remove(name);
            self.memory.waiting.remove(name);
            self.memory.retries.remove(name);
            self.memory.pulls.remove(name);
            return;
        };
        if failure.of_pull {
            let before = self.memory.pulls.get(name).map(|failure| &failure.back_off);
            let back_off = BackOff::grown(before, &failure.image, now, now);
            let error = failure.waiting.clone();
            self.memory.pulls.insert(name.to_owned(), PullFailure { back_off, error });
        } else {
            self.memory.retries.insert(name.to_owned(), now.plus(FIRST_PAUSE));
        }
        self.memory.waiting.insert(name.to_owned(), failure.waiting);
    }
}
