//! From when to when a certificate is valid (RFC 5280 §4.1.2.5): rustls looks at that of the other side only, and our own
//! is the one that an operator has to renew.

use std::time::{SystemTime, UNIX_EPOCH};

/// Both ends in seconds of Unix time, and as a person reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: (i64, String),
    not_after: (i64, String),
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version of a certificate, which is left out of those of version 1.
const VERSION: u8 = 0xA0;

impl Validity {
    /// `None` when the bytes are no certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (kind, mut fields, _) = element(certificate)?;
        (kind == SEQUENCE).then_some(())?;
        if fields.first() == Some(&VERSION) {
            fields = element(fields)?.2;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            fields = element(fields)?.2;
        }
        let (_, validity, _) = element(fields)?;
        let (kind, not_before, rest) = element(validity)?;
        let not_before = time(kind, not_before)?;
        let (kind, not_after, _) = element(rest)?;
        Some(Self { not_before, not_after: time(kind, not_after)? })
    }

    /// # Errors
    /// What is wrong with it today.
    pub(super) fn check(&self) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.at(i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn at(&self, now: i64) -> Result<(), String> {
        if now > self.not_after.0 {
            return Err(format!("the certificate has expired on {}, a new one is needed", self.not_after.1));
        }
        if now < self.not_before.0 {
            return Err(format!(
                "the certificate is not valid before {}; is the clock of this machine right?",
                self.not_before.1
            ));
        }
        Ok(())
    }
}

/// A DER element: its tag, its value, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
        (length.len() <= 4).then_some(())?;
        (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((kind, value, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(kind: u8, value: &[u8]) -> Option<(i64, String)> {
    let text = std::str::from_utf8(value).ok()?;
    let text = match kind {
        // Two digits of a year are of 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let seconds = part(8, 10)? * 3600 + part(10, 12)? * 60 + part(12, 14)?;
    Some((days(year, month, day) * 86_400 + seconds, format!("{year:04}-{month:02}-{day:02}")))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    of_years + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(UTC_TIME, b"700101000000Z", Some((0, "1970-01-01")))]
    #[case(UTC_TIME, b"491231235959Z", Some((2_524_607_999, "2049-12-31")))]
    #[case(GENERALIZED_TIME, b"20240229120000Z", Some((1_709_208_000, "2024-02-29")))]
    #[case(GENERALIZED_TIME, b"2024", None)]
    #[case(0x02, b"20240229120000Z", None)]
    fn reads_times(#[case] kind: u8, #[case] text: &[u8], #[case] expected: Option<(i64, &str)>) {
        assert_eq!(time(kind, text), expected.map(|(seconds, text)| (seconds, text.to_owned())));
    }

    #[test]
    fn says_what_is_wrong_on_a_day() {
        let validity = Validity { not_before: (100, "a".into()), not_after: (200, "b".into()) };
        assert!(validity.at(99).unwrap_err().contains("not valid before a"));
        assert!(validity.at(100).is_ok() && validity.at(200).is_ok());
        assert!(validity.at(201).unwrap_err().contains("expired on b"));
    }

    #[rstest]
    #[case(&[])]
    #[case(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])]
    #[case(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1])]
    #[case(&[0x30, 2, 0x30, 0])]
    fn what_is_no_certificate_has_none(#[case] bytes: &[u8]) {
        assert_eq!(Validity::of(bytes), None);
    }
}
