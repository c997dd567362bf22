//! A part of every day, as settings say when something may be done.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// From a time of the day up to another, over midnight where the second is the earlier: `19:00-06:00`. Empty: the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayTimes(Option<(u16, u16)>);

impl DayTimes {
    /// Whether this minute of the day, counted from midnight, is among them.
    pub fn contains(self, minute: u16) -> bool {
        match self.0 {
            None => true,
            Some((from, to)) if from < to => (from..to).contains(&minute),
            Some((from, to)) => minute >= from || minute < to,
        }
    }

    /// Minutes from this one to the next that is among them; 0 when it is.
    pub fn minutes_until(self, minute: u16) -> u16 {
        match self.0 {
            Some((from, _)) if !self.contains(minute) => (from + DAY - minute) % DAY,
            _ => 0,
        }
    }
}

impl FromStr for DayTimes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("{text:?} is not of the form 19:00-06:00"));
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let is_time = (hour < 24 && minute < 60) || (hour == 24 && minute == 0);
            is_time.then_some((hour * 60 + minute) % DAY)
        };
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (time(from).ok_or_else(wrong)?, time(to).ok_or_else(wrong)?);
        Ok(Self((from != to).then_some((from, to))))
    }
}

impl fmt::Display for DayTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some((from, to)) => {
                write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
            }
        }
    }
}

impl TryFrom<String> for DayTimes {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DayTimes> for String {
    fn from(times: DayTimes) -> Self {
        times.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all("", 0, 0)]
    #[case::within("08:00-17:30", 8 * 60, 0)]
    #[case::before("08:00-17:30", 7 * 60 + 59, 1)]
    #[case::at_its_end("08:00-17:30", 17 * 60 + 30, 14 * 60 + 30)]
    #[case::over_midnight("19:00-06:00", 5 * 60, 0)]
    #[case::over_midnight_late("19:00-06:00", 23 * 60, 0)]
    #[case::at_day("19:00-06:00", 12 * 60, 7 * 60)]
    #[case::up_to_midnight("22:00-24:00", 30, 21 * 60 + 30)]
    #[case::the_whole_day("06:00-06:00", 0, 0)]
    fn it_is_known_how_long_until_it_may_be_done(
        #[case] times: &str,
        #[case] minute: u16,
        #[case] until: u16,
    ) {
        let times: DayTimes = times.parse().unwrap();
        assert_eq!(times.minutes_until(minute), until);
        assert_eq!(times.contains(minute), until == 0);
        assert_eq!(times.to_string().parse::<DayTimes>().unwrap(), times);
    }

    #[rstest]
    #[case("19-06")]
    #[case("25:00-06:00")]
    #[case("08:60-09:00")]
    #[case("night")]
    fn refuses_what_is_no_part_of_a_day(#[case] text: &str) {
        assert!(text.parse::<DayTimes>().is_err());
    }
}
