//! What we ask a peer to commit itself to, and what it reports (PS3.4 §J.3.2, §J.3.3).

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::Work;
use dicom_store::model::{AeTitle, Attributes, Encoding, Instance, SopInstanceUid, Tag, TransactionUid, VR};
use tracing::{info, warn};
use worker::commitment::{Noted, Report, note};

use super::report::{FAILURES_EXIST, SUCCESSFUL};
use super::{STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE};
use crate::dimse::{NEventReportRq, Response, Status};

/// Action Information: these instances under this UID (PS3.4 Table J.3-1).
pub(crate) fn information(transaction: &TransactionUid, instances: &[Instance]) -> Attributes {
    let items = instances.iter().map(|instance| {
        let mut item = Attributes::new();
        item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class.as_str());
        item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance.as_str());
        item
    });
    let mut information = Attributes::new();
    information.put_text(tags::TRANSACTION_UID, VR::UI, transaction.as_str());
    information.put_items(tags::REFERENCED_SOP_SEQUENCE, items.collect());
    information
}

/// Notes a report of this peer, and gives what it is answered: success when it is on stable storage.
///
/// `event`: Event Information; `None` when it is too long.
pub(crate) async fn hear(
    work: &Work,
    from: &AeTitle,
    request: &NEventReportRq,
    event: Option<Bytes>,
    encoding: Encoding,
) -> Response {
    let identity = &request.identity;
    let refused = |(status, comment): (Status, String)| {
        warn!(peer = %from, %status, comment, "a report of storage commitment was refused");
        Response::new(identity, status).because(comment)
    };
    let (transaction, report) = match read(request, event, encoding) {
        Ok(read) => read,
        Err(why) => return refused(why),
    };
    match note(work, from, &transaction, &report).await {
        Ok(Noted::New | Noted::Again) => {
            let (committed, failed) = (report.committed.len(), report.failed.len());
            info!(peer = %from, %transaction, committed, failed, "storage commitment was reported");
            Response::new(identity, Status::SUCCESS)
        }
        Ok(Noted::Unknown) => refused((
            Status::INVALID_ARGUMENT_VALUE,
            "no request of ours has this Transaction UID".to_owned(),
        )),
        Err(error) => {
            warn!(peer = %from, %transaction, %error, "a report of storage commitment cannot be noted");
            Response::new(identity, Status::PROCESSING_FAILURE)
                .because("the archive is not available now, try again later")
        }
    }
}

fn read(
    request: &NEventReportRq,
    event: Option<Bytes>,
    encoding: Encoding,
) -> Result<(TransactionUid, Report), (Status, String)> {
    let invalid = |what: &str| (Status::INVALID_ARGUMENT_VALUE, what.to_owned());
    if request.identity.sop_class != STORAGE_COMMITMENT {
        return Err((Status::NO_SUCH_SOP_CLASS, format!("the context is for {STORAGE_COMMITMENT}")));
    }
    if request.identity.sop_instance != WELL_KNOWN_INSTANCE {
        return Err((Status::NO_SUCH_SOP_INSTANCE, format!("the instance is not {WELL_KNOWN_INSTANCE}")));
    }
    if !matches!(request.event_type, Some(SUCCESSFUL | FAILURES_EXIST)) {
        return Err((Status::NO_SUCH_EVENT_TYPE, "only event types 1 and 2".to_owned()));
    }
    let event = event.ok_or_else(|| (Status::RESOURCE_LIMITATION, "the report is too long".to_owned()))?;
    let event =
        Attributes::read(event, encoding).map_err(|error| (Status::PROCESSING_FAILURE, error.what))?;
    let transaction = event.uid(tags::TRANSACTION_UID).ok_or_else(|| invalid("no Transaction UID"))?;
    let transaction = TransactionUid::parse(transaction).map_err(|error| invalid(&error.what))?;
    let named = |sequence: Tag| {
        event.items(sequence).iter().filter_map(|item| {
            let uid = SopInstanceUid::parse(item.uid(tags::REFERENCED_SOP_INSTANCE_UID)?).ok()?;
            let reason = item.int(tags::FAILURE_REASON).and_then(|reason| u16::try_from(reason).ok());
            Some((uid, reason.unwrap_or(Status::PROCESSING_FAILURE.0)))
        })
    };
    let failed = named(tags::FAILED_SOP_SEQUENCE).collect();
    let committed = named(tags::REFERENCED_SOP_SEQUENCE).map(|(uid, _)| uid);
    // What is in both lists is believed in the worse one.
    let report = Report { committed: committed.collect(), failed };
    let committed = report.committed.iter().filter(|uid| !report.failed.contains_key(*uid)).cloned();
    Ok((transaction, Report { committed: committed.collect(), ..report }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::dimse::{Request, n_event_report_rq};

    fn event(transaction: &str, kept: &[&str], failed: &[(&str, Option<u16>)]) -> Bytes {
        let item = |uid: &str| {
            let mut item = Attributes::new();
            item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, uid);
            item
        };
        let mut event = Attributes::new();
        event.put_text(tags::TRANSACTION_UID, VR::UI, transaction);
        event.put_items(tags::REFERENCED_SOP_SEQUENCE, kept.iter().map(|uid| item(uid)).collect());
        let failed = failed.iter().map(|(uid, reason)| {
            let mut item = item(uid);
            if let Some(reason) = reason {
                item.put_u16(tags::FAILURE_REASON, *reason);
            }
            item
        });
        event.put_items(tags::FAILED_SOP_SEQUENCE, failed.collect());
        event.write(Encoding::ExplicitLittle).into()
    }

    fn request(class: &str, instance: &str, event_type: u16) -> NEventReportRq {
        let Some(Request::NEventReport(request)) =
            Request::read(n_event_report_rq(1, class, instance, event_type))
        else {
            panic!("no N-EVENT-REPORT")
        };
        request
    }

    #[test]
    fn a_report_says_of_each_instance_what_became_of_it() {
        let request = request(STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, 2);
        let event = event("1.9", &["1.1", "1.2"], &[("1.2", Some(0x0112)), ("1.3", None)]);
        let (transaction, report) = read(&request, Some(event), Encoding::ExplicitLittle).unwrap();
        assert_eq!(transaction.as_str(), "1.9");
        assert_eq!(report.committed.iter().map(|uid| uid.as_str()).collect::<Vec<_>>(), ["1.1"]);
        let failed: Vec<_> = report.failed.iter().map(|(uid, reason)| (uid.as_str(), *reason)).collect();
        assert_eq!(failed, [("1.2", 0x0112), ("1.3", 0x0110)]);
    }

    #[rstest]
    #[case::class("1.2.840.10008.1.20.2", WELL_KNOWN_INSTANCE, 1, "1.9", 0x0118)]
    #[case::instance(STORAGE_COMMITMENT, "1.2.3", 1, "1.9", 0x0112)]
    #[case::event_type(STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, 3, "1.9", 0x0113)]
    #[case::no_transaction(STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, 1, "", 0x0115)]
    fn what_is_no_report_is_refused(
        #[case] class: &str,
        #[case] instance: &str,
        #[case] event_type: u16,
        #[case] transaction: &str,
        #[case] status: u16,
    ) {
        let request = request(class, instance, event_type);
        let refused = read(&request, Some(event(transaction, &["1.1"], &[])), Encoding::ExplicitLittle);
        assert_eq!(refused.unwrap_err().0, Status(status));
    }
}
