//! What a write uses of its namespace's quotas, charged in the same transaction as the write itself.
//!
//! The quota changes one revision before the object does, as clients that follow both expect; never without it.
//! It is the last word of admission. Because the charge is conditional on the quotas being as they were seen, two writes
//! never both take what is left; and a write that fails for another reason charges nothing.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use kinds::pod_spec::amounts::{self, Amounts};
use kinds::quota::{self, Tracked};
use machinery::quantity::Quantity;
use machinery::{Status, Value};
use store::{Guard, Txn, Write};
use tokio::sync::{Mutex, MutexGuard};

use crate::cache::Entry;
use crate::write::Request;

/// Where quotas are kept.
const COLLECTION: &str = "core/resourcequotas";
/// Namespaces whose names collide wait for each other for nothing, but not for long.
const TURNS: usize = 64;

/// Writes that charge the quotas of one namespace go one after the other: of many at once all but one would have to be
/// tried again.
#[derive(Debug)]
pub struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Turns {
        Turns(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn of(&self, namespace: &str) -> MutexGuard<'_, ()> {
        let sum = namespace.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        self.0[sum % TURNS].lock().await
    }
}

/// What a write's transaction must check and write as well.
#[derive(Debug, Default)]
pub struct Charge<'a> {
    /// The conditions and the writes.
    pub txn: Txn,
    seen: Vec<Arc<Entry>>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Charge<'_> {
    /// What else a write's transaction does, with the charge.
    pub fn with(&self, mut txn: Txn) -> Txn {
        txn.guards.extend(self.txn.guards.iter().cloned());
        txn.before.extend(self.txn.before.iter().cloned());
        txn
    }

    /// Whether nothing is charged.
    pub fn is_free(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether a quota is not any more what the charge was made from.
    pub fn is_stale(&self, request: Request<'_>) -> bool {
        let quotas = request.core.caches.collection(COLLECTION);
        let revision = |entry: &Arc<Entry>| Some(quotas.as_ref()?.get(entry.key())?.revision());
        self.seen.iter().any(|entry| revision(entry) != Some(entry.revision()))
    }
}

/// Whether a write can use more than was used before it.
fn is_charged(request: Request<'_>, is_new: bool) -> bool {
    let served = request.served;
    if request.namespace.is_empty() || !served.namespaced {
        return false;
    }
    match request.subresource {
        "" if is_new => true,
        "" => served.is("", "services") || served.is("", "persistentvolumeclaims"),
        "status" => !is_new && served.is("", "persistentvolumeclaims"),
        "resize" => !is_new && served.is("", "pods"),
        _ => false,
    }
}

/// The quotas of a namespace, by name.
fn quotas_of(request: Request<'_>) -> Vec<Arc<Entry>> {
    let Some(all) = request.core.caches.collection(COLLECTION) else { return Vec::new() };
    let prefix = format!("{}/", request.namespace);
    let snapshot = all.snapshot();
    let own = snapshot.starting_at(&prefix).take_while(|entry| entry.key().starts_with(&prefix));
    own.collect()
}

/// Charges a write, or refuses it.
pub async fn charge<'a>(
    request: Request<'a>,
    name: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<Charge<'a>, Status> {
    if !is_charged(request, old.is_none()) || quotas_of(request).is_empty() {
        return Ok(Charge::default());
    }
    let turn = request.core.quotas.of(request.namespace).await;
    let now = request.core.env.clock.now().secs();
    let tracked = Tracked::new(&request.served.group, &request.served.plural);
    let claim = Claim::of(tracked, object, old, now);
    let mut charge = Charge { _turn: Some(turn), ..Charge::default() };
    for entry in quotas_of(request) {
        let quota = entry.object().to_whole_value()?;
        let refused = |why: String| Status::forbidden(request.served.resource(), name, &why);
        if let Some(used) = claim.against(&quota).map_err(refused)? {
            charge.add(request, entry, with_use(quota, &used))?;
        } else if is_uncounted(&quota) {
            charge.guard(request, entry)?;
        }
    }
    Ok(charge)
}

/// Whether a quota limits nothing only because nobody has counted yet what it is about.
fn is_uncounted(quota: &Value) -> bool {
    quota.at(&["status", "hard"]).is_empty() && !quota.at(&["spec", "hard"]).is_empty()
}

/// The quota with another use.
fn with_use(mut quota: Value, used: &Amounts) -> Value {
    let list = quota.entry("status").entry("used");
    for (name, amount) in used {
        list.set(name, amount.to_string());
    }
    quota
}

impl Charge<'_> {
    fn add(&mut self, request: Request<'_>, entry: Arc<Entry>, mut quota: Value) -> Result<(), Status> {
        let registry = request.core.registry.load();
        let quotas = registry.find("", "v1", "resourcequotas");
        let quotas = quotas.ok_or_else(|| Status::internal("resource quotas are not served"))?;
        machinery::json::canonicalize(&mut quota, quotas.schema.root());
        let key = self.guard(request, entry)?;
        self.txn.before.push(Write::Put { key, value: quotas.encode(&quota), ttl_secs: None });
        Ok(())
    }

    /// The write is only to happen while a quota is what it is. Answers the quota's key in the store.
    fn guard(&mut self, request: Request<'_>, entry: Arc<Entry>) -> Result<Bytes, Status> {
        let quotas = request.core.caches.collection(COLLECTION);
        let quotas = quotas.ok_or_else(|| Status::internal("resource quotas are not served"))?;
        let key = Bytes::from(format!("{}{}", quotas.prefix(), entry.key()));
        self.txn.guards.push(Guard::ModifiedAt(key.clone(), entry.revision()));
        self.seen.push(entry);
        Ok(key)
    }
}

/// What a write wants of quotas.
struct Claim<'a> {
    tracked: Tracked,
    object: &'a Value,
    /// What it uses more than before.
    more: Amounts,
}

impl<'a> Claim<'a> {
    fn of(tracked: Tracked, object: &'a Value, old: Option<&Value>, now_secs: i64) -> Claim<'a> {
        let mut more = tracked.usage(object, now_secs);
        if let Some(old) = old {
            for (name, before) in tracked.usage(old, now_secs) {
                if let Some(amount) = more.get_mut(&name) {
                    *amount = amount.minus(before);
                }
            }
        }
        more.retain(|_, amount| amount.signum() > 0);
        Claim { tracked, object, more }
    }

    /// What a quota's use becomes; `None` if the write does not concern it. The error is why the write is refused.
    fn against(&self, quota: &Value) -> Result<Option<Amounts>, String> {
        let name = quota.at(&["metadata", "name"]).str_or_empty();
        let hard = amounts::list(quota.at(&["status", "hard"]));
        let limited: Vec<&str> =
            hard.keys().map(String::as_str).filter(|name| self.tracked.uses(name)).collect();
        if limited.is_empty() || !self.tracked.is_in_scopes(quota.get("spec"), self.object) {
            return Ok(None);
        }
        if self.tracked == Tracked::new("", "pods")
            && let Some(unsaid) = quota::pods::unsaid(self.object, limited.iter().copied())
        {
            return Err(format!("failed quota: {name}: {unsaid}"));
        }
        let used = amounts::list(quota.at(&["status", "used"]));
        if limited.iter().any(|limited| !used.contains_key(*limited)) {
            return Err(format!("status unknown for quota: {name}, resources: {}", limited.join(",")));
        }
        let asked: Amounts =
            self.more.iter().filter(|(name, _)| hard.contains_key(*name)).map(copied).collect();
        let mut total = used.clone();
        quota::add(&mut total, &asked);
        let exceeds = |name: &&String| total.get(*name).copied() > hard.get(*name).copied();
        let exceeded: Vec<&String> = asked.keys().filter(exceeds).collect();
        if !exceeded.is_empty() {
            let of = |list: &Amounts| {
                let part: Amounts =
                    list.iter().filter(|(name, _)| exceeded.contains(name)).map(copied).collect();
                quota::shown(&part)
            };
            return Err(format!(
                "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                of(&asked),
                of(&used),
                of(&hard)
            ));
        }
        total.retain(|name, _| asked.contains_key(name));
        Ok((!total.is_empty()).then_some(total))
    }
}

fn copied((name, amount): (&String, &Quantity)) -> (String, Quantity) {
    (name.clone(), *amount)
}
