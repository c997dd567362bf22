//! What is agreed on when an association is asked for (PS3.8 §9.3.2–9.3.4, PS3.7 Annex D).
//!
//! Pure: a request and our terms give an answer. The choice of a transfer syntax is ours, not that of the proposer's
//! order: for storage by [`preference`](super::preference) and by who is going to send, for everything else Explicit VR
//! Little Endian before Implicit VR Little Endian.

use dicom_store::model::{AeTitle, FileMeta, SopClassUid, TransferSyntaxUid, transfer_syntax};
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as ResultReason, RequestorRoles, UserVariableItem,
};

use super::pdu::{APPLICATION_CONTEXT, Rejection};
use super::preference::{rank_of_coming, rank_of_going};

/// Sub-items that `dicom-ul` has no name for (PS3.7 §D.3.3.3, §D.3.3.6, §D.3.3.7.2).
const ASYNCHRONOUS_OPERATIONS: u8 = 0x53;
const SOP_CLASS_COMMON_EXTENDED: u8 = 0x57;
const USER_IDENTITY_AC: u8 = 0x59;

/// How an abstract syntax is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Objects are taken and sent as they are, in any transfer syntax that the archive knows.
    Storage,
    /// Messages whose data sets we read and write ourselves.
    Messages,
    /// The same, and reports of events: of ours, or of a requestor that is SCP.
    Events,
}

impl Service {
    /// Whether a requestor may be SCP: of objects that we send, or of events that it tells.
    fn lets_requestor_be_scp(self) -> bool {
        match self {
            Self::Storage | Self::Events => true,
            Self::Messages => false,
        }
    }
}

/// What the acceptor offers; the layer above knows.
pub trait Services {
    /// `None` when the abstract syntax is not supported.
    fn service(&self, abstract_syntax: &str) -> Option<Service>;
    /// Whether objects may come in a transfer syntax.
    fn knows(&self, transfer_syntax: &str) -> bool;
    /// Whether images that are stored otherwise can be sent in a transfer syntax, without loss.
    fn makes(&self, transfer_syntax: &str) -> bool;
    /// The answer of SOP class extended negotiation (PS3.7 §D.3.3.5), not longer than the offer. `None` when nothing is
    /// negotiated for this abstract syntax.
    fn extended(&self, abstract_syntax: &str, offered: &[u8]) -> Option<Vec<u8>>;
}

/// A presentation context that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentationContext {
    /// Odd, 1–255.
    pub id: u8,
    pub abstract_syntax: SopClassUid,
    pub transfer_syntax: TransferSyntaxUid,
    /// The requestor is SCP on this context: it takes C-STORE requests, or sends event reports (PS3.7 §D.3.3.4).
    pub requestor_is_scp: bool,
}

/// The accepted contexts of an association, found by their id.
#[derive(Debug, Clone, Default)]
pub struct PresentationContexts(Vec<PresentationContext>);

impl PresentationContexts {
    pub fn get(&self, id: u8) -> Option<&PresentationContext> {
        // Nearly all peers number their contexts 1, 3, 5 …
        let guess = self.0.get(usize::from(id / 2)).filter(|context| context.id == id);
        guess.or_else(|| self.0.iter().find(|context| context.id == id))
    }

    pub fn iter(&self) -> impl Iterator<Item = &PresentationContext> {
        self.0.iter()
    }
}

impl FromIterator<PresentationContext> for PresentationContexts {
    fn from_iter<I: IntoIterator<Item = PresentationContext>>(contexts: I) -> Self {
        Self(contexts.into_iter().collect())
    }
}

/// What a request is judged by.
pub struct Terms<'a> {
    /// Our AE titles; empty when any called title is welcome.
    pub called: &'a [AeTitle],
    /// The longest P-DATA-TF that we take.
    pub max_length: u32,
    /// Operations that the requestor may have under way at the same time, at the most.
    pub operations: u16,
    /// The requestor is who it says: it is told so, as it wishes (PS3.7 §D.3.3.7.2).
    pub confirms_identity: bool,
    /// Transfer syntaxes that objects of this requestor are taken in first, the best first.
    pub wanted: &'a [TransferSyntaxUid],
    pub services: &'a (dyn Services + Sync),
}

/// What was agreed on, and the answer that says so.
pub struct Agreement {
    pub calling: AeTitle,
    pub called: AeTitle,
    pub contexts: PresentationContexts,
    /// The longest P-DATA-TF that the requestor takes; 0 is no limit.
    pub peer_max_length: u32,
    /// What was agreed in extended negotiation: abstract syntax and answer.
    pub extended: Vec<(String, Vec<u8>)>,
    /// Operations that the requestor may have under way at the same time: one, unless it has asked for more.
    pub operations: u16,
    pub answer: AssociationAC,
}

/// Judges a request for an association.
///
/// # Errors
/// The rejection of PS3.8 Table 9-21 that fits. A request of which no presentation context is acceptable
/// is still accepted (PS3.8 §9.3.3).
pub fn agree(request: &AssociationRQ, terms: &Terms<'_>) -> Result<Agreement, Rejection> {
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::PROTOCOL_VERSION_NOT_SUPPORTED);
    }
    if request.application_context_name != APPLICATION_CONTEXT {
        return Err(Rejection::APPLICATION_CONTEXT_NOT_SUPPORTED);
    }
    let called = AeTitle::parse(&request.called_ae_title)
        .ok()
        .filter(|called| terms.called.is_empty() || terms.called.contains(called))
        .ok_or(Rejection::CALLED_AE_TITLE_NOT_RECOGNIZED)?;
    let calling =
        AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CALLING_AE_TITLE_NOT_RECOGNIZED)?;

    let mut contexts = Vec::with_capacity(request.presentation_contexts.len());
    let mut results = Vec::with_capacity(request.presentation_contexts.len());
    for proposed in &request.presentation_contexts {
        let is_repeated = results.iter().any(|result: &PresentationContextResult| result.id == proposed.id);
        let judged = if is_repeated { Err(ResultReason::NoReason) } else { judge(proposed, request, terms) };
        results.push(result(proposed, &judged));
        contexts.extend(judged);
    }
    let answered = answer_variables(request, terms, &contexts);
    let extended = answered.iter().filter_map(|variable| match variable {
        UserVariableItem::SopClassExtendedNegotiationSubItem(uid, answer) => {
            Some((uid.clone(), answer.clone()))
        }
        _ => None,
    });
    Ok(Agreement {
        operations: operations(&request.user_variables, terms).map_or(1, |(invoked, _)| invoked),
        extended: extended.collect(),
        contexts: contexts.into_iter().collect(),
        peer_max_length: max_length(&request.user_variables),
        answer: AssociationAC {
            protocol_version: 1,
            calling_ae_title: request.calling_ae_title.clone(),
            called_ae_title: request.called_ae_title.clone(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: results,
            user_variables: answered,
        },
        calling,
        called,
    })
}

/// The maximum length in user information; 0, no limit, when it is not there.
pub(super) fn max_length(variables: &[UserVariableItem]) -> u32 {
    let stated = variables.iter().find_map(|variable| match variable {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    stated.unwrap_or(0)
}

fn judge(
    proposed: &PresentationContextProposed,
    request: &AssociationRQ,
    terms: &Terms<'_>,
) -> Result<PresentationContext, ResultReason> {
    let services = terms.services;
    // PS3.8 §9.3.2.2: ids are odd.
    if proposed.id.is_multiple_of(2) {
        return Err(ResultReason::NoReason);
    }
    let service =
        services.service(&proposed.abstract_syntax).ok_or(ResultReason::AbstractSyntaxNotSupported)?;
    let abstract_syntax = SopClassUid::parse(&proposed.abstract_syntax)
        .map_err(|_| ResultReason::AbstractSyntaxNotSupported)?;
    let requestor_is_scp = service.lets_requestor_be_scp() && proposes_scp(request, abstract_syntax.as_str());
    let chosen = match service {
        Service::Storage => {
            let class = abstract_syntax.as_str();
            let known =
                proposed.transfer_syntaxes.iter().map(String::as_str).filter(|uid| services.knows(uid));
            if requestor_is_scp {
                known.min_by_key(|uid| rank_of_going(class, uid, terms.wanted, services.makes(uid)))
            } else {
                known.min_by_key(|uid| rank_of_coming(class, uid, terms.wanted))
            }
        }
        Service::Messages | Service::Events => little_endian(&proposed.transfer_syntaxes),
    };
    let transfer_syntax = chosen
        .and_then(|uid| TransferSyntaxUid::parse(uid).ok())
        .ok_or(ResultReason::TransferSyntaxesNotSupported)?;
    Ok(PresentationContext { id: proposed.id, abstract_syntax, transfer_syntax, requestor_is_scp })
}

/// Whether the requestor wants to be SCP of a class, alone or besides (PS3.7 §D.3.3.4).
fn proposes_scp(request: &AssociationRQ, abstract_syntax: &str) -> bool {
    request.user_variables.iter().any(|variable| match variable {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) => uid == abstract_syntax && roles.scp,
        _ => false,
    })
}

fn little_endian(proposed: &[String]) -> Option<&str> {
    [transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::IMPLICIT_LITTLE]
        .into_iter()
        .find(|&ours| proposed.iter().any(|theirs| theirs == ours))
}

fn result(
    proposed: &PresentationContextProposed,
    judged: &Result<PresentationContext, ResultReason>,
) -> PresentationContextResult {
    let (reason, transfer_syntax) = match judged {
        Ok(context) => (ResultReason::Acceptance, context.transfer_syntax.as_str()),
        // Not significant when refused (PS3.8 §9.3.3.2), but some peers want to find one.
        Err(reason) => (reason.clone(), transfer_syntax::IMPLICIT_LITTLE),
    };
    PresentationContextResult { id: proposed.id, reason, transfer_syntax: transfer_syntax.to_owned() }
}

/// Answers to the requestor's user information, and ours.
fn answer_variables(
    request: &AssociationRQ,
    terms: &Terms<'_>,
    contexts: &[PresentationContext],
) -> Vec<UserVariableItem> {
    let mut answer = ours(terms.max_length);
    for variable in &request.user_variables {
        match variable {
            UserVariableItem::ScuScpRoleSelectionSubItem(uid, proposed) => {
                let mut accepted =
                    contexts.iter().filter(|context| context.abstract_syntax.as_str() == uid).peekable();
                let roles = RequestorRoles {
                    scu: proposed.scu && accepted.peek().is_some(),
                    scp: proposed.scp && accepted.any(|context| context.requestor_is_scp),
                };
                answer.push(UserVariableItem::ScuScpRoleSelectionSubItem(uid.clone(), roles));
            }
            UserVariableItem::SopClassExtendedNegotiationSubItem(uid, offered) => {
                if let Some(agreed) = terms.services.extended(uid, offered) {
                    answer.push(UserVariableItem::SopClassExtendedNegotiationSubItem(uid.clone(), agreed));
                }
            }
            _ => {}
        }
    }
    if let Some((invoked, performed)) = operations(&request.user_variables, terms) {
        let window = [invoked.to_be_bytes(), performed.to_be_bytes()].concat();
        answer.push(UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, window));
    }
    if terms.confirms_identity {
        answer.push(UserVariableItem::Unknown(USER_IDENTITY_AC, vec![0, 0]));
    }
    answer
}

/// The asynchronous operations window (PS3.7 §D.3.3.3): operations that the requestor may invoke at the same time, and
/// that it may be asked to perform, of which we ask for one; `None` when it does not negotiate them. 0 is no limit.
fn operations(variables: &[UserVariableItem], terms: &Terms<'_>) -> Option<(u16, u16)> {
    variables.iter().find_map(|variable| match variable {
        UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, offered) => {
            let &[a, b, ..] = offered.as_slice() else { return None };
            let most = terms.operations.max(1);
            let invoked = match u16::from_be_bytes([a, b]) {
                0 => most,
                offered => offered.min(most),
            };
            Some((invoked, 1))
        }
        _ => None,
    })
}

/// What a requestor says of a SOP class that the acceptor may not know (PS3.7 §D.3.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonExtended {
    pub sop_class: String,
    pub service_class: String,
    /// Classes of which it is a special kind.
    pub related: Vec<String>,
}

/// All of these that a request has; what cannot be read is as if it were not there.
pub fn common_extended(request: &AssociationRQ) -> Vec<CommonExtended> {
    let items = request.user_variables.iter().filter_map(|variable| match variable {
        UserVariableItem::Unknown(SOP_CLASS_COMMON_EXTENDED, value) => Some(value.as_slice()),
        _ => None,
    });
    items.filter_map(read_common_extended).collect()
}

fn read_common_extended(value: &[u8]) -> Option<CommonExtended> {
    let (sop_class, rest) = counted(value)?;
    let (service_class, rest) = counted(rest)?;
    let (mut list, _) = counted(rest).unwrap_or_default();
    let mut related = Vec::new();
    while let Some((uid, rest)) = counted(list) {
        related.push(uid_text(uid));
        list = rest;
    }
    Some(CommonExtended { sop_class: uid_text(sop_class), service_class: uid_text(service_class), related })
}

/// A value behind its length of two bytes, and what follows it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn uid_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches([' ', '\0']).to_owned()
}

/// What either side tells of itself (PS3.7 §D.3.3.1, §D.3.3.2).
pub(super) fn ours(max_length: u32) -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(max_length),
        UserVariableItem::ImplementationClassUID(FileMeta::implementation_class_uid().to_owned()),
        UserVariableItem::ImplementationVersionName(FileMeta::implementation_version().to_owned()),
    ]
}

/// As many bytes as were offered, each the lesser of the offer and what we have; what we leave out is 0.
pub fn lesser(offered: &[u8], ours: &[u8]) -> Vec<u8> {
    let ours = ours.iter().copied().chain(std::iter::repeat(0));
    offered.iter().zip(ours).map(|(&theirs, ours)| theirs.min(ours)).collect()
}

#[cfg(test)]
mod tests;
