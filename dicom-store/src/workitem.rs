//! Workitems: Unified Procedure Steps (PS3.4 Annex CC). What may be done with one in which state, whatever protocol
//! asks for it.
//!
//! | state | SCHEDULED | IN PROGRESS | COMPLETED, CANCELED |
//! |---|---|---|---|
//! | update | by anybody | with its Transaction UID | never |
//! | to IN PROGRESS | claims it: the Transaction UID is the lock | refused | refused |
//! | to COMPLETED, CANCELED | refused | with its Transaction UID, when it says all that a final state has to | done already, or refused |
//! | request for cancellation | becomes CANCELED | the performer is told | CANCELED: done already |

mod requirements;

use serde::{Deserialize, Serialize};

use dicom::dictionary_std::{tags, uids};

use crate::hex::{from_hex, hex};
use crate::model::{Attributes, Encoding, SopInstanceUid, Tag, VR, correction};
use crate::{Error, Result as Outcome};

/// Bytes of a workitem's data set, at the most.
pub const MOST_BYTES: usize = 256 << 10;

/// Its kind in the register.
pub(crate) const WORKITEM: &str = "workitem";

/// UPS State (PS3.4 Table CC.1.1-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    Scheduled,
    InProgress,
    Completed,
    Canceled,
}

impl StepState {
    /// As Procedure Step State (0074,1000) has it.
    pub fn term(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }

    /// `None` for a term that is none.
    pub fn of(term: &str) -> Option<Self> {
        [Self::Scheduled, Self::InProgress, Self::Completed, Self::Canceled]
            .into_iter()
            .find(|state| state.term() == term)
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// Why something is not done: each protocol has a status for each of them (PS3.4 §CC.2).
#[derive(Debug, thiserror::Error)]
pub enum StepRefusal {
    #[error("there is a workitem with this UID already")]
    Exists,
    #[error("there is no such workitem")]
    Unknown,
    #[error("there is no such subscription")]
    NotSubscribed,
    /// The data set is none that could be taken.
    #[error("{0}")]
    Invalid(String),
    #[error("the Transaction UID is missing")]
    TransactionMissing,
    #[error("the Transaction UID is not the one that claimed the workitem")]
    TransactionIncorrect,
    /// A Transaction UID for one that nobody has claimed.
    #[error("nobody has claimed the workitem")]
    NotClaimed,
    #[error("the workitem is {} and cannot become {}", .0.term(), .1.term())]
    Transition(StepState, StepState),
    #[error("the workitem is {} and is not changed any more", .0.term())]
    Final(StepState),
    /// It does not say yet what its final state has to (PS3.4 Table CC.2.5-3).
    #[error("{0}")]
    Unfinished(String),
    #[error(transparent)]
    Archive(#[from] Error),
}

type Result<T> = std::result::Result<T, StepRefusal>;

/// What subscribers are told (PS3.4 Table CC.2.4-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepEvent {
    StateReport,
    CancelRequested,
    ProgressReport,
    Assigned,
}

impl StepEvent {
    /// Event Type ID (0000,1002).
    pub fn id(self) -> u16 {
        match self {
            Self::StateReport => 1,
            Self::CancelRequested => 2,
            Self::ProgressReport => 3,
            Self::Assigned => 5,
        }
    }
}

/// An event of a workitem, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    pub workitem: SopInstanceUid,
    pub event: StepEvent,
    pub information: Attributes,
}

/// Whether a state was reached, or had been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    Now,
    Before,
}

/// A workitem as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workitem {
    pub uid: SopInstanceUid,
    pub state: StepState,
    /// The lock of the one who performs it.
    transaction: Option<String>,
    /// All but the Transaction UID, which only its owner knows.
    pub attributes: Attributes,
}

/// As a line of the register has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Kept {
    state: StepState,
    transaction: Option<String>,
    /// The data set in Explicit VR Little Endian, in hexadecimal digits.
    data_set: String,
}

impl Workitem {
    /// A new one (N-CREATE), and whether something was put in that the request left out.
    pub(crate) fn create(uid: SopInstanceUid, mut attributes: Attributes, now: u64) -> Result<(Self, bool)> {
        requirements::check_creation(&attributes)?;
        let was_completed = requirements::complete(&mut attributes);
        attributes.remove(tags::TRANSACTION_UID);
        attributes.remove(tags::AFFECTED_SOP_INSTANCE_UID);
        attributes.put_text(tags::SOP_CLASS_UID, VR::UI, uids::UNIFIED_PROCEDURE_STEP_PUSH);
        attributes.put_text(tags::SOP_INSTANCE_UID, VR::UI, uid.as_str());
        let mut workitem = Self { uid, state: StepState::Scheduled, transaction: None, attributes };
        workitem.touch(now)?;
        Ok((workitem, was_completed))
    }

    /// Puts new values in (N-SET); gives what subscribers are told.
    pub(crate) fn update(
        &mut self,
        changes: &Attributes,
        transaction: Option<&str>,
        now: u64,
    ) -> Result<Vec<StepReport>> {
        if self.state.is_final() {
            return Err(StepRefusal::Final(self.state));
        }
        match (self.state, transaction) {
            (StepState::InProgress, given) => self.check_lock(given)?,
            (_, Some(_)) => return Err(StepRefusal::NotClaimed),
            (_, None) => {}
        }
        requirements::check_update(changes)?;
        let before = self.attributes.text(tags::INPUT_READINESS_STATE);
        for element in changes.iter().filter(|element| element.tag != tags::TRANSACTION_UID) {
            self.attributes.put_from(changes, element);
        }
        self.touch(now)?;
        let mut reports = Vec::new();
        if before != self.attributes.text(tags::INPUT_READINESS_STATE) {
            reports.push(self.state_report());
        }
        if changes.contains(tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE) {
            let of = [tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE];
            reports.push(self.report(StepEvent::ProgressReport, &of));
        }
        let of = [tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE, tags::SCHEDULED_HUMAN_PERFORMERS_SEQUENCE];
        if of.iter().any(|tag| changes.contains(*tag)) {
            reports.push(self.report(StepEvent::Assigned, &of));
        }
        Ok(reports)
    }

    /// Claims it, or brings it to an end (PS3.4 Table CC.1.1-2).
    pub(crate) fn change_state(
        &mut self,
        to: StepState,
        transaction: Option<&str>,
        now: u64,
    ) -> Result<(Reached, Vec<StepReport>)> {
        let transaction = transaction.filter(|uid| !uid.is_empty()).ok_or(StepRefusal::TransactionMissing)?;
        if self.state == StepState::Scheduled && to == StepState::InProgress {
            self.transaction = Some(transaction.to_owned());
            return Ok((Reached::Now, self.enter(to, now)?));
        }
        if self.transaction.is_some() {
            self.check_lock(Some(transaction))?;
        }
        match (self.state, to) {
            (StepState::InProgress, StepState::Completed) => {
                requirements::check_completion(&self.attributes)?;
                Ok((Reached::Now, self.enter(to, now)?))
            }
            (StepState::InProgress, StepState::Canceled) => {
                requirements::say_why_canceled(&mut self.attributes, now);
                Ok((Reached::Now, self.enter(to, now)?))
            }
            (from, to) if from == to && from.is_final() => Ok((Reached::Before, Vec::new())),
            (from, to) => Err(StepRefusal::Transition(from, to)),
        }
    }

    /// Somebody who does not perform it wants it not to be done (PS3.4 §CC.2.2). One that nobody has claimed is canceled;
    /// who performs one is told.
    pub(crate) fn request_cancellation(
        &mut self,
        asked: &Attributes,
        by: &str,
        now: u64,
    ) -> Result<(Reached, Vec<StepReport>)> {
        match self.state {
            StepState::Completed => Err(StepRefusal::Final(self.state)),
            StepState::Canceled => Ok((Reached::Before, Vec::new())),
            StepState::InProgress => {
                let mut information = Attributes::new();
                for element in asked.iter().filter(|element| CANCELLATION.contains(&element.tag)) {
                    information.put_from(asked, element);
                }
                information.put_text(tags::REQUESTING_AE, VR::AE, by);
                let workitem = self.uid.clone();
                let report = StepReport { workitem, event: StepEvent::CancelRequested, information };
                Ok((Reached::Now, vec![report]))
            }
            StepState::Scheduled => {
                let reason = asked.text(tags::REASON_FOR_CANCELLATION);
                requirements::say_that_it_was_asked(&mut self.attributes, asked, reason.as_deref());
                requirements::say_why_canceled(&mut self.attributes, now);
                // Through IN PROGRESS, as the table of states has no other way.
                let mut reports = self.enter(StepState::InProgress, now)?;
                reports.extend(self.enter(StepState::Canceled, now)?);
                Ok((Reached::Now, reports))
            }
        }
    }

    fn check_lock(&self, transaction: Option<&str>) -> Result<()> {
        match transaction.filter(|uid| !uid.is_empty()) {
            None => Err(StepRefusal::TransactionMissing),
            Some(given) if self.transaction.as_deref() == Some(given) => Ok(()),
            Some(_) => Err(StepRefusal::TransactionIncorrect),
        }
    }

    fn enter(&mut self, state: StepState, now: u64) -> Result<Vec<StepReport>> {
        self.state = state;
        self.touch(now)?;
        Ok(vec![self.state_report()])
    }

    fn touch(&mut self, now: u64) -> Result<()> {
        let at = correction::date_time(now);
        self.attributes.put_text(tags::SCHEDULED_PROCEDURE_STEP_MODIFICATION_DATE_TIME, VR::DT, &at);
        self.attributes.put_text(tags::PROCEDURE_STEP_STATE, VR::CS, self.state.term());
        let bytes = self.attributes.write(Encoding::ExplicitLittle).len();
        if bytes > MOST_BYTES {
            return Err(StepRefusal::Invalid(format!(
                "a workitem has up to {MOST_BYTES} bytes, not {bytes}"
            )));
        }
        Ok(())
    }

    /// What a new subscriber is told first.
    pub(crate) fn state_report(&self) -> StepReport {
        let of = [
            tags::INPUT_READINESS_STATE,
            tags::PROCEDURE_STEP_STATE,
            tags::REASON_FOR_CANCELLATION,
            tags::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE,
        ];
        self.report(StepEvent::StateReport, &of)
    }

    fn report(&self, event: StepEvent, of: &[Tag]) -> StepReport {
        let mut information = Attributes::new();
        let progress = self.attributes.items(tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE).first();
        for attributes in [Some(&self.attributes), progress].into_iter().flatten() {
            for element in attributes.iter().filter(|element| of.contains(&element.tag)) {
                information.put_from(attributes, element);
            }
        }
        StepReport { workitem: self.uid.clone(), event, information }
    }

    pub(crate) fn read(name: &str, body: &str) -> Outcome<Self> {
        let wrong = || Error::corrupt(format!("workitem {name} of the register"));
        let kept: Kept = serde_json::from_str(body).map_err(|cause| wrong().with_source(cause))?;
        let bytes = from_hex(&kept.data_set).ok_or_else(wrong)?;
        let attributes = Attributes::read(bytes.into(), Encoding::ExplicitLittle)?;
        let uid = SopInstanceUid::parse(name)?;
        Ok(Self { uid, state: kept.state, transaction: kept.transaction, attributes })
    }

    pub(crate) fn body(&self) -> Outcome<String> {
        let bytes = self.attributes.write(Encoding::ExplicitLittle);
        let data_set = hex(&bytes);
        let kept = Kept { state: self.state, transaction: self.transaction.clone(), data_set };
        serde_json::to_string(&kept)
            .map_err(|cause| Error::internal("a workitem is no JSON").with_source(cause))
    }
}

/// What may be said with a request for cancellation (PS3.4 Table CC.2.2-1).
const CANCELLATION: [Tag; 4] = [
    tags::REASON_FOR_CANCELLATION,
    tags::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE,
    tags::CONTACT_URI,
    tags::CONTACT_DISPLAY_NAME,
];

#[cfg(test)]
mod tests;
