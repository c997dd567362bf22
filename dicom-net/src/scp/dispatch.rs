//! The messages of an association, each to its service.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use dicom_store::{Caller, Session};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::{debug, warn};
use worker::jobs::AssociationEnded;

use super::Shared;
use super::c_store::Meanwhile;
use super::events::Events;
use super::services::{Offered, Purpose};
use super::storing::Storing;
use crate::dimse::{Identity, Request, Response, Status};
use crate::error::{Error, Result};
use crate::incoming::{collect, pass_over};
use crate::pace::Pace;
use crate::ul::{AbortReason, Association, Fragment, PduReader, PresentationContext, Received};

/// An identifier may be this long; a list of 10,000 UIDs fits.
pub(super) const LONGEST_IDENTIFIER: usize = 1024 * 1024;

/// An association and what its services need.
pub(super) struct Conversation<'a, R, W> {
    pub(super) association: &'a mut Association<R, W>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: Session,
    pub(super) address: IpAddr,
    pub(super) events: Events,
    pub(super) storing: Storing,
    offered: Offered,
    pub(super) pace: Pace,
}

impl<'a, R, W> Conversation<'a, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        association: &'a mut Association<R, W>,
        offered: Offered,
        caller: Caller,
        address: IpAddr,
    ) -> Self {
        let session = shared.archive.acting_as(caller);
        let pace = Pace::new(shared.config.stall());
        let events = Events::new(Arc::clone(&shared.commitment.open));
        let storing = Storing::new(association.operations);
        Self { association, shared, session, address, events, storing, offered, pace }
    }

    /// Serves message after message, and sends reports between them, until the peer asks for release.
    ///
    /// # Errors
    /// When the association has to end otherwise.
    pub(super) async fn serve(&mut self) -> Result<()> {
        let ended = self.messages().await;
        self.tell_what_came().await;
        ended
    }

    /// What an association has brought is looked at when it ends: it may be all of a study.
    async fn tell_what_came(&mut self) {
        let calling = &self.association.calling;
        let brought = std::mem::take(&mut self.storing.brought.0);
        let jobs: worker::Result<Vec<_>> =
            brought.iter().map(|study| AssociationEnded::with(calling, study)).collect();
        let told = match jobs {
            Ok(jobs) if jobs.is_empty() => return,
            Ok(jobs) => self.shared.archive.work().enqueue(&jobs).await.map_err(worker::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            // Nothing comes for a while, which tells the same later.
            warn!(%calling, %error, "what an association brought is looked at later");
        }
    }

    async fn messages(&mut self) -> Result<()> {
        let idle = self.shared.config.idle();
        loop {
            let received = tokio::select! {
                biased;
                Some(done) = self.storing.next() => {
                    done?.answer(&mut self.association.writer).await?;
                    continue;
                }
                received = timeout(idle, self.association.reader.next()) => received,
                handover = self.events.next() => {
                    self.report(handover).await?;
                    continue;
                }
            };
            match received.map_err(|_| Error::Silent(idle))?? {
                Received::Command { context, command } => self.dispatch(context, command).await?,
                Received::Release => return self.settle().await,
            }
        }
    }

    async fn dispatch(&mut self, context: u8, command: Bytes) -> Result<()> {
        let request = read_command(command)?;
        self.pace = Pace::new(self.shared.config.stall());
        // The reader lets no other contexts through.
        let Some(context) = self.association.contexts.get(context).cloned() else {
            return Err(Error::protocol(
                AbortReason::InvalidParameter,
                "the presentation context is unknown",
            ));
        };
        if let Some(identity) = request.identity().filter(|identity| self.storing.has(identity.message_id)) {
            let comment = format!("message {} is still under way", identity.message_id);
            let response = Response::new(identity, Status::DUPLICATE_INVOCATION).because(comment);
            return self.refuse(&context, identity, response).await;
        }
        let purpose = self.offered.purpose(context.abstract_syntax.as_str());
        // What asks for more than its own data set comes behind everything that was stored before it.
        if !matches!(
            request,
            Request::CStore(_) | Request::CEcho(_) | Request::Response(_) | Request::CCancel(_)
        ) {
            self.settle().await?;
        }
        match (request, purpose) {
            (Request::CEcho(request), Some(Purpose::Verification)) => {
                self.c_echo(&context, &request.identity).await
            }
            (Request::CStore(request), Some(Purpose::Storage)) => self.c_store(&context, request).await,
            (Request::CFind(request), Some(Purpose::Find(model))) => {
                self.c_find(&context, &request.identity, model).await
            }
            (Request::CGet(request), Some(Purpose::Get(model))) => self.c_get(&context, request, model).await,
            (Request::CMove(request), Some(Purpose::Move(model))) => {
                self.c_move(&context, request, model).await
            }
            (Request::NAction(request), Some(Purpose::Commitment)) => self.n_action(&context, request).await,
            (Request::NEventReport(request), Some(Purpose::Commitment)) => {
                self.n_event_report(&context, request).await
            }
            (Request::NCreate(request), Some(Purpose::PerformedStep)) => {
                self.n_create(&context, &request).await
            }
            (Request::NSet(request), Some(Purpose::PerformedStep)) => self.n_set(&context, &request).await,
            (Request::NGet(request), Some(Purpose::PerformedStepRetrieve)) => {
                self.n_get(&context, &request).await
            }
            // Its operation has ended already (PS3.7 §9.3.2.3).
            (Request::CCancel(_), _) => Ok(()),
            (Request::Response(response), _) => {
                if !self.events.take(&response) {
                    debug!(message_id = response.responds_to(), "a response came to nothing");
                }
                if response.has_data_set() { self.drain(&context).await } else { Ok(()) }
            }
            (request, _) => {
                // Answers and requests to cancel are done with above.
                let Some(identity) = request.identity() else { return Ok(()) };
                let comment = format!("not an operation of SOP class {}", context.abstract_syntax);
                let response = Response::new(identity, Status::UNRECOGNIZED_OPERATION).because(comment);
                self.refuse(&context, identity, response).await
            }
        }
    }

    /// Answers without doing anything, after the data set of the request was passed over.
    pub(super) async fn refuse(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        response: Response,
    ) -> Result<()> {
        if request.has_data_set {
            self.drain(context).await?;
        }
        self.respond(context, &response, None).await
    }

    /// Sends a response, with its data set if it has one, in one write.
    pub(super) async fn respond(
        &mut self,
        context: &PresentationContext,
        response: &Response,
        data: Option<&[u8]>,
    ) -> Result<()> {
        debug!(message_id = response.responds_to(), status = %response.status, "answered");
        self.association.writer.queue(context.id, &response.write(), data);
        self.association.writer.flush().await
    }

    /// Answers all that is being stored.
    async fn settle(&mut self) -> Result<()> {
        while let Some(done) = self.storing.next().await {
            done?.answer(&mut self.association.writer).await?;
        }
        Ok(())
    }

    /// The next part of the data set that follows the command. What has been stored meanwhile is answered.
    pub(super) async fn data(&mut self, context: &PresentationContext) -> Result<Fragment> {
        let Self { association, pace, storing, .. } = self;
        let Association { reader, writer, .. } = &mut **association;
        let mut next = pin!(pace.keep(reader.data(context.id)));
        loop {
            tokio::select! {
                biased;
                Some(done) = storing.next() => done?.answer(writer).await?,
                fragment = &mut next => return fragment,
            }
        }
    }

    /// Passes over the data set that follows the command.
    pub(super) async fn drain(&mut self, context: &PresentationContext) -> Result<()> {
        pass_over(&mut Meanwhile { conversation: self, context }).await
    }

    /// The data set that follows the command, in memory; `None` when it is too long for an identifier.
    pub(super) async fn identifier(&mut self, context: &PresentationContext) -> Result<Option<Bytes>> {
        self.data_set(context, LONGEST_IDENTIFIER).await
    }

    /// The same for any data set; `None` when it is longer than `longest` bytes.
    pub(super) async fn data_set(
        &mut self,
        context: &PresentationContext,
        longest: usize,
    ) -> Result<Option<Bytes>> {
        collect(&mut Meanwhile { conversation: self, context }, longest).await
    }

    /// Why a request does not fit the context that it came on, if so.
    pub(super) fn mismatch(context: &PresentationContext, request: &Identity) -> Option<Response> {
        (request.sop_class != context.abstract_syntax.as_str()).then(|| {
            let comment = format!("the context is for {}", context.abstract_syntax);
            Response::new(request, Status::SOP_CLASS_NOT_SUPPORTED).because(comment)
        })
    }
}

pub(super) fn read_command(command: Bytes) -> Result<Request> {
    Request::read(command)
        .ok_or_else(|| Error::protocol(AbortReason::InvalidParameter, "a command set cannot be read"))
}

/// Listens for a request to cancel while an operation runs. Anything else that comes is held until the operation has
/// ended: a peer that does not wait for its answer gets its answers in the order in which it asked.
///
/// Ends only with one for `message_id`. May be dropped and called again.
///
/// # Errors
/// When the association has to end.
pub(super) async fn cancelled<R: AsyncRead + Unpin>(
    reader: &mut PduReader<R>,
    message_id: u16,
) -> Result<()> {
    while !reader.is_holding() {
        match reader.next().await? {
            Received::Command { context, command } => match read_command(command.clone())? {
                Request::CCancel(cancel) if cancel.message_id_being_responded_to == message_id => {
                    return Ok(());
                }
                Request::CCancel(_) => {}
                _ => reader.hold(Received::Command { context, command }),
            },
            Received::Release => reader.hold(Received::Release),
        }
    }
    // What is behind it in the stream comes later.
    std::future::pending().await
}

/// Whether a request to cancel is here already, without waiting for it.
///
/// # Errors
/// As [`cancelled`].
pub(super) fn is_cancelled<R: AsyncRead + Unpin>(reader: &mut PduReader<R>, message_id: u16) -> Result<bool> {
    cancelled(reader, message_id).now_or_never().transpose().map(|cancelled| cancelled.is_some())
}
