//! Rejection notes: Key Object Selection documents that take back what was stored (IHE RAD TF-2 §4.66,
//! Imaging Object Change Management).
//!
//! What a note names is hidden, whatever its title, now and when it comes again. So is the note: what it
//! points at is no longer there for anybody. IHE leaves both to the archive for "quality reasons", and asks
//! for it with the other three titles. The trash shows notes and what they hide.

use dicom::dictionary_std::tags;

use crate::model::{Attributes, SopInstanceUid, Tag};

/// Why a note rejects (PS3.16 CID 7011).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Title {
    Quality,
    PatientSafety,
    Worklist,
    Expired,
}

impl Title {
    pub(super) fn of(code: &str) -> Option<Self> {
        Some(match code {
            "113001" => Self::Quality,
            "113037" => Self::PatientSafety,
            "113038" => Self::Worklist,
            "113039" => Self::Expired,
            _ => return None,
        })
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Quality => "113001",
            Self::PatientSafety => "113037",
            Self::Worklist => "113038",
            Self::Expired => "113039",
        }
    }

    /// The meaning of the code (PS3.16 Annex D).
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Quality => "Rejected for Quality Reasons",
            Self::PatientSafety => "Rejected for Patient Safety Reasons",
            Self::Worklist => "Incorrect Modality Worklist Entry",
            Self::Expired => "Data Retention Policy Expired",
        }
    }
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) title: Title,
    /// What it names; that may be in more studies than its own.
    pub(crate) instances: Vec<SopInstanceUid>,
}

impl Note {
    /// Reads a Key Object Selection document; `None` when its title rejects nothing.
    ///
    /// The instances are those of Current Requested Procedure Evidence Sequence, which names all that the
    /// document refers to (PS3.3 §C.17.2).
    pub(crate) fn read(document: &Attributes) -> Option<Self> {
        let code = document.items(tags::CONCEPT_NAME_CODE_SEQUENCE).first()?;
        let is_dcm = code.text(tags::CODING_SCHEME_DESIGNATOR).as_deref() == Some("DCM");
        let title = code.text(tags::CODE_VALUE).filter(|_| is_dcm).and_then(|code| Title::of(&code))?;
        let instances = items(document, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)
            .flat_map(references)
            .collect();
        Some(Self { title, instances })
    }
}

fn references(study: &Attributes) -> impl Iterator<Item = SopInstanceUid> {
    items(study, tags::REFERENCED_SERIES_SEQUENCE)
        .flat_map(|series| items(series, tags::REFERENCED_SOP_SEQUENCE))
        .filter_map(|item| SopInstanceUid::parse(item.uid(tags::REFERENCED_SOP_INSTANCE_UID)?).ok())
}

fn items(attributes: &Attributes, tag: Tag) -> std::slice::Iter<'_, Attributes> {
    attributes.items(tag).iter()
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::fixture;

    #[rstest]
    #[case("113001", Some(Title::Quality))]
    #[case("113037", Some(Title::PatientSafety))]
    #[case("113038", Some(Title::Worklist))]
    #[case("113039", Some(Title::Expired))]
    #[case("113000", None)]
    fn the_title_decides_whether_a_document_rejects(#[case] code: &str, #[case] expected: Option<Title>) {
        let rejected = fixture::ct();
        let note = fixture::key_object(code, &[&rejected]);
        let read = Note::read(&note.attributes);
        assert_eq!(read.as_ref().map(|note| note.title), expected);
        if let Some(note) = read {
            assert_eq!(note.instances, [rejected.sop_instance()]);
            assert_eq!(note.title.code(), code);
        }
    }
}
