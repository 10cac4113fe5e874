//! ServiceCIDR: a range that Services get their addresses from.

use machinery::field::go_quote;
use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw, same};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ServiceCidr;

const TWO_FAMILIES: &str =
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";

impl Kind for ServiceCidr {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).bare_status()
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let cidrs = spec.get("cidrs");
        match cidrs.len() {
            0 => return cidrs.required("at least one CIDR required"),
            1 | 2 => {}
            _ => {
                let shown = internal::show("ServiceCIDRSpec", spec.value());
                return cidrs.invalid_as(Raw(shown), "may only hold up to 2 values");
            }
        }
        for cidr in cidrs.items() {
            check_cidr(cidr);
        }
        let is_six =
            |cidr: &Value| names::parse_cidr_sloppy(cidr.str_or_empty()).map(|(net, _)| net.is_ipv6());
        if let [first, second] = cidrs.value().items()
            && let (Some(first), Some(second)) = (is_six(first), is_six(second))
            && first == second
        {
            cidrs.invalid(TWO_FAMILIES);
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return;
        }
        let spec = object.get("spec");
        let cidrs = spec.get("cidrs");
        let old_cidrs = old.at(&["spec", "cidrs"]).items();
        // A second range may be added, of the other family.
        if cidrs.len() < old_cidrs.len() || cidrs.len() > old_cidrs.len().max(2) {
            return cidrs.invalid("field is immutable");
        }
        for (position, cidr) in cidrs.items().enumerate() {
            match old_cidrs.get(position) {
                Some(old) if same(cidr.value(), old) => {}
                Some(_) => cidr.invalid("field is immutable"),
                None if old_cidrs.len() == 1 && position == 1 => check_cidr(cidr),
                None => cidr.invalid("field is immutable"),
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::SERVICE_CIDR
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let cidrs: Vec<&str> =
            object.at(&["spec", "cidrs"]).items().iter().map(Value::str_or_empty).collect();
        vec![table::name(object), Value::from(cidrs.join(",")), table::age(object, now_secs)]
    }
}

fn check_cidr(cidr: Place<'_>) {
    let faults = names::cidr(cidr.text());
    let canonical =
        names::parse_cidr_sloppy(cidr.text()).map(|(network, length)| format!("{network}/{length}"));
    match canonical {
        Some(canonical) if faults.is_empty() && canonical != cidr.text() => {
            cidr.invalid(format!("must be in canonical form ({})", go_quote(&canonical)));
        }
        _ => cidr.faults(faults),
    }
}
