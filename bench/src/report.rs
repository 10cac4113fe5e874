//! Figures as they are told: one line each with bound, verdict and, where there is a peer, the ratio; and as JSON.

use serde_json::json;

/// A measured figure.
#[derive(Clone, Debug)]
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    bound: f64,
    more_is_better: bool,
    peer: Option<(&'static str, f64)>,
}

impl Figure {
    /// It must not be more than `bound`.
    pub fn at_most(name: &'static str, value: f64, unit: &'static str, bound: f64) -> Figure {
        Figure { name, value, unit, bound, more_is_better: false, peer: None }
    }

    /// It must not be less than `bound`.
    pub fn at_least(name: &'static str, value: f64, unit: &'static str, bound: f64) -> Figure {
        Figure { name, value, unit, bound, more_is_better: true, peer: None }
    }

    /// The same figure of somebody else.
    pub fn against(mut self, peer: &'static str, value: f64) -> Figure {
        self.peer = Some((peer, value));
        self
    }

    fn holds(&self) -> bool {
        if self.more_is_better { self.value >= self.bound } else { self.value <= self.bound }
    }

    fn line(&self) -> String {
        let sign = if self.more_is_better { "≥" } else { "≤" };
        let verdict = if self.holds() { "ok" } else { "MISSED" };
        let peer = self.peer.map_or(String::new(), |(name, value)| {
            let times = if self.more_is_better { self.value / value } else { value / self.value };
            format!("  ({name} {value}: {times:.1}x)")
        });
        format!(
            "{:<28} {:>10.3} {:<12} {sign} {:<8} {verdict}{peer}",
            self.name, self.value, self.unit, self.bound
        )
    }
}

/// Prints figures as lines, then as one line of JSON each.
pub fn print(figures: &[Figure]) {
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    for figure in figures {
        let value = json!({
            "name": figure.name,
            "value": figure.value,
            "unit": figure.unit,
            "bound": figure.bound,
            "holds": figure.holds(),
            "peer": figure.peer.map(|(name, value)| json!({"name": name, "value": value})),
        });
        println!("{value}");
    }
}
