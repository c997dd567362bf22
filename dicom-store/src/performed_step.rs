//! Modality performed procedure steps (PS3.4 Annex F): what a modality says of what it does, from its beginning to its end.
//!
//! | N-SET of one that is | IN PROGRESS | COMPLETED, DISCONTINUED |
//! |---|---|---|
//! | any attribute but those of patient, order and beginning | taken | refused |
//! | those | passed over, and told where they say something else | refused |
//! | to COMPLETED, DISCONTINUED | when it says all that a final state has to | refused |

mod requirements;

use std::collections::BTreeSet;

use dicom::dictionary_std::{tags, uids};
use serde::{Deserialize, Serialize};

use crate::hex::{from_hex, hex};
use crate::model::{Attributes, Encoding, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, Tag, VR};
use crate::{Error, ErrorKind, Result as Outcome};

/// Bytes of its data set, at the most: it may name some 15,000 instances.
pub const MOST_BYTES: usize = 2 << 20;

/// Its kind in the register.
pub(crate) const PERFORMED_STEP: &str = "performed-step";
/// A line for each study that one is of, named by both.
pub(crate) const STEP_OF_STUDY: &str = "performed-step-of";
/// A line for each, named by when it was made, so that the oldest come first.
pub(crate) const STEP_BY_AGE: &str = "performed-step-made";
/// A line for each series of which instances are missing that a completed step names, named by the series and the step.
/// Whoever looks for them writes it.
pub const AWAITED_SERIES: &str = "performed-step-awaits";

/// How well the data set is packed: UIDs that differ in their last digits become a tenth whatever is asked for.
const LEVEL: i32 = 3;

/// Performed Procedure Step Status (PS3.3 §C.4.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerformedStepStatus {
    InProgress,
    Completed,
    Discontinued,
}

impl PerformedStepStatus {
    /// As Performed Procedure Step Status (0040,0252) has it.
    pub fn term(self) -> &'static str {
        match self {
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Discontinued => "DISCONTINUED",
        }
    }

    /// What a data set says; `None` where it says none that there is.
    pub fn told(by: &Attributes) -> Option<Self> {
        let term = by.text(tags::PERFORMED_PROCEDURE_STEP_STATUS)?;
        [Self::InProgress, Self::Completed, Self::Discontinued].into_iter().find(|one| one.term() == term)
    }

    pub fn is_final(self) -> bool {
        self != Self::InProgress
    }
}

/// Why something is not done (PS3.7 Annex C).
#[derive(Debug, thiserror::Error)]
pub enum PerformedStepRefusal {
    #[error("there is a performed procedure step with this UID")]
    Exists,
    #[error("there is no such performed procedure step")]
    Unknown,
    /// An attribute of type 1 did not come.
    #[error("{name} {tag} is missing")]
    Missing { tag: Tag, name: &'static str },
    /// It came, and without a value; or a final state needs one.
    #[error("{name} {tag} has no value")]
    Empty { tag: Tag, name: &'static str },
    #[error("{name} {tag} has a wrong value")]
    Value { tag: Tag, name: &'static str },
    /// In the words of PS3.4 Table F.7.2-2.
    #[error("Performed Procedure Step Object may no longer be updated")]
    Final,
    #[error(transparent)]
    Archive(#[from] Error),
}

type Result<T> = std::result::Result<T, PerformedStepRefusal>;

/// An instance that was made in a step, as the step names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub series: SeriesInstanceUid,
    pub sop_instance: SopInstanceUid,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformedProcedureStep {
    pub uid: SopInstanceUid,
    pub status: PerformedStepStatus,
    /// In UTF-8, whatever character sets it came in.
    pub attributes: Attributes,
}

/// As a line of the register has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Kept {
    status: PerformedStepStatus,
    /// The data set in Explicit VR Little Endian, packed by Zstandard, in hexadecimal digits.
    data_set: String,
}

impl PerformedProcedureStep {
    /// A new one (N-CREATE).
    pub(crate) fn create(uid: SopInstanceUid, asked: &Attributes) -> Result<Self> {
        requirements::check_creation(asked)?;
        let mut attributes = Attributes::new();
        put_all(&mut attributes, asked, |_| true);
        requirements::REQUIREMENTS.complete(&mut attributes);
        attributes.put_text(tags::SOP_CLASS_UID, VR::UI, uids::MODALITY_PERFORMED_PROCEDURE_STEP);
        attributes.put_text(tags::SOP_INSTANCE_UID, VR::UI, uid.as_str());
        let step = Self { uid, status: PerformedStepStatus::InProgress, attributes };
        step.check_length()?;
        Ok(step)
    }

    /// Puts new values in (N-SET); gives those that it may not change and that say something else than it does.
    pub(crate) fn set(&mut self, changes: &Attributes) -> Result<Vec<Tag>> {
        if self.status.is_final() {
            return Err(PerformedStepRefusal::Final);
        }
        requirements::check_changes(changes)?;
        let mut changed = self.clone();
        put_all(&mut changed.attributes, changes, |tag| !requirements::REQUIREMENTS.is_fixed(tag));
        changed.status = PerformedStepStatus::told(&changed.attributes).unwrap_or(self.status);
        if changed.status.is_final() {
            requirements::check_end(&changed.attributes)?;
        }
        changed.check_length()?;
        let fixed = |tag: &Tag| requirements::REQUIREMENTS.is_fixed(*tag);
        let passed_over = changes
            .iter()
            .map(|element| element.tag)
            .filter(|tag| fixed(tag) && !says_the_same(&self.attributes, changes, *tag));
        let passed_over = passed_over.collect();
        *self = changed;
        Ok(passed_over)
    }

    fn check_length(&self) -> Outcome<()> {
        let bytes = self.attributes.write(Encoding::ExplicitLittle).len();
        if bytes > MOST_BYTES {
            let what = format!("a performed procedure step has up to {MOST_BYTES} bytes, not {bytes}");
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(())
    }

    /// The studies that it says it is of.
    pub fn studies(&self) -> BTreeSet<StudyInstanceUid> {
        let items = self.attributes.items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE).iter();
        items.filter_map(|item| StudyInstanceUid::parse(item.uid(tags::STUDY_INSTANCE_UID)?).ok()).collect()
    }

    /// The series that it has made.
    pub(crate) fn series(&self) -> BTreeSet<SeriesInstanceUid> {
        self.performed().map(|(series, _)| series).collect()
    }

    /// The instances that it has made, images and others.
    pub fn references(&self) -> BTreeSet<Reference> {
        let of_series = |(series, item): (SeriesInstanceUid, &Attributes)| {
            let instances = requirements::REFERENCES.iter().flat_map(|sequence| item.items(*sequence));
            let instances = instances.filter_map(|reference| {
                let uid = SopInstanceUid::parse(reference.uid(tags::REFERENCED_SOP_INSTANCE_UID)?).ok()?;
                Some(Reference { series: series.clone(), sop_instance: uid })
            });
            instances.collect::<Vec<_>>()
        };
        self.performed().flat_map(of_series).collect()
    }

    fn performed(&self) -> impl Iterator<Item = (SeriesInstanceUid, &Attributes)> {
        let items = self.attributes.items(tags::PERFORMED_SERIES_SEQUENCE).iter();
        items.filter_map(|item| {
            Some((SeriesInstanceUid::parse(item.uid(tags::SERIES_INSTANCE_UID)?).ok()?, item))
        })
    }

    pub(crate) fn read(name: &str, body: &str) -> Outcome<Self> {
        let wrong = || Error::corrupt(format!("performed procedure step {name} of the register"));
        let kept: Kept = serde_json::from_str(body).map_err(|cause| wrong().with_source(cause))?;
        let packed = from_hex(&kept.data_set).ok_or_else(wrong)?;
        let bytes =
            zstd::bulk::decompress(&packed, MOST_BYTES).map_err(|cause| wrong().with_source(cause))?;
        let attributes = Attributes::read(bytes.into(), Encoding::ExplicitLittle)?;
        Ok(Self { uid: SopInstanceUid::parse(name)?, status: kept.status, attributes })
    }

    pub(crate) fn body(&self) -> Outcome<String> {
        let bytes = self.attributes.write(Encoding::ExplicitLittle);
        let packed = zstd::bulk::compress(&bytes, LEVEL).map_err(|cause| {
            Error::internal("a performed procedure step cannot be packed").with_source(cause)
        })?;
        serde_json::to_string(&Kept { status: self.status, data_set: hex(&packed) })
            .map_err(|cause| Error::internal("a performed procedure step is no JSON").with_source(cause))
    }
}

/// Carries elements over into UTF-8: each data set has its own character set (PS3.4 §F.7.2.2.3).
fn put_all(into: &mut Attributes, from: &Attributes, is_wanted: impl Fn(Tag) -> bool) {
    let is_length = |tag: Tag| tag.1 == 0;
    for element in from.iter().filter(|element| element.tag != tags::SPECIFIC_CHARACTER_SET) {
        if !is_length(element.tag) && is_wanted(element.tag) {
            into.put_from(from, element);
        }
    }
}

/// Whether what comes is what is there, whatever character set it comes in.
fn says_the_same(there: &Attributes, coming: &Attributes, tag: Tag) -> bool {
    let mut carried = Attributes::new();
    if let Some(element) = coming.get(tag) {
        carried.put_from(coming, element);
    }
    let bytes = |attributes: &Attributes| {
        let mut alone = Attributes::new();
        if let Some(element) = attributes.get(tag) {
            alone.put(element.clone());
        }
        alone.write(Encoding::ExplicitLittle)
    };
    let says_nothing = carried.get(tag).is_none_or(|element| element.value.is_empty());
    let (before, now) = (there.texts(tag), carried.texts(tag));
    bytes(there) == bytes(&carried)
        || (says_nothing && !there.contains(tag))
        || (!now.is_empty() && before == now)
}

#[cfg(all(test, feature = "fixtures"))]
mod tests;
