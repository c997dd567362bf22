//! The one table from what the archive says to the status of a response, a service each
//! (PS3.4 §B.2.3, §C.4.1.1.4, §C.4.2.1.5, §C.4.3.1.4, §F.7.2).

use dicom_store::PerformedStepRefusal;
use dicom_store::model::{Error, ErrorKind};

use crate::dimse::Status;

/// C-STORE (PS3.4 Table B.2-1).
pub(crate) fn of_store(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Invalid => Status::CANNOT_UNDERSTAND,
        ErrorKind::Conflict => Status::DOES_NOT_MATCH_SOP_CLASS,
        ErrorKind::Forbidden => Status::NOT_AUTHORIZED,
        // The sender does right to try again later, whatever is wrong with us.
        ErrorKind::TooLarge
        | ErrorKind::Exhausted
        | ErrorKind::Unavailable
        | ErrorKind::Corrupt
        | ErrorKind::Internal
        | ErrorKind::NotFound => Status::OUT_OF_RESOURCES,
    }
}

/// C-FIND (PS3.4 Table C.4-1).
pub(crate) fn of_find(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Invalid | ErrorKind::Conflict => Status::DOES_NOT_MATCH_SOP_CLASS,
        ErrorKind::Forbidden => Status::NOT_AUTHORIZED,
        ErrorKind::TooLarge | ErrorKind::Exhausted | ErrorKind::Unavailable => Status::OUT_OF_RESOURCES,
        ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Internal => Status::CANNOT_UNDERSTAND,
    }
}

/// C-MOVE and C-GET, before any sub-operation (PS3.4 Tables C.4-2 and C.4-3).
pub(crate) fn of_retrieve(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Invalid | ErrorKind::Conflict => Status::DOES_NOT_MATCH_SOP_CLASS,
        ErrorKind::Forbidden => Status::NOT_AUTHORIZED,
        ErrorKind::TooLarge | ErrorKind::Exhausted | ErrorKind::Unavailable => {
            Status::UNABLE_TO_PERFORM_SUB_OPERATIONS
        }
        ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Internal => Status::CANNOT_UNDERSTAND,
    }
}

/// N-CREATE, N-SET and N-GET of a performed procedure step (PS3.4 Table F.7.2-2, PS3.7 Annex C).
pub(crate) fn of_performed_step(refusal: &PerformedStepRefusal) -> Status {
    match refusal {
        PerformedStepRefusal::Exists => Status::DUPLICATE_SOP_INSTANCE,
        PerformedStepRefusal::Unknown => Status::NO_SUCH_SOP_INSTANCE,
        PerformedStepRefusal::Missing { .. } => Status::MISSING_ATTRIBUTE,
        PerformedStepRefusal::Empty { .. } => Status::MISSING_ATTRIBUTE_VALUE,
        PerformedStepRefusal::Value { .. } => Status::INVALID_ATTRIBUTE_VALUE,
        PerformedStepRefusal::Final => Status::PROCESSING_FAILURE,
        PerformedStepRefusal::Archive(error) => match error.kind {
            ErrorKind::Forbidden => Status::NOT_AUTHORIZED,
            ErrorKind::TooLarge | ErrorKind::Exhausted => Status::RESOURCE_LIMITATION,
            ErrorKind::NotFound
            | ErrorKind::Invalid
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Corrupt
            | ErrorKind::Internal => Status::PROCESSING_FAILURE,
        },
    }
}

/// What the peer hears: all of what it did wrong, nothing of what is wrong with us.
pub(crate) fn comment(error: &Error) -> String {
    match error.kind {
        ErrorKind::NotFound
        | ErrorKind::Invalid
        | ErrorKind::Conflict
        | ErrorKind::Forbidden
        | ErrorKind::TooLarge => error.what.clone(),
        ErrorKind::Exhausted => "out of resources, try again later".to_owned(),
        ErrorKind::Unavailable => "the archive is not available now, try again later".to_owned(),
        ErrorKind::Corrupt | ErrorKind::Internal => "internal error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_room(ErrorKind::Exhausted, 0xA700)]
    #[case::other_uid(ErrorKind::Conflict, 0xA900)]
    #[case::garbage(ErrorKind::Invalid, 0xC000)]
    #[case::stranger(ErrorKind::Forbidden, 0x0124)]
    fn a_store_is_refused_with_the_status_of_the_standard(#[case] kind: ErrorKind, #[case] status: u16) {
        assert_eq!(of_store(kind), Status(status));
    }

    #[test]
    fn what_is_wrong_with_us_is_not_told() {
        assert_eq!(comment(&Error::new(ErrorKind::Internal, "disk 3 of host db7 failed")), "internal error");
        assert_eq!(comment(&Error::invalid("no SOP Instance UID")), "no SOP Instance UID");
    }
}
