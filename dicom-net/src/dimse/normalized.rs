//! The commands of DIMSE-N that are used here: N-ACTION comes in, N-EVENT-REPORT and N-CREATE go out (PS3.7 §10.3).

use bytes::Bytes;

use super::command::{Identity, WITH_DATA_SET};
use super::command_set::{CommandSet, element};

pub(super) const N_ACTION_RQ: u16 = 0x0130;
const N_EVENT_REPORT_RQ: u16 = 0x0100;
const N_CREATE_RQ: u16 = 0x0140;

/// A request to act on an instance that the peer names: the identity's are the Requested SOP UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NActionRq {
    pub identity: Identity,
    /// Action Type ID; `None` when it did not come.
    pub action_type: Option<u16>,
}

/// A report of an event, with Event Information as its data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NEventReportRq<'a> {
    pub message_id: u16,
    pub sop_class: &'a str,
    pub sop_instance: &'a str,
    pub event_type: u16,
}

impl NEventReportRq<'_> {
    pub fn write(&self) -> Bytes {
        let mut set = CommandSet::default();
        set.put_uid(element::AFFECTED_SOP_CLASS_UID, self.sop_class);
        set.put_u16(element::COMMAND_FIELD, N_EVENT_REPORT_RQ);
        set.put_u16(element::MESSAGE_ID, self.message_id);
        set.put_u16(element::COMMAND_DATA_SET_TYPE, WITH_DATA_SET);
        set.put_uid(element::AFFECTED_SOP_INSTANCE_UID, self.sop_instance);
        set.put_u16(element::EVENT_TYPE_ID, self.event_type);
        set.write()
    }
}

/// Asks a peer to make an instance, with its Attribute List as the data set.
pub fn n_create_rq(message_id: u16, sop_class: &str, sop_instance: &str) -> Bytes {
    let mut set = CommandSet::default();
    set.put_uid(element::AFFECTED_SOP_CLASS_UID, sop_class);
    set.put_u16(element::COMMAND_FIELD, N_CREATE_RQ);
    set.put_u16(element::MESSAGE_ID, message_id);
    set.put_u16(element::COMMAND_DATA_SET_TYPE, WITH_DATA_SET);
    set.put_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance);
    set.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::{Request, Response, Status};

    #[test]
    fn an_action_keeps_the_requested_uids_for_its_response() {
        let mut set = CommandSet::default();
        set.put_uid(element::REQUESTED_SOP_CLASS_UID, "1.2");
        set.put_u16(element::COMMAND_FIELD, N_ACTION_RQ);
        set.put_u16(element::MESSAGE_ID, 9);
        set.put_u16(element::COMMAND_DATA_SET_TYPE, 0);
        set.put_uid(element::REQUESTED_SOP_INSTANCE_UID, "1.2.3");
        set.put_u16(element::ACTION_TYPE_ID, 1);
        let Some(Request::NAction(request)) = Request::read(set.write()) else { panic!("no N-ACTION") };
        assert_eq!(request.action_type, Some(1));
        let response = Response::new(&request.identity, Status::SUCCESS).write();
        let response = CommandSet::read(response).unwrap();
        assert_eq!(response.u16(element::COMMAND_FIELD), Some(0x8130));
        assert_eq!(response.text(element::AFFECTED_SOP_CLASS_UID), "1.2");
        assert_eq!(response.text(element::AFFECTED_SOP_INSTANCE_UID), "1.2.3");
    }

    #[test]
    fn an_event_report_names_the_event_and_has_a_data_set() {
        let report = NEventReportRq { message_id: 4, sop_class: "1.2", sop_instance: "1.2.3", event_type: 2 };
        let set = CommandSet::read(report.write()).unwrap();
        assert_eq!(set.u16(element::COMMAND_FIELD), Some(0x0100));
        assert_eq!((set.u16(element::MESSAGE_ID), set.u16(element::EVENT_TYPE_ID)), (Some(4), Some(2)));
        assert_ne!(set.u16(element::COMMAND_DATA_SET_TYPE), Some(0x0101));
    }
}
