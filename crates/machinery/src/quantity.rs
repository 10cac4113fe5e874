//! Amounts such as `100m`, `1.5Gi` or `2e3`: exact decimal numbers that remember how they were written.

use std::cmp::Ordering;
use std::fmt;

/// In which notation an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `e3`: powers of ten with an exponent.
    DecimalExponent,
    /// `Ki`, `Mi`, …: powers of 1024.
    BinarySi,
    /// `n`, `u`, `m`, `k`, `M`, …: powers of 1000.
    DecimalSi,
}

/// An exact amount: `digits × 10^scale`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    digits: i128,
    scale: i32,
    format: Format,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The unit is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// Nothing is finer than a billionth.
const NANO: i32 = -9;
/// The largest amount in powers of 1024.
const MAX: i128 = i64::MAX as i128;
/// So many digits of a fraction are read; what follows only rounds up.
const FRACTION_DIGITS: usize = 12;
/// So many digits of a whole number are told apart; more stand for nothing there is.
const WHOLE_DIGITS: usize = 38;

/// An exponent beyond this stands for nothing there is, and sums of exponents would not fit.
const EXPONENT_MAX: i32 = 500_000_000;

fn pow10(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// Division that rounds away from zero.
fn divide_up(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    if value % divisor == 0 { quotient } else { quotient + value.signum() }
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|byte| b"eEinumkKMGTP".contains(byte)).count();
    let exponent = &suffix[letters..];
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let well_formed = exponent.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| Parts { negative, whole: whole.trim_start_matches('0'), fraction, suffix })
}

/// The unit's base (2 or 10), exponent and notation.
fn unit(suffix: &str) -> Option<(u8, i32, Format)> {
    let decimal = |exponent| Some((10, exponent, Format::DecimalSi));
    let binary = |exponent| Some((2, exponent, Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            if exponent.unsigned_abs() >= 2 * EXPONENT_MAX.unsigned_abs() {
                return None;
            }
            Some((10, exponent, Format::DecimalExponent))
        }
    }
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { digits: 0, scale: 0, format: Format::DecimalSi };

    /// A whole number.
    pub fn from_int(value: i64, format: Format) -> Quantity {
        Quantity { digits: i128::from(value), scale: 0, format }
    }

    /// So many thousandths.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity { digits: i128::from(value), scale: -3, format }
    }

    /// Reads an amount. What is finer than a billionth is rounded up; in powers of 1024 what is beyond 2⁶³-1 becomes
    /// that, as does what is beyond all reason otherwise.
    pub fn parse(text: &str) -> Result<Quantity, ParseError> {
        let parts = split(text).ok_or(ParseError::Format)?;
        let (base, exponent, mut format) = unit(parts.suffix).ok_or(ParseError::Suffix)?;
        let sign = if parts.negative { -1 } else { 1 };
        let capped = Quantity { digits: sign * MAX, scale: 0, format };
        if parts.whole.len() > WHOLE_DIGITS {
            return Ok(capped);
        }
        let (kept, dropped) = parts.fraction.split_at(parts.fraction.len().min(FRACTION_DIGITS));
        let number =
            |digits: &str| digits.bytes().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let rounding = i128::from(dropped.bytes().any(|digit| digit != b'0'));
        let fraction_len = u32::try_from(kept.len()).unwrap_or(0);
        let shifted = pow10(fraction_len).and_then(|power| number(parts.whole).checked_mul(power));
        let Some(mut digits) = shifted.map(|whole| whole + number(kept) + rounding) else {
            return Ok(capped);
        };
        let mut scale = -i32::try_from(fraction_len).unwrap_or(0);
        if base == 2 {
            match digits.checked_mul(1 << exponent) {
                Some(scaled) => digits = scaled,
                None => return Ok(capped),
            }
        } else {
            scale = scale.saturating_add(exponent);
        }
        let mut quantity = Quantity { digits: sign * digits, scale, format }.round_up(NANO);
        let (printed, exponent) = quantity.decimal_form();
        if exponent.abs() > EXPONENT_MAX {
            return Err(ParseError::Suffix);
        }
        // What could not be read again as it is printed is beyond all reason too.
        let too_long = printed.unsigned_abs() >= 10u128.pow(WHOLE_DIGITS as u32);
        if too_long || format == Format::BinarySi && quantity.magnitude_exceeds_max() {
            quantity = capped;
        }
        if format == Format::BinarySi && quantity.cmp_int(1) == Ordering::Less && quantity.cmp_int(-1).is_gt()
        {
            format = Format::DecimalSi;
        }
        Ok(Quantity { format, ..quantity })
    }

    fn magnitude_exceeds_max(self) -> bool {
        Quantity { digits: self.digits.abs(), ..self }.cmp_int(i64::MAX).is_gt()
    }

    /// The notation it is printed in.
    pub fn format(self) -> Format {
        self.format
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// -1, 0 or 1.
    pub fn signum(self) -> i32 {
        match self.digits.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// Compares with a whole number.
    pub fn cmp_int(self, value: i64) -> Ordering {
        self.cmp(&Quantity::from_int(value, self.format))
    }

    /// Rounded away from zero to a multiple of `10^scale`.
    pub fn round_up(self, scale: i32) -> Quantity {
        if self.scale >= scale {
            return self;
        }
        let digits = match u32::try_from(scale - self.scale).ok().and_then(pow10) {
            Some(divisor) => divide_up(self.digits, divisor),
            None => self.digits.signum(),
        };
        Quantity { digits, scale, ..self }
    }

    /// How many `10^scale` it is, rounded away from zero, held to what fits.
    pub fn scaled_value(self, scale: i32) -> i64 {
        let rounded = self.round_up(scale);
        let power = u32::try_from(rounded.scale - scale).ok().and_then(pow10);
        let value = power.and_then(|power| rounded.digits.checked_mul(power));
        match value.map(i64::try_from) {
            Some(Ok(value)) => value,
            _ if rounded.digits < 0 => i64::MIN,
            _ if rounded.digits > 0 => i64::MAX,
            _ => 0,
        }
    }

    /// The whole number, rounded away from zero.
    pub fn value(self) -> i64 {
        self.scaled_value(0)
    }

    /// The thousandths, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        self.scaled_value(-3)
    }

    /// The nearest binary fraction.
    pub fn as_f64(self) -> f64 {
        // The digits are taken whole and scaled once, so that only one rounding happens.
        format!("{}e{}", self.digits, self.scale).parse().unwrap_or(0.0)
    }

    /// The exact whole number, if it is one that fits.
    pub fn as_int(self) -> Option<i64> {
        let value = self.value();
        self.cmp_int(value).is_eq().then_some(value)
    }

    /// The sum, in the notation of the first amount that is not zero.
    pub fn plus(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        let (a, b, scale) = aligned(self, other);
        Quantity { digits: a.saturating_add(b), scale, format }
    }

    /// The difference, in the notation of the first amount that is not zero.
    pub fn minus(self, other: Quantity) -> Quantity {
        self.plus(other.negated())
    }

    /// The same with the other sign.
    pub fn negated(self) -> Quantity {
        Quantity { digits: self.digits.saturating_neg(), ..self }
    }

    /// So many times this.
    pub fn times(self, factor: i64) -> Quantity {
        Quantity { digits: self.digits.saturating_mul(i128::from(factor)), ..self }
    }

    /// The number and the power of ten that is left when all that can be is moved into a power divisible by three.
    fn decimal_form(self) -> (i128, i32) {
        let (mut digits, mut exponent) = (self.digits, self.scale);
        if digits == 0 {
            return (0, 0);
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        while exponent % 3 != 0 {
            digits = digits.saturating_mul(10);
            exponent -= 1;
        }
        (digits, exponent)
    }

    fn printed_in(self) -> Format {
        let small = self.cmp_int(-1024).is_gt() && self.cmp_int(1024).is_lt();
        match self.format {
            Format::BinarySi if small || self.as_int().is_none() => Format::DecimalSi,
            format => format,
        }
    }
}

/// The digits of both at the finer scale of the two.
fn aligned(a: Quantity, b: Quantity) -> (i128, i128, i32) {
    let scale = a.scale.min(b.scale);
    let stretch = |quantity: Quantity| -> i128 {
        if quantity.digits == 0 {
            return 0;
        }
        let power = u32::try_from(quantity.scale - scale).ok().and_then(pow10);
        let bound = if quantity.digits < 0 { i128::MIN } else { i128::MAX };
        power.and_then(|power| quantity.digits.checked_mul(power)).unwrap_or(bound)
    };
    (stretch(a), stretch(b), scale)
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let (a, b, _) = aligned(*self, *other);
        a.cmp(&b)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Amounts are equal when they are the same number, however written.
impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

/// The canonical form: no fraction, the largest unit that keeps every digit.
impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.printed_in() {
            Format::BinarySi => {
                let mut value = self.value();
                let mut power = 0;
                while value != 0 && value % 1024 == 0 && power < 6 {
                    value /= 1024;
                    power += 1;
                }
                write!(out, "{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
            }
            Format::DecimalSi => {
                let (digits, exponent) = self.decimal_form();
                let suffix = match exponent {
                    -9 => "n",
                    -6 => "u",
                    -3 => "m",
                    3 => "k",
                    6 => "M",
                    9 => "G",
                    12 => "T",
                    15 => "P",
                    18 => "E",
                    _ => "",
                };
                write!(out, "{digits}{suffix}")
            }
            Format::DecimalExponent => match self.decimal_form() {
                (digits, 0) => write!(out, "{digits}"),
                (digits, exponent) => write!(out, "{digits}e{exponent}"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
