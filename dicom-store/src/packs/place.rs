//! An instance that is being read: found again when its pack was rewritten meanwhile.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::Packs;
use crate::index::{Index, Known};
use crate::model::{Instance, Location, SopInstanceUid};
use crate::{Error, ErrorKind, Result};

/// Where the bytes of one instance lie, as far as is known.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    packs: Arc<Packs>,
    index: Arc<dyn Index>,
    uid: SopInstanceUid,
    location: Location,
}

impl Place {
    pub(crate) fn new(packs: &Arc<Packs>, index: &Arc<dyn Index>, instance: &Instance) -> Self {
        Self {
            packs: packs.clone(),
            index: index.clone(),
            uid: instance.sop_instance.clone(),
            location: instance.location,
        }
    }

    pub(crate) fn location(&self) -> Location {
        self.location
    }

    /// A range of the Part 10 file. A pack is only removed once the index says where its instances are now, so one
    /// that is not there is asked for at its new place.
    ///
    /// # Errors
    /// `NotFound` when the instance has been destroyed.
    pub(crate) async fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        loop {
            let Location { pack, offset, .. } = self.location;
            match self.packs.read(pack, offset + range.start..offset + range.end).await {
                Err(error) if error.kind == ErrorKind::NotFound => self.find_again(error).await?,
                result => return result,
            }
        }
    }

    async fn find_again(&mut self, error: Error) -> Result<()> {
        match known(self.index.clone(), self.uid.clone()).await? {
            Some(known) if known.instance.location != self.location => {
                self.location = known.instance.location;
                Ok(())
            }
            Some(_) => {
                let what = format!("pack {} cannot be found", self.location.pack);
                Err(Error::new(ErrorKind::Unavailable, what).with_source(error))
            }
            None => Err(Error::not_found(format!("instance {} is not in the archive any more", self.uid))),
        }
    }
}

/// What the index knows of one instance; asking may block the thread.
pub(crate) async fn known(index: Arc<dyn Index>, uid: SopInstanceUid) -> Result<Option<Known>> {
    let runtime = Handle::current();
    let asked = tokio::task::spawn_blocking(move || runtime.block_on(index.known(&[&uid])));
    let known =
        asked.await.map_err(|cause| Error::internal("the index did not answer").with_source(cause))?;
    Ok(known?.pop())
}
