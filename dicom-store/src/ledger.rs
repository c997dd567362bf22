//! What is done to the archive beyond storing: corrections, deletions, and the way back.
//!
//! What was received is never changed. An act is one entry of the log, a small JSON file beside the
//! instances, and rows of the index that follow from it. What holds is a function of the instances and of
//! the acts in the order of their numbers, whatever order both are read in: that is why the index made
//! anew from the packs shows the same.
//!
//! | act | what follows |
//! |---|---|
//! | delete, restore, reject, destroy | the last of them that names an instance says whether it is shown |
//! | correct a patient | the values hold for every data set of the patient, and for the patient's row |
//! | merge patients | what came for the one is the other's, what comes later too |
//! | move a study, correct a study | the last move says whose it is; the values hold for its data sets |
//! | promote, discard, destroy aside | which of the data sets that came under one UID is shown |
//! | undo | the act is as if it had not been |

mod note;
mod order;
mod values;
mod written_note;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{PatientKey, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

pub(crate) use note::Note;
pub use order::{Order, Part};
pub use values::Values;
pub use written_note::rejection_note;

/// One act as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Counted up by the index; acts hold in this order.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who, as the archive knew them.
    pub author: String,
    /// Why, in their words; may be empty where no law asks for it.
    pub reason: String,
    pub act: Act,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Not shown any more; the bytes go when their pack is rewritten.
    Delete {
        instances: Vec<SopInstanceUid>,
    },
    /// Shown again, whatever hid it.
    Restore {
        instances: Vec<SopInstanceUid>,
    },
    /// Not shown any more, now and when it comes again, because a note says so (IHE RAD TF-2 §4.66).
    Reject {
        note: SopInstanceUid,
        title: String,
        instances: Vec<SopInstanceUid>,
    },
    /// Not shown any more, and the bytes go at once.
    Destroy {
        instances: Vec<SopInstanceUid>,
    },
    CorrectPatient {
        patient: PatientKey,
        values: Values,
    },
    CorrectStudy {
        study: StudyInstanceUid,
        values: Values,
    },
    MergePatients {
        from: PatientKey,
        into: PatientKey,
    },
    MoveStudy {
        study: StudyInstanceUid,
        to: PatientKey,
    },
    /// The data set with this digest is shown under the UID, the one shown so far is kept aside.
    Promote {
        instance: SopInstanceUid,
        digest: String,
    },
    /// A data set that was kept aside is not wanted.
    Discard {
        instance: SopInstanceUid,
        digest: String,
    },
    /// The bytes of a data set that was kept aside go at once. One that comes again is a newcomer.
    DestroyAside {
        instance: SopInstanceUid,
        digest: String,
    },
    Undo {
        number: u64,
    },
}

/// What is done to what, without names: values may be patient data.
impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.what())
    }
}

impl Act {
    /// The word that it has in the log, the index and the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Delete { .. } => "delete",
            Self::Restore { .. } => "restore",
            Self::Reject { .. } => "reject",
            Self::Destroy { .. } => "destroy",
            Self::CorrectPatient { .. } => "correct-patient",
            Self::CorrectStudy { .. } => "correct-study",
            Self::MergePatients { .. } => "merge-patients",
            Self::MoveStudy { .. } => "move-study",
            Self::Promote { .. } => "promote",
            Self::Discard { .. } => "discard",
            Self::DestroyAside { .. } => "destroy-aside",
            Self::Undo { .. } => "undo",
        }
    }

    /// The instances that it shows or hides; `None` for an act of another kind.
    pub(crate) fn instances(&self) -> Option<&[SopInstanceUid]> {
        match self {
            Self::Delete { instances }
            | Self::Restore { instances }
            | Self::Reject { instances, .. }
            | Self::Destroy { instances } => Some(instances),
            _ => None,
        }
    }

    /// What it is about, for the audit: UIDs and counts, never who the patient is.
    pub fn what(&self) -> String {
        match self {
            Self::Delete { instances } | Self::Restore { instances } | Self::Destroy { instances } => {
                some(instances)
            }
            Self::Reject { note, instances, .. } => format!("{} by note {note}", some(instances)),
            Self::CorrectPatient { .. } | Self::MergePatients { .. } => "patient".to_owned(),
            Self::CorrectStudy { study, .. } | Self::MoveStudy { study, .. } => format!("study {study}"),
            Self::Promote { instance, digest }
            | Self::Discard { instance, digest }
            | Self::DestroyAside { instance, digest } => format!("instance {instance}, data set {digest}"),
            Self::Undo { number } => format!("act {number}"),
        }
    }
}

fn some(instances: &[SopInstanceUid]) -> String {
    match instances {
        [one] => format!("instance {one}"),
        [first, rest @ ..] => format!("instance {first} and {} more", rest.len()),
        [] => "no instance".to_owned(),
    }
}

impl Entry {
    /// The name of its file in a pack.
    pub(crate) fn name(&self) -> String {
        format!("{FOLDER}{:020}.json", self.number)
    }

    /// # Errors
    /// `Internal` when it cannot be written, which serde_json does not say of any of its fields.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|cause| Error::internal("an act cannot be written").with_source(cause))
    }

    /// # Errors
    /// `Corrupt` when it is no entry that this program knows.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        // What serde says may quote a value.
        serde_json::from_slice(bytes).map_err(|_| Error::corrupt("an act in the log cannot be read"))
    }
}

/// Where acts lie in a pack, beside the studies.
const FOLDER: &str = "filmless/";

/// The number of the act that lies in a pack under this name.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.strip_prefix(FOLDER)?.strip_suffix(".json")?.parse().ok()
}

/// Whether an entry of a pack is an act.
pub(crate) fn is_act(name: &str) -> bool {
    name.starts_with(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> SopInstanceUid {
        SopInstanceUid::parse(text).unwrap()
    }

    #[test]
    fn an_entry_reads_back_and_anybody_can_read_it() {
        let values: Values = serde_json::from_str(r#"{"PatientName":"Nguyễn^Văn An"}"#).unwrap();
        let patient = PatientKey { issuer: "H".into(), id: "7".into() };
        let entry = Entry {
            number: 12,
            at: 1_700_000_000_000,
            author: "AE CT1".into(),
            reason: "wrong worklist entry".into(),
            act: Act::CorrectPatient { patient, values },
        };
        let json = entry.to_json().unwrap();
        assert_eq!(Entry::from_json(&json).unwrap(), entry);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"number":12,"at":1700000000000,"author":"AE CT1","reason":"wrong worklist entry","act":{"kind":"correct-patient","patient":{"issuer":"H","id":"7"},"values":{"PatientName":"Nguyễn^Văn An"}}}"#
        );
        assert_eq!(entry.name(), "filmless/00000000000000000012.json");
        assert!(is_act(&entry.name()) && !is_act("1.2/3/4.dcm") && Entry::from_json(b"{}").is_err());
    }

    #[test]
    fn what_is_told_of_an_act_names_no_patient() {
        let values: Values = serde_json::from_str(r#"{"PatientName":"DOE^JANE"}"#).unwrap();
        let act = Act::CorrectPatient { patient: PatientKey::default(), values };
        assert!(!format!("{act:?}").contains("DOE"));
        let act = Act::Delete { instances: vec![uid("1.2"), uid("1.3")] };
        assert_eq!(format!("{act:?}"), "delete instance 1.2 and 1 more");
    }
}
