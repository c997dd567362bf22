//! What became of a part.

use dicom::dictionary_std::uids;
use dicom_store::model::{FileMeta, SopClassUid, SopInstanceUid, error_comment};
use dicom_store::{Error, ErrorKind, Stored};

/// Failure Reason (0008,1197) and Warning Reason (0008,1196): PS3.18 §I.2.2.
pub(super) mod reason {
    pub(in crate::store) const PROCESSING_FAILURE: u16 = 0x0110;
    pub(in crate::store) const OUT_OF_RESOURCES: u16 = 0xA700;
    pub(in crate::store) const DATA_SET_DOES_NOT_MATCH: u16 = 0xA900;
    pub(in crate::store) const CANNOT_UNDERSTAND: u16 = 0xC000;
    pub(in crate::store) const SOP_CLASS_NOT_SUPPORTED: u16 = 0x0122;
    pub(in crate::store) const TRANSFER_SYNTAX_NOT_SUPPORTED: u16 = 0xC122;
    /// Another instance of this UID was there before, and is the one that is shown.
    pub(in crate::store) const KEPT_ASIDE: u16 = 0xB000;
    /// It is told as another patient's than the one it names.
    pub(in crate::store) const OF_ANOTHER_PATIENT: u16 = 0xB000;
}

/// The instance that a part says it is, as far as that can be told.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) sop_class: Option<SopClassUid>,
    pub(super) sop_instance: Option<SopInstanceUid>,
}

impl Named {
    fn is_of_no_study(&self) -> bool {
        self.sop_class.as_ref().is_some_and(|class| OF_NO_STUDY.contains(&class.as_str()))
    }

    /// Looks at the beginning of a part.
    pub(super) fn read(&mut self, head: &[u8]) {
        if self.sop_instance.is_none()
            && let Ok(Some(meta)) = FileMeta::read(head, false)
        {
            self.sop_class = meta.sop_class;
            self.sop_instance = meta.sop_instance;
        }
    }
}

/// Classes whose instances belong to no patient and no study (PS3.4 §GG.3); they are not kept.
const OF_NO_STUDY: &[&str] = &[
    uids::HANGING_PROTOCOL_STORAGE,
    uids::COLOR_PALETTE_STORAGE,
    uids::GENERIC_IMPLANT_TEMPLATE_STORAGE,
    uids::IMPLANT_ASSEMBLY_TEMPLATE_STORAGE,
    uids::IMPLANT_TEMPLATE_GROUP_STORAGE,
    uids::CT_DEFINED_PROCEDURE_PROTOCOL_STORAGE,
    uids::XA_DEFINED_PROCEDURE_PROTOCOL_STORAGE,
    uids::PROTOCOL_APPROVAL_STORAGE,
    uids::INVENTORY_STORAGE,
];

#[derive(Debug)]
pub(super) enum Outcome {
    Stored(Stored),
    Failed {
        named: Named,
        kind: ErrorKind,
        reason: u16,
        /// Error Comment (0000,0902).
        comment: String,
    },
}

impl Outcome {
    pub(super) fn failed(named: Named, error: &Error) -> Self {
        let reason = match error.kind {
            ErrorKind::Invalid if named.is_of_no_study() => reason::SOP_CLASS_NOT_SUPPORTED,
            ErrorKind::Invalid => reason::CANNOT_UNDERSTAND,
            ErrorKind::Conflict => reason::DATA_SET_DOES_NOT_MATCH,
            ErrorKind::TooLarge | ErrorKind::Exhausted | ErrorKind::Unavailable => reason::OUT_OF_RESOURCES,
            ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Corrupt | ErrorKind::Internal => {
                reason::PROCESSING_FAILURE
            }
        };
        Self::failed_for(named, reason, error)
    }

    pub(super) fn failed_for(named: Named, reason: u16, error: &Error) -> Self {
        Self::Failed { named, kind: error.kind, reason, comment: comment(error) }
    }

    pub(super) fn is_stored(&self) -> bool {
        self.stored().is_some()
    }

    pub(super) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::Failed { .. } => None,
        }
    }
}

/// Tells the log why a part was refused, by the instance that it says it is; no patient data.
pub(super) fn log(named: &Named, error: &Error) {
    let instance = named.sop_instance.as_ref().map(tracing::field::display);
    let kind = error.kind;
    if matches!(kind, ErrorKind::Corrupt | ErrorKind::Internal) {
        tracing::error!(instance, ?kind, error = %error.chain(), "part not stored");
    } else {
        tracing::warn!(instance, ?kind, error = %error.chain(), "part not stored");
    }
}

/// What the client hears beside the code: the sentence when it can do something about it, as far as there is room.
fn comment(error: &Error) -> String {
    let what = match error.kind {
        ErrorKind::Exhausted | ErrorKind::Unavailable => "the archive cannot store just now; try again later",
        ErrorKind::Corrupt | ErrorKind::Internal => "the archive failed; its log names the cause",
        ErrorKind::NotFound
        | ErrorKind::Invalid
        | ErrorKind::Conflict
        | ErrorKind::Forbidden
        | ErrorKind::TooLarge => &error.what,
    };
    let plain = |c: char| if c == '\\' || c.is_control() { ' ' } else { c };
    error_comment(&what.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_tells_what_is_not_supported() {
        let reason = |class: &str| {
            let named = Named {
                sop_class: SopClassUid::parse(class).ok(),
                sop_instance: SopInstanceUid::parse("1.2").ok(),
            };
            match Outcome::failed(named, &Error::invalid("no study")) {
                Outcome::Failed { reason, .. } => reason,
                Outcome::Stored(_) => 0,
            }
        };
        assert_eq!(reason(uids::HANGING_PROTOCOL_STORAGE), 0x0122);
        assert_eq!(reason(uids::CT_IMAGE_STORAGE), 0xC000);
    }

    #[test]
    fn a_comment_fits_into_an_lo() {
        let told = comment(&Error::invalid(format!("\\\n{}", "đ".repeat(100))));
        assert!(told.chars().count() <= 64 && told.ends_with("..."), "{told}");
    }

    #[test]
    fn a_fault_of_ours_is_for_the_log_and_not_for_the_client() {
        assert_eq!(
            comment(&Error::internal("/var/lib/filmless is gone")),
            "the archive failed; its log names the cause"
        );
    }
}
