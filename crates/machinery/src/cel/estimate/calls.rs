//! What calls cost, and how large their results are.

use smol_str::SmolStr;

use super::super::charge::{self, LETTER, PATTERN_LETTER};
use super::super::check::Reference;
use super::super::syntax::{Call, Expr};
use super::super::types::Type;
use super::{Cost, Elements, Estimator, ITEMS, Sizes, VALUES};

/// The target and the arguments of a call.
struct Parts<'x> {
    target: Option<&'x Expr>,
    arguments: &'x [Expr],
}

/// What a call costs, and how large its result is, if that is known.
type Estimated = (Cost, Option<Sizes>);

impl Estimator<'_> {
    pub(super) fn call(&mut self, expr: &Expr, call: &Call) -> Cost {
        let costs: Vec<Cost> = call.arguments.iter().map(|argument| self.cost(argument)).collect();
        if call.function == "dyn"
            && let [argument] = call.arguments.as_slice()
        {
            self.same_size(expr, argument);
            return costs[0].plus(Cost::fixed(charge::CALL));
        }
        let (whole, overloads) = match self.checked.reference(expr.id) {
            Some(Reference::Function(whole, overloads)) => (whole.clone(), overloads.clone()),
            // `.?` is no function.
            _ => return costs.into_iter().fold(Cost::fixed(charge::CALL), Cost::plus),
        };
        let function = whole.clone().unwrap_or_else(|| call.function.clone());
        let target = if whole.is_some() { None } else { call.target.as_deref() };
        let target_cost = target.map_or(Cost::default(), |target| self.cost(target));
        let parts = Parts { target, arguments: &call.arguments };
        let mut own = Cost { min: u64::MAX, max: 0 };
        let mut size: Option<Sizes> = None;
        for overload in &overloads {
            let (cost, result) = self.overload(expr, &function, overload.id, (&parts, &costs));
            own = own.or(cost);
            size = match (size, result) {
                (Some(size), Some(result)) => Some(size.or(result)),
                (size, result) => size.or(result),
            };
            self.follow(expr, overload.id, &parts, &mut size);
        }
        if let Some(size) = size.or_else(|| self.size(expr)) {
            self.sizes.insert(expr.id, size);
        }
        target_cost.plus(own)
    }

    /// Items are known by the path of what they are in.
    fn follow(&mut self, expr: &Expr, overload: &str, parts: &Parts<'_>, size: &mut Option<Sizes>) {
        let step = match overload {
            "index_list" => ITEMS,
            "index_map" => VALUES,
            _ => return,
        };
        let Some(operand) = parts.arguments.first() else { return };
        *size = self.elements(operand).map(|elements| elements.value);
        let mut path = self.path(operand);
        path.push(SmolStr::new_static(step));
        self.paths.insert(expr.id, path);
    }

    fn overload(
        &mut self,
        expr: &Expr,
        function: &str,
        overload: &str,
        (parts, costs): (&Parts<'_>, &[Cost]),
    ) -> Estimated {
        let arguments = costs.iter().copied().fold(Cost::default(), Cost::plus);
        if let Some((cost, size)) = self.by_function(function, overload, parts) {
            return (cost.plus(arguments), size);
        }
        if let Some(estimated) = self.by_operator(expr, overload, (parts, costs)) {
            return estimated;
        }
        let (cost, size) = self.by_overload(overload, parts);
        (cost.plus(arguments), size)
    }

    /// Functions of Kubernetes' libraries.
    fn by_function(&self, function: &str, overload: &str, parts: &Parts<'_>) -> Option<Estimated> {
        let target = || parts.target.map(|target| self.size_or_any(target));
        let argument = |position: usize| parts.arguments.get(position).map(|expr| self.size_or_any(expr));
        let double = 2.0 * LETTER;
        Some(match function {
            "check" => (Cost::fixed(charge::AUTHORIZATION), None),
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                (self.over_items(parts.target?), None)
            }
            "url" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "isURL" | "semver"
            | "isSemver" => (argument(0)?.cost(LETTER), None),
            "ip" if overload == "string_to_ip" => (argument(0)?.cost(LETTER), None),
            "ip.isCanonical" => (argument(0)?.cost(double), None),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => (target()?.cost(LETTER), target()),
            "replace" => {
                let size = replaced(target()?, argument(0)?, argument(1)?);
                (target()?.cost(double), Some(size))
            }
            "split" => (target()?.cost(double), Some(Sizes { min: 0, max: target()?.max })),
            "join" => {
                let size = self.joined(parts.target?, argument(0));
                (size.cost(LETTER), Some(size))
            }
            "find" | "findAll" => {
                let text = target()?.plus(Sizes::fixed(1)).cost(LETTER);
                let cost = text.times(argument(0)?.cost(PATTERN_LETTER));
                (cost, Some(Sizes { min: 0, max: target()?.max }))
            }
            "validate" => (argument(0)?.cost(LETTER), None),
            "containsIP" | "containsCIDR" => {
                let bytes = Sizes { min: 4, max: 16 };
                let mut cost = bytes.plus(bytes).cost(LETTER);
                if function == "containsCIDR" {
                    cost = cost.plus(bytes.cost(LETTER)).plus(Cost::fixed(1));
                }
                if overload.ends_with("string") {
                    cost = cost.plus(argument(0)?.cost(LETTER));
                }
                (cost, None)
            }
            "sets.contains" | "sets.equivalent" | "sets.intersects" => {
                let factor = if function == "sets.equivalent" { 2.0 } else { 1.0 };
                (argument(0)?.times(argument(1)?).cost(factor).plus(Cost::fixed(1)), None)
            }
            _ => return None,
        })
    }

    /// Going over the items of a list, and over those that are texts; or over a text.
    fn over_items(&self, target: &Expr) -> Cost {
        let size = self.size_or_any(target);
        match self.checked.ty(target.id) {
            Type::List(item) => {
                let mut each = Cost::fixed(1);
                if matches!(**item, Type::String | Type::Bytes) {
                    each = each.plus(self.item_size(target).cost(LETTER));
                }
                size.times_cost(each)
            }
            _ => size.cost(LETTER),
        }
    }

    fn item_size(&self, list: &Expr) -> Sizes {
        let mut path = self.path(list);
        if !path.is_empty() {
            path.push(SmolStr::new_static(ITEMS));
            if let Some(max) = self.declared(&path) {
                return Sizes { min: 0, max };
            }
        }
        self.elements(list).map_or(Sizes::ANY, |elements| elements.value)
    }

    fn joined(&self, list: &Expr, separator: Option<Sizes>) -> Sizes {
        let count = self.size_or_any(list);
        let between = Sizes { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
        let separators = separator.map_or(Sizes::fixed(0), |separator| separator.times(between));
        count.times(self.item_size(list)).plus(separators)
    }

    /// Operators of which not every argument is evaluated, and those that make something larger.
    fn by_operator(
        &mut self,
        expr: &Expr,
        overload: &str,
        (parts, costs): (&Parts<'_>, &[Cost]),
    ) -> Option<Estimated> {
        match (overload, costs) {
            ("logical_and" | "logical_or", [left, right]) => {
                Some((Cost { min: left.min, max: left.plus(*right).max }, None))
            }
            ("conditional", [condition, yes, no]) => {
                let (yes_part, no_part) = (parts.arguments.get(1)?, parts.arguments.get(2)?);
                self.common_elements(expr, yes_part, no_part);
                let size = self.size_or_any(yes_part).or(self.size_or_any(no_part));
                Some((condition.plus(yes.or(*no)), Some(size)))
            }
            ("add_list" | "add_string" | "add_bytes", [left, right]) => {
                let (left_part, right_part) = (parts.arguments.first()?, parts.arguments.get(1)?);
                self.common_elements(expr, left_part, right_part);
                let size = self.size_or_any(left_part).plus(self.size_or_any(right_part));
                let own = if overload == "add_list" { Cost::fixed(1) } else { size.cost(LETTER) };
                Some((own.plus(left.plus(*right)), Some(size)))
            }
            _ => None,
        }
    }

    fn common_elements(&mut self, expr: &Expr, a: &Expr, b: &Expr) {
        if let (Some(a), Some(b)) = (self.elements(a), self.elements(b)) {
            let elements = Elements { key: a.key.or(b.key), value: a.value.or(b.value) };
            self.elements.insert(expr.id, elements);
        }
    }

    fn by_overload(&self, overload: &str, parts: &Parts<'_>) -> Estimated {
        let target = || parts.target.map_or(Sizes::ANY, |target| self.size_or_any(target));
        let argument = |position: usize| {
            parts.arguments.get(position).map_or(Sizes::ANY, |argument| self.size_or_any(argument))
        };
        match overload {
            "string_format_list_string" => (target().cost(LETTER), Some(target().plus(argument(0)))),
            "string_to_bytes" => {
                let size = argument(0);
                (size.cost(LETTER), Some(Sizes { min: size.min, max: size.max.saturating_mul(4) }))
            }
            "bytes_to_string" => {
                let size = argument(0);
                (size.cost(LETTER), Some(Sizes { min: size.min / 4, max: size.max }))
            }
            "starts_with_string" | "ends_with_string" => (argument(0).cost(LETTER), None),
            "in_list" => (argument(1).cost(1.0), None),
            "matches" | "matches_string" => {
                let (text, pattern) =
                    if overload == "matches" { (argument(0), argument(1)) } else { (target(), argument(0)) };
                let text = text.plus(Sizes::fixed(1)).cost(LETTER);
                (text.times(pattern.cost(PATTERN_LETTER)), None)
            }
            "contains_string" => (target().cost(LETTER).times(argument(0).cost(LETTER)), None),
            "equals" if self.compares_at_once(parts) => (Cost::fixed(charge::CALL), None),
            "equals"
            | "not_equals"
            | "less_string"
            | "less_equals_string"
            | "greater_string"
            | "greater_equals_string"
            | "less_bytes"
            | "less_equals_bytes"
            | "greater_bytes"
            | "greater_equals_bytes" => {
                let max = argument(0).max.min(argument(1).max);
                (Sizes { min: u64::from(max > 0), max }.cost(LETTER), None)
            }
            _ => (Cost::fixed(charge::CALL), None),
        }
    }
}

/// Types whose values are compared at once, however they look.
const COMPARED_AT_ONCE: &[&str] = &["kubernetes.Quantity", "net.IP", "net.CIDR", "kubernetes.Semver"];

impl Estimator<'_> {
    fn compares_at_once(&self, parts: &Parts<'_>) -> bool {
        let is_known = |argument: &Expr| match self.checked.ty(argument.id) {
            Type::Opaque(name) => COMPARED_AT_ONCE.contains(name),
            _ => false,
        };
        parts.arguments.len() == 2 && parts.arguments.iter().all(is_known)
    }
}

/// How large a text is in which something is replaced.
fn replaced(text: Sizes, old: Sizes, new: Sizes) -> Sizes {
    let count = |size: u64, old: u64| size.div_ceil(old.max(1));
    let max = if old.min == 0 {
        text.max.saturating_add(1).saturating_mul(new.max).saturating_add(text.max)
    } else if new.max <= old.min {
        text.max
    } else {
        count(text.max, old.min).saturating_mul(new.max)
    };
    let min = if old.max == 0 {
        text.min.saturating_add(1).saturating_mul(new.min).saturating_add(text.min)
    } else if old.max <= new.min {
        text.min
    } else {
        count(text.min, old.max).saturating_mul(new.min)
    };
    Sizes { min, max }
}
