//! Objects on their way into the archive: by a C-STORE of a peer, or of one that we have asked for by C-GET
//! (PS3.4 Annex B, PS3.7 §9.1.1).

use bytes::{Bytes, BytesMut};
use dicom_store::model::{SopClassUid, SopInstanceUid};
use dicom_store::{Arrival, Declared, Incoming, Session, Stored};
use tokio::io::AsyncRead;
use tracing::{debug, warn};

use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::pace::Pace;
use crate::scp::status;
use crate::ul::{Fragment, PduReader, PresentationContext};

/// What is said of an object that came under the UID of another one, in the 64 characters of an Error Comment.
const KEPT_ASIDE: &str = "another object has this UID and stays; this one is kept aside";
const REPLACED: &str = "another object had this UID; this one is shown, both are kept";

/// The data set that follows a command, as its parts come.
pub(crate) trait DataSet {
    fn next(&mut self) -> impl Future<Output = Result<Fragment>> + Send;
}

/// One on an association where nothing else is to be done meanwhile.
pub(crate) struct Paced<'a, R> {
    pub reader: &'a mut PduReader<R>,
    pub pace: &'a mut Pace,
    pub context: u8,
}

impl<R: AsyncRead + Unpin + Send> DataSet for Paced<'_, R> {
    async fn next(&mut self) -> Result<Fragment> {
        self.pace.keep(self.reader.data(self.context)).await
    }
}

/// Takes in the whole data set, also when the archive does not want it (any more): the association
/// goes on. Dropped on the way, it gives everything back.
pub(crate) async fn receive<R: AsyncRead + Unpin + Send>(
    reader: &mut PduReader<R>,
    pace: &mut Pace,
    context: u8,
    session: &Session,
    arrival: Arrival,
) -> Result<dicom_store::Result<Stored>> {
    let taken = take_in(&mut Paced { reader, pace, context }, session, arrival).await?;
    Ok(match taken {
        Ok(incoming) => Incoming::commit(incoming).await,
        Err(error) => Err(error),
    })
}

/// The same without storing it yet.
pub(crate) async fn take_in(
    data_set: &mut impl DataSet,
    session: &Session,
    arrival: Arrival,
) -> Result<dicom_store::Result<Incoming>> {
    let mut incoming = match session.receive(arrival).await {
        Ok(incoming) => incoming,
        Err(error) => {
            pass_over(data_set).await?;
            return Ok(Err(error));
        }
    };
    loop {
        let fragment = data_set.next().await?;
        if let Err(error) = incoming.write(fragment.bytes).await {
            drop(incoming);
            if !fragment.is_last {
                pass_over(data_set).await?;
            }
            return Ok(Err(error));
        }
        if fragment.is_last {
            return Ok(Ok(incoming));
        }
    }
}

/// Passes over the data set that follows a command.
pub(crate) async fn drain<R: AsyncRead + Unpin + Send>(
    reader: &mut PduReader<R>,
    pace: &mut Pace,
    context: u8,
) -> Result<()> {
    pass_over(&mut Paced { reader, pace, context }).await
}

/// Passes over it to its end.
pub(crate) async fn pass_over(data_set: &mut impl DataSet) -> Result<()> {
    while !data_set.next().await?.is_last {}
    Ok(())
}

/// All of it, in memory; `None` when it is longer than `longest` bytes: then it was passed over.
pub(crate) async fn collect(data_set: &mut impl DataSet, longest: usize) -> Result<Option<Bytes>> {
    let mut collected = BytesMut::new();
    loop {
        let fragment = data_set.next().await?;
        if collected.len() + fragment.bytes.len() > longest {
            if !fragment.is_last {
                pass_over(data_set).await?;
            }
            return Ok(None);
        }
        collected.extend_from_slice(&fragment.bytes);
        if fragment.is_last {
            return Ok(Some(collected.freeze()));
        }
    }
}

/// The response that says what became of an object.
pub(crate) fn response(
    request: &Identity,
    instance: &SopInstanceUid,
    outcome: &dicom_store::Result<Stored>,
) -> Response {
    let response = match outcome {
        Ok(Stored::New(_) | Stored::Same(_)) => Response::new(request, Status::SUCCESS),
        Ok(Stored::Conflict { is_replaced, .. }) => {
            warn!(%instance, is_replaced, "another object came under a UID that is taken; both are kept");
            Response::new(request, Status::WARNING).because(if *is_replaced { REPLACED } else { KEPT_ASIDE })
        }
        Err(error) => {
            let status = status::of_store(error.kind);
            warn!(%instance, %status, %error, "an instance was not stored");
            Response::new(request, status).because(status::comment(error))
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

#[cfg(test)]
mod tests {
    use dicom_store::fixture;

    use super::*;
    use crate::dimse::CStoreRq;

    #[tokio::test]
    async fn whoever_sends_another_object_under_a_uid_is_told_which_is_shown() {
        let (archive, _folder) = fixture::archive().await;
        let stored = fixture::store(&fixture::system(&archive), &fixture::ct()).await.unwrap();
        let kept = stored.instance().clone();
        let uid = kept.sop_instance.clone();
        let request = CStoreRq::new(7, kept.sop_class.as_str(), uid.as_str(), None).identity;
        let comment = |is_replaced| {
            let outcome = Ok(Stored::Conflict { kept: kept.clone(), is_replaced });
            let response = response(&request, &uid, &outcome);
            assert_eq!(response.status, Status::WARNING);
            String::from_utf8_lossy(&response.write()).into_owned()
        };
        assert!(comment(false).contains(KEPT_ASIDE) && comment(true).contains(REPLACED));
    }
}
