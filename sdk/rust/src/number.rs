//! Exact conversion between numbers and their decimal text. It is smaller
//! than that of the standard library, whose tables alone are 10 kB: most
//! numbers need one multiplication or division, and for the others a decimal
//! is compared exactly with a binary number until the nearest is found.

use std::cmp::Ordering;

/// Digits that decide; what follows only matters by not being zero.
const MAX_DIGITS: usize = 800;

/// Powers of ten that a number holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
];

/// The nearest number to a text that follows the grammar of JSON; none when it
/// is too large.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mark = text.find(['e', 'E']).unwrap_or(text.len());
    let mut exp = text.get(mark + 1..).map_or(0, exponent);
    let mut digits = Vec::new();
    let mut point = false;
    for c in text.as_bytes().iter().take(mark) {
        match c {
            b'.' => point = true,
            b'0' if digits.is_empty() => exp -= i64::from(point),
            _ => {
                if digits.len() < MAX_DIGITS {
                    digits.push(c - b'0');
                    exp -= i64::from(point);
                } else {
                    exp += i64::from(!point);
                    *digits.last_mut()? |= u8::from(*c != b'0');
                }
            }
        }
    }
    let size = nearest(&digits, exp)?;
    Some(if negative { -size } else { size })
}

fn exponent(text: &str) -> i64 {
    let mut n = 0;
    for c in text.bytes().filter(u8::is_ascii_digit) {
        n = (n * 10 + i64::from(c - b'0')).min(1 << 40);
    }
    if text.starts_with('-') {
        -n
    } else {
        n
    }
}

/// The nearest number to digits * 10^exp.
fn nearest(digits: &[u8], exp: i64) -> Option<f64> {
    let length = exp + digits.len() as i64;
    if digits.is_empty() || length < -330 {
        return Some(0.0);
    }
    if length > 310 {
        return None;
    }
    let shown = digits.len().min(19);
    let head = digits.iter().take(shown).fold(0u64, |n, d| n * 10 + u64::from(*d));
    let exp = exp as i32;
    if shown == digits.len() && head <= 1 << 53 && exp.abs() <= 22 {
        let power = POWERS.get(exp.unsigned_abs() as usize).copied().unwrap_or(1.0);
        return Some(if exp < 0 { head as f64 / power } else { head as f64 * power });
    }
    let start = estimate(head, exp + (digits.len() - shown) as i32);
    if shown == digits.len() {
        settle(start, |m, e| compare(head, exp, m, e))
    } else {
        let all = digits.iter().fold(Natural(Vec::new()), |n, d| n.times(10, u32::from(*d)));
        settle(start, |m, e| all.clone().compare(exp, Natural::of(m), e))
    }
}

/// A finite number that is a few steps from n * 10^exp.
fn estimate(n: u64, mut exp: i32) -> f64 {
    let mut size = n as f64;
    while exp != 0 {
        let step = exp.clamp(-22, 22);
        let power = POWERS.get(step.unsigned_abs() as usize).copied().unwrap_or(1.0);
        size = if step < 0 { size / power } else { size * power };
        exp -= step;
    }
    size.min(f64::MAX)
}

/// Steps to the nearest number, given how what is sought compares with m * 2^e.
fn settle(start: f64, against: impl Fn(u64, i32) -> Ordering) -> Option<f64> {
    let mut bits = start.to_bits();
    loop {
        match lies(bits, &against) {
            Ordering::Equal => return Some(f64::from_bits(bits)),
            Ordering::Less => bits -= 1,
            Ordering::Greater => bits += 1,
        }
        if bits == f64::INFINITY.to_bits() {
            return None;
        }
    }
}

/// Where what is sought lies: equal where the number of these bits is the
/// nearest one; of two that are as near, the even one is.
fn lies(bits: u64, against: impl Fn(u64, i32) -> Ordering) -> Ordering {
    let middle_above = |bits: u64| {
        let (m, e) = parts(bits);
        against(2 * m + 1, e - 1)
    };
    let odd = bits & 1 == 1;
    match middle_above(bits) {
        Ordering::Greater => Ordering::Greater,
        Ordering::Equal if odd => Ordering::Greater,
        _ if bits == 0 => Ordering::Equal,
        _ => match middle_above(bits - 1) {
            Ordering::Less => Ordering::Less,
            Ordering::Equal if odd => Ordering::Less,
            _ => Ordering::Equal,
        },
    }
}

/// The number of these bits, which is not negative, as m * 2^e.
fn parts(bits: u64) -> (u64, i32) {
    let exp = (bits >> 52) as i32;
    let m = bits & ((1 << 52) - 1);
    if exp == 0 {
        (m, -1074)
    } else {
        (m | 1 << 52, exp - 1075)
    }
}

/// Appends the shortest text that reads as the same number; null where there is none.
pub fn write(v: f64, out: &mut String) {
    if !v.is_finite() {
        return out.push_str("null");
    }
    if v.is_sign_negative() {
        out.push('-');
    }
    let (digits, exp) = shortest(v.abs());
    place(digits, exp, out);
}

/// The shortest decimal, digits * 10^exp, that reads as v.
fn shortest(v: f64) -> (u64, i32) {
    if v < 9e15 {
        for (i, power) in POWERS.iter().enumerate() {
            let whole = v * power + 0.5;
            if whole >= 9e15 {
                break;
            }
            let whole = whole as u64;
            if whole as f64 / power == v {
                return (whole, -(i as i32));
            }
        }
    }
    let (m, e) = parts(v.to_bits());
    // log10(2) is 0.30103; the estimate is at most one too small.
    let magnitude = ((e + 63 - m.leading_zeros() as i32) * 30103).div_euclid(100_000);
    let fewest = if m < 1 << 52 { 1 } else { 15 }; // the smallest numbers have fewer bits
    (fewest..=17).find_map(|count| rounded(v, m, e, count, magnitude + 1 - count)).unwrap_or((m, 0))
}

/// A decimal of so many digits that reads as v = m * 2^e, if there is one.
fn rounded(v: f64, m: u64, e: i32, count: i32, mut exp: i32) -> Option<(u64, i32)> {
    let limit = 10u64.pow(count.unsigned_abs());
    loop {
        // The first decimal that is not below v.
        let (mut low, mut high) = (0, limit * 10);
        while low < high {
            let middle = (low + high) / 2;
            if compare(middle, exp, m, e) == Ordering::Less {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if low > limit {
            exp += 1;
            continue;
        }
        let below_is_nearer = low > 0 && compare(2 * low - 1, exp, m, e + 1) != Ordering::Less;
        let digits = low - u64::from(below_is_nearer);
        let nearest = lies(v.to_bits(), |m, e| compare(digits, exp, m, e)) == Ordering::Equal;
        return if nearest { Some(trimmed(digits, exp)) } else { None };
    }
}

fn trimmed(mut digits: u64, mut exp: i32) -> (u64, i32) {
    while digits > 0 && digits % 10 == 0 {
        digits /= 10;
        exp += 1;
    }
    (digits, exp)
}

/// Appends digits * 10^exp, plainly where that is not long.
fn place(digits: u64, exp: i32, out: &mut String) {
    let start = out.len();
    whole(digits, out);
    let length = (out.len() - start) as i32;
    if exp >= 0 && length + exp <= 21 {
        (0..exp).for_each(|_| out.push('0'));
    } else if exp < 0 && length + exp > 0 {
        out.insert((start as i32 + length + exp) as usize, '.');
    } else if exp < 0 && length + exp > -6 {
        (0..-length - exp).for_each(|_| out.insert(start, '0'));
        out.insert_str(start, "0.");
    } else {
        if length > 1 {
            out.insert(start + 1, '.');
        }
        out.push('e');
        signed(i64::from(exp + length - 1), out);
    }
}

/// Appends a whole number.
pub fn whole(mut n: u64, out: &mut String) {
    let start = out.len();
    loop {
        out.insert(start, char::from(b'0' + (n % 10) as u8));
        n /= 10;
        if n == 0 {
            return;
        }
    }
}

/// Appends a whole number that may be negative.
pub fn signed(n: i64, out: &mut String) {
    if n < 0 {
        out.push('-');
    }
    whole(n.unsigned_abs(), out);
}

/// Compares n * 10^exp with m * 2^e.
fn compare(n: u64, exp: i32, m: u64, e: i32) -> Ordering {
    let power = exp.unsigned_abs();
    if power <= 19 && e.unsigned_abs() < 128 {
        let power = u128::from(10u64.pow(power));
        let (mut left, mut right) = (u128::from(n), u128::from(m));
        if exp < 0 {
            right *= power;
        } else {
            left *= power;
        }
        let shifted = if e < 0 { &mut left } else { &mut right };
        if shifted.leading_zeros() > e.unsigned_abs() {
            *shifted <<= e.unsigned_abs();
            return left.cmp(&right);
        }
    }
    Natural::of(n).compare(exp, Natural::of(m), e)
}

/// A natural number of any size, by 32 bits, the lowest first.
#[derive(Clone)]
struct Natural(Vec<u32>);

impl Natural {
    fn of(n: u64) -> Self {
        Natural(vec![n as u32, (n >> 32) as u32])
    }

    fn times(mut self, factor: u32, more: u32) -> Self {
        let mut carry = u64::from(more);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
        self
    }

    fn times_power(mut self, mut exp: u32) -> Self {
        while exp > 0 {
            let step = exp.min(9);
            self = self.times(10u32.pow(step), 0);
            exp -= step;
        }
        self
    }

    fn shifted(self, bits: u32) -> Self {
        let mut shifted = vec![0; bits as usize / 32];
        shifted.extend(self.times(1 << (bits % 32), 0).0);
        Natural(shifted)
    }

    /// Compares self * 10^exp with m * 2^e.
    fn compare(self, exp: i32, m: Natural, e: i32) -> Ordering {
        let (mut left, mut right) = (self, m);
        if exp < 0 {
            right = right.times_power(exp.unsigned_abs());
        } else {
            left = left.times_power(exp.unsigned_abs());
        }
        if e < 0 {
            left = left.shifted(e.unsigned_abs());
        } else {
            right = right.shifted(e.unsigned_abs());
        }
        let length = left.0.len().max(right.0.len());
        left.0.resize(length, 0);
        right.0.resize(length, 0);
        left.0.iter().rev().cmp(right.0.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(v: f64) -> String {
        let mut out = String::new();
        write(v, &mut out);
        out
    }

    #[test]
    fn texts_read_as_the_nearest_number() {
        let mut texts: Vec<String> = [
            "0",
            "-0.0",
            "1",
            "0.1",
            "1e22",
            "1e23",
            "9007199254740993",
            "9007199254740992.5",
            "2.2250738585072011e-308",
            "4.9e-324",
            "2.5e-324",
            "2.4e-324",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "0.000001e6",
            "123e-500",
            "6929495644600919.5",
            "3.2378839133029012895883524125015321748630094e-26",
            "0e999999999999999999999",
            "1E+2",
        ]
        .iter()
        .map(|s| s.to_string())
        .collect();
        texts.push(["0.", &"0".repeat(400), &"123".repeat(300), "e390"].concat());
        texts.push(["9007199254740993", &"0".repeat(900), "1e-901"].concat());
        texts.push(["9007199254740993.", &"0".repeat(900), "1"].concat());
        for text in texts {
            assert_eq!(parse(&text).map(f64::to_bits), Some(text.parse::<f64>().unwrap().to_bits()), "{text}");
        }
        assert_eq!((parse("1e309"), parse("-1.8e308"), parse("1e99999999999999999999")), (None, None, None));
    }

    #[test]
    fn numbers_are_written_as_the_shortest_text() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (99.5, "99.5"),
            (1e21, "1e21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (0.30000000000000004, "0.30000000000000004"),
            (1.5e300, "1.5e300"),
            (5e-324, "5e-324"),
            (0.0000015, "0.0000015"),
            (f64::MAX, "1.7976931348623157e308"),
            (9007199254740993.0, "9007199254740992"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(written(v), text);
        }
    }

    #[test]
    fn any_bits_are_written_and_read_back() {
        let mut seed = 1u64;
        for i in 0..500 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let v = if i % 2 == 0 { f64::from_bits(seed) } else { (seed >> 11) as f64 / 1e9 };
            if v.is_finite() {
                let text = written(v);
                assert_eq!(parse(&text).map(f64::to_bits), Some(v.to_bits()), "{text}");
                assert!(text.len() <= format!("{}", v).len().min(format!("{:e}", v).len()) + 6, "{text} {v} {v:e}");
            }
        }
    }
}
