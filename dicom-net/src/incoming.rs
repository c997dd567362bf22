//! Objects on their way into the archive: by a C-STORE of a peer, or of one that we have asked for by C-GET
//! (PS3.4 Annex B, PS3.7 §9.1.1).

use bytes::{Bytes, BytesMut};
use dicom_store::model::{SopClassUid, SopInstanceUid};
use dicom_store::{Arrival, Declared, Incoming, Session, Stored};
use tokio::io::AsyncRead;
use tracing::{debug, info, warn};

use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::pace::Pace;
use crate::scp::status;
use crate::ul::{Fragment, PduReader, PresentationContext};

/// What is said of an object that came under the UID of another one, in the 64 characters of an Error Comment.
const KEPT_ASIDE: &str = "another object has this UID and stays; this one is kept aside";
const REPLACED: &str = "another object had this UID; this one is shown, both are kept";
const HIDDEN_AND_KEPT_ASIDE: &str = "the object of this UID is hidden; this one is kept aside";
/// The same of one that came again and is not shown again.
const REJECTED: &str = "it was rejected before, and stays hidden";
/// And of one in a study of another patient.
const STRANGER: &str = "stored in its study, which is of another patient";

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

/// The response that says what became of an object. What was deleted and comes again is shown again, and needs no
/// word; what was rejected is not.
pub(crate) async fn response(
    session: &Session,
    request: &Identity,
    instance: &SopInstanceUid,
    outcome: &dicom_store::Result<Stored>,
) -> Response {
    let response = match outcome {
        Ok(Stored::New(_)) => Response::new(request, Status::SUCCESS),
        Ok(Stored::Rejected(_)) => {
            info!(%instance, "an instance came that was rejected before; it is hidden");
            Response::new(request, Status::SUCCESS).because(REJECTED)
        }
        Ok(stored @ Stored::Same(_)) if is_hidden(session, stored).await => {
            info!(%instance, "an instance came again that was rejected; it stays hidden");
            Response::new(request, Status::SUCCESS).because(REJECTED)
        }
        Ok(Stored::Same(_)) => Response::new(request, Status::SUCCESS),
        Ok(Stored::Stranger(_)) => {
            warn!(%instance, "an instance came that names another patient than its study");
            Response::new(request, Status::WARNING).because(STRANGER)
        }
        Ok(stored @ Stored::Conflict { is_replaced, .. }) => {
            warn!(%instance, is_replaced, "another object came under a UID that is taken; both are kept");
            let comment = if *is_replaced {
                REPLACED
            } else if is_hidden(session, stored).await {
                HIDDEN_AND_KEPT_ASIDE
            } else {
                KEPT_ASIDE
            };
            Response::new(request, Status::WARNING).because(comment)
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

/// Whether nothing is shown under the UID. An index that does not answer has taken it before all the same.
async fn is_hidden(session: &Session, stored: &Stored) -> bool {
    session.hidden_among(&[stored]).await.is_ok_and(|hidden| !hidden.is_empty())
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
    use dicom_store::fixture::{self, Sample, ct, key_object};

    use super::*;
    use crate::dimse::CStoreRq;

    /// What its sender hears of an object, as status and comment.
    async fn told(session: &Session, sample: &Sample) -> (Status, String) {
        let uid = sample.sop_instance();
        let request = CStoreRq::new(7, sample.sop_class().as_str(), uid.as_str(), None).identity;
        let outcome = fixture::store(session, sample).await;
        let response = response(session, &request, &uid, &outcome).await;
        (response.status, response.comment().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn whoever_sends_another_object_under_a_uid_is_told_which_is_shown() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let first = ct();
        let delete = |sample: &Sample| {
            let order = format!(r#"{{"kind":"delete","of":{{"study":"{}"}}}}"#, sample.study());
            serde_json::from_str(&order).unwrap()
        };
        assert_eq!(told(&session, &first).await, (Status::SUCCESS, String::new()));
        assert_eq!(told(&session, &first.clone().size(9, 9)).await, (Status::WARNING, KEPT_ASIDE.into()));
        session.act(&delete(&first), "").await.unwrap();
        assert_eq!(told(&session, &first).await, (Status::SUCCESS, String::new()), "it is shown again");
        session.act(&delete(&first), "").await.unwrap();
        assert_eq!(told(&session, &first.clone().size(8, 8)).await, (Status::WARNING, REPLACED.into()));
    }

    #[tokio::test]
    async fn whoever_sends_again_what_was_rejected_is_told_that_it_stays_hidden() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let sample = ct();
        fixture::store(&session, &sample).await.unwrap();
        fixture::store(&session, &key_object("113001", &[&sample])).await.unwrap();
        assert_eq!(told(&session, &sample).await, (Status::SUCCESS, REJECTED.into()));
        let other = sample.clone().size(9, 9);
        assert_eq!(told(&session, &other).await, (Status::WARNING, HIDDEN_AND_KEPT_ASIDE.into()));
    }

    #[tokio::test]
    async fn whoever_sends_what_was_rejected_before_it_came_is_told_that_it_stays_hidden() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let sample = ct();
        let of_another = sample.next(2).patient_id("B");
        let note = key_object("113001", &[&sample, &of_another]);
        assert_eq!(told(&session, &note).await, (Status::SUCCESS, String::new()));
        for rejected in [&sample, &of_another] {
            assert_eq!(told(&session, rejected).await, (Status::SUCCESS, REJECTED.into()));
        }
        assert_eq!(told(&session, &sample.next(3)).await, (Status::SUCCESS, String::new()));
    }

    #[tokio::test]
    async fn whoever_sends_an_object_into_the_study_of_another_patient_is_told() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let first = ct().patient_id("A");
        let of_nobody = first.next(2).patient_id("");
        let of_another = first.next(3).patient_id("B");
        assert_eq!(told(&session, &first).await.0, Status::SUCCESS);
        assert_eq!(told(&session, &of_nobody).await, (Status::SUCCESS, String::new()));
        assert_eq!(told(&session, &of_another).await, (Status::WARNING, STRANGER.into()));
        assert_eq!(told(&session, &of_another).await, (Status::SUCCESS, String::new()), "it is there");
    }
}
