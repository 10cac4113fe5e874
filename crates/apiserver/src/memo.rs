//! Answers of others that are remembered for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

/// So many answers are remembered: some hundred bytes each.
const MOST: usize = 4_096;

/// Answers by what was asked. Questions are kept as digests: some of them are secrets.
#[derive(Debug)]
pub struct Memo<T> {
    known: Mutex<HashMap<Vec<u8>, (Duration, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Memo<T> {
        Memo { known: Mutex::default() }
    }
}

impl<T: Clone> Memo<T> {
    /// What was answered, if that still counts.
    pub fn get(&self, question: &[u8], now: Duration) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = known.get(digest(&SHA256, question).as_ref())?;
        (now < *until).then(|| answer.clone())
    }

    /// Remembers an answer until then.
    pub fn put(&self, question: &[u8], answer: T, (now, until): (Duration, Duration)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest(&SHA256, question).as_ref().to_vec(), (until, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_forgotten_in_time_and_before_they_are_too_many() {
        let memo = Memo::default();
        let at = Duration::from_secs;
        memo.put(b"a", 1, (at(0), at(10)));
        assert_eq!(
            (memo.get(b"a", at(9)), memo.get(b"a", at(10)), memo.get(b"b", at(0))),
            (Some(1), None, None)
        );
        for number in 0..MOST * 2 {
            memo.put(&number.to_le_bytes(), 2, (at(0), at(10)));
        }
        assert!(memo.known.lock().unwrap().len() <= MOST);
    }
}
