//! C-STORE to a peer (PS3.4 Annex B): on an association of our own, or as a sub-operation of its C-GET.

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
        piece @ Piece::Data { .. } => piece,
    };
    writer.queue(context, &request.write(), None);
    loop {
        match piece {
            Piece::Data { bytes, is_last } => {
                if let Some(lane) = lane {
                    lane.pass(bytes.len()).await;
                }
                tokio::select! {
                    sent = writer.send_data(context, &bytes, is_last) => sent?,
                    () = objects.are_needed() => {
                        let what = "the peer takes nothing of an object, and others wait for the memory";
                        return Err(Error::GivenUp(what.to_owned()));
                    }
                }
                if is_last {
                    return Ok(Ok(()));
                }
            }
            Piece::Failed(error) => return Err(Error::GivenUp(format!("an object cannot be read: {error}"))),
        }
        piece = objects.next().await;
    }
}
