//! Requests of ours of the query/retrieve services: C-FIND, C-GET, C-MOVE and their cancel (PS3.7 §9.3.2–9.3.4).

use bytes::Bytes;

use super::command::{C_CANCEL_RQ, C_FIND_RQ, C_GET_RQ, C_MOVE_RQ, NO_DATA_SET, WITH_DATA_SET};
use super::command_set::{CommandSet, element};

/// Priority (0000,0700): medium.
const MEDIUM: u16 = 0;

/// A C-FIND, with its identifier as the data set.
pub fn c_find_rq(message_id: u16, sop_class: &str) -> Bytes {
    request(C_FIND_RQ, message_id, sop_class, None)
}

/// A C-GET, with its identifier as the data set.
pub fn c_get_rq(message_id: u16, sop_class: &str) -> Bytes {
    request(C_GET_RQ, message_id, sop_class, None)
}

/// A C-MOVE to this destination, with its identifier as the data set.
pub fn c_move_rq(message_id: u16, sop_class: &str, destination: &str) -> Bytes {
    request(C_MOVE_RQ, message_id, sop_class, Some(destination))
}

/// Asks that the request of this Message ID ends.
pub fn c_cancel_rq(message_id: u16) -> Bytes {
    let mut set = CommandSet::default();
    set.put_u16(element::COMMAND_FIELD, C_CANCEL_RQ);
    set.put_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, message_id);
    set.put_u16(element::COMMAND_DATA_SET_TYPE, NO_DATA_SET);
    set.write()
}

fn request(field: u16, message_id: u16, sop_class: &str, destination: Option<&str>) -> Bytes {
    let mut set = CommandSet::default();
    set.put_uid(element::AFFECTED_SOP_CLASS_UID, sop_class);
    set.put_u16(element::COMMAND_FIELD, field);
    set.put_u16(element::MESSAGE_ID, message_id);
    if let Some(destination) = destination {
        set.put_text(element::MOVE_DESTINATION, destination);
    }
    set.put_u16(element::PRIORITY, MEDIUM);
    set.put_u16(element::COMMAND_DATA_SET_TYPE, WITH_DATA_SET);
    set.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::Request;

    #[test]
    fn what_is_asked_is_what_a_peer_reads() {
        let Some(Request::CMove(moved)) = Request::read(c_move_rq(7, "1.2.3", "FILMLESS")) else { panic!() };
        assert_eq!((moved.destination.as_str(), moved.priority), ("FILMLESS", MEDIUM));
        assert_eq!((moved.identity.message_id, moved.identity.sop_class.as_str()), (7, "1.2.3"));
        assert!(moved.identity.has_data_set);
        assert!(matches!(Request::read(c_find_rq(1, "1.2")), Some(Request::CFind(_))));
        assert!(matches!(Request::read(c_get_rq(1, "1.2")), Some(Request::CGet(_))));
        let Some(Request::CCancel(cancel)) = Request::read(c_cancel_rq(9)) else { panic!() };
        assert_eq!(cancel.message_id_being_responded_to, 9);
    }
}
