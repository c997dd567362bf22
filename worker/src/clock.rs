//! The clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{Datelike, Local, NaiveDate, Timelike};

/// Since the beginning of 1970; nothing where the clock was never set.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same in milliseconds.
pub(crate) fn now() -> u64 {
    milliseconds(since_1970())
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Minutes since midnight.
pub(crate) fn minute_of_day() -> u16 {
    let now = Local::now();
    u16::try_from(now.hour() * 60 + now.minute()).unwrap_or(0)
}

/// Days from a date, as DICOM writes it, to today; below 0 for one that lies ahead, `None` for what is no date.
pub(crate) fn days_since(date: &str) -> Option<i64> {
    // Before 1993 dates had full stops (PS3.5 §6.2).
    let digits = date.trim().replace('.', "");
    let date = NaiveDate::parse_from_str(&digits, "%Y%m%d").ok().filter(|_| digits.len() == 8)?;
    Some(Local::now().date_naive().signed_duration_since(date).num_days())
}

/// Today so many years ago, as DICOM writes dates; the 29th of February is the 28th elsewhere.
pub(crate) fn years_ago(years: u16) -> String {
    let today = Local::now().date_naive();
    let year = today.year() - i32::from(years);
    let day = if today.month() == 2 { today.day().min(28) } else { today.day() };
    format!("{year:04}{:02}{day:02}", today.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_dates_that_are_dates() {
        let since = |date: &str| days_since(date);
        let (first, second) = (since("20240228").unwrap(), since("2024.03.01").unwrap());
        assert_eq!(first - second, 2);
        assert!(since("99991231").unwrap() < 0);
        for none in ["", "2024", "20240230", "2024-02-28", "today"] {
            assert_eq!(since(none), None, "{none}");
        }
        assert!(since(&years_ago(0)).unwrap() <= 1);
    }
}
