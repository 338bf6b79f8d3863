//! Real numbers between the eight bytes of a blob and the decimal text of JSON, exactly. Nobody here reckons
//! with any; they only have to survive. The standard library's conversions are several times as large.

use std::cmp::Ordering;

const FRACTION_BITS: u32 = 52;
const SIGN: u64 = 1 << 63;
const INFINITE: u64 = 0x7ff << FRACTION_BITS;
/// Further than any exponent of theirs.
const FAR: i32 = 1 << 20;

/// All its digits; none of what is not finite.
pub fn text(bits: u64) -> Option<String> {
    if bits & INFINITE == INFINITE {
        return None;
    }
    let (mantissa, exponent) = parts(bits & !SIGN);
    let (mut digits, behind_point) = digits(mantissa, exponent);
    // Both sides of the point have some.
    let mut whole = digits.split_off(behind_point.min(digits.len()));
    digits.resize(behind_point.max(1), 0);
    whole.resize(whole.len().max(1), 0);
    let mut text = String::new();
    if bits & SIGN != 0 {
        text.push('-');
    }
    push_digits(&mut text, &whole);
    text.push('.');
    push_digits(&mut text, &digits);
    Some(text)
}

fn push_digits(text: &mut String, digits: &[u8]) {
    for digit in digits.iter().rev() {
        text.push(char::from(b'0' + digit));
    }
}

/// The nearest real number, of two as near the even one.
pub fn bits(text: &str) -> u64 {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (SIGN, text),
        None => (0, text),
    };
    let wanted = Decimal::read(text);
    // Their bits are in the order of the numbers.
    let (mut low, mut high) = (0, INFINITE);
    while low < high {
        let middle = low + (high - low) / 2;
        let (mantissa, exponent) = parts(middle);
        let next_but_half = Decimal::of(2 * mantissa + 1, exponent - 1);
        let is_even = middle % 2 == 0;
        match wanted.cmp(&next_but_half) {
            Ordering::Less => high = middle,
            Ordering::Equal if is_even => high = middle,
            _ => low = middle + 1,
        }
    }
    sign | low
}

/// 0.DIGITS × 10^point. Neither the first nor the last digit is a zero, so that the order is the numbers'.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Decimal {
    point: i32,
    digits: Vec<u8>,
}

impl Decimal {
    fn of(mantissa: u64, exponent: i32) -> Decimal {
        let (mut digits, behind_point) = digits(mantissa, exponent);
        digits.reverse();
        let point = digits.len() as i32 - behind_point as i32;
        Decimal::trimmed(point, &digits)
    }

    /// Of a number as JSON has them, without the sign.
    fn read(text: &str) -> Decimal {
        let (text, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        for digit in &mut digits {
            *digit -= b'0';
        }
        let far = if exponent.starts_with('-') { -FAR } else { FAR };
        let exponent = exponent.parse().unwrap_or(far).clamp(-FAR, FAR);
        Decimal::trimmed(whole.len() as i32 + exponent, &digits)
    }

    fn trimmed(point: i32, mut digits: &[u8]) -> Decimal {
        let mut point = point;
        while let [0, rest @ ..] = digits {
            digits = rest;
            point -= 1;
        }
        while let [rest @ .., 0] = digits {
            digits = rest;
        }
        let point = if digits.is_empty() { i32::MIN } else { point };
        Decimal { point, digits: digits.to_owned() }
    }
}

/// So that they are mantissa × 2^exponent.
fn parts(bits: u64) -> (u64, i32) {
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    match (bits >> FRACTION_BITS) as i32 {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << FRACTION_BITS, exponent - 1075),
    }
}

/// The digits of mantissa × 2^exponent, the last one first, and how many stand behind the point.
fn digits(mut mantissa: u64, mut exponent: i32) -> (Vec<u8>, usize) {
    while exponent < 0 && mantissa.is_multiple_of(2) {
        mantissa /= 2;
        exponent += 1;
    }
    let mut digits = Vec::new();
    while mantissa > 0 {
        digits.push((mantissa % 10) as u8);
        mantissa /= 10;
    }
    if exponent < 0 {
        // A half is five tenths.
        multiply(&mut digits, 5, exponent.unsigned_abs());
        return (digits, exponent.unsigned_abs() as usize);
    }
    multiply(&mut digits, 2, exponent.unsigned_abs());
    (digits, 0)
}

fn multiply(digits: &mut Vec<u8>, factor: u32, times: u32) {
    // The most that ten times the factor's power fits 32 bits with.
    const AT_ONCE: u32 = 12;
    let mut left = times;
    while left > 0 {
        let power = factor.pow(left.min(AT_ONCE));
        left = left.saturating_sub(AT_ONCE);
        let mut carried = 0;
        for digit in &mut *digits {
            carried += u32::from(*digit) * power;
            *digit = (carried % 10) as u8;
            carried /= 10;
        }
        while carried > 0 {
            digits.push((carried % 10) as u8);
            carried /= 10;
        }
    }
}
