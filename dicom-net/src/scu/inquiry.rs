//! C-FIND at a peer (PS3.4 §C.4.1): one association, as many questions as are to be asked.

use bytes::Bytes;
use dicom_store::Peer;
use dicom_store::model::{Attributes, SopClassUid, TransferSyntaxUid, transfer_syntax};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

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
    /// There are no more: it was not cancelled because there were as many as were wanted, the peer says nothing else (as by
    /// B001H, or a failure behind some rows), and each could be read.
    pub is_all: bool,
}

/// Answers that could not be read, and why the first of them.
#[derive(Default)]
struct Unreadable {
    count: usize,
    first: Option<String>,
}

impl Unreadable {
    fn note(&mut self, why: String) {
        self.count += 1;
        self.first.get_or_insert(why);
    }
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
    /// for an answer. What came before a failure is given, and an answer that cannot be read is passed over.
    ///
    /// # Errors
    /// `Refused` when the peer answers with a failure alone, `GivenUp` when no answer of several can be read, and when the
    /// association fails: it cannot be used then.
    pub(crate) async fn ask(&mut self, identifier: &Attributes, most: usize) -> Result<Found> {
        self.message_id = self.message_id.wrapping_add(1);
        let data = identifier.write(self.context.transfer_syntax.facts().encoding);
        let command = c_find_rq(self.message_id, FIND);
        self.association.writer.queue(self.context.id, &command, Some(&data));
        self.association.writer.flush().await?;
        let (mut found, mut bytes, mut unreadable) = (Found::default(), 0, Unreadable::default());
        let mut cancelled: Option<Instant> = None;
        let last = loop {
            if cancelled.is_some_and(|at| at.elapsed() > self.config.response()) {
                return Err(Error::GivenUp("the peer goes on answering though it was cancelled".to_owned()));
            }
            let response = self.response().await?;
            let data_set = if response.has_data_set() { Some(self.data_set().await?) } else { None };
            match (response.status, data_set) {
                (status, Some(row)) if status.is_pending() => {
                    bytes += row.as_ref().map_or(LONGEST, Bytes::len);
                    let is_enough = found.rows.len() >= most || bytes > MOST_BYTES;
                    if !is_enough {
                        match self.read(row) {
                            Ok(row) => found.rows.push(row),
                            Err(why) => unreadable.note(why),
                        }
                    } else if cancelled.is_none() {
                        cancelled = Some(Instant::now());
                        self.association.writer.queue(self.context.id, &c_cancel_rq(self.message_id), None);
                        self.association.writer.flush().await?;
                    }
                }
                (status, None) if status.is_pending() => {
                    return Err(Error::protocol(AbortReason::ServiceUser, "an answer has no identifier"));
                }
                (status, _) => break status,
            }
        };
        // A peer that had nothing left when it was cancelled ends well.
        let ends_well = matches!(last, Status::SUCCESS | Status::CANCEL);
        if found.rows.is_empty() {
            if !ends_well && !last.is_warning() {
                return Err(Error::Refused { operation: "C-FIND", status: last });
            }
            if let Some(why) = unreadable.first {
                return Err(Error::GivenUp(format!("an answer cannot be read: {why}")));
            }
        }
        if !ends_well || unreadable.count > 0 {
            let (rows, unreadable) = (found.rows.len(), unreadable.count);
            warn!(peer = %self.association.called, status = %last, rows, unreadable, "not all answers of a peer came");
        }
        found.is_all = ends_well && cancelled.is_none() && unreadable.count == 0;
        Ok(found)
    }

    /// # Errors
    /// Why it cannot be read.
    fn read(&self, row: Option<Bytes>) -> std::result::Result<Attributes, String> {
        let row = row.ok_or_else(|| format!("it is longer than {LONGEST} bytes"))?;
        let row = Attributes::read(row, self.context.transfer_syntax.facts().encoding);
        // Old archives leave out which characters they answer in.
        row.map(|row| row.recognised()).map_err(|error| error.what)
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

    /// `None` when it was passed over, because it is longer than any answer is.
    async fn data_set(&mut self) -> Result<Option<Bytes>> {
        let mut pace = Pace::new(self.config.stall());
        let mut data_set =
            Paced { reader: &mut self.association.reader, pace: &mut pace, context: self.context.id };
        collect(&mut data_set, LONGEST).await
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
