//! C-FIND at a peer (PS3.4 §C.4.1): one association, as many questions as are to be asked.

use bytes::Bytes;
use dicom_store::Peer;
use dicom_store::model::{Attributes, SopClassUid, TransferSyntaxUid, transfer_syntax};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{TcpAssociation, connect, release};
use crate::config::Config;
use crate::dimse::{Request, Response, Status, c_cancel_rq, c_find_rq};
use crate::error::{Error, Result};
use crate::incoming::{Paced, collect};
use crate::pace::Pace;
use crate::ul::{AbortReason, PresentationContext, Received, Role};

/// Study Root Query/Retrieve Information Model - FIND.
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
/// An identifier may be this long.
const LONGEST: usize = 1 << 20;
/// All answers to one question may have so many bytes.
const MOST_BYTES: usize = 64 << 20;

/// What a peer answered to a question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub rows: Vec<Attributes>,
    /// There are no more: it was not cancelled because there were as many as were wanted.
    pub is_all: bool,
}

/// An association on which a peer is asked, one question after the other.
pub(crate) struct Inquiry<'a> {
    association: TcpAssociation,
    context: PresentationContext,
    config: &'a Config,
    message_id: u16,
}

/// The two encodings of messages, the better one first.
pub(super) fn message_syntaxes() -> Vec<TransferSyntaxUid> {
    let uids = [transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::IMPLICIT_LITTLE];
    uids.map(|uid| TransferSyntaxUid::parse(uid).expect("the UID is well-formed")).to_vec()
}

impl<'a> Inquiry<'a> {
    /// # Errors
    /// When there is no association, or the peer does not take C-FIND of the Study Root.
    pub(crate) async fn open(config: &'a Config, peer: &Peer) -> Result<Self> {
        let find = SopClassUid::parse(FIND).expect("the UID is well-formed");
        let association = connect(peer, Role::Scu, &[(find, message_syntaxes())], config).await?;
        let Some(context) = association.contexts.iter().next().cloned() else {
            release(association, config.artim()).await;
            return Err(Error::GivenUp(format!("{} does not take C-FIND of the Study Root", peer.ae_title)));
        };
        Ok(Self { association, context, config, message_id: 0 })
    }

    /// Asks, and gives up to `most` answers; when there are more the rest is cancelled, for which the peer has as long as
    /// for an answer.
    ///
    /// # Errors
    /// `Refused` when the peer answers with a failure, and when the association fails: it cannot be used then.
    pub(crate) async fn ask(&mut self, identifier: &Attributes, most: usize) -> Result<Found> {
        self.message_id = self.message_id.wrapping_add(1);
        let data = identifier.write(self.context.transfer_syntax.facts().encoding);
        let command = c_find_rq(self.message_id, FIND);
        self.association.writer.queue(self.context.id, &command, Some(&data));
        self.association.writer.flush().await?;
        let (mut found, mut bytes) = (Found::default(), 0);
        let mut cancelled: Option<Instant> = None;
        loop {
            if cancelled.is_some_and(|at| at.elapsed() > self.config.response()) {
                return Err(Error::GivenUp("the peer goes on answering though it was cancelled".to_owned()));
            }
            let response = self.response().await?;
            let data_set = if response.has_data_set() { Some(self.data_set().await?) } else { None };
            match (response.status, data_set) {
                (status, Some(row)) if status.is_pending() => {
                    bytes += row.len();
                    let is_enough = found.rows.len() >= most || bytes > MOST_BYTES;
                    if !is_enough {
                        let encoding = self.context.transfer_syntax.facts().encoding;
                        let row = Attributes::read(row, encoding);
                        let row = row.map_err(|error| {
                            Error::GivenUp(format!("an answer cannot be read: {}", error.what))
                        })?;
                        // Old archives leave out which characters they answer in.
                        found.rows.push(row.recognised());
                    } else if cancelled.is_none() {
                        cancelled = Some(Instant::now());
                        self.association.writer.queue(self.context.id, &c_cancel_rq(self.message_id), None);
                        self.association.writer.flush().await?;
                    }
                }
                (status, None) if status.is_pending() => {
                    return Err(Error::protocol(AbortReason::ServiceUser, "an answer has no identifier"));
                }
                // A peer that had nothing left when it was cancelled ends well.
                (Status::SUCCESS | Status::CANCEL, _) => {
                    found.is_all = cancelled.is_none();
                    return Ok(found);
                }
                (status, _) => return Err(Error::Refused { operation: "C-FIND", status }),
            }
        }
    }

    async fn response(&mut self) -> Result<Response> {
        let limit = self.config.response();
        let received = timeout(limit, self.association.reader.next()).await;
        if let Received::Command { command, .. } = received.map_err(|_| Error::Silent(limit))??
            && let Some(Request::Response(response)) = Request::read(command)
            && response.responds_to() == self.message_id
        {
            return Ok(response);
        }
        Err(Error::protocol(
            AbortReason::ServiceUser,
            "something else came where an answer to a C-FIND was expected",
        ))
    }

    async fn data_set(&mut self) -> Result<Bytes> {
        let mut pace = Pace::new(self.config.stall());
        let mut data_set =
            Paced { reader: &mut self.association.reader, pace: &mut pace, context: self.context.id };
        let collected = collect(&mut data_set, LONGEST).await?;
        collected.ok_or_else(|| Error::protocol(AbortReason::ServiceUser, "an identifier is too long"))
    }

    /// Releases the association; after an error it is aborted.
    pub(crate) async fn close(self, after: Option<&Error>) {
        match after {
            None | Some(Error::Refused { .. }) => release(self.association, self.config.artim()).await,
            Some(error) => {
                debug!(%error, "a question was not answered");
                let why = Error::GivenUp("a question was not answered".to_owned());
                if let Some(linger) = self.association.abort(why).await.linger {
                    linger.wait().await;
                }
            }
        }
    }
}

/// One question to a peer.
///
/// # Errors
/// As [`Inquiry::open`] and [`Inquiry::ask`].
pub(crate) async fn find(
    config: &Config,
    peer: &Peer,
    identifier: &Attributes,
    most: usize,
) -> Result<Found> {
    let mut inquiry = Inquiry::open(config, peer).await?;
    let found = inquiry.ask(identifier, most).await;
    inquiry.close(found.as_ref().err()).await;
    found
}
