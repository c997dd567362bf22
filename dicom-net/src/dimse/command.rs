//! The commands by their types, from and to command sets (PS3.7 §9.3).

use bytes::Bytes;
use dicom_store::model::{Tag, error_comment};

use super::command_set::{CommandSet, element};
use super::normalized::{
    N_ACTION_RQ, N_CREATE_RQ, N_EVENT_REPORT_RQ, N_GET_RQ, N_SET_RQ, NActionRq, NCreateRq, NEventReportRq,
    NGetRq, NSetRq,
};
use super::status::Status;

/// Command Field (0000,0100); a response is its request with this bit (PS3.7 Table E.1-1).
const RESPONSE: u16 = 0x8000;
const C_STORE_RQ: u16 = 0x0001;
pub(super) const C_GET_RQ: u16 = 0x0010;
pub(super) const C_FIND_RQ: u16 = 0x0020;
pub(super) const C_MOVE_RQ: u16 = 0x0021;
const C_ECHO_RQ: u16 = 0x0030;
pub(super) const C_CANCEL_RQ: u16 = 0x0FFF;

/// Command Data Set Type (0000,0800) of a message without a data set; anything else means one follows.
pub(super) const NO_DATA_SET: u16 = 0x0101;
pub(super) const WITH_DATA_SET: u16 = 0x0001;

/// What a response takes over from its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The request's Command Field.
    field: u16,
    pub message_id: u16,
    /// Affected or Requested SOP Class UID as it came; empty when it did not.
    pub sop_class: String,
    /// Affected or Requested SOP Instance UID as it came; empty when there is none.
    pub sop_instance: String,
    /// A data set follows the command.
    pub has_data_set: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CEchoRq {
    pub identity: Identity,
}

/// Where a C-STORE comes from that a C-MOVE caused (PS3.7 §9.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveOriginator {
    pub ae_title: String,
    pub message_id: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CStoreRq {
    pub identity: Identity,
    pub priority: u16,
    pub move_originator: Option<MoveOriginator>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CFindRq {
    pub identity: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CGetRq {
    pub identity: Identity,
    pub priority: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CMoveRq {
    pub identity: Identity,
    pub priority: u16,
    /// Move Destination as it came.
    pub destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CCancelRq {
    pub message_id_being_responded_to: u16,
}

/// Any command that can come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    CEcho(CEchoRq),
    CStore(CStoreRq),
    CFind(CFindRq),
    CGet(CGetRq),
    CMove(CMoveRq),
    CCancel(CCancelRq),
    NAction(NActionRq),
    NEventReport(NEventReportRq),
    NCreate(NCreateRq),
    NSet(NSetRq),
    NGet(NGetRq),
    /// A response to a request of ours.
    Response(Response),
    /// A command that is not served here.
    Other(Identity),
}

impl Request {
    /// Reads a command; `None` when it is no command set or has no Command Field.
    pub fn read(bytes: Bytes) -> Option<Self> {
        let set = CommandSet::read(bytes)?;
        let field = set.u16(element::COMMAND_FIELD)?;
        let identity = Identity::read(&set, field);
        let priority = set.u16(element::PRIORITY).unwrap_or(0);
        Some(match field {
            C_ECHO_RQ => Self::CEcho(CEchoRq { identity }),
            C_STORE_RQ => {
                let ae_title = set.text(element::MOVE_ORIGINATOR_AE_TITLE);
                let message_id = set.u16(element::MOVE_ORIGINATOR_MESSAGE_ID);
                let move_originator = message_id.map(|message_id| MoveOriginator { ae_title, message_id });
                Self::CStore(CStoreRq { identity, priority, move_originator })
            }
            C_FIND_RQ => Self::CFind(CFindRq { identity }),
            C_GET_RQ => Self::CGet(CGetRq { identity, priority }),
            C_MOVE_RQ => {
                let destination = set.text(element::MOVE_DESTINATION);
                Self::CMove(CMoveRq { identity, priority, destination })
            }
            C_CANCEL_RQ => Self::CCancel(CCancelRq {
                message_id_being_responded_to: set.u16(element::MESSAGE_ID_BEING_RESPONDED_TO).unwrap_or(0),
            }),
            N_ACTION_RQ => {
                Self::NAction(NActionRq { identity, action_type: set.u16(element::ACTION_TYPE_ID) })
            }
            N_EVENT_REPORT_RQ => {
                Self::NEventReport(NEventReportRq { identity, event_type: set.u16(element::EVENT_TYPE_ID) })
            }
            N_CREATE_RQ => Self::NCreate(NCreateRq { identity }),
            N_SET_RQ => Self::NSet(NSetRq { identity }),
            N_GET_RQ => {
                Self::NGet(NGetRq { identity, attributes: set.tags(element::ATTRIBUTE_IDENTIFIER_LIST) })
            }
            response if response & RESPONSE != 0 => Self::Response(Response::read(&set, identity)),
            _ => Self::Other(identity),
        })
    }
}

impl Request {
    /// What a response takes over; none of a response, and of a request to cancel, which is not answered.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::CEcho(CEchoRq { identity })
            | Self::CStore(CStoreRq { identity, .. })
            | Self::CFind(CFindRq { identity })
            | Self::CGet(CGetRq { identity, .. })
            | Self::CMove(CMoveRq { identity, .. })
            | Self::NAction(NActionRq { identity, .. })
            | Self::NEventReport(NEventReportRq { identity, .. })
            | Self::NCreate(NCreateRq { identity })
            | Self::NSet(NSetRq { identity })
            | Self::NGet(NGetRq { identity, .. })
            | Self::Other(identity) => Some(identity),
            Self::CCancel(_) | Self::Response(_) => None,
        }
    }
}

impl Identity {
    fn read(set: &CommandSet, field: u16) -> Self {
        let affected = set.text(element::AFFECTED_SOP_CLASS_UID);
        let instance = set.text(element::AFFECTED_SOP_INSTANCE_UID);
        let requested = |number| set.text(number);
        Self {
            field,
            message_id: set.u16(element::MESSAGE_ID).unwrap_or(0),
            sop_class: if affected.is_empty() {
                requested(element::REQUESTED_SOP_CLASS_UID)
            } else {
                affected
            },
            sop_instance: if instance.is_empty() {
                requested(element::REQUESTED_SOP_INSTANCE_UID)
            } else {
                instance
            },
            has_data_set: set.u16(element::COMMAND_DATA_SET_TYPE).unwrap_or(NO_DATA_SET) != NO_DATA_SET,
        }
    }

    /// A request of ours.
    fn request(field: u16, message_id: u16, sop_class: &str, sop_instance: &str) -> Self {
        let (sop_class, sop_instance) = (sop_class.to_owned(), sop_instance.to_owned());
        Self { field, message_id, sop_class, sop_instance, has_data_set: field == C_STORE_RQ }
    }
}

impl CEchoRq {
    pub fn new(message_id: u16, sop_class: &str) -> Self {
        Self { identity: Identity::request(C_ECHO_RQ, message_id, sop_class, "") }
    }

    pub fn write(&self) -> Bytes {
        let mut set = CommandSet::default();
        set.put_uid(element::AFFECTED_SOP_CLASS_UID, &self.identity.sop_class);
        set.put_u16(element::COMMAND_FIELD, C_ECHO_RQ);
        set.put_u16(element::MESSAGE_ID, self.identity.message_id);
        set.put_u16(element::COMMAND_DATA_SET_TYPE, NO_DATA_SET);
        set.write()
    }
}

impl CStoreRq {
    pub fn new(
        message_id: u16,
        sop_class: &str,
        sop_instance: &str,
        move_originator: Option<MoveOriginator>,
    ) -> Self {
        let identity = Identity::request(C_STORE_RQ, message_id, sop_class, sop_instance);
        Self { identity, priority: 0, move_originator }
    }

    pub fn write(&self) -> Bytes {
        let mut set = CommandSet::default();
        set.put_uid(element::AFFECTED_SOP_CLASS_UID, &self.identity.sop_class);
        set.put_u16(element::COMMAND_FIELD, C_STORE_RQ);
        set.put_u16(element::MESSAGE_ID, self.identity.message_id);
        set.put_u16(element::PRIORITY, self.priority);
        set.put_u16(element::COMMAND_DATA_SET_TYPE, WITH_DATA_SET);
        set.put_uid(element::AFFECTED_SOP_INSTANCE_UID, &self.identity.sop_instance);
        if let Some(originator) = &self.move_originator {
            set.put_text(element::MOVE_ORIGINATOR_AE_TITLE, &originator.ae_title);
            set.put_u16(element::MOVE_ORIGINATOR_MESSAGE_ID, originator.message_id);
        }
        set.write()
    }
}

/// Counts of the sub-operations of a retrieve (PS3.7 §9.1.3.1.6–9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubOperations {
    pub remaining: usize,
    pub completed: usize,
    pub failed: usize,
    pub warning: usize,
}

impl SubOperations {
    /// Of a response that has any of them; the others are 0.
    fn read(set: &CommandSet) -> Option<Self> {
        let counts = [element::REMAINING, element::COMPLETED, element::FAILED, element::WARNING];
        let counts = counts.map(|number| set.u16(number));
        let [remaining, completed, failed, warning] = counts.map(|count| usize::from(count.unwrap_or(0)));
        counts.iter().any(Option::is_some).then_some(Self { remaining, completed, failed, warning })
    }
}

/// A response: to a peer's request, or a peer's to ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Of the request.
    identity: Identity,
    pub status: Status,
    comment: Option<String>,
    error_id: Option<u16>,
    /// Attributes that it is about.
    attributes: Vec<Tag>,
    sub_operations: Option<SubOperations>,
    has_data_set: bool,
}

impl Response {
    pub fn new(request: &Identity, status: Status) -> Self {
        Self {
            identity: request.clone(),
            status,
            comment: None,
            error_id: None,
            attributes: Vec::new(),
            sub_operations: None,
            has_data_set: false,
        }
    }

    /// Adds an Error Comment (0000,0902): what a person should know, without patient data.
    #[must_use]
    pub fn because(self, comment: impl AsRef<str>) -> Self {
        let plain = comment.as_ref().chars().map(|c| match c {
            ' '..='~' if c != '\\' => c,
            _ => '?',
        });
        Self { comment: Some(error_comment(&plain.collect::<String>())), ..self }
    }

    /// The Error Comment.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// Adds an Error ID (0000,0903): which of the errors that a service has for its status.
    #[must_use]
    pub fn with_error_id(self, error_id: u16) -> Self {
        Self { error_id: Some(error_id), ..self }
    }

    /// Adds an Attribute Identifier List (0000,1005): what the status is about.
    #[must_use]
    pub fn about(self, attributes: Vec<Tag>) -> Self {
        Self { attributes, ..self }
    }

    /// Names an instance that the request has left to us to name.
    #[must_use]
    pub fn of_instance(self, sop_instance: &str) -> Self {
        let identity = Identity { sop_instance: sop_instance.to_owned(), ..self.identity };
        Self { identity, ..self }
    }

    /// Adds the counts of sub-operations. Remaining goes only with a pending or cancel status
    /// (PS3.4 §C.4.2.1.6).
    #[must_use]
    pub fn counting(self, sub_operations: SubOperations) -> Self {
        Self { sub_operations: Some(sub_operations), ..self }
    }

    /// Says that a data set follows.
    #[must_use]
    pub fn with_data_set(self) -> Self {
        Self { has_data_set: true, ..self }
    }

    /// The Message ID of the request that is responded to.
    pub fn responds_to(&self) -> u16 {
        self.identity.message_id
    }

    /// A data set follows the response.
    pub fn has_data_set(&self) -> bool {
        self.has_data_set
    }

    fn read(set: &CommandSet, identity: Identity) -> Self {
        let has_data_set = identity.has_data_set;
        let message_id = set.u16(element::MESSAGE_ID_BEING_RESPONDED_TO).unwrap_or(0);
        let field = identity.field & !RESPONSE;
        Self {
            // A response without a status says nothing of success.
            status: Status(set.u16(element::STATUS).unwrap_or(Status::CANNOT_UNDERSTAND.0)),
            identity: Identity { field, message_id, ..identity },
            comment: Some(set.text(element::ERROR_COMMENT)).filter(|comment| !comment.is_empty()),
            error_id: set.u16(element::ERROR_ID),
            attributes: set.tags(element::ATTRIBUTE_IDENTIFIER_LIST),
            sub_operations: SubOperations::read(set),
            has_data_set,
        }
    }

    /// The counts of sub-operations, where it has any.
    pub fn counts(&self) -> Option<SubOperations> {
        self.sub_operations
    }

    pub fn write(&self) -> Bytes {
        let Identity { field, message_id, sop_class, sop_instance, .. } = &self.identity;
        let mut set = CommandSet::default();
        if !sop_class.is_empty() {
            set.put_uid(element::AFFECTED_SOP_CLASS_UID, sop_class);
        }
        set.put_u16(element::COMMAND_FIELD, field | RESPONSE);
        set.put_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, *message_id);
        let data_set_type = if self.has_data_set { WITH_DATA_SET } else { NO_DATA_SET };
        set.put_u16(element::COMMAND_DATA_SET_TYPE, data_set_type);
        set.put_u16(element::STATUS, self.status.0);
        if let Some(comment) = &self.comment {
            set.put_text(element::ERROR_COMMENT, comment);
        }
        if let Some(error_id) = self.error_id {
            set.put_u16(element::ERROR_ID, error_id);
        }
        if !sop_instance.is_empty() {
            set.put_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance);
        }
        if !self.attributes.is_empty() {
            set.put_tags(element::ATTRIBUTE_IDENTIFIER_LIST, &self.attributes);
        }
        if let Some(counts) = self.sub_operations {
            let is_final = !self.status.is_pending() && self.status != Status::CANCEL;
            if !is_final {
                set.put_u16(element::REMAINING, counted(counts.remaining));
            }
            set.put_u16(element::COMPLETED, counted(counts.completed));
            set.put_u16(element::FAILED, counted(counts.failed));
            set.put_u16(element::WARNING, counted(counts.warning));
        }
        set.write()
    }
}

/// Counts are US: more than 65,535 cannot be said, and stay at that.
fn counted(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn echo() -> Identity {
        CEchoRq::new(7, "1.2.840.10008.1.1").identity
    }

    fn written(response: &Response) -> CommandSet {
        CommandSet::read(response.write()).unwrap()
    }

    #[test]
    fn an_echo_response_has_its_fields_and_no_data_set() {
        let set = written(&Response::new(&echo(), Status::SUCCESS));
        assert_eq!(set.u16(element::COMMAND_FIELD), Some(0x8030));
        assert_eq!(set.u16(element::MESSAGE_ID_BEING_RESPONDED_TO), Some(7));
        assert_eq!(set.u16(element::COMMAND_DATA_SET_TYPE), Some(0x0101));
        assert_eq!(set.u16(element::STATUS), Some(0));
        assert_eq!(set.text(element::AFFECTED_SOP_CLASS_UID), "1.2.840.10008.1.1");
    }

    #[test]
    fn reads_a_store_request_as_it_was_written() {
        let originator = MoveOriginator { ae_title: "WS1".into(), message_id: 8 };
        let request = CStoreRq::new(3, "1.2", "1.2.3", Some(originator));
        assert_eq!(Request::read(request.write()), Some(Request::CStore(request)));
    }

    #[test]
    fn an_unknown_command_keeps_what_its_response_needs() {
        let mut set = CommandSet::default();
        set.put_uid(element::REQUESTED_SOP_CLASS_UID, "1.2");
        set.put_u16(element::COMMAND_FIELD, 0x0150);
        set.put_u16(element::MESSAGE_ID, 9);
        set.put_u16(element::COMMAND_DATA_SET_TYPE, 0);
        let Some(Request::Other(identity)) = Request::read(set.write()) else { panic!("not Other") };
        assert!(identity.has_data_set);
        let set = written(&Response::new(&identity, Status::UNRECOGNIZED_OPERATION));
        assert_eq!(set.u16(element::COMMAND_FIELD), Some(0x8150));
        assert_eq!(set.u16(element::STATUS), Some(0x0211));
    }

    #[test]
    fn a_response_says_what_it_is_about() {
        let response = Response::new(&echo(), Status::PROCESSING_FAILURE).of_instance("1.2.3");
        let response = response.with_error_id(0xA710).about(vec![Tag(0x0040, 0x0252), Tag(0x0008, 0x0060)]);
        let set = written(&response);
        assert_eq!((set.u16(element::ERROR_ID), set.u16(element::STATUS)), (Some(0xA710), Some(0x0110)));
        assert_eq!(set.text(element::AFFECTED_SOP_INSTANCE_UID), "1.2.3");
        let about = set.tags(element::ATTRIBUTE_IDENTIFIER_LIST);
        assert_eq!(about, [Tag(0x0040, 0x0252), Tag(0x0008, 0x0060)]);
        assert_eq!(Request::read(response.write()), Some(Request::Response(response)));
    }

    #[rstest]
    #[case(Status::PENDING, Some(5))]
    #[case(Status::CANCEL, Some(5))]
    #[case(Status::SUCCESS, None)]
    #[case(Status::WARNING, None)]
    #[case(Status::UNABLE_TO_PERFORM_SUB_OPERATIONS, None)]
    fn remaining_is_told_while_there_is_something_left(
        #[case] status: Status,
        #[case] remaining: Option<u16>,
    ) {
        let counts = SubOperations { remaining: 5, completed: 70_000, failed: 0, warning: 1 };
        let set = written(&Response::new(&echo(), status).counting(counts));
        assert_eq!(set.u16(element::REMAINING), remaining);
        assert_eq!(set.u16(element::COMPLETED), Some(u16::MAX));
        assert_eq!((set.u16(element::FAILED), set.u16(element::WARNING)), (Some(0), Some(1)));
    }

    #[test]
    fn an_error_comment_is_plain_and_at_most_64_characters() {
        let comment = "ổ đĩa đầy \\ ".repeat(20);
        let set = written(&Response::new(&echo(), Status::OUT_OF_RESOURCES).because(comment));
        let told = set.text(element::ERROR_COMMENT);
        assert!(told.len() <= 64 && told.starts_with("? ??a ??y ?") && told.ends_with("..."), "{told}");
    }

    #[test]
    fn an_error_comment_names_no_part_of_a_uid() {
        let uid = "1.2.840.113619.2.55.3.604688119.971.1378461386.700";
        let comment = format!("study {uid} has no series {uid}");
        let set = written(&Response::new(&echo(), Status::CANNOT_UNDERSTAND).because(comment));
        assert_eq!(set.text(element::ERROR_COMMENT), format!("study {uid} has..."));
    }

    #[rstest]
    #[case(0xB007, true)]
    #[case(0x0107, true)]
    #[case(0xA700, false)]
    #[case(0x0000, false)]
    fn warnings_are_told_from_failures(#[case] code: u16, #[case] is_warning: bool) {
        assert_eq!(Status(code).is_warning(), is_warning);
    }
}
