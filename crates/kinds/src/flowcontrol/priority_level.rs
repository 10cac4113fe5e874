//! PriorityLevelConfiguration: how much of the server a class of requests may take.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::place::Place;
use crate::pod_spec::defaults::{or, or_number};
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct PriorityLevelConfiguration;

const QUEUES_MAX: i64 = 10_000_000;

impl Kind for PriorityLevelConfiguration {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().bare_status().second_look(SecondLook::No)
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        if let Some(limited) = spec.get_mut("limited") {
            or(limited, "nominalConcurrencyShares", 30i64);
            or(limited, "lendablePercent", 0i64);
            if let Some(response) = limited.get_mut("limitResponse")
                && let Some(queuing) = response.get_mut("queuing")
            {
                or_number(queuing, "queues", 64);
                or_number(queuing, "handSize", 8);
                or_number(queuing, "queueLengthLimit", 50);
            }
        }
        if let Some(exempt) = spec.get_mut("exempt") {
            or(exempt, "nominalConcurrencyShares", 0i64);
            or(exempt, "lendablePercent", 0i64);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_conditions(object.get("status"));
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_spec(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::PRIORITY_LEVEL_CONFIGURATION
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        let number = |value: &Value| match value.as_int() {
            Some(number) => Value::from(number),
            None => Value::from("<none>"),
        };
        let shares = match spec.get("limited") {
            Value::Null => spec.at(&["exempt", "nominalConcurrencyShares"]),
            limited => limited.get("nominalConcurrencyShares"),
        };
        let queuing = spec.at(&["limited", "limitResponse", "queuing"]);
        vec![
            table::name(object),
            table::text(spec.get("type")),
            number(shares),
            number(queuing.get("queues")),
            number(queuing.get("handSize")),
            number(queuing.get("queueLengthLimit")),
            table::age(object, now_secs),
        ]
    }
}

fn check_spec(object: Place<'_>) {
    let spec = object.get("spec");
    let name = object.value().at(&["metadata", "name"]).str_or_empty();
    let (kind, limited, exempt) = (spec.get("type"), spec.get("limited"), spec.get("exempt"));
    if (name == "exempt") != (kind.text() == "Exempt") {
        kind.invalid("must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                limited.forbidden("must be nil if the type is not Limited");
            }
            check_shares(exempt);
        }
        "Limited" => {
            if exempt.is_set() {
                exempt.forbidden("must be nil if the type is Limited");
            }
            if limited.is_set() {
                check_limited(limited);
            } else {
                limited.required("must not be empty when type is Limited");
            }
        }
        _ => {
            kind.required_one_of(&["Exempt", "Limited"]);
        }
    }
}

/// What is wrong with the conditions of a status.
fn check_conditions(status: Place<'_>) {
    let mut seen = BTreeSet::new();
    for condition in status.get("conditions").items() {
        let kind = condition.get("type");
        if !seen.insert(kind.key()) {
            kind.duplicate();
        }
        if kind.text().is_empty() {
            kind.required("");
        }
    }
}

fn check_shares(part: Place<'_>) {
    part.get("nominalConcurrencyShares").not_negative();
    let lendable = part.get("lendablePercent");
    if lendable.is_set() && !(0..=100).contains(&lendable.int()) {
        lendable.invalid("must be between 0 and 100, inclusive");
    }
}

fn check_limited(limited: Place<'_>) {
    let shares = limited.get("nominalConcurrencyShares");
    if shares.int() < 0 {
        shares.invalid("must be a non-negative integer");
    }
    let response = limited.get("limitResponse");
    let (kind, queuing) = (response.get("type"), response.get("queuing"));
    match kind.text() {
        "Reject" => {
            if queuing.is_set() {
                queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" => {
            if queuing.is_set() {
                check_queuing(queuing);
            } else {
                queuing.required("must not be empty if limited.limitResponse.type is Limited");
            }
        }
        _ => {
            kind.required_one_of(&["Queue", "Reject"]);
        }
    }
    let lendable = limited.get("lendablePercent");
    if lendable.is_set() && !(0..=100).contains(&lendable.int()) {
        lendable.invalid(names::between(0, 100));
    }
    let borrowed = limited.get("borrowingLimitPercent");
    if borrowed.int() < 0 {
        borrowed.invalid("if specified, must be a non-negative integer");
    }
}

fn check_queuing(queuing: Place<'_>) {
    let (length, queues, hand) =
        (queuing.get("queueLengthLimit"), queuing.get("queues"), queuing.get("handSize"));
    if length.int() <= 0 {
        length.invalid_number("must be positive");
    }
    if queues.int() <= 0 {
        queues.invalid_number("must be positive");
    } else if queues.int() > QUEUES_MAX {
        queues.invalid(format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand.int() <= 0 {
        hand.invalid_number("must be positive");
    } else if hand.int() > queues.int() {
        hand.invalid(format!("should not be greater than queues ({})", queues.int()));
    } else {
        let bits = entropy_bits(queues.int(), hand.int());
        if bits > 60 {
            hand.invalid(format!(
                "required entropy bits of deckSize {} and handSize {} should not be greater than 60",
                queues.int(),
                hand.int()
            ));
        }
    }
}

/// How many random bits it takes to deal a hand.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    (0..hand.min(deck)).map(|dealt| (((deck - dealt) as f64).log2()).max(0.0)).sum::<f64>().ceil() as u32
}
