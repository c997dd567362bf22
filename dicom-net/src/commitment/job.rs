//! The job of a transaction: verify, then report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_store::model::{Error as StoreError, ErrorKind};
use dicom_store::{Archive, Caller, Proof, Session, Work};
use tokio::sync::Notify;
use tracing::{info, warn};
use worker::job::{HowFar, new_job};
use worker::jobs::Committed;
use worker::{Awaited, Job, Registry};

use super::open::OpenAssociations;
use super::report::Report;
use super::transaction::{Failure, Reference, Transaction};
use crate::config::Config;
use crate::dimse::Status;
use crate::peers::Peers;
use crate::scu::n_event_report;

/// How long one run verifies before it writes down what it has found.
const SLICE: Duration = Duration::from_secs(60);
/// For so long an instance that cannot be read now is tried again; then it is told as failed.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long a peer may take to answer a report on the association of its request.
const ANSWER: Duration = Duration::from_secs(30);

/// Carries out what was asked for; cheap to clone.
#[derive(Clone)]
pub(crate) struct StorageCommitment {
    session: Session,
    work: Work,
    peers: Peers,
    config: Arc<Config>,
    pub(crate) open: Arc<OpenAssociations>,
    came: Arc<Notify>,
}

impl StorageCommitment {
    pub(crate) fn new(archive: &Archive, peers: Peers, config: Arc<Config>) -> Self {
        let session = archive.acting_as(Caller::System("storage commitment"));
        let (work, open, came) = (archive.work(), Arc::default(), Arc::default());
        Self { session, work, peers, config, open, came }
    }

    /// For who runs the jobs of this server.
    pub(crate) fn awaited(&self) -> Awaited {
        Awaited::new(Registry::new().with(self.clone()), Arc::clone(&self.came))
    }

    /// Puts a transaction in the queue: when this returns, it survives a power cut.
    ///
    /// # Errors
    /// When the index cannot be reached.
    pub(crate) async fn take_on(&self, transaction: &Transaction) -> worker::Result<()> {
        let job = new_job::<Self>(transaction.key(), transaction, Duration::ZERO)?;
        self.work.enqueue_durably(&[job]).await?;
        self.came.notify_one();
        Ok(())
    }

    async fn verify(&self, mut transaction: Transaction) -> worker::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < SLICE
            && let Some(reference) = transaction.next()
        {
            let outcome = match self.judge(reference).await {
                Err(error) if transaction.age() < PATIENCE && is_passing(&error) => return Err(error.into()),
                Err(error) => {
                    warn!(instance = %reference.sop_instance, %error, "an instance cannot be verified");
                    Some(Failure::Processing)
                }
                Ok(outcome) => outcome,
            };
            transaction.outcomes.push(outcome);
        }
        if transaction.next().is_none() && transaction.judged().all(|(_, failure)| failure.is_none()) {
            let Transaction { calling, uid, references, .. } = &transaction;
            let instances = references.iter().map(|reference| reference.sop_instance.clone());
            self.work.enqueue(&[Committed::to(calling, uid, instances)?]).await?;
        }
        self.take_on(&transaction).await
    }

    async fn judge(&self, reference: &Reference) -> dicom_store::Result<Option<Failure>> {
        let proof = self.session.prove(&reference.sop_instance, &reference.sop_class).await?;
        Ok(match proof {
            Proof::Kept => None,
            Proof::Absent => Some(Failure::NoSuchInstance),
            Proof::OtherClass => Some(Failure::ClassConflict),
            Proof::Contested | Proof::Damaged => Some(Failure::Processing),
        })
    }

    async fn report(&self, transaction: &Transaction) -> worker::Result<()> {
        let report = Report::new(transaction, &self.config.ae_title);
        let is_taken = |status: Status| status == Status::SUCCESS || status.is_warning();
        let on_its_own = self.open.report(transaction, &report, ANSWER).await;
        if on_its_own.is_some_and(is_taken) {
            tell(transaction, "on the association of the request");
            return Ok(());
        }
        let calling = &transaction.calling;
        let Some(peer) = self.peers.get(calling).await else {
            let what =
                format!("{calling} has gone and is not in the table of peers: its report goes nowhere");
            return Err(StoreError::new(ErrorKind::NotFound, what).into());
        };
        let failed = |what| StoreError::new(ErrorKind::Unavailable, what);
        match n_event_report(&self.config, &peer, &report).await {
            Ok(status) if is_taken(status) => {
                tell(transaction, "on a new association");
                Ok(())
            }
            Ok(status) => Err(failed(format!("{calling} answered a report with {status}")).into()),
            Err(error) => Err(failed(format!("{calling} cannot be told of its transaction: {error}"))
                .with_source(error)
                .into()),
        }
    }
}

impl Job for StorageCommitment {
    const KIND: &'static str = "storage-commitment";
    const TIME_LIMIT: Duration = Duration::from_secs(5 * 60);
    /// About three days of a peer that is not there.
    const ATTEMPTS: u32 = 440;
    type Payload = Transaction;

    async fn run(&self, transaction: Transaction, _: &HowFar) -> worker::Result<()> {
        if transaction.next().is_some() {
            self.verify(transaction).await
        } else {
            self.report(&transaction).await
        }
    }
}

/// Whether it is worth while to look at the instance again later.
fn is_passing(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Internal)
}

fn tell(transaction: &Transaction, how: &str) {
    let failed = transaction.judged().filter(|(_, failure)| failure.is_some()).count();
    let (calling, uid) = (&transaction.calling, &transaction.uid);
    let instances = transaction.references.len();
    info!(%calling, transaction = %uid, instances, failed, how, "storage commitment reported");
}
