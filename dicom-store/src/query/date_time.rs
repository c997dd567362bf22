//! Dates, times and their ranges (PS3.4 §C.2.2.2.5, PS3.5 §6.2), compared as digits.

use crate::{Error, Result};

/// A period, both ends included; an end that is not given is open. The ends are padded so that they
/// compare as text: `20260101`, `100000.000000`, `20260101100000.000000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// What kind of value a range is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Date,
    Time,
    DateTime,
}

impl Kind {
    /// The smallest value with these leading digits.
    fn floor(self) -> &'static str {
        match self {
            Self::Date => "00000101",
            Self::Time => "000000.000000",
            Self::DateTime => "00000101000000.000000",
        }
    }

    /// Whether a padded value is one that a calendar and a clock can show: months have up to 31 days, as many ask for
    /// the 31st of each, a minute may have a leap second, and the end of a day is 24:00 to some.
    fn has(self, padded: &str) -> bool {
        let (date, time) = match self {
            Self::Date => (padded, "000000"),
            Self::Time => ("00000101", padded),
            Self::DateTime => padded.split_at(padded.len().min(8)),
        };
        let number = |text: &str, at: usize| text.get(at..at + 2).and_then(|n| n.parse::<u8>().ok());
        let is_day = matches!((number(date, 4), number(date, 6)), (Some(1..=12), Some(1..=31)));
        let clock = [0, 2, 4].map(|at| number(time, at));
        is_day && matches!(clock, [Some(0..=23), Some(0..=59), Some(0..=60)] | [Some(24), Some(0), Some(0)])
    }

    /// The largest value with these leading digits.
    fn ceiling(self) -> &'static str {
        match self {
            Self::Date => "99991231",
            Self::Time => "235959.999999",
            Self::DateTime => "99991231235959.999999",
        }
    }
}

impl Range {
    /// A single value or a range, as a key has it.
    ///
    /// # Errors
    /// `Invalid` when an end is not of the kind.
    pub fn parse(kind: Kind, text: &str) -> Result<Self> {
        let text = text.trim();
        let (from, to) = split(kind, text);
        let end = |end: &str, fill: &str| match normal(kind, end, fill).filter(|value| kind.has(value)) {
            _ if end.trim().is_empty() => Ok(None),
            Some(value) => Ok(Some(value)),
            None => Err(Error::invalid(format!("not a {} or a range of them: {text:?}", kind.name()))),
        };
        Ok(Self { from: end(from, kind.floor())?, to: end(to, kind.ceiling())? })
    }

    /// Whether any moment that a stored value stands for lies in the period.
    pub fn contains(&self, kind: Kind, stored: &str) -> bool {
        let (Some(first), Some(last)) =
            (normal(kind, stored, kind.floor()), normal(kind, stored, kind.ceiling()))
        else {
            return false;
        };
        self.from.as_ref().is_none_or(|from| *from <= last) && self.to.as_ref().is_none_or(|to| first <= *to)
    }
}

/// A study's place in time: year, month, day, hour, minute and second as the digits of one number;
/// 0 without a date that is one.
pub(crate) fn moment(date: &str, time: &str) -> i64 {
    let digits = |kind: Kind, text: &str| {
        let value = normal(kind, text, kind.floor())?;
        value.split('.').next()?.parse::<i64>().ok()
    };
    digits(Kind::Date, date).map_or(0, |day| day * 1_000_000 + digits(Kind::Time, time).unwrap_or(0))
}

impl Range {
    /// The first and the last moment of a range of dates.
    pub(crate) fn moments(&self) -> (Option<i64>, Option<i64>) {
        let first = self.from.as_ref().map(|day| moment(day, ""));
        let last = self.to.as_ref().map(|day| moment(day, Kind::Time.ceiling()));
        (first, last)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "date and time",
        }
    }
}

/// At the hyphen between two values. In a date and time a hyphen may also begin an offset from UTC:
/// four digits at the end of a value (PS3.4 §C.2.2.2.5.3).
fn split(kind: Kind, text: &str) -> (&str, &str) {
    let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    let at = |at: usize| (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    match (kind, hyphens.as_slice()) {
        (_, []) => (text, text),
        (Kind::DateTime, [one]) if *one != 0 && is_offset(text.get(one + 1..).unwrap_or_default()) => {
            (text, text)
        }
        (_, [one]) => at(*one),
        (Kind::DateTime, [first, second]) if is_offset(text.get(first + 1..*second).unwrap_or_default()) => {
            at(*second)
        }
        (Kind::DateTime, [_, second, _]) => at(*second),
        (_, [first, ..]) => at(*first),
    }
}

/// Four digits that can be hours and minutes of an offset, and no year: 0000 to 1400.
fn is_offset(text: &str) -> bool {
    text.len() == 4 && text.parse::<u32>().is_ok_and(|n| n <= 1400)
}

/// Digits padded with `fill`; `None` when the text is no value of the kind.
fn normal(kind: Kind, text: &str, fill: &str) -> Option<String> {
    let text = text.trim();
    // Offsets are not followed: values are compared in the time of the place, as they are stored.
    let text = match (kind, text.find(['+', '-'])) {
        (Kind::DateTime, Some(at)) => text.get(..at)?,
        _ => text,
    };
    // The form of ACR-NEMA, still sent.
    let compact: String = match kind {
        Kind::Date if text.len() == 10 => text.chars().filter(|c| !matches!(c, '.' | '-' | '/')).collect(),
        Kind::Time => text.chars().filter(|c| *c != ':').collect(),
        _ => text.to_owned(),
    };
    let (whole, fraction) = compact.split_once('.').map_or((compact.as_str(), ""), |(whole, f)| (whole, f));
    let whole_length = fill.split('.').next().unwrap_or_default().len();
    let is_right_length = match kind {
        Kind::Date => whole.len() == 8,
        Kind::Time => matches!(whole.len(), 2 | 4 | 6),
        Kind::DateTime => matches!(whole.len(), 4 | 6 | 8 | 10 | 12 | 14),
    };
    let is_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_right_length
        || !is_digits
        || fraction.len() > 6
        || (!fraction.is_empty() && whole.len() != whole_length)
    {
        return None;
    }
    let given = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    Some(format!("{given}{}", fill.get(given.len()..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Kind::Date, "20260101-20260103", "20260103", true)]
    #[case(Kind::Date, "-20260103", "20260104", false)]
    #[case(Kind::Date, "20260103-", "2026.01.04", true)]
    #[case(Kind::Date, "20260103", "20260103", true)]
    #[case(Kind::Date, "20260103-20260101", "20260102", false)]
    #[case(Kind::Time, "10-12", "125959.5", true)]
    #[case(Kind::Time, "1030-", "1029", false)]
    #[case(Kind::Time, "100000", "100000.000000", true)]
    #[case(Kind::DateTime, "20260101-0500", "20260101120000", true)]
    #[case(Kind::DateTime, "20260101-2027", "20261231", true)]
    #[case(Kind::DateTime, "-20260101", "2025", true)]
    #[case(Kind::Date, "20260201-20260231", "20260228", true)]
    #[case(Kind::Time, "000000-240000", "235959.9", true)]
    #[case(Kind::Time, "235960", "235960", true)]
    #[case(Kind::DateTime, "2026-2027", "20261231", true)]
    fn hold_what_lies_between_their_ends(
        #[case] kind: Kind,
        #[case] key: &str,
        #[case] stored: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(Range::parse(kind, key).unwrap().contains(kind, stored), expected);
    }

    #[rstest]
    #[case("20260102", "1015", 20_260_102_101_500)]
    #[case("2026.01.02", "10:15:30.5", 20_260_102_101_530)]
    #[case("20260102", "abc", 20_260_102_000_000)]
    #[case("2026", "1015", 0)]
    #[case("", "", 0)]
    fn moments_are_digits_in_the_order_of_time(
        #[case] date: &str,
        #[case] time: &str,
        #[case] expected: i64,
    ) {
        assert_eq!(moment(date, time), expected);
    }

    #[rstest]
    #[case(Kind::Date, "2026*")]
    #[case(Kind::Date, "202601011")]
    #[case(Kind::Time, "1")]
    #[case(Kind::Date, "abc-def")]
    #[case(Kind::Date, "99999999")]
    #[case(Kind::Date, "99999999-")]
    #[case(Kind::Date, "-20261301")]
    #[case(Kind::Date, "20260100-20260131")]
    #[case(Kind::Date, "20260132")]
    #[case(Kind::Time, "2401")]
    #[case(Kind::Time, "1060-")]
    #[case(Kind::Time, "100061")]
    #[case(Kind::DateTime, "2026010125")]
    #[case(Kind::DateTime, "202613")]
    fn refuse_what_is_no_value_of_their_kind(#[case] kind: Kind, #[case] key: &str) {
        assert!(Range::parse(kind, key).is_err());
    }
}
