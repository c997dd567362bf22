//! Chunks of any length → pieces of even length, of which the last is known as such.

use bytes::{Bytes, BytesMut};
use dicom_store::model::{Error, Result};
use tokio::sync::mpsc;

use super::Piece;

/// What is held back no longer than it takes to send it.
const LARGE: usize = 1 << 20;
/// What is held back of it all the same.
const END: usize = 64 << 10;

/// Takes the chunks of one object. What nobody waits for any more is thrown away.
pub(super) struct Outlet<'a> {
    pieces: &'a mpsc::Sender<Piece>,
    /// The last chunk: whether it is the last of all is not known yet.
    held: Bytes,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(pieces: &'a mpsc::Sender<Piece>) -> Self {
        Self { pieces, held: Bytes::new() }
    }

    pub(super) async fn put(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let mut bytes = std::mem::replace(&mut self.held, chunk);
        if bytes.len() % 2 == 1 {
            // An odd byte goes before the next chunk; it is rare.
            let odd = bytes.split_off(bytes.len() - 1);
            let mut joined = BytesMut::with_capacity(1 + self.held.len());
            joined.extend_from_slice(&odd);
            joined.extend_from_slice(&self.held);
            self.held = joined.freeze();
        }
        if !bytes.is_empty() {
            self.send(Piece::Data { bytes, is_last: false }).await;
        }
        self.let_go().await;
    }

    /// Sends on what is large but for its end: the next chunk may have to wait for the room that this one has.
    async fn let_go(&mut self) {
        if self.held.len() > LARGE {
            let end = self.held.split_off((self.held.len() - END) & !1);
            let bytes = std::mem::replace(&mut self.held, Bytes::copy_from_slice(&end));
            self.send(Piece::Data { bytes, is_last: false }).await;
        }
    }

    /// Ends the object, well or not.
    pub(super) async fn close(mut self, read: Result<()>) {
        let held = std::mem::take(&mut self.held);
        let last = match read {
            Ok(()) if held.is_empty() => Piece::Failed(Error::corrupt("the object has no data set")),
            Ok(()) => Piece::Data { bytes: held, is_last: true },
            Err(error) => Piece::Failed(error),
        };
        self.send(last).await;
    }

    async fn send(&self, piece: Piece) {
        // The receiver is gone when the association is; the reader looks for that by itself.
        let _ = self.pieces.send(piece).await;
    }
}
