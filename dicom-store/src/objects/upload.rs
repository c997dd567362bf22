//! A large file to the object store in parts, several at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;

use super::{blocking, store_error};
use crate::{Error, Result};

/// Bytes of a part; what is not longer goes in one request.
pub(super) const PART: u64 = 8 << 20;
/// S3 takes no more parts than this.
const MAX_PARTS: u64 = 10_000;
/// Parts of one object that are under way at once.
const AT_A_TIME: usize = 4;
/// Parts of all objects together: what they hold of memory is this many times [`PART`].
pub(super) const ALL_AT_A_TIME: usize = 8;

/// Puts the first `length` bytes of a file under a name that nothing has yet.
///
/// The object is there when this returns, whole, and not before; what had begun is taken back after an error.
pub(super) async fn in_parts(
    store: &dyn ObjectStore,
    key: &Path,
    file: Arc<File>,
    length: u64,
    turns: &Arc<Semaphore>,
) -> Result<()> {
    let mut upload = store.put_multipart(key).await.map_err(store_error)?;
    let result = match send(upload.as_mut(), file, length, turns).await {
        Ok(()) => upload.complete().await.map(|_| ()).map_err(store_error),
        error => error,
    };
    if result.is_err() {
        // A store that is gone keeps the parts; they are no object, and its own rules for such leftovers clear them.
        let _ = upload.abort().await;
    }
    result
}

async fn send(
    upload: &mut dyn MultipartUpload,
    file: Arc<File>,
    length: u64,
    turns: &Arc<Semaphore>,
) -> Result<()> {
    let size = PART.max(length.div_ceil(MAX_PARTS));
    let mut under_way = FuturesUnordered::new();
    let mut at = 0;
    while at < length {
        if under_way.len() >= AT_A_TIME {
            under_way.next().await.unwrap_or(Ok(()))?;
        }
        let turn = loop {
            // Parts that wait for a turn must not keep those that have one from going on.
            tokio::select! {
                turn = turns.clone().acquire_owned() => break turn.expect("the semaphore is never closed"),
                Some(sent) = under_way.next() => sent?,
            }
        };
        let end = length.min(at + size);
        let part = read(file.clone(), at..end).await?;
        let sent = upload.put_part(part);
        under_way.push(async move {
            let _turn = turn;
            sent.await.map_err(store_error)
        });
        at = end;
    }
    while let Some(sent) = under_way.next().await {
        sent?;
    }
    Ok(())
}

/// A part of a file as something to send.
pub(super) async fn read(file: Arc<File>, range: std::ops::Range<u64>) -> Result<PutPayload> {
    let length = usize::try_from(range.end - range.start)
        .map_err(|cause| Error::internal("a part is larger than memory").with_source(cause))?;
    let bytes = blocking(move || {
        let mut bytes = BytesMut::zeroed(length);
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.freeze())
    });
    Ok(bytes.await?.into())
}
