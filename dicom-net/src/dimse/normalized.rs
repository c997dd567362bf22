//! The commands of DIMSE-N that are used here: N-ACTION, N-EVENT-REPORT and N-CREATE both ways, N-SET and N-GET in
//! (PS3.7 §10.3).

use bytes::Bytes;
use dicom_store::model::Tag;

use super::command::{Identity, WITH_DATA_SET};
use super::command_set::{CommandSet, element};

pub(super) const N_ACTION_RQ: u16 = 0x0130;
pub(super) const N_EVENT_REPORT_RQ: u16 = 0x0100;
pub(super) const N_GET_RQ: u16 = 0x0110;
pub(super) const N_SET_RQ: u16 = 0x0120;
pub(super) const N_CREATE_RQ: u16 = 0x0140;

/// A request to act on an instance that the peer names: the identity's are the Requested SOP UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NActionRq {
    pub identity: Identity,
    /// Action Type ID; `None` when it did not come.
    pub action_type: Option<u16>,
}

/// A report of an event, with Event Information as its data set: the identity's are the Affected SOP UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NEventReportRq {
    pub identity: Identity,
    /// Event Type ID; `None` when it did not come.
    pub event_type: Option<u16>,
}

/// A request to make an instance, with its Attribute List as its data set: the identity's are the Affected SOP UIDs, and
/// that of the instance may be left to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NCreateRq {
    pub identity: Identity,
}

/// A request to change an instance, with a Modification List as its data set: the identity's are the Requested SOP UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NSetRq {
    pub identity: Identity,
}

/// A request for attributes of an instance: the identity's are the Requested SOP UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NGetRq {
    pub identity: Identity,
    /// Attribute Identifier List; empty for all of them.
    pub attributes: Vec<Tag>,
}

/// Asks a peer to act on an instance, with Action Information as the data set.
pub fn n_action_rq(message_id: u16, sop_class: &str, sop_instance: &str, action_type: u16) -> Bytes {
    let class = (element::REQUESTED_SOP_CLASS_UID, sop_class);
    let instance = (element::REQUESTED_SOP_INSTANCE_UID, sop_instance);
    let kind = (element::ACTION_TYPE_ID, action_type);
    request((N_ACTION_RQ, message_id), class, instance, Some(kind))
}

/// Reports an event to a peer, with Event Information as the data set.
pub fn n_event_report_rq(message_id: u16, sop_class: &str, sop_instance: &str, event_type: u16) -> Bytes {
    let class = (element::AFFECTED_SOP_CLASS_UID, sop_class);
    let instance = (element::AFFECTED_SOP_INSTANCE_UID, sop_instance);
    let kind = (element::EVENT_TYPE_ID, event_type);
    request((N_EVENT_REPORT_RQ, message_id), class, instance, Some(kind))
}

/// Asks a peer to make an instance, with its Attribute List as the data set.
pub fn n_create_rq(message_id: u16, sop_class: &str, sop_instance: &str) -> Bytes {
    let class = (element::AFFECTED_SOP_CLASS_UID, sop_class);
    let instance = (element::AFFECTED_SOP_INSTANCE_UID, sop_instance);
    request((N_CREATE_RQ, message_id), class, instance, None)
}

/// A request with a data set, about an instance that these elements name, and of a kind where there are several.
fn request(
    (command_field, message_id): (u16, u16),
    (class_element, sop_class): (u16, &str),
    (instance_element, sop_instance): (u16, &str),
    kind: Option<(u16, u16)>,
) -> Bytes {
    let mut set = CommandSet::default();
    set.put_uid(class_element, sop_class);
    set.put_u16(element::COMMAND_FIELD, command_field);
    set.put_u16(element::MESSAGE_ID, message_id);
    set.put_u16(element::COMMAND_DATA_SET_TYPE, WITH_DATA_SET);
    set.put_uid(instance_element, sop_instance);
    if let Some((element, value)) = kind {
        set.put_u16(element, value);
    }
    set.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::{Request, Response, Status};

    #[test]
    fn an_action_keeps_the_requested_uids_for_its_response() {
        let Some(Request::NAction(request)) = Request::read(n_action_rq(9, "1.2", "1.2.3", 1)) else {
            panic!("no N-ACTION")
        };
        assert_eq!(request.action_type, Some(1));
        let response = Response::new(&request.identity, Status::SUCCESS).write();
        let response = CommandSet::read(response).unwrap();
        assert_eq!(response.u16(element::COMMAND_FIELD), Some(0x8130));
        assert_eq!(response.text(element::AFFECTED_SOP_CLASS_UID), "1.2");
        assert_eq!(response.text(element::AFFECTED_SOP_INSTANCE_UID), "1.2.3");
    }

    #[test]
    fn an_event_report_names_the_event_and_has_a_data_set() {
        let report = n_event_report_rq(4, "1.2", "1.2.3", 2);
        let set = CommandSet::read(report.clone()).unwrap();
        assert_eq!(set.u16(element::COMMAND_FIELD), Some(0x0100));
        assert_eq!((set.u16(element::MESSAGE_ID), set.u16(element::EVENT_TYPE_ID)), (Some(4), Some(2)));
        assert_ne!(set.u16(element::COMMAND_DATA_SET_TYPE), Some(0x0101));
        let Some(Request::NEventReport(request)) = Request::read(report) else { panic!("no N-EVENT-REPORT") };
        assert_eq!((request.event_type, request.identity.has_data_set), (Some(2), true));
    }

    #[test]
    fn a_request_for_attributes_names_them() {
        let mut set = CommandSet::default();
        set.put_uid(element::REQUESTED_SOP_CLASS_UID, "1.2");
        set.put_u16(element::COMMAND_FIELD, N_GET_RQ);
        set.put_uid(element::REQUESTED_SOP_INSTANCE_UID, "1.2.3");
        set.put_tags(element::ATTRIBUTE_IDENTIFIER_LIST, &[Tag(0x0010, 0x0010), Tag(0x0040, 0x0252)]);
        let Some(Request::NGet(request)) = Request::read(set.write()) else { panic!("no N-GET") };
        assert_eq!(request.attributes, [Tag(0x0010, 0x0010), Tag(0x0040, 0x0252)]);
        assert_eq!(request.identity.sop_instance, "1.2.3");
    }
}
