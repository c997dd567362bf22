//! The life of an association on a connection: accepted or requested, released or aborted
//! (PS3.8 §7, §9.2).
//!
//! What may happen when is in the table of [`state`](super::state); here each action is carried out: Sta2 and Sta3 are
//! [`accept`], Sta5 is [`request`], Sta7 and Sta9 to Sta12 [`Association::release`], Sta8 [`Association::answer_release`],
//! and Sta13 [`Linger`].

use std::collections::HashSet;
use std::time::Duration;

use dicom_store::model::{AeTitle, SopClassUid, TransferSyntaxUid};
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResultReason,
    RequestorRoles, UserVariableItem,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::negotiation::{Agreement, PresentationContext, PresentationContexts, max_length, ours};
use super::pdu::{
    APPLICATION_CONTEXT, AbortReason, Rejection, abort, associate, associate_rj, release_rp, release_rq,
};
use super::reader::{Associate, PduReader};
use super::state::{Action, Event, Machine, State};
use super::writer::{PduWriter, ToSocket};
use crate::error::{Error, Result};

/// An established association.
///
/// The two halves are separate, so that a request to cancel is heard while responses are sent.
pub struct Association<R, W> {
    pub calling: AeTitle,
    pub called: AeTitle,
    pub contexts: PresentationContexts,
    /// What extended negotiation agreed on: abstract syntax and answer.
    pub extended: Vec<(String, Vec<u8>)>,
    /// Operations that the requestor may have under way at the same time.
    pub operations: u16,
    pub reader: PduReader<R>,
    pub writer: PduWriter<W>,
}

/// A connection on which nothing more is said, but that the peer has to close (Sta13).
pub struct Linger<R, W> {
    reader: PduReader<R>,
    writer: PduWriter<W>,
    /// Nobody knows where the next PDU begins.
    is_broken: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Linger<R, W> {
    /// Waits for the peer to close, as long as ARTIM runs, so that it gets to read our last word.
    pub async fn wait(mut self) {
        let machine = self.reader.machine().clone();
        while machine.state() == State::Sta13 {
            tokio::select! {
                biased;
                () = machine.artim() => {
                    machine.on(Event::ArtimExpired);
                }
                () = self.late() => {}
            }
        }
        self.writer.shut_down().await;
    }

    /// The next thing that comes. May be dropped while it waits.
    async fn late(&mut self) {
        if self.is_broken {
            return self.reader.drain().await;
        }
        if self.reader.late().await == Some(Action::Aa7) {
            // Said once, whether it arrives or not: nothing that comes behind it is looked at any more.
            self.is_broken = true;
            let _ = self.writer.send_pdu(&abort(AbortReason::UnexpectedPdu)).await;
        }
    }
}

/// A request for an association that waits for its answer (Sta3).
pub struct Requested<R, W> {
    pub request: AssociationRQ,
    reader: PduReader<R>,
    writer: PduWriter<W>,
}

/// How long things may take on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// ARTIM (PS3.8 §9.1.5): how long a peer may take to ask for an association, to answer ours, and to close.
    pub artim: Duration,
    /// How long the peer may take nothing of what is sent.
    pub patience: Duration,
}

/// Waits for a request for an association on a new connection (Sta2), as long as ARTIM runs.
///
/// # Errors
/// The error, and the connection for [`Linger::wait`] when the peer was told of it by an A-ABORT.
pub async fn accept<R, W>(reader: R, writer: W, limits: Limits) -> Result<Requested<R, W>, Refused<R, W>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let machine = Machine::new(false, limits.artim);
    let mut reader = PduReader::new(reader, machine.clone());
    let writer = PduWriter::new(writer, limits.patience, machine.clone());
    machine.on(Event::TransportIndication);
    let came = tokio::select! {
        came = reader.associate() => came,
        () = machine.artim() => {
            machine.on(Event::ArtimExpired);
            return Err(Refused { error: Error::Silent(limits.artim), linger: None });
        }
    };
    match came {
        Ok(Associate::Request(request)) => Ok(Requested { request, reader, writer }),
        // The table lets nothing else through.
        Ok(Associate::Accepted(_) | Associate::Rejected(_)) => {
            let what = "an answer came where a request was expected";
            Err(abort_after(Error::protocol(AbortReason::UnexpectedPdu, what), reader, writer).await)
        }
        Err(error) => Err(abort_after(error, reader, writer).await),
    }
}

/// Why there is no association (any more), and the connection as far as it still stands.
pub struct Refused<R, W> {
    pub error: Error,
    pub linger: Option<Linger<R, W>>,
}

/// Tells the peer of an error by the A-ABORT that the table asks for, unless it is gone.
async fn abort_after<R, W>(error: Error, reader: PduReader<R>, mut writer: PduWriter<W>) -> Refused<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let machine = reader.machine();
    let (reason, is_broken) = match &error {
        Error::Protocol { reason, .. } => (*reason, true),
        _ => (AbortReason::ServiceUser, false),
    };
    let reason = match machine.state() {
        State::Sta1 => None,
        // It is the table's own answer to what came.
        State::Sta13 => Some(reason),
        _ if reason == AbortReason::ServiceUser => machine.on(Event::AbortRequest).map(|_| reason),
        _ => match machine.on(Event::InvalidPdu) {
            Some(Action::Aa1) => Some(AbortReason::ServiceUser),
            action => action.map(|_| reason),
        },
    };
    let is_told = match reason {
        Some(reason) if !error.is_gone() => writer.send_pdu(&abort(reason)).await.is_ok(),
        _ => false,
    };
    Refused { error, linger: is_told.then_some(Linger { reader, writer, is_broken }) }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Requested<R, W> {
    /// Sends the A-ASSOCIATE-RJ (AE-8).
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn reject(mut self, rejection: Rejection) -> Result<Linger<R, W>> {
        self.reader.machine().ask(Event::AssociateReject)?;
        self.writer.send_pdu(&associate_rj(rejection)).await?;
        Ok(Linger { reader: self.reader, writer: self.writer, is_broken: false })
    }

    /// Has the system send files on the association to come, where the writer goes to a socket.
    pub fn through(mut self, socket: ToSocket<W>) -> Self {
        self.writer.through(socket);
        self
    }

    /// Sends the A-ASSOCIATE-AC (AE-7). `max_length` is what the agreement announces.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn accept(mut self, agreement: Agreement, max_length: u32) -> Result<Association<R, W>> {
        self.reader.machine().ask(Event::AssociateAccept)?;
        self.writer.send_pdu(&associate(&Pdu::AssociationAC(agreement.answer))?).await?;
        self.reader.establish(max_length, agreement.contexts.clone());
        self.writer.establish(agreement.peer_max_length);
        Ok(Association {
            calling: agreement.calling,
            called: agreement.called,
            contexts: agreement.contexts,
            extended: agreement.extended,
            operations: agreement.operations,
            reader: self.reader,
            writer: self.writer,
        })
    }
}

/// What the requestor of an association is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As it is without role selection.
    Scu,
    /// SCP alone: negotiated by role selection (PS3.7 §D.3.3.4).
    Scp,
    /// SCU of this abstract syntax, and SCP alone of all others: a C-GET and the objects that come of it.
    ScpBut(&'static str),
}

impl Role {
    fn is_scp_of(self, abstract_syntax: &SopClassUid) -> bool {
        match self {
            Self::Scu => false,
            Self::Scp => true,
            Self::ScpBut(scu) => abstract_syntax.as_str() != scu,
        }
    }
}

/// What a requestor asks for.
pub struct Proposal<'a> {
    pub calling: &'a AeTitle,
    pub called: &'a AeTitle,
    /// At most 128; their ids follow from the order: 1, 3, 5 …
    pub contexts: &'a [(SopClassUid, Vec<TransferSyntaxUid>)],
    /// What the requestor is on all of them.
    pub role: Role,
    /// The longest P-DATA-TF that we take.
    pub max_length: u32,
    pub limits: Limits,
}

/// Requests an association on a connection that has just been opened (Sta5), and waits for the answer as long as ARTIM
/// would run.
///
/// # Errors
/// `Rejected` when the peer says no, `Silent` when it says nothing, and as [`accept`].
pub async fn request<R, W>(
    reader: R,
    writer: W,
    proposal: &Proposal<'_>,
) -> Result<Association<R, W>, Refused<R, W>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Limits { artim, patience } = proposal.limits;
    let machine = Machine::new(true, artim);
    let mut reader = PduReader::new(reader, machine.clone());
    let mut writer = PduWriter::new(writer, patience, machine.clone());
    machine.on(Event::AssociateRequest);
    machine.on(Event::TransportConfirmation);
    let exchanged = timeout(artim, exchange(&mut reader, &mut writer, proposal)).await;
    match exchanged.unwrap_or(Err(Error::Silent(artim))) {
        Ok(accepted) => {
            let contexts = accepted_contexts(proposal, &accepted);
            reader.establish(proposal.max_length, contexts.clone());
            writer.establish(max_length(&accepted.user_variables));
            let (calling, called) = (proposal.calling.clone(), proposal.called.clone());
            Ok(Association { calling, called, contexts, extended: Vec::new(), operations: 1, reader, writer })
        }
        // The acceptor of a rejection waits for nothing: the requestor closes (AE-4).
        Err(error @ Error::Rejected(_)) => Err(Refused { error, linger: None }),
        Err(error) => Err(abort_after(error, reader, writer).await),
    }
}

async fn exchange<R, W>(
    reader: &mut PduReader<R>,
    writer: &mut PduWriter<W>,
    proposal: &Proposal<'_>,
) -> Result<AssociationAC>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    writer.send_pdu(&associate(&Pdu::AssociationRQ(associate_rq(proposal)))?).await?;
    match reader.associate().await? {
        Associate::Accepted(accepted) => Ok(accepted),
        Associate::Rejected(rejection) => Err(Error::Rejected(rejection)),
        // The table lets none through.
        Associate::Request(_) => {
            Err(Error::protocol(AbortReason::UnexpectedPdu, "a request came where an answer was expected"))
        }
    }
}

/// Ids of proposed contexts: 1, 3, 5 … 255.
fn context_ids() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).step_by(2)
}

fn associate_rq(proposal: &Proposal<'_>) -> AssociationRQ {
    let contexts = context_ids().zip(proposal.contexts);
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: proposal.calling.to_string(),
        called_ae_title: proposal.called.to_string(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: contexts
            .map(|(id, (abstract_syntax, transfer_syntaxes))| PresentationContextProposed {
                id,
                abstract_syntax: abstract_syntax.to_string(),
                transfer_syntaxes: transfer_syntaxes.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        user_variables: ours(proposal.max_length).into_iter().chain(roles(proposal)).collect(),
    }
}

/// Role selection for the contexts, where the role is not the usual one.
fn roles<'a>(proposal: &'a Proposal<'_>) -> impl Iterator<Item = UserVariableItem> + 'a {
    let mut named = HashSet::new();
    let contexts = proposal.contexts.iter().map(|(abstract_syntax, _)| abstract_syntax);
    let contexts = contexts.filter(|uid| proposal.role.is_scp_of(uid)).filter(move |uid| named.insert(*uid));
    contexts.map(|abstract_syntax| {
        let roles = RequestorRoles { scu: false, scp: true };
        UserVariableItem::ScuScpRoleSelectionSubItem(abstract_syntax.to_string(), roles)
    })
}

/// Whether the acceptor refuses the role that was proposed. Some SCUs know nothing of role selection and leave it
/// unanswered: the role is theirs all the same, since they take no other context for this class.
fn refuses_role(proposal: &Proposal<'_>, accepted: &AssociationAC, abstract_syntax: &SopClassUid) -> bool {
    proposal.role.is_scp_of(abstract_syntax)
        && accepted.user_variables.iter().any(|variable| match variable {
            UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) => {
                uid == abstract_syntax.as_str() && !roles.scp
            }
            _ => false,
        })
}

/// The contexts that the acceptor took, in the role that was proposed; an answer that was not proposed counts as a refusal.
fn accepted_contexts(proposal: &Proposal<'_>, accepted: &AssociationAC) -> PresentationContexts {
    let results = accepted.presentation_contexts.iter();
    let taken = results.filter(|result| result.reason == PresentationContextResultReason::Acceptance);
    taken
        .filter_map(|result| {
            let mut proposed = context_ids().zip(proposal.contexts);
            let (id, (abstract_syntax, syntaxes)) = proposed.find(|(id, _)| *id == result.id)?;
            let transfer_syntax = syntaxes.iter().find(|uid| uid.as_str() == result.transfer_syntax)?;
            (!refuses_role(proposal, accepted, abstract_syntax)).then(|| PresentationContext {
                id,
                abstract_syntax: abstract_syntax.clone(),
                transfer_syntax: transfer_syntax.clone(),
                requestor_is_scp: proposal.role.is_scp_of(abstract_syntax),
            })
        })
        .collect()
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Association<R, W> {
    /// Has the system send files, where the writer goes to a socket.
    pub fn through(mut self, socket: ToSocket<W>) -> Self {
        self.writer.through(socket);
        self
    }

    /// Answers the peer's A-RELEASE-RQ (AR-4); the peer closes.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn answer_release(mut self) -> Result<Linger<R, W>> {
        self.reader.machine().ask(Event::ReleaseResponse)?;
        self.writer.send_pdu(&release_rp()).await?;
        Ok(Linger { reader: self.reader, writer: self.writer, is_broken: false })
    }

    /// Releases the association (Sta7), and closes.
    ///
    /// What still comes of data is passed over (AR-6). When the peer asks for release at the same time, the requestor of
    /// the association answers first and the acceptor last (AR-8 to AR-10). The caller limits the time.
    ///
    /// # Errors
    /// When the connection breaks or the peer aborts instead.
    pub async fn release(mut self) -> Result<()> {
        let machine = self.reader.machine().clone();
        machine.ask(Event::ReleaseRequest)?;
        self.writer.send_pdu(&release_rq()).await?;
        loop {
            match self.reader.release().await? {
                Action::Ar8 if machine.state() == State::Sta9 => {
                    machine.ask(Event::ReleaseResponse)?;
                    self.writer.send_pdu(&release_rp()).await?;
                }
                Action::Ar8 => {}
                Action::Ar10 => {
                    self.answer_release().await?.wait().await;
                    return Ok(());
                }
                _ => break,
            }
        }
        self.writer.shut_down().await;
        Ok(())
    }

    /// Ends the association after an error: with the A-ABORT that fits, unless the peer is gone.
    pub async fn abort(self, error: Error) -> Refused<R, W> {
        abort_after(error, self.reader, self.writer).await
    }
}

#[cfg(test)]
mod tests;
