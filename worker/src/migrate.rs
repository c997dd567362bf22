//! An old archive comes over: study by study, counted, and again until nothing is missing.
//!
//! Which studies there are is asked until no answer may hide any (`listing`). What became of each study is noted in the
//! register, so that whoever is stopped goes on where it was; what is complete, and of which the peer has no more than before,
//! is not asked about again as long as all of it is here.

mod listing;

use std::fmt;
use std::time::Duration;

use chrono::{Days, Local, NaiveDate};
use dicom_store::model::{
    AeTitle, Error as StoreError, ErrorKind, Resource, SopInstanceUid, StudyInstanceUid,
};
use dicom_store::register::Entry;
use dicom_store::{Session, Work};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::listing::{Listed, Listing};
use crate::Result;
use crate::digest::digest_of;
use crate::jobs::came::Came;
use crate::jobs::to_json;
use crate::remote::{Fetched, Remotes};

/// The kind of its lines in the register.
pub const MIGRATION: &str = "migration";
/// Before the first digital image.
const FIRST_YEAR: i32 = 1970;
/// Times that a question or a study is tried before it is given up for this time.
const TRIES: u32 = 3;
const REST: Duration = Duration::from_secs(2);
/// Deleted instances of one study that are counted.
const MOST_DELETED: u32 = 1_000_000;
/// Instances that a line of the register names as missing.
const MOST_NAMED: usize = 1000;

/// What is brought over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    /// Where from.
    pub peer: AeTitle,
    /// Study dates, `YYYYMMDD`; without the first all there are, those without a date as well.
    pub since: Option<String>,
    pub until: Option<String>,
    /// Studies at a time.
    pub at_a_time: usize,
    /// Bytes a second, at the most; as fast as it goes without.
    pub bytes_a_second: Option<u64>,
}

/// The first and the last Study Date of an order, where it names them.
///
/// # Errors
/// `Invalid` when one is no date, or the first is later than the last.
pub fn dates(
    since: Option<&str>,
    until: Option<&str>,
) -> dicom_store::Result<(Option<NaiveDate>, Option<NaiveDate>)> {
    let (first, last) = (since.map(date).transpose()?, until.map(date).transpose()?);
    if let (Some(first), Some(last)) = (first, last)
        && first > last
    {
        let (first, last) = (first.format("%Y%m%d"), last.format("%Y%m%d"));
        let what = format!("since {first} is later than until {last}: no study is of both");
        return Err(StoreError::invalid(what));
    }
    Ok((first, last))
}

fn date(text: &str) -> dicom_store::Result<NaiveDate> {
    let is_eight_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| is_eight_digits);
    date.ok_or_else(|| StoreError::invalid(format!("{text:?} is no date of the form YYYYMMDD")))
}

/// A study of the old archive, as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Migrated {
    pub study: StudyInstanceUid,
    /// Instances that the peer says it has.
    pub expected: Option<u64>,
    pub here: u64,
    pub missing: Vec<SopInstanceUid>,
    /// BLAKE3 over the digests of all that is here, in the order of their UIDs; empty while anything is missing.
    pub digest: String,
    /// Why it was given up last.
    pub error: Option<String>,
    /// Instances that were here and that somebody has deleted or rejected here since: they are not brought again.
    #[serde(default)]
    pub deleted: u64,
    /// When it brought something last.
    #[serde(default)]
    pub came: Option<Came>,
}

impl Migrated {
    /// Whether all is here that the peer has, but for what was deleted here.
    pub fn is_complete(&self) -> bool {
        self.error.is_none()
            && self.missing.is_empty()
            && self.expected.is_some_and(|expected| self.here + self.deleted >= expected)
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Studies that the peer has.
    pub studies: u64,
    /// Of these, those of which everything is here.
    pub complete: u64,
    /// Those that were complete before.
    pub known: u64,
    /// Instances of the peer's studies, as far as it says, and those of them that are here.
    pub expected: u64,
    pub here: u64,
    /// Instances that are not here.
    pub missing: u64,
    /// Instances that were here and were deleted here since.
    #[serde(default)]
    pub deleted: u64,
    /// Questions that the peer did not answer, or maybe not in full: there may be more studies.
    pub unanswered: u64,
}

impl Counts {
    /// Whether everything has come.
    pub fn is_complete(&self) -> bool {
        self.complete == self.studies && self.unanswered == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { studies, complete, known, expected, here, missing, deleted, unanswered } = self;
        write!(f, "{complete} of {studies} studies complete ({known} of them before), ")?;
        write!(f, "{here} of {expected} instances here, {missing} missing")?;
        if *deleted > 0 {
            write!(f, ", {deleted} deleted here since they came")?;
        }
        if *unanswered > 0 {
            write!(f, "; {unanswered} questions were not answered in full, there may be more studies")?;
        }
        Ok(())
    }
}

/// Brings studies over.
pub struct Migration<'a> {
    pub order: Order,
    pub remotes: &'a dyn Remotes,
    /// Reads what is here.
    pub session: &'a Session,
    pub work: &'a Work,
    /// Nothing further is begun when it is cancelled.
    pub stop: &'a CancellationToken,
}

impl Migration<'_> {
    /// Does it; tells of each study, and whether it was complete before.
    ///
    /// # Errors
    /// When the register cannot be written, and as [`dates`].
    pub async fn run(&self, tell: impl Fn(&Migrated, bool)) -> Result<Counts> {
        let mut counts = Counts::default();
        let listed = self.list(&mut counts).await?;
        self.bring(listed, &mut counts, tell).await?;
        Ok(counts)
    }

    /// Brings these over, and counts.
    pub(crate) async fn bring(
        &self,
        listed: Vec<Listed>,
        counts: &mut Counts,
        tell: impl Fn(&Migrated, bool),
    ) -> Result<()> {
        let pace = Pace::new(self.order.bytes_a_second);
        let results = stream::iter(listed).map(|listed| self.study(listed, &pace));
        let mut results = std::pin::pin!(results.buffer_unordered(self.order.at_a_time.max(1)));
        while let Some(result) = results.next().await {
            let Some((migrated, was_complete)) = result? else { continue };
            counts.complete += u64::from(migrated.is_complete());
            counts.known += u64::from(was_complete);
            counts.expected += migrated.expected.unwrap_or(0);
            counts.here += migrated.here;
            counts.deleted += migrated.deleted;
            let lacks = migrated.expected.unwrap_or(0).saturating_sub(migrated.here + migrated.deleted);
            counts.missing += lacks.max(migrated.missing.len() as u64);
            tell(&migrated, was_complete);
        }
        Ok(())
    }

    /// Everything that the order is about, by UID. What was not answered in full is counted.
    pub(crate) async fn list(&self, counts: &mut Counts) -> Result<Vec<Listed>> {
        let (since, until) = dates(self.order.since.as_deref(), self.order.until.as_deref())?;
        let tomorrow = Local::now().date_naive() + Days::new(1);
        let earliest = NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1).unwrap_or(tomorrow);
        let first = since.unwrap_or_else(|| earliest.min(until.unwrap_or(earliest)));
        let last = until.unwrap_or_else(|| tomorrow.max(first));
        let mut listing = Listing::new(&self.order.peer, self.remotes, self.stop);
        listing.dates(first, last).await;
        if since.is_none() && until.is_none() {
            listing.without_date().await;
        }
        let (listed, unanswered) = listing.end();
        (counts.studies, counts.unanswered) = (listed.len() as u64, unanswered);
        Ok(listed)
    }

    /// One study; gives what is known of it then, and whether it was complete before. `None` when it was stopped.
    async fn study(&self, listed: Listed, pace: &Pace) -> Result<Option<(Migrated, bool)>> {
        if self.stop.is_cancelled() {
            return Ok(None);
        }
        let name = format!("{} {}", listed.study, self.order.peer);
        let line = self.work.registered_as(MIGRATION, &name).await?;
        let came = line.as_ref().and_then(Came::of_line);
        let before = line.and_then(|row| serde_json::from_str::<Migrated>(&row.body).ok());
        let here = self.here(&listed.study).await?;
        if let Some(before) = &before
            && before.is_complete()
            && listed.instances.is_none_or(|now| before.expected.is_some_and(|then| now <= then))
            && let Some(still) = self.still(before, &here).await?
        {
            if still != *before {
                self.work.register(&[Entry::new(MIGRATION, name, to_json(&still)?)]).await?;
            }
            return Ok(Some((still, true)));
        }
        pace.wait().await;
        let begun = Came::begin(came, before.is_some_and(|before| !before.is_complete()));
        // Before anything comes: what comes is nothing new that rules are asked for.
        let under_way = Migrated {
            study: listed.study.clone(),
            expected: listed.instances,
            here: here.len() as u64,
            missing: Vec::new(),
            digest: String::new(),
            error: Some("it has not come to its end".to_owned()),
            deleted: 0,
            came: Some(begun),
        };
        self.work.register(&[Entry::new(MIGRATION, name.clone(), to_json(&under_way)?)]).await?;
        let fetched = self.fetch(&listed.study).await;
        let now_here = self.here(&listed.study).await?;
        let came = begun.end(came, now_here.len() > here.len());
        let migrated = match fetched {
            Ok(fetched) => {
                let digest = if fetched.is_complete() {
                    pace.count(now_here.iter().map(|(_, length)| length).sum());
                    self.digest(&now_here).await?
                } else {
                    String::new()
                };
                Migrated {
                    study: listed.study,
                    expected: fetched.expected.or(listed.instances),
                    here: fetched.here,
                    missing: fetched.missing.into_iter().take(MOST_NAMED).collect(),
                    digest,
                    error: None,
                    deleted: 0,
                    came,
                }
            }
            Err(error) => {
                warn!(study = %listed.study, %error, "a study did not come");
                Migrated {
                    here: now_here.len() as u64,
                    study: listed.study,
                    expected: listed.instances,
                    missing: Vec::new(),
                    digest: String::new(),
                    error: Some(error.to_string()),
                    deleted: 0,
                    came,
                }
            }
        };
        self.work.register(&[Entry::new(MIGRATION, name, to_json(&migrated)?)]).await?;
        Ok(Some((migrated, false)))
    }

    async fn fetch(&self, study: &StudyInstanceUid) -> Result<Fetched> {
        let mut attempt = 1;
        loop {
            match self.remotes.fetch(&self.order.peer, study, self.stop).await {
                Err(error) if !error.is_permanent() && attempt < TRIES && !self.stop.is_cancelled() => {
                    warn!(%study, %error, attempt, "a study did not come, trying again");
                    attempt += 1;
                    tokio::time::sleep(REST).await;
                }
                fetched => return fetched,
            }
        }
    }

    async fn here(&self, study: &StudyInstanceUid) -> Result<Vec<(SopInstanceUid, u64)>> {
        match self.session.instances(&Resource::Study(study.clone())).await {
            Ok(instances) => Ok(instances
                .into_iter()
                .map(|instance| (instance.sop_instance, instance.location.length))
                .collect()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of a study that was complete, by what is here of it now; `None` when the peer has to be asked again: what
    /// is not here any more was not deleted by anybody.
    async fn still(&self, before: &Migrated, here: &[(SopInstanceUid, u64)]) -> Result<Option<Migrated>> {
        let digest = self.digest(here).await?;
        if digest == before.digest {
            return Ok(Some(before.clone()));
        }
        let study = Resource::Study(before.study.clone());
        let deleted = self.session.hidden_of(&study, MOST_DELETED).await?.len() as u64;
        let here = here.len() as u64;
        let is_explained = deleted > 0 && here + deleted >= before.here + before.deleted;
        Ok(is_explained.then(|| Migrated { here, deleted, digest, ..before.clone() }))
    }

    /// One digest of all that is here of a study.
    async fn digest(&self, here: &[(SopInstanceUid, u64)]) -> Result<String> {
        let uids: Vec<SopInstanceUid> = here.iter().map(|(uid, _)| uid.clone()).collect();
        digest_of(self.session, &uids).await
    }
}

/// How fast it may be, all studies together.
struct Pace {
    bytes_a_second: Option<u64>,
    free_at: std::sync::Mutex<Instant>,
}

impl Pace {
    fn new(bytes_a_second: Option<u64>) -> Self {
        Self { bytes_a_second, free_at: std::sync::Mutex::new(Instant::now()) }
    }

    fn free_at(&self) -> std::sync::MutexGuard<'_, Instant> {
        // A panic elsewhere cannot have broken a point in time.
        self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// So much has come.
    fn count(&self, bytes: u64) {
        if let Some(rate) = self.bytes_a_second.filter(|rate| *rate > 0) {
            let took = Duration::from_millis(bytes.saturating_mul(1000) / rate);
            let mut free_at = self.free_at();
            *free_at = (*free_at).max(Instant::now()) + took;
        }
    }

    /// Waits until the next study may begin.
    async fn wait(&self) {
        let until = *self.free_at();
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests;
