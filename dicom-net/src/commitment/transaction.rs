//! A request for storage commitment (PS3.4 §J.3.2), as it is kept in the queue.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dicom::dictionary_std::tags;
use dicom_store::model::{AeTitle, Attributes, SopClassUid, SopInstanceUid, TransactionUid};
use serde::{Deserialize, Serialize};

use crate::dimse::Status;

/// An instance that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
}

/// Why an instance is not committed: Failure Reason (0008,1197), PS3.3 §C.14.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// 0110H.
    Processing,
    /// 0112H.
    NoSuchInstance,
    /// 0119H.
    ClassConflict,
}

impl Failure {
    pub(crate) fn reason(self) -> u16 {
        match self {
            Self::Processing => Status::PROCESSING_FAILURE.0,
            Self::NoSuchInstance => Status::NO_SUCH_SOP_INSTANCE.0,
            Self::ClassConflict => Status::CLASS_INSTANCE_CONFLICT.0,
        }
    }
}

/// What a peer asked for, and what is known of it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub uid: TransactionUid,
    pub calling: AeTitle,
    /// Seconds since 1970.
    asked: u64,
    /// Each once.
    pub references: Vec<Reference>,
    /// Of the first of them: `None` for one that is kept as it came.
    pub outcomes: Vec<Option<Failure>>,
}

impl Transaction {
    /// Reads the Action Information of a request (PS3.4 Table J.3-1).
    ///
    /// # Errors
    /// The status of the response, and what is wrong.
    pub(crate) fn read(calling: AeTitle, information: &Attributes) -> Result<Self, (Status, String)> {
        let invalid = |what: &str| (Status::INVALID_ARGUMENT_VALUE, what.to_owned());
        let uid = information.uid(tags::TRANSACTION_UID).ok_or_else(|| invalid("no Transaction UID"))?;
        let uid = TransactionUid::parse(uid).map_err(|error| invalid(&error.what))?;
        let (mut seen, mut references) = (HashSet::new(), Vec::new());
        for (n, item) in information.items(tags::REFERENCED_SOP_SEQUENCE).iter().enumerate() {
            let reference = reference(item).ok_or_else(|| {
                invalid(&format!("Referenced SOP Sequence: item {} lacks a valid UID", n + 1))
            })?;
            if seen.insert(reference.clone()) {
                references.push(reference);
            }
        }
        if references.is_empty() {
            return Err(invalid("Referenced SOP Sequence is missing or empty"));
        }
        Ok(Self { uid, calling, asked: now().as_secs(), references, outcomes: Vec::new() })
    }

    /// Names it in the queue: the same request again takes the place of one that waits, and another one under the same
    /// Transaction UID, which no peer should make, stands beside it.
    pub(crate) fn key(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.references.hash(&mut hasher);
        format!("{} {} {:016x}", self.calling, self.uid, hasher.finish())
    }

    /// The instance that is to be verified next.
    pub(crate) fn next(&self) -> Option<&Reference> {
        self.references.get(self.outcomes.len())
    }

    /// How long ago it was asked for.
    pub(crate) fn age(&self) -> Duration {
        now().saturating_sub(Duration::from_secs(self.asked))
    }

    /// Each instance with what became of it, as far as it was verified.
    pub(crate) fn judged(&self) -> impl Iterator<Item = (&Reference, Option<Failure>)> {
        self.references.iter().zip(self.outcomes.iter().copied())
    }
}

fn reference(item: &Attributes) -> Option<Reference> {
    Some(Reference {
        sop_class: SopClassUid::parse(item.uid(tags::REFERENCED_SOP_CLASS_UID)?).ok()?,
        sop_instance: SopInstanceUid::parse(item.uid(tags::REFERENCED_SOP_INSTANCE_UID)?).ok()?,
    })
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use dicom_store::model::VR;
    use rstest::rstest;

    use super::*;

    pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    /// Action Information that asks for these (class, instance).
    pub(crate) fn information(transaction: &str, references: &[(&str, &str)]) -> Attributes {
        let mut information = Attributes::new();
        information.put_text(tags::TRANSACTION_UID, VR::UI, transaction);
        let items = references.iter().map(|(class, instance)| {
            let mut item = Attributes::new();
            item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
            item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance);
            item
        });
        information.put_items(tags::REFERENCED_SOP_SEQUENCE, items.collect());
        information
    }

    fn read(information: &Attributes) -> Result<Transaction, (Status, String)> {
        Transaction::read(AeTitle::parse("CT1").unwrap(), information)
    }

    #[test]
    fn an_instance_that_is_named_twice_is_asked_about_once() {
        let other = "1.2.840.10008.5.1.4.1.1.4";
        let transaction =
            read(&information("1.9", &[(CT, "1.2"), (CT, "1.3"), (CT, "1.2"), (other, "1.2")])).unwrap();
        let asked: Vec<_> = transaction
            .references
            .iter()
            .map(|reference| (reference.sop_class.as_str(), reference.sop_instance.as_str()))
            .collect();
        assert_eq!(asked, [(CT, "1.2"), (CT, "1.3"), (other, "1.2")]);
    }

    #[rstest]
    #[case::no_transaction("", &[(CT, "1.2")], "Transaction UID")]
    #[case::no_uid("one", &[(CT, "1.2")], "Transaction UID")]
    #[case::nothing("1.9", &[], "missing or empty")]
    #[case::no_class("1.9", &[(CT, "1.2"), ("", "1.3")], "item 2")]
    #[case::no_instance("1.9", &[(CT, "NGUYEN^AN")], "item 1")]
    fn what_cannot_be_committed_is_refused(
        #[case] transaction: &str,
        #[case] references: &[(&str, &str)],
        #[case] why: &str,
    ) {
        let (status, comment) = read(&information(transaction, references)).unwrap_err();
        assert_eq!(status, Status::INVALID_ARGUMENT_VALUE);
        assert!(comment.contains(why) && !comment.contains("NGUYEN"), "{comment}");
    }

    #[test]
    fn a_repeated_request_has_the_key_of_the_first_and_another_one_has_not() {
        let key = |references| read(&information("1.9", references)).unwrap().key();
        assert_eq!(key(&[(CT, "1.2")]), key(&[(CT, "1.2")]));
        assert_ne!(key(&[(CT, "1.2")]), key(&[(CT, "1.3")]));
    }
}
