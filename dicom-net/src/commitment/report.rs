//! The report of a transaction (PS3.4 §J.3.3).

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{AeTitle, Attributes, Encoding, VR};

use super::transaction::{Reference, Transaction};
use super::{STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE};
use crate::dimse::n_event_report_rq;

/// Event Type ID: every instance is committed.
pub(super) const SUCCESSFUL: u16 = 1;
/// Event Type ID: some are not.
pub(super) const FAILURES_EXIST: u16 = 2;

/// What a peer is told of a transaction. Every instance that was asked for is in it once.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    event_type: u16,
    information: Attributes,
}

impl Report {
    /// `retrieve`: the AE title that gives out what is committed.
    pub(crate) fn new(transaction: &Transaction, retrieve: &AeTitle) -> Self {
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        for (reference, failure) in transaction.judged() {
            let mut item = item(reference);
            match failure {
                None => kept.push(item),
                Some(failure) => {
                    item.put_u16(tags::FAILURE_REASON, failure.reason());
                    failed.push(item);
                }
            }
        }
        let mut information = Attributes::new();
        information.put_text(tags::TRANSACTION_UID, VR::UI, transaction.uid.as_str());
        let event_type = if failed.is_empty() { SUCCESSFUL } else { FAILURES_EXIST };
        if !kept.is_empty() {
            // At the top alone, since all instances are retrieved from one place (PS3.4 §J.3.3.1.1).
            information.put_text(tags::RETRIEVE_AE_TITLE, VR::AE, retrieve.as_str());
            information.put_items(tags::REFERENCED_SOP_SEQUENCE, kept);
        }
        if !failed.is_empty() {
            information.put_items(tags::FAILED_SOP_SEQUENCE, failed);
        }
        Self { event_type, information }
    }

    /// The command that it goes with.
    pub(crate) fn command(&self, message_id: u16) -> Bytes {
        n_event_report_rq(message_id, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, self.event_type)
    }

    /// Event Information.
    pub(crate) fn write(&self, encoding: Encoding) -> Vec<u8> {
        self.information.write(encoding)
    }
}

fn item(reference: &Reference) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, reference.sop_class.as_str());
    item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, reference.sop_instance.as_str());
    item
}

#[cfg(test)]
mod tests {
    use super::super::transaction::Failure;
    use super::super::transaction::tests::{CT, information};
    use super::*;

    fn report(outcomes: &[Option<Failure>]) -> Report {
        let references: Vec<_> = ["1.2", "1.3"].into_iter().map(|instance| (CT, instance)).collect();
        let title = AeTitle::parse("CT1").unwrap();
        let mut transaction = Transaction::read(title, &information("1.9", &references)).unwrap();
        transaction.outcomes = outcomes.to_vec();
        Report::new(&transaction, &AeTitle::parse("FILMLESS").unwrap())
    }

    fn named(report: &Report, tag: dicom_store::model::Tag) -> Vec<(String, Option<i64>)> {
        let items = report.information.items(tag).iter();
        items
            .map(|item| {
                let uid = item.uid(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().to_owned();
                (uid, item.int(tags::FAILURE_REASON))
            })
            .collect()
    }

    #[test]
    fn all_that_is_kept_is_event_1_with_one_retrieve_ae_title() {
        let report = report(&[None, None]);
        assert_eq!(report.event_type, 1);
        assert_eq!(report.information.text(tags::TRANSACTION_UID).as_deref(), Some("1.9"));
        assert_eq!(report.information.text(tags::RETRIEVE_AE_TITLE).as_deref(), Some("FILMLESS"));
        let kept = named(&report, tags::REFERENCED_SOP_SEQUENCE);
        assert_eq!(kept, [("1.2".to_owned(), None), ("1.3".to_owned(), None)]);
        assert!(!report.information.contains(tags::FAILED_SOP_SEQUENCE));
    }

    #[test]
    fn what_failed_is_event_2_each_with_its_reason() {
        let report = report(&[Some(Failure::NoSuchInstance), None]);
        assert_eq!(report.event_type, 2);
        assert_eq!(named(&report, tags::FAILED_SOP_SEQUENCE), [("1.2".to_owned(), Some(0x0112))]);
        assert_eq!(named(&report, tags::REFERENCED_SOP_SEQUENCE), [("1.3".to_owned(), None)]);
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_said_to_be() {
        let report = report(&[Some(Failure::ClassConflict), Some(Failure::Processing)]);
        assert!(!report.information.contains(tags::REFERENCED_SOP_SEQUENCE));
        assert!(!report.information.contains(tags::RETRIEVE_AE_TITLE));
        let failed = named(&report, tags::FAILED_SOP_SEQUENCE);
        assert_eq!(failed.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), [Some(0x119), Some(0x110)]);
    }
}
