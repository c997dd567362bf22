//! What is done to the packs by themselves: small ones are gathered, dead parts dropped, and all of them compared with
//! their digests from time to time.

use std::time::Duration;

use dicom_store::queue::{NewJob, Priority};
use dicom_store::{Compression, Due, ErrorKind, Upkeep};
use tracing::{error, info};

use crate::Result;
use crate::job::{HowFar, Job, new_job};

/// Gathers and rewrites until nothing is left to do.
pub struct TidyPacks(Upkeep);

/// Compares the pack that has waited longest with its digests.
pub struct VerifyPack(Upkeep);

/// Compresses one pack that is old enough.
pub struct CompressPack(Upkeep);

impl CompressPack {
    pub fn new(upkeep: Upkeep) -> Self {
        Self(upkeep)
    }
}

impl TidyPacks {
    pub fn new(upkeep: Upkeep) -> Self {
        Self(upkeep)
    }
}

impl VerifyPack {
    pub fn new(upkeep: Upkeep) -> Self {
        Self(upkeep)
    }
}

impl Job for TidyPacks {
    const KIND: &'static str = "tidy-packs";
    const TIME_LIMIT: Duration = Duration::from_secs(30 * 60);
    const PRIORITY: Priority = Priority::Batch;
    const AT_A_TIME: usize = 1;
    type Payload = ();

    async fn run(&self, (): (), _: &HowFar) -> Result<()> {
        match self.0.tidy().await {
            Ok(0) => {}
            Ok(packs) => info!(packs, "packs gathered or rewritten"),
            // Something happened to a pack meanwhile; the next look sees how it is now.
            Err(error) if error.kind == ErrorKind::Conflict => info!(%error, "packs were not rewritten"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Job for VerifyPack {
    const KIND: &'static str = "verify-pack";
    /// A pack of one large instance takes long, at a pace that disturbs nobody.
    const TIME_LIMIT: Duration = Duration::from_secs(6 * 3600);
    const PRIORITY: Priority = Priority::Batch;
    const AT_A_TIME: usize = 1;
    type Payload = ();

    async fn run(&self, (): (), _: &HowFar) -> Result<()> {
        if let Some(verified) = self.0.verify_next().await? {
            let damaged = verified.stretches.len();
            // What could not be read has been told, and nobody knows whether it is damaged.
            if damaged > 0 && !verified.is_unread {
                error!(
                    damaged,
                    instances = verified.instances,
                    "a pack is damaged; what is wrong has to be sent again"
                );
            }
        }
        Ok(())
    }
}

impl Job for CompressPack {
    const KIND: &'static str = "compress-pack";
    const TIME_LIMIT: Duration = Duration::from_secs(3600);
    const PRIORITY: Priority = Priority::Batch;
    const AT_A_TIME: usize = 1;
    type Payload = ();

    async fn run(&self, (): (), _: &HowFar) -> Result<()> {
        match self.0.compress_next().await {
            Ok(Some(Compression { pack, plain, compressed: Some(compressed) })) => {
                info!(%pack, bytes = plain, compressed, "pack compressed, read again and compared");
            }
            Ok(Some(Compression { pack, .. })) => info!(%pack, "pack would hardly become smaller, it stays"),
            Ok(None) => {}
            // It was rewritten meanwhile.
            Err(error) if error.kind == ErrorKind::NotFound => info!(%error, "pack was not compressed"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The jobs for what is due.
///
/// # Errors
/// As [`new_job`].
pub(crate) fn jobs(due: Due) -> Result<Vec<NewJob>> {
    let mut jobs = Vec::new();
    if due.tidy {
        jobs.push(new_job::<TidyPacks>("packs".to_owned(), &(), Duration::ZERO)?);
    }
    if due.verify {
        jobs.push(new_job::<VerifyPack>("packs".to_owned(), &(), Duration::ZERO)?);
    }
    if due.compress {
        jobs.push(new_job::<CompressPack>("packs".to_owned(), &(), Duration::ZERO)?);
    }
    Ok(jobs)
}
