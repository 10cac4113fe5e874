//! The next step of a request: approved, signed, or removed for its age.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::plan::{Op, Plan};
use client::{Key, resources, time};
use env::WallTime;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::{Object, Status};
use serde_json::{Value, json};

use super::authority::{Authority, Terms};
use super::request::{CLIENT, LEGACY, NODE_CLIENT, NODE_SERVER, Request};

/// How long a certificate is good at most.
const LASTS: Duration = Duration::from_secs(365 * 86_400);
/// How long it is good at least.
const LASTS_AT_LEAST: Duration = Duration::from_secs(600);
/// How long requests are kept that were decided on.
const DECIDED: Duration = Duration::from_secs(3_600);
/// How long requests are kept that nobody decided on.
const PENDING: Duration = Duration::from_secs(86_400);

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The request.
    pub object: Object,
    /// The same, typed.
    pub typed: Arc<CertificateSigningRequest>,
    /// Why it may be approved without asking anybody, if it may.
    pub approval: Option<&'static str>,
    /// What signs, if we have it.
    pub authority: Option<Arc<Authority>>,
}

/// Decides about one request.
pub fn plan(view: &View, now: WallTime) -> Plan {
    decide(view, now).unwrap_or_else(|status| Plan { retry: Some(status.message), ..Plan::default() })
}

fn decide(view: &View, now: WallTime) -> Result<Plan, Status> {
    let mut plan = Plan::nothing();
    if view.object.header().deleting {
        return Ok(plan);
    }
    let goes = goes(&view.typed);
    if goes <= now {
        plan.because("it was kept long enough");
        let uid = view.object.header().uid.to_string();
        plan.push(Op::delete(resources::CERTIFICATE_SIGNING_REQUESTS, &Key::of(&view.object), &uid));
        return Ok(plan);
    }
    plan.requeue(goes.since(now));
    let is_signed = view.typed.status.as_ref().is_some_and(|status| status.certificate.is_some());
    let approved = since(&view.typed, "Approved").is_some();
    let is_over =
        since(&view.typed, "Denied").is_some() || since(&view.typed, "Failed").is_some() || is_signed;
    if is_over {
        return Ok(plan);
    }
    if approved {
        sign(&mut plan, view, now)?;
    } else if let Some(message) = view.approval {
        plan.because(message);
        let approved = condition("Approved", ("AutoApproved", message), now);
        let mut op = Op::update(resources::CERTIFICATE_SIGNING_REQUESTS, &view.object, |document| {
            add_condition(document, approved);
        })?;
        op.call.subresource = "approval";
        plan.push(op);
    }
    Ok(plan)
}

/// Since when a condition holds.
fn since(request: &CertificateSigningRequest, kind: &str) -> Option<WallTime> {
    let conditions = request.status.as_ref()?.conditions.as_deref()?;
    let condition =
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some(condition.last_update_time.as_ref().map_or(WallTime(i64::MAX), |at| time::wall(at.0)))
}

/// When it is removed.
fn goes(request: &CertificateSigningRequest) -> WallTime {
    let status = request.status.as_ref();
    let is_signed = status.is_some_and(|status| status.certificate.is_some());
    let made = request.metadata.creation_timestamp.as_ref().map_or(WallTime(i64::MAX), |at| time::wall(at.0));
    let decided = [
        since(request, "Approved").filter(|_| is_signed),
        since(request, "Denied"),
        since(request, "Failed"),
    ];
    let earliest = decided.into_iter().flatten().map(|at| at.plus(DECIDED)).min();
    let has_conditions =
        status.and_then(|status| status.conditions.as_ref()).is_some_and(|all| !all.is_empty());
    // Approved and not signed: its signer may be somewhere else, and slow.
    let undecided = if has_conditions { WallTime(i64::MAX) } else { made.plus(PENDING) };
    earliest.unwrap_or(undecided)
}

fn condition(kind: &str, (reason, message): (&str, &str), now: WallTime) -> Value {
    let now = time::seconds(now);
    json!({ "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now })
}

fn add_condition(document: &mut Value, condition: Value) {
    let mut conditions = document["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.push(condition);
    document["status"]["conditions"] = Value::Array(conditions);
}

fn sign(plan: &mut Plan, view: &View, now: WallTime) -> Result<(), Status> {
    let spec = &view.typed.spec;
    let is_ours = [CLIENT, NODE_CLIENT, NODE_SERVER, LEGACY].contains(&spec.signer_name.as_str());
    let Some(authority) = view.authority.as_ref().filter(|_| is_ours) else { return Ok(()) };
    let op = match signed(authority, view, now) {
        Ok(certificate) => {
            plan.because("it was approved");
            let certificate = ByteString(certificate.into_bytes());
            Op::update_through_status(resources::CERTIFICATE_SIGNING_REQUESTS, &view.object, |document| {
                document["status"]["certificate"] = json!(certificate);
            })?
        }
        Err(problem) => {
            plan.because(problem.clone());
            let failed = condition("Failed", ("SignerValidationFailure", &problem), now);
            Op::update_through_status(resources::CERTIFICATE_SIGNING_REQUESTS, &view.object, |document| {
                add_condition(document, failed);
            })?
        }
    };
    plan.push(op);
    Ok(())
}

fn signed(authority: &Authority, view: &View, now: WallTime) -> Result<String, String> {
    let spec = &view.typed.spec;
    let request = Request::read(&spec.request.0)?;
    let usages = spec.usages.clone().unwrap_or_default();
    let set: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    request.check(&spec.signer_name, &set)?;
    let asked = spec.expiration_seconds.map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0)));
    let lasts = asked.map_or(LASTS, |asked| asked.clamp(LASTS_AT_LEAST, LASTS));
    // The identity of the request is no other's, and so is the number of its certificate.
    let digits: Vec<u8> = view
        .object
        .header()
        .uid
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16)?.try_into().ok())
        .collect();
    let mut serial: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if let Some(first) = serial.first_mut() {
        *first &= 0x7f;
    }
    authority.sign(&request, &Terms { serial: &serial, usages: &usages, lasts }, now)
}
