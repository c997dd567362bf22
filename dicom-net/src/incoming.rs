//! Objects on their way into the archive: by a C-STORE of a peer, or of one that we have asked for by C-GET
//! (PS3.4 Annex B, PS3.7 §9.1.1).

use dicom_store::model::{SopClassUid, SopInstanceUid};
use dicom_store::{Arrival, Declared, Incoming, Session, Stored};
use tokio::io::AsyncRead;
use tracing::{debug, warn};

use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::pace::Pace;
use crate::ul::{PduReader, PresentationContext};

/// Takes in the whole data set, also when the archive does not want it (any more): the association
/// goes on. Dropped on the way, it gives everything back.
pub(crate) async fn receive<R: AsyncRead + Unpin>(
    reader: &mut PduReader<R>,
    pace: &mut Pace,
    context: u8,
    session: &Session,
    arrival: Arrival,
) -> Result<dicom_store::Result<Stored>> {
    let mut incoming = match session.receive(arrival).await {
        Ok(incoming) => incoming,
        Err(error) => {
            drain(reader, pace, context).await?;
            return Ok(Err(error));
        }
    };
    loop {
        let fragment = pace.keep(reader.data(context)).await?;
        if let Err(error) = incoming.write(fragment.bytes).await {
            drop(incoming);
            if !fragment.is_last {
                drain(reader, pace, context).await?;
            }
            return Ok(Err(error));
        }
        if fragment.is_last {
            return Ok(Incoming::commit(incoming).await);
        }
    }
}

/// Passes over the data set that follows a command.
pub(crate) async fn drain<R: AsyncRead + Unpin>(
    reader: &mut PduReader<R>,
    pace: &mut Pace,
    context: u8,
) -> Result<()> {
    while !pace.keep(reader.data(context)).await?.is_last {}
    Ok(())
}

/// The response that says what became of an object. `status` and `comment` are the one table of errors.
pub(crate) fn response(
    request: &Identity,
    instance: &SopInstanceUid,
    outcome: &dicom_store::Result<Stored>,
    status: impl Fn(&dicom_store::Error) -> (Status, String),
) -> Response {
    let response = match outcome {
        Ok(Stored::New(_) | Stored::Same(_)) => Response::new(request, Status::SUCCESS),
        Ok(Stored::Conflict { .. }) => {
            warn!(%instance, "another object came under a UID that is taken; it is kept aside");
            Response::new(request, Status::WARNING)
                .because("this UID is taken by another object; the first is kept, this aside")
        }
        Err(error) => {
            let (status, comment) = status(error);
            warn!(%instance, %status, %error, "an instance was not stored");
            Response::new(request, status).because(comment)
        }
    };
    debug!(%instance, status = %response.status, "C-STORE");
    response
}

/// What the command says of the data set, or the status and comment that say why it cannot be.
pub(crate) fn declared(
    context: &PresentationContext,
    request: &Identity,
) -> Result<(Declared, SopInstanceUid), (Status, String)> {
    if request.sop_class != context.abstract_syntax.as_str() {
        return Err((
            Status::SOP_CLASS_NOT_SUPPORTED,
            format!("the context is for {}", context.abstract_syntax),
        ));
    }
    if !request.has_data_set {
        return Err((Status::CANNOT_UNDERSTAND, "the request has no data set".to_owned()));
    }
    let sop_class = SopClassUid::parse(&request.sop_class)
        .map_err(|error| (Status::SOP_CLASS_NOT_SUPPORTED, error.what))?;
    let sop_instance = SopInstanceUid::parse(&request.sop_instance)
        .map_err(|error| (Status::INVALID_SOP_INSTANCE, error.what))?;
    let transfer_syntax = context.transfer_syntax.clone();
    Ok((Declared::DataSet { sop_class, sop_instance: sop_instance.clone(), transfer_syntax }, sop_instance))
}
