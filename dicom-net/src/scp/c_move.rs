//! C-MOVE (PS3.4 §C.4.2, PS3.7 §9.1.4): instances go to a third AE on associations of our own, while the
//! peer that asked hears of the progress and can cancel.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dicom_store::Peer;
use dicom_store::model::{AeTitle, Error as StoreError, SopInstanceUid};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::dispatch::{Conversation, cancelled};
use super::identifier::{Identifier, failed_list};
use super::retrieve::{self, Asked, Progress};
use super::services::Model;
use super::status;
use crate::dimse::{CMoveRq, Identity, MoveOriginator, Response, Status};
use crate::error::Result;
use crate::scu::{Errand, Outcome};
use crate::ul::PresentationContext;

/// Pending responses come no faster than this, and no slower than [`ALIVE`].
pub(super) const PROGRESS: Duration = Duration::from_millis(250);
/// A peer whose destination is slow hears at least this often that we are at it.
pub(super) const ALIVE: Duration = Duration::from_secs(5);

/// How long the sub-operation under way may still take when the peer has cancelled.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Outcomes that wait to be counted.
const OUTCOMES: usize = 64;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn c_move(
        &mut self,
        context: &PresentationContext,
        request: CMoveRq,
        model: Model,
    ) -> Result<()> {
        if let Some(response) = Self::mismatch(context, &request.identity) {
            return self.refuse(context, &request.identity, response).await;
        }
        let asked = self.asked(context, &request.identity, model).await?;
        // Whoever may not retrieve does not learn what destinations there are.
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                let response = refusal(&request.identity, &error);
                return self.respond(context, &response, None).await;
            }
        };
        let destination = AeTitle::parse(&request.destination).ok();
        let peer = match &destination {
            Some(title) => self.shared.peers.destination(title).await,
            None => None,
        };
        let Some(peer) = peer else {
            warn!(destination = request.destination, "C-MOVE to an unknown destination");
            let response = Response::new(&request.identity, Status::MOVE_DESTINATION_UNKNOWN)
                .because("the move destination is not a known peer");
            return self.respond(context, &response, None).await;
        };
        self.carry_out(context, &request, peer, asked).await
    }

    /// The instances that a retrieve's identifier asks for.
    pub(super) async fn asked(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        model: Model,
    ) -> Result<Result<Asked, StoreError>> {
        if !request.has_data_set {
            return Ok(Err(StoreError::invalid("the request has no identifier")));
        }
        let Some(bytes) = self.identifier(context).await? else {
            return Ok(Err(StoreError::invalid("the identifier is too long")));
        };
        let wanted = Identifier::read(bytes, &context.transfer_syntax, model)
            .and_then(|identifier| identifier.wanted(model));
        Ok(match wanted {
            Ok(wanted) => {
                retrieve::instances(&self.session, &wanted, self.shared.config.unknown_matches).await
            }
            Err(error) => Err(error),
        })
    }

    async fn carry_out(
        &mut self,
        context: &PresentationContext,
        request: &CMoveRq,
        peer: Arc<Peer>,
        Asked { instances, damaged }: Asked,
    ) -> Result<()> {
        let (priority, request) = (request.priority, &request.identity);
        let mut progress = Progress::new(instances.len(), &damaged);
        let (outcomes, mut heard) = mpsc::channel(OUTCOMES);
        let stop = CancellationToken::new();
        let errand = Errand {
            session: self.session.clone(),
            pool: self.shared.pool.clone(),
            peer: Peer::clone(&peer),
            lane: self.shared.peers.lane(&peer),
            instances,
            originator: Some(MoveOriginator {
                ae_title: self.association.calling.to_string(),
                message_id: request.message_id,
            }),
            priority,
            config: Arc::clone(&self.shared.config),
            // Whoever asks for several things at a time has several; each is told how far it is in its order.
            associations: 1,
            outcomes,
            stop: stop.clone(),
            grace: Some(GRACE),
        };
        // Apart from the state of an association, most of which never move anything.
        let mut errand = Box::pin(errand.run());
        let mut is_run = false;
        let is_cancelled = {
            let mut follow = pin!(self.follow(context, request, &mut progress, &mut heard, &stop));
            // By one task, so that no thread wakes another for each instance.
            loop {
                tokio::select! {
                    biased;
                    is_cancelled = &mut follow => break is_cancelled?,
                    // How it ended was told of each instance; the errand has nothing to add.
                    _ = &mut errand, if !is_run => is_run = true,
                }
            }
        };
        self.conclude(context, request, &progress, is_cancelled).await
    }

    /// Counts outcomes until there are no more, and hears a cancel; gives whether there was one.
    async fn follow(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        progress: &mut Progress,
        heard: &mut mpsc::Receiver<(SopInstanceUid, Outcome)>,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let mut alive = interval(ALIVE);
        let mut told: Option<Instant> = None;
        let mut is_cancelled = false;
        loop {
            tokio::select! {
                biased;
                asked = cancelled(&mut self.association.reader, request.message_id), if !is_cancelled => {
                    asked?;
                    is_cancelled = true;
                    stop.cancel();
                }
                outcome = heard.recv() => {
                    let Some((instance, outcome)) = outcome else { return Ok(is_cancelled) };
                    progress.settle(&instance, outcome);
                    if told.is_some_and(|told| told.elapsed() < PROGRESS) || progress.counts.remaining == 0 {
                        continue;
                    }
                }
                _ = alive.tick() => {}
            }
            told = Some(Instant::now());
            let pending = Response::new(request, Status::PENDING).counting(progress.counts);
            self.respond(context, &pending, None).await?;
        }
    }

    /// The final response of a retrieve.
    pub(super) async fn conclude(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        progress: &Progress,
        is_cancelled: bool,
    ) -> Result<()> {
        let status = progress.status(is_cancelled);
        info!(%status, completed = progress.counts.completed, failed = progress.counts.failed, "retrieve ended");
        let mut response = Response::new(request, status).counting(progress.counts);
        if let Some(why) = &progress.why {
            response = response.because(why);
        }
        if progress.failed.is_empty() {
            return self.respond(context, &response, None).await;
        }
        let list = failed_list(&progress.failed, context.transfer_syntax.facts().encoding);
        self.respond(context, &response.with_data_set(), Some(&list)).await
    }
}

/// The response to a retrieve that never began.
pub(super) fn refusal(request: &Identity, error: &StoreError) -> Response {
    let status = status::of_retrieve(error.kind);
    warn!(%status, kind = ?error.kind, "a retrieve was refused");
    Response::new(request, status).because(status::comment(error))
}
