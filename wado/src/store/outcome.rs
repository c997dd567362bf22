//! What became of a part.

use dicom_store::model::{FileMeta, SopClassUid, SopInstanceUid};
use dicom_store::{Error, ErrorKind, Stored};

/// Failure Reason (0008,1197) and Warning Reason (0008,1196): PS3.18 §I.2.2.
pub(super) mod reason {
    pub(in crate::store) const PROCESSING_FAILURE: u16 = 0x0110;
    pub(in crate::store) const OUT_OF_RESOURCES: u16 = 0xA700;
    pub(in crate::store) const DATA_SET_DOES_NOT_MATCH: u16 = 0xA900;
    pub(in crate::store) const CANNOT_UNDERSTAND: u16 = 0xC000;
    /// Another instance of this UID was there before, and is the one that is shown.
    pub(in crate::store) const KEPT_ASIDE: u16 = 0xB000;
}

/// The instance that a part says it is, as far as that can be told.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) sop_class: Option<SopClassUid>,
    pub(super) sop_instance: Option<SopInstanceUid>,
}

impl Named {
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

#[derive(Debug)]
pub(super) enum Outcome {
    Stored(Stored),
    Failed { named: Named, kind: ErrorKind, reason: u16 },
}

impl Outcome {
    pub(super) fn failed(named: Named, error: &Error) -> Self {
        let reason = match error.kind {
            ErrorKind::Invalid => reason::CANNOT_UNDERSTAND,
            ErrorKind::Conflict => reason::DATA_SET_DOES_NOT_MATCH,
            ErrorKind::TooLarge | ErrorKind::Exhausted | ErrorKind::Unavailable => reason::OUT_OF_RESOURCES,
            ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Corrupt | ErrorKind::Internal => {
                reason::PROCESSING_FAILURE
            }
        };
        if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Internal) {
            tracing::error!(error = %error.chain(), "instance not stored");
        } else {
            tracing::debug!(error = %error.chain(), "instance not stored");
        }
        Self::Failed { named, kind: error.kind, reason }
    }

    pub(super) fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}
