//! Amounts of what nodes have and pods ask for.

use std::collections::BTreeMap;

use machinery::quantity::Quantity;
use smol_str::SmolStr;

/// So much of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral: i64,
    /// Everything else, by name; whole units.
    pub other: BTreeMap<SmolStr, i64>,
}

/// What is taken to be asked for in scoring where nothing is: so that pods without requests spread too.
pub const DEFAULT_CPU: i64 = 100;
/// The same for memory.
pub const DEFAULT_MEMORY: i64 = 200 << 20;

impl Amounts {
    /// From quantities by name. What is no quantity counts as nothing: the server has checked them.
    pub fn of<'a>(quantities: impl IntoIterator<Item = (&'a SmolStr, &'a SmolStr)>) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, text) in quantities {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            match name.as_str() {
                "cpu" => amounts.cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral = quantity.value(),
                "pods" => {}
                _ => {
                    amounts.other.insert(name.clone(), quantity.value());
                }
            }
        }
        amounts
    }

    /// Adds.
    pub fn add(&mut self, more: &Amounts) {
        self.combine(more, i64::saturating_add);
    }

    /// Takes away.
    pub fn subtract(&mut self, less: &Amounts) {
        self.combine(less, i64::saturating_sub);
    }

    /// The larger of each.
    pub fn raise_to(&mut self, least: &Amounts) {
        self.combine(least, i64::max);
    }

    fn combine(&mut self, with: &Amounts, how: fn(i64, i64) -> i64) {
        self.cpu = how(self.cpu, with.cpu);
        self.memory = how(self.memory, with.memory);
        self.ephemeral = how(self.ephemeral, with.ephemeral);
        for (name, amount) in &with.other {
            let entry = self.other.entry(name.clone()).or_default();
            *entry = how(*entry, *amount);
        }
    }

    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        self.cpu == 0
            && self.memory == 0
            && self.ephemeral == 0
            && self.other.values().all(|amount| *amount == 0)
    }
}
