//! C-STORE to a peer (PS3.4 Annex B): on an association of our own, or as a sub-operation of its C-GET.

use dicom_store::FilePart;
use dicom_store::model::Error as StoreError;
use tokio::io::AsyncWrite;

use crate::dimse::CStoreRq;
use crate::error::{Error, Result};
use crate::lane::Lane;
use crate::outgoing::{Outgoing, Piece};
use crate::ul::PduWriter;

/// Sends a request and the next object of `objects`; the answer is still to come.
///
/// `lane`: the way to the peer, where it may be limited. `Ok(Err(_))`: the object cannot be read, and nothing of it was sent.
///
/// # Errors
/// When the association fails, or has to: a data set that was begun cannot be taken back.
pub(crate) async fn send<W: AsyncWrite + Unpin>(
    writer: &mut PduWriter<W>,
    context: u8,
    request: &CStoreRq,
    objects: &mut Outgoing,
    lane: Option<&Lane>,
) -> Result<Result<(), StoreError>> {
    let mut piece = match objects.next().await {
        Piece::Failed(error) => return Ok(Err(error)),
        piece @ (Piece::Data { .. } | Piece::File(_)) => piece,
    };
    writer.queue(context, &request.write(), None);
    loop {
        match piece {
            Piece::Data { bytes, is_last } => {
                let step = lane.and_then(|lane| lane.rate.step());
                let length = step.unwrap_or(bytes.len().max(1));
                let mut parts = bytes.chunks(length).peekable();
                while let Some(part) = parts.next() {
                    let is_last = is_last && parts.peek().is_none();
                    tokio::select! {
                        sent = pass_and_send(writer, context, part, is_last, lane) => sent?,
                        () = objects.are_needed() => return Err(not_taken()),
                    }
                }
                if is_last {
                    return Ok(Ok(()));
                }
            }
            Piece::File(mut part) => {
                while !part.is_empty() {
                    let fragment = part.split_to(writer.fragment());
                    tokio::select! {
                        sent = send_file(writer, context, &fragment, part.is_empty()) => sent?,
                        () = objects.are_needed() => return Err(not_taken()),
                    }
                }
                return Ok(Ok(()));
            }
            Piece::Failed(error) => return Err(unreadable(&error)),
        }
        piece = objects.next().await;
    }
}

fn not_taken() -> Error {
    Error::GivenUp("the peer takes nothing of an object, and others wait for the memory".to_owned())
}

fn unreadable(error: &StoreError) -> Error {
    Error::GivenUp(format!("an object cannot be read: {error}"))
}

/// Sends a fragment of a data set where it lies. What the system has given up meanwhile is read, so that nobody but this
/// peer waits for the disk.
async fn send_file<W: AsyncWrite + Unpin>(
    writer: &mut PduWriter<W>,
    context: u8,
    fragment: &FilePart,
    is_last: bool,
) -> Result<()> {
    if fragment.is_at_hand() {
        return writer.send_file(context, fragment.file(), fragment.range(), is_last).await;
    }
    let bytes = fragment.read().await.map_err(|error| unreadable(&error))?;
    writer.send_data(context, &bytes, is_last).await
}

/// Sends a part of a data set, when the way to the peer is free for it.
async fn pass_and_send<W: AsyncWrite + Unpin>(
    writer: &mut PduWriter<W>,
    context: u8,
    part: &[u8],
    is_last: bool,
    lane: Option<&Lane>,
) -> Result<()> {
    if let Some(lane) = lane {
        lane.rate.pass(part.len()).await;
    }
    writer.send_data(context, part, is_last).await
}
