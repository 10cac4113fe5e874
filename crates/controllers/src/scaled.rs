//! Numbers that are given as such or as a share of a whole.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How a share of a whole becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Up.
    Up,
    /// Down.
    Down,
}

/// The number; `None` if the text is no percentage.
pub fn scaled(value: &IntOrString, whole: i32, rounding: Rounding) -> Option<i32> {
    match value {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = percent.checked_mul(i64::from(whole))?;
            let number = match rounding {
                Rounding::Up => -(-product).div_euclid(100),
                Rounding::Down => product.div_euclid(100),
            };
            i32::try_from(number).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_as_asked() {
        let cases = [
            ("25%", 10, 3, 2),
            ("25%", 4, 1, 1),
            ("25%", 1, 1, 0),
            ("0%", 10, 0, 0),
            ("100%", 7, 7, 7),
            ("50%", 0, 0, 0),
            ("33%", 3, 1, 0),
            ("1%", 1_000, 10, 10),
        ];
        for (text, whole, up, down) in cases {
            let value = IntOrString::String(text.to_owned());
            assert_eq!(scaled(&value, whole, Rounding::Up), Some(up), "{text} of {whole}");
            assert_eq!(scaled(&value, whole, Rounding::Down), Some(down), "{text} of {whole}");
        }
        assert_eq!(scaled(&IntOrString::Int(5), 1, Rounding::Up), Some(5));
        assert_eq!(scaled(&IntOrString::String("five".into()), 1, Rounding::Up), None);
    }
}
