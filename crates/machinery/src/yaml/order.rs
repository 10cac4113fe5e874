//! The order of keys in printed YAML: letters by their code, runs of digits by their number.

use std::cmp::Ordering;

/// Which of two keys stands first.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => x.cmp(&y),
        // What is no letter stands before what is one.
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_numbers(&a, &b, at),
    }
}

/// Compares what differs from `at` on: as numbers if digits stand there, else by code.
fn compare_numbers(a: &[char], b: &[char], at: usize) -> Ordering {
    // A zero inside a number that began before counts as a digit of it.
    let inside = (a[at] == '0' || b[at] == '0')
        && a[..at].iter().rev().take_while(|letter| letter.is_ascii_digit()).any(|digit| *digit != '0');
    let run = |letters: &[char]| -> (u64, usize) {
        let digits = letters[at..].iter().map_while(|letter| letter.to_digit(10));
        digits.fold((u64::from(inside), 0), |(number, count), digit| {
            (number.saturating_mul(10).saturating_add(u64::from(digit)), count + 1)
        })
    };
    let ((number_a, digits_a), (number_b, digits_b)) = (run(a), run(b));
    number_a.cmp(&number_b).then(digits_a.cmp(&digits_b)).then(a[at].cmp(&b[at]))
}
