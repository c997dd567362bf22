//! Instance Availability Notification as SCU (PS3.4 Annex R): a peer is told what of a study can be retrieved here.

use dicom::dictionary_std::{tags, uids};
use dicom_store::Peer;
use dicom_store::model::{AeTitle, Attributes, Instance, SopInstanceUid, StudyInstanceUid, VR};

use super::normalized::{MESSAGE_ID, Message, request};
use crate::config::Config;
use crate::dimse::{Status, n_create_rq};
use crate::error::Result;
use crate::ul::Role;

/// Instance Availability Notification SOP Class.
const AVAILABILITY: &str = "1.2.840.10008.5.1.4.33";

/// What a peer is told of a study.
pub(crate) struct Available<'a> {
    pub study: &'a StudyInstanceUid,
    /// Series by series.
    pub instances: &'a [Instance],
    /// The modality performed procedure steps that say that they are of it.
    pub steps: &'a [SopInstanceUid],
}

/// Tells a peer of these instances of a study, and gives what it answered. Each notification is an instance of its own.
///
/// # Errors
/// When there is no association, no context for the class, or no answer in time.
pub(crate) async fn notify(config: &Config, peer: &Peer, available: &Available<'_>) -> Result<Status> {
    let notification = notification(available, &config.ae_title);
    let message = Message {
        class: AVAILABILITY,
        role: Role::Scu,
        command: n_create_rq(MESSAGE_ID, AVAILABILITY, SopInstanceUid::random().as_str()),
        data: &|encoding| notification.write(encoding),
    };
    request(config, peer, message).await
}

/// The attributes of PS3.4 Table R.3.2-1.
fn notification(available: &Available<'_>, retrieve: &AeTitle) -> Attributes {
    let Available { study, instances, steps } = *available;
    let of_series = instances.chunk_by(|one, next| one.series == next.series).map(|of_series| {
        let items = of_series.iter().map(|instance| {
            let mut item = Attributes::new();
            item.put_text(tags::RETRIEVE_AE_TITLE, VR::AE, retrieve.as_str());
            item.put_text(tags::INSTANCE_AVAILABILITY, VR::CS, "ONLINE");
            item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class.as_str());
            item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance.as_str());
            item
        });
        let mut series = Attributes::new();
        series.put_items(tags::REFERENCED_SOP_SEQUENCE, items.collect());
        if let Some(first) = of_series.first() {
            series.put_text(tags::SERIES_INSTANCE_UID, VR::UI, first.series.as_str());
        }
        series
    });
    let mut notification = Attributes::new();
    let steps = steps.iter().map(|step| {
        let mut item = Attributes::new();
        item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::MODALITY_PERFORMED_PROCEDURE_STEP);
        item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, step.as_str());
        item.put_empty(tags::PERFORMED_WORKITEM_CODE_SEQUENCE, VR::SQ);
        item
    });
    notification.put_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, steps.collect());
    notification.put_items(tags::REFERENCED_SERIES_SEQUENCE, of_series.collect());
    notification.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str());
    notification
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture::{self, ct};
    use dicom_store::model::Resource;

    use super::*;

    #[tokio::test]
    async fn a_notification_names_each_instance_below_its_series() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let first = ct();
        for sample in [first.clone(), first.next(2), first.next_series(2)] {
            fixture::store(&session, &sample).await.unwrap();
        }
        let instances = session.instances(&Resource::Study(first.study())).await.unwrap();
        let (study, steps) = (first.study(), [SopInstanceUid::parse("2.25.1").unwrap()]);
        let told = |steps| {
            let available = Available { study: &study, instances: &instances, steps };
            notification(&available, &"FILMLESS".parse().unwrap())
        };
        let notification = told(&steps);
        let series = notification.items(tags::REFERENCED_SERIES_SEQUENCE);
        let counts: Vec<_> =
            series.iter().map(|series| series.items(tags::REFERENCED_SOP_SEQUENCE).len()).collect();
        assert_eq!(counts, [2, 1]);
        assert!(series.iter().all(|series| series.uid(tags::SERIES_INSTANCE_UID).is_some()));
        let item = &series[0].items(tags::REFERENCED_SOP_SEQUENCE)[0];
        assert_eq!(item.text(tags::INSTANCE_AVAILABILITY).as_deref(), Some("ONLINE"));
        assert_eq!(item.text(tags::RETRIEVE_AE_TITLE).as_deref(), Some("FILMLESS"));
        assert_eq!(notification.uid(tags::STUDY_INSTANCE_UID), Some(first.study().as_str()));
        let step = &notification.items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE)[0];
        assert_eq!(step.uid(tags::REFERENCED_SOP_INSTANCE_UID), Some("2.25.1"));
        assert!(step.contains(tags::PERFORMED_WORKITEM_CODE_SEQUENCE));
        let unknown = told(&[]);
        let sequence = unknown.get(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE).unwrap();
        assert!(sequence.value.is_empty());
    }
}
