//! Instances to a peer, on as many associations as their presentation contexts need
//! (PS3.4 §C.4.2.2.1, PS3.8 §9.3.2.2).

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{Instance, SopClassUid, SopInstanceUid, TransferSyntaxUid, transfer_syntax};
use dicom_store::{Peer, Session};
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use worker::{CpuPool, transcode};

use super::{TcpAssociation, connect, release, response, send};
use crate::config::Config;
use crate::dimse::{CStoreRq, MoveOriginator, Status};
use crate::error::{Error, Result};
use crate::lane::Lane;
use crate::outgoing::{Form, Outgoing, way_out};
use crate::ul::Role;

/// Presentation contexts that an association can have.
const MOST_CONTEXTS: usize = 128;
/// Fewer instances than this are not worth an association of their own.
const FEW: usize = 50;

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Warning,
    /// Not sent, or not taken, and why: may be told to peers.
    Failed(String),
    /// The association broke while it was under way.
    Broken(String),
    /// The peer does not take such instances at all.
    Refused(String),
}

impl Outcome {
    /// A peer that stored with a warning has stored (PS3.4 §C.4.2.1.7).
    pub(crate) fn of(status: Status) -> Self {
        match status {
            Status::SUCCESS => Self::Completed,
            status if status.is_warning() => Self::Warning,
            Status::SOP_CLASS_NOT_SUPPORTED => Self::Refused(format!("the peer answered {status}")),
            status => Self::Failed(format!("the peer answered {status}")),
        }
    }

    /// Neither its context nor the role that it needs was agreed on.
    pub(crate) fn no_context() -> Self {
        Self::Refused("no context or role for a SOP class and its transfer syntax".to_owned())
    }

    pub(crate) fn damaged() -> Self {
        Self::Failed("an instance is damaged and has to be stored again".to_owned())
    }

    pub(crate) fn unreadable() -> Self {
        Self::Failed("an object cannot be read or converted".to_owned())
    }
}

/// Instances to be sent to a peer.
pub(crate) struct Errand {
    pub session: Session,
    pub pool: CpuPool,
    pub peer: Peer,
    /// The way to it.
    pub lane: Arc<Lane>,
    pub instances: Vec<Instance>,
    /// The C-MOVE that this is for.
    pub originator: Option<MoveOriginator>,
    /// Priority (0000,0700) of the sub-operations (PS3.7 §9.1.1.1).
    pub priority: u16,
    pub config: Arc<Config>,
    /// At the same time, as far as the way to the peer has room for them; one at least.
    pub associations: usize,
    /// Told what became of each instance.
    pub outcomes: mpsc::Sender<(SopInstanceUid, Outcome)>,
    /// No further instance is begun after it is cancelled, and nothing more is told of those that were not.
    pub stop: CancellationToken,
    /// How long the instance that is under way then may still take. Without it as long as it takes, and whoever waits for
    /// the way to the peer goes on waiting.
    pub grace: Option<Duration>,
}

type Context = (SopClassUid, Vec<TransferSyntaxUid>);

/// An association, and the place that it has on the way to the peer.
struct Sending {
    association: TcpAssociation,
    _place: OwnedSemaphorePermit,
}

/// An instance, and the context and form in which it goes out.
type Ready = ((u8, Form), Instance);

/// Instances that one association is enough for.
#[derive(Default)]
struct Batch {
    contexts: Vec<Context>,
    instances: Vec<Instance>,
}

impl Errand {
    /// Sends all instances and tells of each, unless it is stopped.
    ///
    /// # Errors
    /// When an association failed: the instances that were left are told as failed; where it was stopped, the one under
    /// way alone.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut ended = Ok(());
        for batch in batches(std::mem::take(&mut self.instances), &self.peer.transfer_syntaxes) {
            match &ended {
                _ if self.stop.is_cancelled() => break,
                Err(error) => self.fail(batch.instances.iter(), error).await,
                Ok(()) => ended = self.deliver(batch).await,
            }
        }
        ended
    }

    /// Waits until it is stopped, where it ends at once then.
    async fn is_called_off(&self) {
        match self.grace {
            Some(_) => self.stop.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until what was under way when it was stopped has had its time.
    async fn grace_is_over(&self) {
        self.is_called_off().await;
        sleep(self.grace.unwrap_or_default()).await;
    }

    async fn fail(&self, instances: impl Iterator<Item = &Instance>, error: &Error) {
        for instance in instances {
            self.tell(instance, Outcome::Failed(error.to_string())).await;
        }
    }

    async fn tell(&self, instance: &Instance, outcome: Outcome) {
        // Nobody listens any more when the association of the C-MOVE has ended; then this ends, too.
        let _ = self.outcomes.send((instance.sop_instance.clone(), outcome)).await;
    }

    async fn deliver(&self, batch: Batch) -> Result<()> {
        let first = async {
            let place = self.lane.enter(self.config.response()).await?;
            self.associate(place, &batch).await
        };
        let first = tokio::select! {
            biased;
            () = self.is_called_off() => return Ok(()),
            first = first => first,
        };
        let first = match first {
            Ok(first) => first,
            // Stopped while it waited: of these none was begun.
            Err(error) if self.stop.is_cancelled() => return Err(error),
            Err(error) => {
                warn!(called = %self.peer.ae_title, %error, "nothing was sent, there is no association");
                self.fail(batch.instances.iter(), &error).await;
                return Err(error);
            }
        };
        let others = (batch.instances.len() / FEW).clamp(1, self.associations.max(1)) - 1;
        let others = join_all((0..others).map(|_| async {
            // What is left of the way is for whoever comes next.
            self.associate(self.lane.try_enter()?, &batch).await.ok()
        }));
        let all: Vec<Sending> = std::iter::once(first).chain(others.await.into_iter().flatten()).collect();
        let share = batch.instances.len().div_ceil(all.len()).max(1);
        let mut instances = batch.instances;
        let mut shares = Vec::with_capacity(all.len());
        for sending in all {
            let rest = instances.split_off(share.min(instances.len()));
            shares.push(self.carry(sending, std::mem::replace(&mut instances, rest)));
        }
        join_all(shares).await.into_iter().collect()
    }

    /// An association for a batch.
    async fn associate(&self, place: OwnedSemaphorePermit, batch: &Batch) -> Result<Sending> {
        let association = connect(&self.peer, Role::Scu, &batch.contexts, &self.config).await?;
        Ok(Sending { association, _place: place })
    }

    /// Sends these on one association.
    async fn carry(&self, sending: Sending, instances: Vec<Instance>) -> Result<()> {
        let Sending { mut association, _place } = sending;
        let (ready, refused): (Vec<_>, Vec<_>) = instances
            .into_iter()
            .map(|instance| {
                (way_out(association.contexts.iter(), &instance, &self.peer.transfer_syntaxes), instance)
            })
            .partition(|(way, _)| way.is_some());
        for (_, instance) in &refused {
            self.tell(instance, Outcome::no_context()).await;
        }
        let ready: Vec<Ready> =
            ready.into_iter().filter_map(|(way, instance)| Some((way?, instance))).collect();
        match self.send_all(&mut association, &ready).await {
            Ok(()) => {
                info!(called = %self.peer.ae_title, instances = ready.len(), "instances sent");
                let limit = self.config.artim();
                let limit =
                    self.grace.filter(|_| self.stop.is_cancelled()).map_or(limit, |grace| grace.min(limit));
                release(association, limit).await;
                Ok(())
            }
            Err((sent, error)) => {
                warn!(called = %self.peer.ae_title, %error, instances = sent, "sending ended");
                // Whoever waits for the outcome does not wait for the peer to close.
                let error = self.abort(association, error).await;
                let mut rest = ready.get(sent..).unwrap_or_default().iter();
                if let Some((_, instance)) = rest.next() {
                    self.tell(instance, Outcome::Broken(error.to_string())).await;
                }
                // What was not begun when it was stopped has not failed.
                if !self.stop.is_cancelled() {
                    self.fail(rest.map(|(_, instance)| instance), &error).await;
                }
                Err(error)
            }
        }
    }

    /// Ends an association with an A-ABORT; a peer that takes nothing is not waited for when it was stopped.
    async fn abort(&self, association: TcpAssociation, error: Error) -> Error {
        let told = error.to_string();
        let aborted = association.abort(error);
        match self.grace.filter(|_| self.stop.is_cancelled()) {
            None => aborted.await.error,
            Some(grace) => {
                timeout(grace, aborted).await.map_or(Error::GivenUp(told), |refused| refused.error)
            }
        }
    }

    /// Sends one after the other. With an error comes how many were told of.
    async fn send_all(
        &self,
        association: &mut TcpAssociation,
        ready: &[Ready],
    ) -> Result<(), (usize, Error)> {
        let objects = ready.iter().map(|((_, form), instance)| (instance.clone(), form.clone())).collect();
        let by_files = association.writer.is_by_files() && self.lane.rate.step().is_none();
        let mut objects = Outgoing::new(self.session.clone(), self.pool.clone(), objects, by_files);
        let mut message_id: u16 = 0;
        for (sent, ((context, _), instance)) in ready.iter().enumerate() {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            message_id = message_id.wrapping_add(1);
            let outcome = tokio::select! {
                biased;
                outcome = self.send_one(association, *context, instance, message_id, &mut objects) => outcome,
                () = self.grace_is_over() => {
                    Err(Error::GivenUp("cancelled, and the destination did not answer".to_owned()))
                }
            };
            let outcome = outcome.map_err(|error| (sent, error))?;
            self.tell(instance, outcome).await;
        }
        Ok(())
    }

    async fn send_one(
        &self,
        association: &mut TcpAssociation,
        context: u8,
        instance: &Instance,
        message_id: u16,
        objects: &mut Outgoing,
    ) -> Result<Outcome> {
        let (sop_class, sop_instance) = (instance.sop_class.as_str(), instance.sop_instance.as_str());
        let request = CStoreRq::new(message_id, sop_class, sop_instance, self.originator.clone());
        let request = CStoreRq { priority: self.priority, ..request };
        if let Err(error) =
            send(&mut association.writer, context, &request, objects, Some(&self.lane)).await?
        {
            warn!(instance = sop_instance, %error, "an instance cannot be read");
            return Ok(Outcome::unreadable());
        }
        let response = response(&mut association.reader, message_id, self.config.response()).await?;
        Ok(Outcome::of(response.status))
    }
}

/// What is proposed for an instance: its own transfer syntax, what the peer is said to want, and what has no compression,
/// as far as it can be made, each in a context of its own, so that the peer's choice among them is ours.
fn contexts(instance: &Instance, wanted: &[TransferSyntaxUid]) -> Vec<Context> {
    let native = [transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::IMPLICIT_LITTLE];
    let native = native.into_iter().filter_map(|uid| TransferSyntaxUid::parse(uid).ok());
    let others = wanted.iter().cloned().chain(native);
    let mut syntaxes = vec![instance.transfer_syntax.clone()];
    for syntax in others.filter(|syntax| transcode::is_possible(instance, syntax)) {
        if !syntaxes.contains(&syntax) {
            syntaxes.push(syntax);
        }
    }
    let syntaxes = syntaxes.into_iter();
    syntaxes.map(|syntax| (instance.sop_class.clone(), vec![syntax])).collect()
}

/// Instances in their order, in batches whose contexts fit into one association.
fn batches(instances: Vec<Instance>, wanted: &[TransferSyntaxUid]) -> Vec<Batch> {
    let mut batches = vec![Batch::default()];
    for instance in instances {
        let needed = contexts(&instance, wanted);
        let missing =
            |batch: &Batch| needed.iter().filter(|context| !batch.contexts.contains(context)).count();
        if batches.last().is_none_or(|batch| batch.contexts.len() + missing(batch) > MOST_CONTEXTS) {
            batches.push(Batch::default());
        }
        if let Some(batch) = batches.last_mut() {
            for context in needed {
                if !batch.contexts.contains(&context) {
                    batch.contexts.push(context);
                }
            }
            batch.instances.push(instance);
        }
    }
    batches.retain(|batch| !batch.instances.is_empty());
    batches
}
