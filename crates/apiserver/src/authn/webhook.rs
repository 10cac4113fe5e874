//! Token review by somebody else: who a token is from, asked by webhook and remembered for a while.

use std::time::Duration;

use machinery::Value;

use crate::identity::Identity;
use crate::memo::Memo;
use crate::remote::Remote;
use crate::reviews::identity_of_user;

/// How long an answer is remembered: upstream's two minutes.
const REMEMBERED: Duration = Duration::from_secs(120);

/// The one who is asked.
#[derive(Debug)]
pub struct Webhook {
    remote: Remote,
    path: String,
    known: Memo<Option<Identity>>,
}

impl Webhook {
    /// At an address.
    pub fn new(remote: Remote, path: String) -> Webhook {
        Webhook { remote, path, known: Memo::default() }
    }

    /// Who a token is from, if it is for one of the audiences; `None` if the webhook does not know.
    pub async fn identify(
        &self,
        token: &str,
        audiences: &[&str],
        now: Duration,
    ) -> Result<Option<Identity>, String> {
        let question = format!("{}\n{token}", audiences.join("\n"));
        if let Some(known) = self.known.get(question.as_bytes(), now) {
            return Ok(known);
        }
        let list = audiences.iter().map(|audience| Value::from(*audience)).collect::<Vec<_>>();
        let spec = Value::from([("token", Value::from(token)), ("audiences", Value::from(list))]);
        let review = Value::from([
            ("apiVersion", Value::from("authentication.k8s.io/v1")),
            ("kind", Value::from("TokenReview")),
            ("metadata", Value::object()),
            ("spec", spec),
        ]);
        let answer = self.remote.post(&self.path, &review).await?;
        let found = identity_in(answer.get("status"), audiences);
        self.known.put(question.as_bytes(), found.clone(), (now, now + REMEMBERED));
        Ok(found)
    }
}

fn identity_in(status: &Value, audiences: &[&str]) -> Option<Identity> {
    if !status.get("authenticated").is_true() {
        return None;
    }
    // A webhook that knows nothing of audiences says nothing of them, and is believed.
    let meant_for = status.get("audiences").items();
    let fits = |audience: &Value| audiences.contains(&audience.str_or_empty());
    if !meant_for.is_empty() && !meant_for.iter().any(fits) {
        return None;
    }
    let identity = identity_of_user(status.get("user"), "username");
    let groups: Vec<&str> = identity.groups.iter().map(String::as_str).collect();
    let Identity { groups, .. } = Identity::new(&identity.name, &groups);
    (!identity.name.is_empty()).then_some(Identity { groups, ..identity })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use env::Env;

    use super::*;
    use crate::remote::tests::{Answers, remote, serve};

    #[tokio::test]
    async fn a_webhook_is_asked_once() {
        let env = Env::real();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let answers: Answers = Arc::new(move |_, review| {
            counter.fetch_add(1, Ordering::SeqCst);
            let known = review.at(&["spec", "token"]).as_str() == Some("good");
            let status = format!(
                r#"{{"status":{{"authenticated":{known},"user":{{"username":"ann","groups":["g"],"extra":{{"k":["v"]}}}}}}}}"#
            );
            (200, machinery::json::parse(status.as_bytes()).unwrap())
        });
        let (address, ca) = serve(&env, answers).await;
        let webhook = Webhook::new(remote(&env, address, ca), "/review".to_owned());
        for _ in 0..2 {
            let identity = webhook.identify("good", &["us"], Duration::ZERO).await.unwrap().unwrap();
            assert_eq!((identity.name.as_str(), identity.groups.len()), ("ann", 2));
            assert_eq!(identity.extra["k"], ["v"]);
            assert_eq!(webhook.identify("bad", &["us"], Duration::ZERO).await.unwrap(), None);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let later = REMEMBERED + Duration::from_secs(1);
        assert!(webhook.identify("good", &["us"], later).await.unwrap().is_some());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        env.tasks.stop(Duration::from_secs(5)).await;
    }
}
