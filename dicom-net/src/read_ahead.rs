//! Objects on their way out of the archive: read ahead of the network, never whole in memory.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use dicom_store::Session;
use dicom_store::model::{Error, ErrorKind, Instance, Result};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Pieces that are read before they are asked for; a piece has up to 1 MiB.
const AHEAD: usize = 4;

/// A piece of a data set. Pieces have an even length, but for the last of an object.
pub(crate) enum Piece {
    Data {
        bytes: Bytes,
        is_last: bool,
    },
    /// The object cannot be read (any further); the next piece is of the next object.
    Failed(Error),
}

/// The data sets of instances, one after the other, as they are stored.
pub(crate) struct ReadAhead {
    pieces: mpsc::Receiver<Piece>,
    _reading: AbortOnDropHandle<()>,
}

impl ReadAhead {
    /// Begins to read; it ends with the last instance, or when this is dropped.
    pub(crate) fn new(session: Session, instances: Vec<Instance>) -> Self {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        let reading = async move {
            for instance in &instances {
                if let Err(error) = read(&session, instance, &pieces).await
                    && pieces.send(Piece::Failed(error)).await.is_err()
                {
                    return;
                }
            }
        };
        let reading = tokio::spawn(reading.in_current_span());
        Self { pieces: receiver, _reading: AbortOnDropHandle::new(reading) }
    }

    /// The next piece of the object under way, or the first of the next one.
    pub(crate) async fn next(&mut self) -> Piece {
        let ended = || Piece::Failed(Error::new(ErrorKind::Internal, "reading ended before the object did"));
        self.pieces.recv().await.unwrap_or_else(ended)
    }
}

/// Reads the data set of one instance. What nobody takes any more is no error.
async fn read(session: &Session, instance: &Instance, pieces: &mpsc::Sender<Piece>) -> Result<()> {
    let mut stream = pin!(session.open_data_set(instance));
    let mut left = instance.data_set_length();
    let mut odd = Bytes::new();
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("{}: {what}", instance.sop_instance));
    if left == 0 {
        return Err(corrupt("the object has no data set"));
    }
    while left > 0 {
        let chunk = stream.next().await.ok_or_else(|| corrupt("the object ends too early"))??;
        left = left.saturating_sub(chunk.len() as u64);
        let mut bytes = joined(&odd, chunk);
        let is_last = left == 0;
        odd = if is_last || bytes.len().is_multiple_of(2) {
            Bytes::new()
        } else {
            bytes.split_off(bytes.len() - 1)
        };
        if pieces.send(Piece::Data { bytes, is_last }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// An odd byte that was left over goes before the next chunk; it is rare.
fn joined(odd: &Bytes, chunk: Bytes) -> Bytes {
    if odd.is_empty() {
        return chunk;
    }
    let mut joined = BytesMut::with_capacity(odd.len() + chunk.len());
    joined.extend_from_slice(odd);
    joined.extend_from_slice(&chunk);
    joined.freeze()
}
