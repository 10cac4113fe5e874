//! Webhooks: servers of users that are asked about writes, and change or refuse them.
//!
//! [`catalog`] knows who is to be asked about what, [`review`] writes the question and reads the answer, and
//! [`Hook`](crate::hook::Hook) carries it there. Those that change are asked one after the other, those that only refuse all at once.

mod catalog;
mod review;

use std::sync::Arc;

use futures_util::future::join_all;
use machinery::json::{self, Report};
use machinery::{Status, Value, patch};

use self::catalog::{Catalog, Webhook};
use self::review::{Answer, Refused};
use super::policies::criteria::Criteria;
use super::policies::evaluation::conditions_hold;
use super::policies::subject::{self, Subject};
use super::policies::{is_exempt, settled};
use super::rounds::Round;
use super::{Review, Surroundings};
use crate::authz::Union;
use crate::registry::Served;

/// How large an answer may be: as large as a request to us.
const ANSWER_MAX: usize = 3 << 20;

/// All webhooks.
#[derive(Debug)]
pub(super) struct Webhooks {
    mutating: Catalog,
    validating: Catalog,
    authorizer: Arc<Union>,
}

impl Webhooks {
    pub fn new(authorizer: &Arc<Union>) -> Webhooks {
        Webhooks {
            mutating: Catalog::new("mutatingwebhookconfigurations"),
            validating: Catalog::new("validatingwebhookconfigurations"),
            authorizer: authorizer.clone(),
        }
    }

    /// Lets webhooks change the object, one after the other.
    pub async fn mutate(
        &self,
        review: &mut Review<'_>,
        around: Surroundings<'_>,
        round: &mut Round,
    ) -> Result<(), Status> {
        let webhooks = self.mutating.webhooks(around.caches);
        if webhooks.is_empty() || is_exempt(review) {
            return Ok(());
        }
        for webhook in webhooks.iter() {
            let key = webhook.key();
            if !round.is_due(&key) {
                continue;
            }
            // What most writes do not meet takes no room in all of them; so below.
            let subject = Box::pin(self.subject(webhook, review, around)).await?;
            let Some((served, subject)) = subject else { continue };
            let outcome = Box::pin(ask(webhook, &subject, review, around)).await;
            let changed = match outcome {
                Ok(answer) => {
                    let changed = (&mut *review, &served);
                    Box::pin(self.take(webhook, answer, changed, (&subject, around))).await?
                }
                Err(refused) => {
                    refused.settle(webhook)?;
                    false
                }
            };
            if changed {
                round.has_changed();
            }
            if webhook.is_reinvoked {
                round.was_asked(key);
            }
        }
        round.ends_with(&review.object);
        Ok(())
    }

    /// Lets webhooks refuse the object, all at once; the first that does is the one that is told of.
    pub async fn validate(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        let webhooks = self.validating.webhooks(around.caches);
        if webhooks.is_empty() || is_exempt(review) {
            return Ok(());
        }
        let mut asked = Vec::new();
        for webhook in webhooks.iter() {
            if let Some((_, subject)) = Box::pin(self.subject(webhook, review, around)).await? {
                asked.push((webhook, subject));
            }
        }
        let calls = asked.iter().map(|(webhook, subject)| ask(webhook, subject, review, around));
        let outcomes = join_all(calls).await;
        for ((webhook, _), outcome) in asked.iter().zip(outcomes) {
            match outcome {
                Ok(answer) => note(webhook, answer, review)?,
                Err(refused) => refused.settle(webhook)?,
            }
        }
        Ok(())
    }

    /// What a webhook is to be asked about; `None` if it is none of its business.
    async fn subject(
        &self,
        webhook: &Webhook,
        review: &Review<'_>,
        around: Surroundings<'_>,
    ) -> Result<Option<(Arc<Served>, Subject)>, Status> {
        let criteria: &Criteria = match &webhook.criteria {
            Ok(criteria) => criteria,
            Err(why) => return Err(Status::internal(why)),
        };
        let Some(served) = criteria.find(review, around)? else { return Ok(None) };
        let subject = Subject::new(review, &served, around, &self.authorizer).await?;
        let conditions = match &webhook.conditions {
            Ok(conditions) => conditions_hold(conditions, &subject.activation(&Value::Null)),
            Err(why) => Err(why.clone()),
        };
        match conditions {
            Ok(true) => Ok(Some((served, subject))),
            Ok(false) => Ok(None),
            Err(_) if webhook.is_ignoring_failures => Ok(None),
            Err(why) => Err(super::policies::refused(review, &why)),
        }
    }

    /// Takes over what a webhook changed; whether it changed anything.
    async fn take(
        &self,
        webhook: &Webhook,
        mut answer: Answer,
        (review, served): (&mut Review<'_>, &Arc<Served>),
        (subject, around): (&Subject, Surroundings<'_>),
    ) -> Result<bool, Status> {
        let patch = answer.patch.take();
        note(webhook, answer, review)?;
        let Some(operations) = patch else { return Ok(false) };
        if subject.object.is_null() {
            return Err(Status::internal(format!(
                "admission webhook {} attempted to modify the object, which is not supported for this operation",
                machinery::field::go_quote(&webhook.name)
            )));
        }
        let patched = patch::json(subject.object.clone(), &operations, &mut Report::ignoring())
            .map_err(|status| Status::internal(status.message))?;
        let object = if review.is_of_resource() {
            settled(&patched, served, Report::ignoring()).map_err(Status::internal)?
        } else {
            patched
        };
        if json::to_vec(&object) == json::to_vec(&subject.object) {
            return Ok(false);
        }
        review.object = if Arc::ptr_eq(served, review.served) {
            object
        } else {
            subject::convert(&object, served, review.served, around).await?
        };
        Ok(true)
    }
}

/// Asks a webhook.
async fn ask(
    webhook: &Webhook,
    subject: &Subject,
    review: &Review<'_>,
    around: Surroundings<'_>,
) -> Result<Answer, Refused> {
    if review.is_dry_run && webhook.has_side_effects {
        let name = machinery::field::go_quote(&webhook.name);
        let why = format!("admission webhook {name} does not support dry run");
        return Err(Refused::Answer(Status::bad_request(why)));
    }
    let uid = around.entropy.uuid();
    let question = review::question(webhook, subject, &uid);
    let answered = webhook.hook.post(question, ANSWER_MAX, around).await;
    let answered = answered.map_err(|why| Refused::Call(format!("failed to call webhook: {why}")))?;
    review::answer(webhook, &answered, &uid).map_err(Refused::Call)
}

/// Notes what a webhook says beside yes or no; the refusal if it says no.
fn note(webhook: &Webhook, answer: Answer, review: &mut Review<'_>) -> Result<(), Status> {
    for (key, text) in answer.annotations {
        review.note(&format!("{}/{key}", webhook.name), text);
    }
    review.warnings.extend(answer.warnings);
    match answer.refusal {
        None => Ok(()),
        Some(result) => Err(review::refusal(webhook, &result)),
    }
}

#[cfg(test)]
mod tests;
