//! Ranges of costs and sizes. They never overflow: what is too large is as large as can be.

/// A range of costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

/// A range of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub min: u64,
    pub max: u64,
}

impl Cost {
    /// Always the same.
    pub(super) fn fixed(cost: u64) -> Cost {
        Cost { min: cost, max: cost }
    }

    pub(super) fn plus(self, other: Cost) -> Cost {
        Cost { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn times(self, other: Cost) -> Cost {
        Cost { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Either of them.
    pub(super) fn or(self, other: Cost) -> Cost {
        Cost { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

impl Sizes {
    /// Nobody knows.
    pub const ANY: Sizes = Sizes { min: 0, max: u64::MAX };

    pub fn fixed(size: u64) -> Sizes {
        Sizes { min: size, max: size }
    }

    /// What has all of these in it.
    pub fn around(sizes: &[Sizes]) -> Sizes {
        sizes.iter().copied().reduce(Sizes::or).unwrap_or(Sizes::fixed(0))
    }

    pub fn or(self, other: Sizes) -> Sizes {
        Sizes { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub fn plus(self, other: Sizes) -> Sizes {
        Sizes { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub fn times(self, other: Sizes) -> Sizes {
        Sizes { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub fn times_cost(self, cost: Cost) -> Cost {
        Cost { min: self.min.saturating_mul(cost.min), max: self.max.saturating_mul(cost.max) }
    }

    /// What it costs to go over something of that size, so much for each letter or item.
    pub fn cost(self, factor: f64) -> Cost {
        Cost { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }
}

/// Rounded up; conversions of numbers that are too large end at the largest.
fn scaled(size: u64, factor: f64) -> u64 {
    if size == u64::MAX && factor >= 1.0 {
        return u64::MAX;
    }
    (size as f64 * factor).ceil() as u64
}
