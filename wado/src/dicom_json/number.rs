//! Numbers as JSON has them (RFC 8259 §6). Each function says whether it could write the number.

use std::io::Write;

/// Whole numbers beyond this are not held exactly by a reader's double.
const EXACT: i128 = 1 << 53;

/// Significant digits that identify a double.
const DIGITS: usize = 17;

/// A whole number: a number up to 2^53, else a string.
pub(super) fn whole(value: i128, out: &mut Vec<u8>) -> bool {
    if (-EXACT..=EXACT).contains(&value) {
        write!(out, "{value}").is_ok()
    } else {
        write!(out, "\"{value}\"").is_ok()
    }
}

/// The shortest text that reads back as this number. NaN and infinity are none.
pub(super) fn single(value: f32, out: &mut Vec<u8>) -> bool {
    let is_handy = value == 0.0 || (1e-5..1e16).contains(&value.abs());
    value.is_finite() && if is_handy { write!(out, "{value}") } else { write!(out, "{value:e}") }.is_ok()
}

/// As [`single`].
pub(super) fn double(value: f64, out: &mut Vec<u8>) -> bool {
    let is_handy = value == 0.0 || (1e-5..1e16).contains(&value.abs());
    value.is_finite() && if is_handy { write!(out, "{value}") } else { write!(out, "{value:e}") }.is_ok()
}

/// The text of a DS or IS value as a JSON number; `None` where it is none, or has more digits than a double holds.
///
/// Digits stay as they are written (`1.20`); what DICOM allows and JSON does not is rewritten: `+1`, `007`, `.5`, `5.`.
pub(super) fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    let is_number = whole.len() + fraction.len() > 0
        && is_digits(whole)
        && is_digits(fraction)
        && exponent.is_none_or(is_exponent)
        && text.parse::<f64>().is_ok_and(f64::is_finite);
    let whole = whole.trim_start_matches('0');
    if !is_number || whole.len() + fraction.len() > DIGITS {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 1);
    out.push_str(sign);
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        out.push('e');
        out.push_str(exponent);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.20", Some("1.20"))]
    #[case("+1.", Some("1"))]
    #[case("-007", Some("-7"))]
    #[case("-.5", Some("-0.5"))]
    #[case("0", Some("0"))]
    #[case("0.000", Some("0.000"))]
    #[case("1E-3", Some("1e-3"))]
    #[case("  12  ", Some("12"))]
    #[case("1e400", None)]
    #[case("--2", None)]
    #[case("0x10", None)]
    #[case("1 2", None)]
    #[case(".", None)]
    #[case("1e", None)]
    #[case("inf", None)]
    #[case("123456789012345678", None)]
    fn is_a_json_number_or_none(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(decimal(text).as_deref(), expected);
        if let Some(number) = expected {
            serde_json::from_str::<f64>(number).unwrap();
        }
    }
}
