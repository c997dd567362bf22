//! The clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{Datelike, Local, Timelike};

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

/// Today so many years ago, as DICOM writes dates; the 29th of February is the 28th elsewhere.
pub(crate) fn years_ago(years: u16) -> String {
    let today = Local::now().date_naive();
    let year = today.year() - i32::from(years);
    let day = if today.month() == 2 { today.day().min(28) } else { today.day() };
    format!("{year:04}{:02}{day:02}", today.month())
}
