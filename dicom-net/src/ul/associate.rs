//! Reads A-ASSOCIATE PDUs as an acceptor has to: reserved bytes are not looked at, unknown items and
//! sub-items are skipped (PS3.8 §9.3.1), and what a known sub-item lacks makes only that sub-item void.

use bytes::{Buf, Bytes};
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserIdentity, UserIdentityType, UserVariableItem,
};

use super::pdu::{AbortReason, Rejection};
use crate::error::{Error, Result};

/// Protocol version, reserved, two AE titles, 32 reserved bytes (PS3.8 Table 9-11).
const FIXED_LENGTH: usize = 2 + 2 + 16 + 16 + 32;

const APPLICATION_CONTEXT_ITEM: u8 = 0x10;
const PRESENTATION_CONTEXT_RQ_ITEM: u8 = 0x20;
const PRESENTATION_CONTEXT_AC_ITEM: u8 = 0x21;
const ABSTRACT_SYNTAX: u8 = 0x30;
const TRANSFER_SYNTAX: u8 = 0x40;
const USER_INFORMATION_ITEM: u8 = 0x50;
const MAXIMUM_LENGTH: u8 = 0x51;
const IMPLEMENTATION_CLASS_UID: u8 = 0x52;
const ROLE_SELECTION: u8 = 0x54;
const IMPLEMENTATION_VERSION_NAME: u8 = 0x55;
const SOP_CLASS_EXTENDED: u8 = 0x56;
const USER_IDENTITY_RQ: u8 = 0x58;

/// An item: its type and its value, taken off the front of `bytes`.
///
/// # Errors
/// `Protocol` when the item's length reaches behind the end.
fn item(bytes: &mut Bytes) -> Result<(u8, Bytes)> {
    let short =
        || Error::protocol(AbortReason::InvalidParameter, "an item reaches behind the end of its PDU");
    let kind = bytes.try_get_u8().map_err(|_| short())?;
    bytes.try_get_u8().map_err(|_| short())?;
    let length = usize::from(bytes.try_get_u16().map_err(|_| short())?);
    if length > bytes.len() {
        return Err(short());
    }
    Ok((kind, bytes.split_to(length)))
}

/// Text of a UID or an AE title; spaces and NULs around it are padding (PS3.8 §9.3.2, Annex F).
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect::<String>().trim_matches([' ', '\0']).to_owned()
}

/// The first `length` bytes, and void when there are not so many.
fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// A value that is preceded by its own two byte length.
fn take_counted(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(bytes.try_get_u16().ok()?);
    take(bytes, length)
}

/// What the bodies of an A-ASSOCIATE-RQ and an A-ASSOCIATE-AC have in common, with the presentation contexts of each.
struct Body<C> {
    protocol_version: u16,
    called_ae_title: String,
    calling_ae_title: String,
    application_context_name: String,
    presentation_contexts: Vec<C>,
    user_variables: Vec<UserVariableItem>,
}

/// Reads a body; `context` reads the items of this kind.
fn read_body<C>(mut body: Bytes, context_item: u8, context: impl Fn(Bytes) -> Result<C>) -> Result<Body<C>> {
    if body.len() < FIXED_LENGTH {
        return Err(Error::protocol(AbortReason::InvalidParameter, "an A-ASSOCIATE PDU is too short"));
    }
    let protocol_version = body.get_u16();
    body.advance(2);
    let called_ae_title = text(&body.split_to(16));
    let calling_ae_title = text(&body.split_to(16));
    body.advance(32);
    let mut read = Body {
        protocol_version,
        called_ae_title,
        calling_ae_title,
        application_context_name: String::new(),
        presentation_contexts: Vec::new(),
        user_variables: Vec::new(),
    };
    while body.has_remaining() {
        let (kind, value) = item(&mut body)?;
        match kind {
            APPLICATION_CONTEXT_ITEM => read.application_context_name = text(&value),
            USER_INFORMATION_ITEM => read.user_variables = user_information(value)?,
            kind if kind == context_item => read.presentation_contexts.push(context(value)?),
            _ => {}
        }
    }
    Ok(read)
}

/// The body of an A-ASSOCIATE-RQ PDU (PS3.8 §9.3.2).
///
/// An absent application context, abstract syntax or transfer syntax reads as empty: it is for the
/// negotiation to refuse it with the right code.
///
/// # Errors
/// `Protocol` when fixed fields are missing or the length of an item is a lie.
pub(crate) fn read_rq(body: Bytes) -> Result<AssociationRQ> {
    let body = read_body(body, PRESENTATION_CONTEXT_RQ_ITEM, proposed)?;
    Ok(AssociationRQ {
        protocol_version: body.protocol_version,
        calling_ae_title: body.calling_ae_title,
        called_ae_title: body.called_ae_title,
        application_context_name: body.application_context_name,
        presentation_contexts: body.presentation_contexts,
        user_variables: body.user_variables,
    })
}

/// The body of an A-ASSOCIATE-AC PDU (PS3.8 §9.3.3).
///
/// # Errors
/// As [`read_rq`].
pub(crate) fn read_ac(body: Bytes) -> Result<AssociationAC> {
    let body = read_body(body, PRESENTATION_CONTEXT_AC_ITEM, result)?;
    Ok(AssociationAC {
        protocol_version: body.protocol_version,
        calling_ae_title: body.calling_ae_title,
        called_ae_title: body.called_ae_title,
        application_context_name: body.application_context_name,
        presentation_contexts: body.presentation_contexts,
        user_variables: body.user_variables,
    })
}

/// The body of an A-ASSOCIATE-RJ PDU (PS3.8 §9.3.4); bytes that are missing read as 0.
pub(super) fn read_rj(body: &[u8]) -> Rejection {
    let at = |index: usize| body.get(index).copied().unwrap_or(0);
    Rejection::new(at(1), at(2), at(3))
}

fn context_id(value: &mut Bytes) -> Result<(u8, u8)> {
    match take(value, 4).as_deref() {
        Some(&[id, _, reason, _]) => Ok((id, reason)),
        _ => Err(Error::protocol(AbortReason::InvalidParameter, "a presentation context item is too short")),
    }
}

fn proposed(mut value: Bytes) -> Result<PresentationContextProposed> {
    let (id, _) = context_id(&mut value)?;
    let mut context =
        PresentationContextProposed { id, abstract_syntax: String::new(), transfer_syntaxes: Vec::new() };
    while value.has_remaining() {
        match item(&mut value)? {
            (ABSTRACT_SYNTAX, uid) => context.abstract_syntax = text(&uid),
            (TRANSFER_SYNTAX, uid) => context.transfer_syntaxes.push(text(&uid)),
            _ => {}
        }
    }
    Ok(context)
}

fn result(mut value: Bytes) -> Result<PresentationContextResult> {
    let (id, reason) = context_id(&mut value)?;
    let reason = match reason {
        0 => PresentationContextResultReason::Acceptance,
        1 => PresentationContextResultReason::UserRejection,
        3 => PresentationContextResultReason::AbstractSyntaxNotSupported,
        4 => PresentationContextResultReason::TransferSyntaxesNotSupported,
        _ => PresentationContextResultReason::NoReason,
    };
    let mut transfer_syntax = String::new();
    while value.has_remaining() {
        if let (TRANSFER_SYNTAX, uid) = item(&mut value)? {
            transfer_syntax = text(&uid);
        }
    }
    Ok(PresentationContextResult { id, reason, transfer_syntax })
}

fn user_information(mut value: Bytes) -> Result<Vec<UserVariableItem>> {
    let mut variables = Vec::new();
    while value.has_remaining() {
        let (kind, sub_item) = item(&mut value)?;
        variables.extend(user_variable(kind, sub_item));
    }
    Ok(variables)
}

/// A sub-item of the user information item (PS3.7 §D.3.3); `None` when it is too short to mean anything.
fn user_variable(kind: u8, mut value: Bytes) -> Option<UserVariableItem> {
    Some(match kind {
        MAXIMUM_LENGTH => UserVariableItem::MaxLength(value.try_get_u32().ok()?),
        IMPLEMENTATION_CLASS_UID => UserVariableItem::ImplementationClassUID(text(&value)),
        IMPLEMENTATION_VERSION_NAME => UserVariableItem::ImplementationVersionName(text(&value)),
        ROLE_SELECTION => {
            let sop_class = take_counted(&mut value)?;
            let scu = value.try_get_u8().ok()? == 1;
            let scp = value.try_get_u8().ok()? == 1;
            UserVariableItem::ScuScpRoleSelectionSubItem(text(&sop_class), RequestorRoles { scu, scp })
        }
        SOP_CLASS_EXTENDED => {
            let sop_class = take_counted(&mut value)?;
            UserVariableItem::SopClassExtendedNegotiationSubItem(text(&sop_class), value.to_vec())
        }
        USER_IDENTITY_RQ => UserVariableItem::UserIdentityItem(user_identity(value)?),
        other => UserVariableItem::Unknown(other, value.to_vec()),
    })
}

/// User identity (PS3.7 §D.3.3.7.1); `None` for a type that the standard does not define.
fn user_identity(mut value: Bytes) -> Option<UserIdentity> {
    let kind = match value.try_get_u8().ok()? {
        1 => UserIdentityType::Username,
        2 => UserIdentityType::UsernamePassword,
        3 => UserIdentityType::KerberosServiceTicket,
        4 => UserIdentityType::SamlAssertion,
        5 => UserIdentityType::Jwt,
        _ => return None,
    };
    let wants_response = value.try_get_u8().ok()? == 1;
    let primary = take_counted(&mut value)?;
    let secondary = take_counted(&mut value).unwrap_or_default();
    Some(UserIdentity::new(wants_response, kind, primary.to_vec(), secondary.to_vec()))
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::Pdu;
    use proptest::prelude::*;

    use super::super::pdu::{HEADER_LENGTH, associate};
    use super::*;

    fn request() -> AssociationRQ {
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "CT1".into(),
            called_ae_title: "FILMLESS".into(),
            application_context_name: "1.2.840.10008.3.1.1.1".into(),
            presentation_contexts: vec![PresentationContextProposed {
                id: 1,
                abstract_syntax: "1.2.840.10008.1.1".into(),
                transfer_syntaxes: vec!["1.2.840.10008.1.2".into()],
            }],
            user_variables: vec![
                UserVariableItem::MaxLength(16384),
                UserVariableItem::ImplementationClassUID("1.2.3".into()),
                UserVariableItem::ScuScpRoleSelectionSubItem(
                    "1.2.840.10008.5.1.4.1.1.2".into(),
                    RequestorRoles { scu: false, scp: true },
                ),
                UserVariableItem::SopClassExtendedNegotiationSubItem("1.2.3".into(), vec![1, 0, 1]),
                UserVariableItem::Unknown(0x53, vec![0, 4, 0, 4]),
            ],
        }
    }

    fn body(request: &AssociationRQ) -> Bytes {
        associate(&Pdu::AssociationRQ(request.clone())).unwrap().slice(HEADER_LENGTH..)
    }

    #[test]
    fn reads_back_what_was_written() {
        assert_eq!(read_rq(body(&request())).unwrap(), request());
    }

    #[test]
    fn skips_unknown_items_and_void_sub_items() {
        let mut bytes = body(&request()).to_vec();
        bytes.extend([0x7F, 0, 0, 4, b'x', b'y', b'z', b'!']);
        assert_eq!(read_rq(bytes.into()).unwrap(), request());
        assert_eq!(user_variable(ROLE_SELECTION, Bytes::from_static(&[0xFF, 0xFF, 1])), None);
        assert_eq!(user_variable(SOP_CLASS_EXTENDED, Bytes::from_static(&[0xFF, 0xFF])), None);
        assert_eq!(user_variable(USER_IDENTITY_RQ, Bytes::from_static(&[99, 1, 0, 0, 0, 0])), None);
    }

    #[test]
    fn refuses_an_item_that_is_longer_than_its_pdu() {
        let mut bytes = body(&request()).to_vec();
        bytes.extend([0x20, 0, 0xFF, 0xFF, 1]);
        assert!(read_rq(bytes.into()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_rq(bytes.clone().into());
            let _ = read_ac(bytes.clone().into());
            let _ = read_rj(&bytes);
        }

        #[test]
        fn no_damage_to_a_request_makes_it_panic(at in 0_usize..300, value: u8) {
            let mut bytes = body(&request()).to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = read_rq(bytes.into());
        }
    }
}
