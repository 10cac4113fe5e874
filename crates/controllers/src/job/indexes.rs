//! Sets of completion indexes, kept and written as intervals: `0,2-5`.

use std::fmt;

/// A set of indexes: inclusive intervals, in order, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(u32, u32)>);

impl Indexes {
    /// Reads the written form, as far as it makes sense and lies below `completions`.
    pub fn parse(text: &str, completions: u32) -> Indexes {
        let number = |text: &str| text.parse::<u32>().ok();
        let intervals = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            let last = last.min(completions.checked_sub(1)?);
            (first <= last).then_some((first, last))
        });
        Indexes::of_intervals(intervals.collect())
    }

    /// The set of single indexes.
    pub fn of(indexes: impl IntoIterator<Item = u32>) -> Indexes {
        Indexes::of_intervals(indexes.into_iter().map(|index| (index, index)).collect())
    }

    fn of_intervals(mut intervals: Vec<(u32, u32)>) -> Indexes {
        intervals.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Indexes(merged)
    }

    /// What is in either.
    pub fn union(&self, other: &Indexes) -> Indexes {
        Indexes::of_intervals(self.0.iter().chain(&other.0).copied().collect())
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an index is among them.
    pub fn has(&self, index: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= index);
        after.checked_sub(1).is_some_and(|position| index <= self.0[position].1)
    }

    /// How many are in both.
    pub fn common(&self, other: &Indexes) -> u64 {
        let (mut left, mut right, mut common) = (0, 0, 0);
        while let (Some(l), Some(r)) = (self.0.get(left), other.0.get(right)) {
            let (first, last) = (l.0.max(r.0), l.1.min(r.1));
            if first <= last {
                common += u64::from(last - first) + 1;
            }
            if l.1 <= r.1 { left += 1 } else { right += 1 }
        }
        common
    }

    /// The lowest `count` below `completions` that are not in the set.
    pub fn missing(&self, count: usize, completions: u32) -> Vec<u32> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        let ends = self.0.iter().copied().chain([(completions, completions)]);
        for (first, last) in ends {
            while candidate < first.min(completions) && missing.len() < count {
                missing.push(candidate);
                candidate += 1;
            }
            candidate = candidate.max(last.saturating_add(1));
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match last - first {
                0 => write!(out, "{comma}{first}")?,
                1 => write!(out, "{comma}{first},{last}")?,
                _ => write!(out, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written_in_their_shortest_form() {
        let cases = [
            ("", 5, "", 0),
            ("0", 5, "0", 1),
            ("0,1", 5, "0,1", 2),
            ("0-1", 5, "0,1", 2),
            ("0,1,2", 5, "0-2", 3),
            ("0-2,3,4", 9, "0-4", 5),
            ("1,3-5,7", 9, "1,3-5,7", 5),
            ("0-9", 5, "0-4", 5),
            ("7,9", 5, "", 0),
            ("0,x,2", 5, "0,2", 2),
            ("3-1,4", 5, "4", 1),
            ("1-2-3,4", 5, "4", 1),
            ("0-4", 0, "", 0),
        ];
        for (text, completions, expected, total) in cases {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.total()), (expected, total), "{text}");
        }
    }

    /// Every set of indexes below 8 against the plain answer, with every other one of a few.
    #[test]
    fn operations_agree_with_plain_sets() {
        let set = |bits: u32| (0..8).filter(|index| bits & (1 << index) != 0).collect::<Vec<u32>>();
        for bits in 0..256 {
            let indexes = Indexes::of(set(bits));
            assert_eq!(indexes.total(), u64::from(bits.count_ones()));
            assert_eq!(Indexes::parse(&indexes.to_string(), 8), indexes);
            for index in 0..9 {
                assert_eq!(indexes.has(index), bits & (1 << index) != 0, "{indexes} has {index}");
            }
            for count in [0, 1, 3, 8] {
                let plain: Vec<u32> = set(!bits & 0xff).into_iter().take(count).collect();
                assert_eq!(indexes.missing(count, 8), plain, "{indexes}");
            }
            for other_bits in [0, 1, 0b1010_1010, 0b0011_1100, 0xff, 0b1000_0001] {
                let other = Indexes::of(set(other_bits));
                assert_eq!(indexes.union(&other), Indexes::of(set(bits | other_bits)));
                assert_eq!(indexes.common(&other), u64::from((bits & other_bits).count_ones()));
            }
        }
    }
}
