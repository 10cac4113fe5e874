//! Values, what they cost, and what they are estimated to cost: as upstream's evaluator has them.
//!
//! Lines of `costs.txt` hold an expression, its value (or `! ` and why there is none), its cost, and the least and the
//! most that it is estimated to cost (`∞` where nothing is known); or `? ` and why it is refused.

use super::{Activation, CALL_LIMIT, Environment, outcome};

/// What an expression comes to, as the lines have it.
fn line(environment: &Environment, source: &str) -> String {
    let activation = Activation::new();
    let value = outcome(environment, &activation, source);
    let Ok(program) = environment.compile(source) else { return format!("{source} ⇒ {value}") };
    let cost = program.evaluate(&activation, CALL_LIMIT).cost;
    let estimate = program.cost();
    // Anything as large as this is a multiple of the largest length.
    let most = if estimate.max > 1 << 50 { "∞".to_owned() } else { estimate.max.to_string() };
    format!("{source} ⇒ {value} ⇒ {cost} ⇒ {} {most}", estimate.min)
}

#[test]
fn values_and_costs_are_upstreams() {
    let environment = Environment::kubernetes().with_bindings();
    let mut wrong = Vec::new();
    let lines = include_str!("costs.txt").lines();
    for expected in lines.clone() {
        let (source, _) = expected.split_once(" ⇒ ").unwrap_or_else(|| panic!("no value in {expected}"));
        let found = line(&environment, source);
        if found != expected {
            wrong.push(format!("expected {expected}\n   found {found}"));
        }
    }
    let count = lines.count();
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}
