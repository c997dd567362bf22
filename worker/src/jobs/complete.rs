//! When a study is complete, and what follows: the rules are asked, and peers are told that want to know.
//!
//! Nobody says so in so many words. What counts is evidence, of which every piece is kept: the association that brought
//! instances has ended, nothing has come for a while, somebody has asked us to commit ourselves to all of it, as many are
//! here as there should be, all is here that a completed procedure step has made. The first piece has the rules asked, and
//! each piece those that wait for its kind. More may come later, or something in the place of what was deleted; then the
//! study is complete once more, with other instances.

mod evidence;
mod performed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dicom::dictionary_std::tags;
use dicom_store::model::{
    AeTitle, Attributes, Instance, Level, Resource, SopInstanceUid, StudyInstanceUid, TextReading,
    TransactionUid, VR,
};
use dicom_store::queue::NewJob;
use dicom_store::register::Entry;
use dicom_store::{ErrorKind, Key, Peer, Query, Session, StudyText, TextQuery, Work};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use super::came::{all_of, are_covered};
use super::webhook::{StudyComplete, Webhook};
use super::{Forward, Notify, Prefetching, WebRendition};
use crate::clock;
use crate::digest::digest_of;
use crate::job::{HowFar, Job, new_job};
use crate::remote::Remotes;
use crate::rules::{Action, Rule, Subject};
use crate::{Error, Result};

pub use evidence::{Completed, Evidence, EvidenceKind};
pub use performed::StepPerformed;

/// The kind of its lines in the register.
pub const COMPLETE: &str = "complete";
/// An instance that came longer ago has been told of before: the index was made anew.
const LONG_AGO: Duration = Duration::from_secs(24 * 3600);
/// What an association brought is looked at so soon after its end.
const SOON: Duration = Duration::from_secs(2);
/// Instances that are looked up together.
const AT_ONCE: usize = 500;
/// Times that a line is written anew which somebody else has written meanwhile.
const TRIES: u32 = 5;
/// Peers that are looked at for who wants to know.
const MOST_PEERS: u32 = 1000;

/// What evidence leads to; cheap to clone.
#[derive(Clone)]
pub struct Completion {
    session: Session,
    work: Work,
    rules: Arc<Vec<Rule>>,
    remotes: Arc<dyn Remotes>,
}

impl Completion {
    /// Asks these rules.
    pub fn new(session: Session, work: Work, rules: Vec<Rule>, remotes: Arc<dyn Remotes>) -> Self {
        Self { session, work, rules: Arc::new(rules), remotes }
    }

    async fn settle(&self, study: &StudyInstanceUid, evidence: Evidence) -> Result<()> {
        for _ in 0..TRIES {
            if self.take_in(study, evidence.clone()).await? {
                return Ok(());
            }
        }
        let what = format!("evidence for study {study} comes faster than it is written down");
        Err(dicom_store::Error::new(ErrorKind::Unavailable, what).into())
    }

    /// Does what follows from a piece of evidence; `false` when another piece was taken in meanwhile, and it has to be looked
    /// again.
    async fn take_in(&self, study: &StudyInstanceUid, evidence: Evidence) -> Result<bool> {
        let (row, there) = (study_row(&self.session, study).await?, self.instances(study).await?);
        let Some(row) = row.filter(|_| !there.is_empty()) else {
            debug!(%study, "a study that was complete is not there any more");
            return Ok(true);
        };
        let instances = there.len() as u64;
        let uids: Vec<_> = there.iter().map(|instance| instance.sop_instance.clone()).collect();
        let mark = digest_of(&self.session, &uids).await?;
        let line = self.work.registered_as(COMPLETE, study.as_str()).await?;
        let times = line.as_ref().map_or(0, |line| line.times);
        let before = line.and_then(|line| serde_json::from_str::<Completed>(&line.body).ok());
        let are_known = before.as_ref().filter(|before| before.is_of(instances, &mark));
        let known: Vec<Evidence> = are_known.into_iter().flat_map(Completed::all).cloned().collect();
        let mut new = vec![evidence];
        if known.is_empty() && self.expected(&there).await? == Some(instances) {
            new.push(Evidence::ExpectedCount { count: instances });
        }
        new.retain(|new| known.iter().all(|known| known.kind() != new.kind()));
        if new.is_empty() {
            return Ok(true);
        }
        let texts = self.texts(study).await?;
        let was_fetched = match are_known.and_then(|known| known.fetched) {
            Some(was_fetched) => was_fetched,
            None => self.was_fetched(study, before.as_ref(), &texts).await?,
        };
        let senders = texts.iter().map(|text| text.sender.clone()).collect();
        let subject = Complete { study, row: &row, instances, mark: &mark, senders, was_fetched };
        let jobs = self.jobs(&subject, (&known, &new)).await?;
        info!(%study, instances, evidence = ?new, jobs = jobs.len(), "study complete");
        self.work.enqueue_durably(&jobs).await?;
        // Behind the jobs: whoever is stopped between makes them again, which changes nothing.
        let mut all = known.into_iter().chain(new);
        let Some(evidence) = all.next() else { return Ok(true) };
        let completed = Completed {
            study: study.clone(),
            instances,
            evidence,
            further: all.collect(),
            mark,
            fetched: Some(was_fetched),
            newest: texts.iter().map(|text| text.newest).max().unwrap_or(0),
        };
        let entry = Entry::new(COMPLETE, study.as_str(), to_json(&completed)?);
        Ok(self.work.register_if(&entry, times).await?)
    }

    /// What is shown of a study.
    async fn instances(&self, study: &StudyInstanceUid) -> Result<Vec<Instance>> {
        match self.session.instances(&Resource::Study(study.clone())).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            instances => Ok(instances?),
        }
    }

    /// How many instances whoever made the study says that it has; of the one that came last, for it is no less than those
    /// that were sent before it was known.
    async fn expected(&self, there: &[Instance]) -> Result<Option<u64>> {
        let Some(last) =
            there.iter().max_by_key(|instance| (instance.location.pack, instance.location.offset))
        else {
            return Ok(None);
        };
        let header = self.session.header(last).await?;
        let count = header.attributes()?.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES);
        Ok(count.and_then(|count| u64::try_from(count).ok()))
    }

    /// `evidence`: what was known before of these instances, and what is new.
    async fn jobs(
        &self,
        complete: &Complete<'_>,
        evidence: (&[Evidence], &[Evidence]),
    ) -> Result<Vec<NewJob>> {
        let (known, new) = evidence;
        let Complete { study, row, instances, mark, ref senders, was_fetched } = *complete;
        let subject = Subject {
            modalities: row.texts(tags::MODALITIES_IN_STUDY),
            senders: senders.clone(),
            description: row.text(tags::STUDY_DESCRIPTION).unwrap_or_default(),
            age: row.text(tags::STUDY_DATE).and_then(|date| clock::days_since(&date)),
            minute: clock::minute_of_day(),
            known: known.iter().map(Evidence::kind).collect(),
            new: new.iter().map(Evidence::kind).collect(),
        };
        let mut jobs = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.when.holds(&subject)) {
            for action in &rule.then {
                jobs.extend(match action {
                    Action::WebRendition(wanted) => Some(WebRendition::of(study, wanted)?),
                    _ if was_fetched => None,
                    Action::Route(route) => Some(Forward::by_rule(&route.to, study, &rule.name)?),
                    Action::Prefetch(prefetch) => Some(Prefetching::of(study, prefetch, &rule.name)?),
                    Action::Webhook(hook) => Some(Webhook::of(
                        &hook.to,
                        &StudyComplete {
                            study: study.clone(),
                            instances,
                            modalities: subject.modalities.clone(),
                            evidence: known.iter().chain(new).cloned().collect(),
                            rule: rule.name.clone(),
                        },
                        mark,
                    )?),
                });
            }
        }
        if known.is_empty() {
            for peer in self.who_wants_to_know().await? {
                jobs.push(Notify::of(&peer, study)?);
            }
        }
        Ok(jobs)
    }

    /// Whether what is new of it is what we have fetched ourselves, from another archive: then it is nothing new that peers are
    /// dealt with for. Otherwise priors would have their priors fetched, and an old archive that comes over would be sent on.
    /// What nobody was asked for, such as a further image of a modality, is new whatever was fetched before or in vain.
    async fn was_fetched(
        &self,
        study: &StudyInstanceUid,
        before: Option<&Completed>,
        texts: &[StudyText],
    ) -> Result<bool> {
        let came = all_of(&self.work, study).await?;
        let since = before.map_or(0, |before| before.newest);
        let new: Vec<u64> = texts.iter().map(|text| text.newest).filter(|newest| *newest > since).collect();
        if new.is_empty() {
            return Ok(before.and_then(|before| before.fetched).unwrap_or(!came.is_empty()));
        }
        Ok(are_covered(&new, &came))
    }

    /// What each sender has sent of it, and when the last of that came.
    async fn texts(&self, study: &StudyInstanceUid) -> Result<Vec<StudyText>> {
        let query = TextQuery {
            studies: vec![study.clone()],
            sender: None,
            readings: TextReading::all().collect(),
            before: None,
            limit: 1,
        };
        Ok(self.session.text_of_studies(&query).await?)
    }

    /// The studies that instances are of, each with those of them that are here.
    async fn studies_of(
        &self,
        instances: &[SopInstanceUid],
    ) -> Result<BTreeMap<StudyInstanceUid, BTreeSet<SopInstanceUid>>> {
        let mut studies: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for some in instances.chunks(AT_ONCE) {
            let list = some.iter().map(SopInstanceUid::as_str).collect::<Vec<_>>().join("\\");
            let mut query = Query::new(Level::Instance);
            query.keys = vec![Key::parse(&[tags::SOP_INSTANCE_UID], VR::UI, &list)?];
            let mut rows = self.session.search(&query).await?;
            while let Some(row) = rows.try_next().await? {
                let study = row.attributes.uid(tags::STUDY_INSTANCE_UID).map(StudyInstanceUid::parse);
                let instance = row.attributes.uid(tags::SOP_INSTANCE_UID).map(SopInstanceUid::parse);
                if let (Some(Ok(study)), Some(Ok(instance))) = (study, instance) {
                    studies.entry(study).or_default().insert(instance);
                }
            }
        }
        Ok(studies)
    }

    async fn who_wants_to_know(&self) -> Result<Vec<AeTitle>> {
        let mut peers = self.remotes.fixed();
        for row in self.work.registered("peer", "", MOST_PEERS).await? {
            match Peer::read(&row) {
                Ok(peer) => peers.push(peer),
                Err(error) => warn!(%error, "a peer of the register cannot be read"),
            }
        }
        let mut wanting: Vec<AeTitle> =
            peers.into_iter().filter(|peer| peer.notify_availability).map(|peer| peer.ae_title).collect();
        wanting.sort_unstable();
        wanting.dedup();
        Ok(wanting)
    }
}

/// A study that is complete, with what it consists of.
struct Complete<'a> {
    study: &'a StudyInstanceUid,
    row: &'a Attributes,
    instances: u64,
    mark: &'a str,
    /// Who it came from.
    senders: Vec<String>,
    /// We have fetched it ourselves.
    was_fetched: bool,
}

/// What the index tells of a study.
pub(crate) async fn study_row(session: &Session, study: &StudyInstanceUid) -> Result<Option<Attributes>> {
    let mut query = Query::new(Level::Study);
    query.keys = vec![Key::parse(&[tags::STUDY_INSTANCE_UID], VR::UI, study.as_str())?];
    query.page.limit = Some(1);
    let mut rows = session.search(&query).await?;
    Ok(rows.try_next().await?.map(|row| row.attributes))
}

pub(crate) fn instances_of(study: &Attributes) -> u64 {
    let count = study.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES);
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Payload { kind: "register".to_owned(), source })
}

/// Nothing has come for a while.
pub struct Quiet(pub Completion);

/// Which study, and what was waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietStudy {
    study: StudyInstanceUid,
    seconds: u64,
}

impl Quiet {
    /// The job of a study that grows, each time moved on; `None` for one of which everything came long ago. `newest`: when
    /// its newest instance came, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn after(study: &StudyInstanceUid, newest: u64, wait: Duration) -> Result<Option<NewJob>> {
        if Duration::from_millis(newest) + LONG_AGO < clock::since_1970() {
            return Ok(None);
        }
        let payload = QuietStudy { study: study.clone(), seconds: wait.as_secs() };
        new_job::<Self>(study.to_string(), &payload, wait).map(Some)
    }
}

impl Job for Quiet {
    const KIND: &'static str = "study-quiet";
    type Payload = QuietStudy;

    async fn run(&self, QuietStudy { study, seconds }: QuietStudy, _: &HowFar) -> Result<()> {
        self.0.settle(&study, Evidence::Quiet { seconds }).await
    }
}

/// An association that brought instances has ended.
pub struct AssociationEnded(pub Completion);

/// What it brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    calling: AeTitle,
    study: StudyInstanceUid,
}

impl AssociationEnded {
    /// The job of a study that an association has brought instances of.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn with(calling: &AeTitle, study: &StudyInstanceUid) -> Result<NewJob> {
        let payload = Brought { calling: calling.clone(), study: study.clone() };
        new_job::<Self>(study.to_string(), &payload, SOON)
    }
}

impl Job for AssociationEnded {
    const KIND: &'static str = "association-ended";
    type Payload = Brought;

    async fn run(&self, Brought { calling, study }: Brought, _: &HowFar) -> Result<()> {
        self.0.settle(&study, Evidence::AssociationEnded { calling }).await
    }
}

/// Somebody has asked us to commit ourselves to instances, and all of them are kept as they came.
pub struct Committed(pub Completion);

/// Who has asked, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    calling: AeTitle,
    transaction: TransactionUid,
    instances: Vec<SopInstanceUid>,
}

impl Committed {
    /// The job of a transaction that has come to a good end.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn to(
        calling: &AeTitle,
        transaction: &TransactionUid,
        instances: impl Iterator<Item = SopInstanceUid>,
    ) -> Result<NewJob> {
        let (calling, transaction) = (calling.clone(), transaction.clone());
        let key = format!("{calling} {transaction}");
        new_job::<Self>(
            key,
            &Commitment { calling, transaction, instances: instances.collect() },
            Duration::ZERO,
        )
    }
}

impl Job for Committed {
    const KIND: &'static str = "committed";
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    type Payload = Commitment;

    async fn run(
        &self,
        Commitment { calling, transaction, instances }: Commitment,
        _: &HowFar,
    ) -> Result<()> {
        for (study, of_it) in self.0.studies_of(&instances).await? {
            let row = study_row(&self.0.session, &study).await?;
            if row.is_some_and(|row| instances_of(&row) == of_it.len() as u64) {
                let evidence =
                    Evidence::Commitment { calling: calling.clone(), transaction: transaction.clone() };
                self.0.settle(&study, evidence).await?;
            }
        }
        Ok(())
    }
}
