//! An old archive comes over while the server runs: some minutes at a time, so that a restart loses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_store::model::AeTitle;
use dicom_store::queue::{NewJob, Priority};
use dicom_store::register::Entry;
use dicom_store::{Session, Work};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::to_json;
use crate::job::{HowFar, Job, new_job};
use crate::migrate::{Counts, Migration, Order};
use crate::remote::Remotes;
use crate::{Error, Result};

/// The kind of its lines in the register.
pub const IMPORT: &str = "import";
/// How long one run goes on, once it is known which studies there are, before what it has done is summed up: so long at
/// least, and several times as long as it took to list them.
const SLICE: Duration = Duration::from_secs(600);
const LONGEST_SLICE: Duration = Duration::from_secs(3 * 3600);
const TIMES_THE_LIST: u32 = 4;

/// How far an import is, as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Import {
    pub order: Order,
    /// As they were after the last run; nothing is known before.
    pub counts: Option<Counts>,
    /// Everything was looked at that the peer listed.
    pub is_through: bool,
}

/// Brings an archive over.
pub struct BringOver {
    session: Session,
    work: Work,
    remotes: Arc<dyn Remotes>,
}

impl BringOver {
    /// Reads what is here through this session.
    pub fn new(session: Session, work: Work, remotes: Arc<dyn Remotes>) -> Self {
        Self { session, work, remotes }
    }

    /// The job of an order; another one about the same peer takes its place while it waits.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(order: &Order) -> Result<NewJob> {
        new_job::<Self>(order.peer.to_string(), order, Duration::ZERO)
    }

    pub(crate) async fn keep(
        work: &Work,
        order: &Order,
        counts: Option<Counts>,
        is_through: bool,
    ) -> Result<()> {
        let name = name(&order.peer);
        let body = to_json(&Import { order: order.clone(), counts, is_through })?;
        Ok(work.register(&[Entry::new(IMPORT, name, body)]).await?)
    }
}

fn name(peer: &AeTitle) -> String {
    peer.to_string()
}

impl Job for BringOver {
    const KIND: &'static str = "import";
    const TIME_LIMIT: Duration = Duration::from_secs(6 * 3600);
    const ATTEMPTS: u32 = 20;
    const PRIORITY: Priority = Priority::Batch;
    type Payload = Order;

    async fn run(&self, order: Order, far: &HowFar) -> Result<()> {
        let stop = CancellationToken::new();
        let migration = Migration {
            order: order.clone(),
            remotes: &*self.remotes,
            session: &self.session,
            work: &self.work,
            stop: &stop,
        };
        let (begun, mut counts) = (Instant::now(), Counts::default());
        let listed = migration.list(&mut counts).await?;
        let slice = (begun.elapsed() * TIMES_THE_LIST).clamp(SLICE, LONGEST_SLICE);
        let running = migration.bring(listed, &mut counts, |_, _| far.add(1));
        let clock = async {
            tokio::time::sleep(slice).await;
            stop.cancel();
            // What is under way is finished, and the run ends by itself.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            brought = running => brought?,
            () = clock => return Err(Error::TimeLimit(slice)),
        }
        let was_stopped = stop.is_cancelled();
        Self::keep(&self.work, &order, Some(counts), !was_stopped).await?;
        if was_stopped {
            return Ok(self.work.enqueue(&[Self::of(&order)?]).await?);
        }
        if !counts.is_complete() {
            return Err(Error::Remote(format!("not all of {} is here: {counts}", order.peer)));
        }
        Ok(())
    }
}
