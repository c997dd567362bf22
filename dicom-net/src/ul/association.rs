//! The life of an association on a connection: accepted or requested, released or aborted
//! (PS3.8 §7, §9.2).
//!
//! The states of PS3.8 §9.2 and where they are here: Sta2 and Sta3 [`accept`], Sta4 and Sta5 [`request`],
//! Sta6 [`PduReader`] between the two, Sta7–Sta12 [`Association::release`] and
//! [`Association::answer_release`], Sta13 [`Linger`].

use std::collections::HashSet;
use std::time::Duration;

use dicom_store::model::{AeTitle, SopClassUid, TransferSyntaxUid};
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResultReason,
    RequestorRoles, UserVariableItem,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::associate::{read_ac, read_rj, read_rq};
use super::negotiation::{Agreement, PresentationContext, PresentationContexts, max_length, ours};
use super::pdu::{
    APPLICATION_CONTEXT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, AbortReason, Rejection, abort, associate,
    associate_rj, release_rp, release_rq,
};
use super::reader::{PduReader, Release};
use super::writer::PduWriter;
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
    pub reader: PduReader<R>,
    pub writer: PduWriter<W>,
}

/// A connection on which nothing more is said, but that the peer has to close (Sta13).
pub struct Linger<R, W> {
    reader: PduReader<R>,
    writer: PduWriter<W>,
    is_aborted: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Linger<R, W> {
    /// Waits for the peer to close, at most `artim` long, so that it gets to read our last word.
    pub async fn wait(mut self, artim: Duration) {
        // When time is up the connection is closed all the same (PS3.8 §9.2 AA-2).
        let _ = if self.is_aborted {
            timeout(artim, self.reader.drain()).await
        } else {
            timeout(artim, self.reader.pass_over()).await
        };
        self.writer.shut_down().await;
    }
}

/// A request for an association that waits for its answer (Sta3).
pub struct Requested<R, W> {
    pub request: AssociationRQ,
    reader: PduReader<R>,
    writer: PduWriter<W>,
}

/// Waits for a request for an association on a new connection (Sta2).
///
/// The caller limits the time (ARTIM, PS3.8 §9.1.5). `patience`: how long a peer may take nothing.
///
/// # Errors
/// The error, and the connection for [`Linger::wait`] when the peer was told of it by an A-ABORT.
pub async fn accept<R, W>(reader: R, writer: W, patience: Duration) -> Result<Requested<R, W>, Refused<R, W>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut reader = PduReader::new(reader);
    let writer = PduWriter::new(writer, patience);
    let request = match reader.associate_pdu().await {
        Ok((ASSOCIATE_RQ, body)) => read_rq(body),
        Ok(_) => {
            Err(Error::protocol(AbortReason::ServiceUser, "an answer came where a request was expected"))
        }
        Err(error) => Err(error),
    };
    match request {
        Ok(request) => Ok(Requested { request, reader, writer }),
        Err(error) => Err(abort_after(error, reader, writer).await),
    }
}

/// Why there is no association (any more), and the connection as far as it still stands.
pub struct Refused<R, W> {
    pub error: Error,
    pub linger: Option<Linger<R, W>>,
}

/// Tells the peer of an error by the A-ABORT that fits, unless it is gone.
async fn abort_after<R, W>(error: Error, reader: PduReader<R>, mut writer: PduWriter<W>) -> Refused<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let reason = match &error {
        Error::Protocol { reason, .. } => *reason,
        _ => AbortReason::ServiceUser,
    };
    let is_told = !error.is_gone() && writer.send_pdu(&abort(reason)).await.is_ok();
    Refused { error, linger: is_told.then_some(Linger { reader, writer, is_aborted: true }) }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Requested<R, W> {
    /// Sends the A-ASSOCIATE-RJ (AE-8).
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn reject(mut self, rejection: Rejection) -> Result<Linger<R, W>> {
        self.writer.send_pdu(&associate_rj(rejection)).await?;
        Ok(Linger { reader: self.reader, writer: self.writer, is_aborted: false })
    }

    /// Sends the A-ASSOCIATE-AC (AE-7). `max_length` is what the agreement announces.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn accept(mut self, agreement: Agreement, max_length: u32) -> Result<Association<R, W>> {
        self.writer.send_pdu(&associate(&Pdu::AssociationAC(agreement.answer))?).await?;
        self.reader.establish(max_length, agreement.contexts.clone());
        self.writer.establish(agreement.peer_max_length);
        Ok(Association {
            calling: agreement.calling,
            called: agreement.called,
            contexts: agreement.contexts,
            extended: agreement.extended,
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
    /// How long the peer may take nothing of what is sent.
    pub patience: Duration,
}

/// Requests an association on a new connection (Sta4, Sta5).
///
/// The caller limits the time.
///
/// # Errors
/// `Rejected` when the peer says no, and as [`accept`].
pub async fn request<R, W>(
    reader: R,
    writer: W,
    proposal: &Proposal<'_>,
) -> Result<Association<R, W>, Refused<R, W>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut reader = PduReader::new(reader);
    let mut writer = PduWriter::new(writer, proposal.patience);
    match exchange(&mut reader, &mut writer, proposal).await {
        Ok(accepted) => {
            let contexts = accepted_contexts(proposal, &accepted);
            reader.establish(proposal.max_length, contexts.clone());
            writer.establish(max_length(&accepted.user_variables));
            let (calling, called) = (proposal.calling.clone(), proposal.called.clone());
            Ok(Association { calling, called, contexts, extended: Vec::new(), reader, writer })
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
    match reader.associate_pdu().await? {
        (ASSOCIATE_AC, body) => read_ac(body),
        (ASSOCIATE_RJ, body) => Err(Error::Rejected(read_rj(&body))),
        _ => Err(Error::protocol(AbortReason::UnexpectedPdu, "a request came where an answer was expected")),
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
    /// Answers the peer's A-RELEASE-RQ (AR-4); the peer closes.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn answer_release(mut self) -> Result<Linger<R, W>> {
        self.writer.send_pdu(&release_rp()).await?;
        Ok(Linger { reader: self.reader, writer: self.writer, is_aborted: false })
    }

    /// Releases the association as its requestor (Sta7), and closes.
    ///
    /// What still comes of data is passed over (AR-6). When the peer asks for release at the same time it
    /// is answered, and its answer awaited (AR-8, AR-9). The caller limits the time.
    ///
    /// # Errors
    /// When the connection breaks or the peer aborts instead.
    pub async fn release(mut self) -> Result<()> {
        self.writer.send_pdu(&release_rq()).await?;
        loop {
            match self.reader.release().await? {
                Release::Reply => break,
                Release::Request => self.writer.send_pdu(&release_rp()).await?,
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
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const RELEASE_RQ_PDU: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    const RELEASE_RP_PDU: [u8; 10] = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    /// A last word that crosses our request: data on context 1.
    const LATE_DATA: [u8; 14] = [4, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 2, b'a', b'b'];

    #[rstest]
    #[case::answered(&RELEASE_RP_PDU, &[RELEASE_RQ_PDU])]
    #[case::after_data(&[&LATE_DATA[..], &RELEASE_RP_PDU].concat(), &[RELEASE_RQ_PDU])]
    #[case::collision(&[RELEASE_RQ_PDU, RELEASE_RP_PDU].concat(), &[RELEASE_RQ_PDU, RELEASE_RP_PDU])]
    #[tokio::test]
    async fn a_release_ends_also_when_both_sides_ask_for_it(
        #[case] theirs: &[u8],
        #[case] ours: &[[u8; 10]],
    ) {
        let (mut peer, stream) = tokio::io::duplex(1 << 10);
        let (reader, writer) = tokio::io::split(stream);
        let title = AeTitle::parse("FILMLESS").unwrap();
        let context = PresentationContext {
            id: 1,
            abstract_syntax: SopClassUid::parse("1.2.840.10008.1.1").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap(),
            requestor_is_scp: false,
        };
        let contexts: PresentationContexts = [context].into_iter().collect();
        let mut association = Association {
            calling: title.clone(),
            called: title,
            contexts: contexts.clone(),
            extended: Vec::new(),
            reader: PduReader::new(reader),
            writer: PduWriter::new(writer, Duration::from_secs(5)),
        };
        association.reader.establish(16384, contexts);
        peer.write_all(theirs).await.unwrap();
        association.release().await.unwrap();
        let mut sent = Vec::new();
        peer.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, ours.concat());
    }
}
