//! Whether instances came because we asked a peer for them: those are nothing new that peers are dealt with for.

use std::time::Duration;

use dicom_store::Work;
use dicom_store::model::StudyInstanceUid;
use dicom_store::register::Registered;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::retrieve::RETRIEVAL;
use crate::Result;
use crate::clock::{milliseconds, now};
use crate::migrate::MIGRATION;

/// Peers that one study was fetched from.
const MOST_PEERS: u32 = 100;
/// One that has not ended by then was cut off.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// What came is told in whole seconds, the one that had begun.
const APART: Duration = Duration::from_secs(1);

/// When instances of a study came because a peer was asked for them, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Came {
    pub from: u64,
    /// `None` while it goes on.
    pub until: Option<u64>,
}

impl Came {
    /// A peer is asked now, or goes on being asked where it did not end the last time.
    pub(crate) fn begin(before: Option<Self>, goes_on: bool) -> Self {
        let from = before.filter(|_| goes_on).map_or_else(now, |before| before.from);
        Self { from, until: None }
    }

    /// It has ended; `None` where it has brought nothing at all.
    pub(crate) fn end(self, before: Option<Self>, has_brought: bool) -> Option<Self> {
        let cut_off = before.is_some_and(|before| before.until.is_none());
        if has_brought || cut_off { Some(Self { until: Some(now()), ..self }) } else { before }
    }

    fn covers(&self, at: u64) -> bool {
        let until = self.until.unwrap_or_else(|| self.from.saturating_add(milliseconds(LONGEST)));
        let apart = milliseconds(APART);
        at.saturating_add(apart) >= self.from && at <= until.saturating_add(apart)
    }

    /// As a line of the register tells it. One of an older version counts from its first writing to its last, where it names
    /// instances that are here.
    pub(crate) fn of_line(line: &Registered) -> Option<Self> {
        let body: Value = serde_json::from_str(&line.body).ok()?;
        let Some(came) = body.get("came") else {
            let has_some = body.get("here").and_then(Value::as_u64) > Some(0);
            let from = match body.get("state").and_then(Value::as_str) {
                Some("done" | "incomplete") => line.made,
                Some(_) => return None,
                // A study of an archive that came over: its line was written behind it.
                None => 0,
            };
            return has_some.then_some(Self { from, until: Some(line.written) });
        };
        serde_json::from_value(came.clone()).ok()
    }
}

/// When instances of a study came so, of each peer that was asked.
pub(super) async fn all_of(work: &Work, study: &StudyInstanceUid) -> Result<Vec<Came>> {
    let of_study = format!("{study} ");
    let mut all = Vec::new();
    for kind in [RETRIEVAL, MIGRATION] {
        let lines = work.registered(kind, &of_study, MOST_PEERS).await?;
        let lines = lines.iter().take_while(|line| line.name.starts_with(&of_study));
        all.extend(lines.filter_map(Came::of_line));
    }
    Ok(all)
}

/// Whether everything that came at these times came so.
pub(super) fn are_covered(times: &[u64], by: &[Came]) -> bool {
    times.iter().all(|at| by.iter().any(|came| came.covers(*at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(from: u64, until: Option<u64>) -> Came {
        Came { from, until }
    }

    #[test]
    fn what_came_before_or_behind_a_retrieve_came_otherwise() {
        let all = [came(10_000, Some(20_000)), came(90_000, Some(95_000))];
        assert!(are_covered(&[9_500, 15_000, 20_900, 92_000], &all));
        assert!(!are_covered(&[15_000, 50_000], &all));
        assert!(!are_covered(&[8_000], &all) && !are_covered(&[22_000], &all) && !are_covered(&[1], &[]));
        assert!(are_covered(&[5_000_000], &[came(10_000, None)]), "it goes on");
        assert!(!are_covered(&[u64::MAX / 2], &[came(10_000, None)]), "for hours at the most");
    }

    #[test]
    fn one_that_brings_nothing_takes_nothing_away() {
        let before = came(10, Some(20));
        assert_eq!(Came::begin(Some(before), false).end(Some(before), false), Some(before));
        assert_eq!(Came::begin(None, false).end(None, false), None);
        assert!(Came::begin(None, false).end(None, true).is_some_and(|came| came.until.is_some()));
        let goes_on = Came::begin(Some(before), true).end(Some(before), true).unwrap();
        assert!(goes_on.from == 10 && goes_on.until > Some(20));
    }

    #[test]
    fn lines_of_an_older_version_tell_it_by_when_they_were_written() {
        let line = |body: &str| Registered {
            name: "1.2 OLD".to_owned(),
            body: body.to_owned(),
            made: 5,
            written: 9,
            times: 2,
        };
        assert_eq!(Came::of_line(&line(r#"{"here": 3, "state": "done"}"#)), Some(came(5, Some(9))));
        assert_eq!(Came::of_line(&line(r#"{"here": 3}"#)), Some(came(0, Some(9))));
        for nothing in [r#"{"here": 0}"#, r#"{"here": 3, "state": "absent"}"#] {
            assert_eq!(Came::of_line(&line(nothing)), None, "{nothing}");
        }
        assert_eq!(Came::of_line(&line(r#"{"here": 3, "came": null}"#)), None);
        let told = r#"{"here": 3, "came": {"from": 1, "until": null}}"#;
        assert_eq!(Came::of_line(&line(told)), Some(came(1, None)));
    }
}
