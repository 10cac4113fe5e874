//! What a container is told right after it started and right before it ends.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;

use crate::http;
use crate::kit::{Kit, about_member};
use crate::pod::{Member, PodView};

/// Whom a hook is run for.
pub(crate) struct Target<'a> {
    /// The pod.
    pub pod: &'a PodView,
    /// The container.
    pub member: &'a Member<'a>,
    /// Its id.
    pub id: &'a str,
    /// The pod's address; empty if it has none.
    pub ip: String,
}

/// Runs a hook to its end, at most for `limit` if that is given.
pub(crate) async fn run(
    kit: &Kit,
    target: &Target<'_>,
    handler: &LifecycleHandler,
    limit: Option<Duration>,
) -> Result<(), String> {
    match limit {
        None => run_to_end(kit, target, handler, 0).await,
        Some(limit) => {
            let secs = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1);
            let ended = kit.env.clock.timeout(limit, run_to_end(kit, target, handler, secs)).await;
            ended.unwrap_or_else(|| Err(format!("it took longer than {} seconds", limit.as_secs())))
        }
    }
}

async fn run_to_end(
    kit: &Kit,
    target: &Target<'_>,
    handler: &LifecycleHandler,
    limit_secs: u32,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let output = kit.runtime.exec_sync(target.id.to_owned(), command, limit_secs).await;
        let output =
            output.map_err(|error| format!("Exec lifecycle hook ([{shown}]) failed - error: {error}"))?;
        if output.exit_code != 0 {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            return Err(format!(
                "Exec lifecycle hook ([{shown}]) failed - error: command '{shown}' exited with {}: {said}",
                output.exit_code
            ));
        }
        return Ok(());
    }
    if let Some(action) = &handler.http_get {
        return ask(kit, target, action).await;
    }
    if let Some(sleep) = &handler.sleep {
        kit.env.clock.sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("the handler names no action that is supported".to_owned())
}

async fn ask(
    kit: &Kit,
    target: &Target<'_>,
    action: &k8s_openapi::api::core::v1::HTTPGetAction,
) -> Result<(), String> {
    let mut ask = http::from_action(action, &target.member.spec, &target.ip, "kube-lifecycle/1.36")?;
    let first = http::get(&ask).await;
    let speaks_plainly =
        |error: &String| error.contains("InvalidContentType") || error.contains("corrupt message");
    match first {
        // Whatever it answers: it was told.
        Ok(_) => Ok(()),
        Err(error) if ask.scheme == "https" && speaks_plainly(&error) => {
            let about = about_member(target.pod, target.member);
            let message = format!(
                "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
                ask.url()
            );
            ask.scheme = "http";
            http::get(&ask).await?;
            kit.recorder.warning(&about, "LifecycleHTTPFallback", message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
