//! ServiceCIDR: a range that Services get their addresses from.

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
            cidr.faults(names::cidr(cidr.text()));
        }
        let is_six = |cidr: &Value| cidr.str_or_empty().contains(':');
        if let [first, second] = cidrs.value().items()
            && is_six(first) == is_six(second)
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
        for (position, cidr) in cidrs.items().enumerate() {
            match old_cidrs.get(position) {
                Some(old) if same(cidr.value(), old) => {}
                Some(_) => cidr.invalid("field is immutable"),
                None if old_cidrs.len() == 1 && position == 1 => cidr.faults(names::cidr(cidr.text())),
                None => cidr.invalid("field is immutable"),
            }
        }
        if cidrs.len() < old_cidrs.len() {
            cidrs.invalid("field is immutable");
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
