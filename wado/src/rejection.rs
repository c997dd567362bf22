//! `DELETE` with a reason of IHE's (RAD TF-2 §4.66): `DELETE …?rejection=113037` stores a rejection note about what the
//! path names. The note hides it, also when it comes again, and other systems can be told by it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use dicom::dictionary_std::tags;
use dicom_store::access::Action;
use dicom_store::ledger::rejection_note;
use dicom_store::model::transfer_syntax::EXPLICIT_LITTLE;
use dicom_store::model::{Encoding, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use dicom_store::{Arrival, Caller, Declared, Origin, Session};
use http::StatusCode;

use crate::api::acts;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;

/// `DELETE` of what a path names: the act, or a note.
pub(crate) async fn delete(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let Some(code) = Parameters::of(request.uri()).get("rejection").map(str::to_owned) else {
        return acts::delete(State(web), request).await;
    };
    let (mut parts, _) = request.into_parts();
    let target = Target::from_request_parts(&mut parts, &web).await?;
    reject(&web.session(&parts), &target, &code).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn reject(session: &Session, target: &Target, code: &str) -> Result<(), Problem> {
    if !session.caller().may(Action::Reject) {
        return Err(Problem::forbidden("the caller may not reject"));
    }
    let instances = session.instances(&target.resource()?).await?;
    let first = instances.first().ok_or_else(|| Problem::not_found("there is nothing to reject"))?;
    let one = session.header(first).await?.attributes()?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let note = rejection_note(code, &one, &instances, at)?;
    let uid = |tag| note.uid(tag).unwrap_or_default();
    let declared = Declared::DataSet {
        sop_class: SopClassUid::parse(uid(tags::SOP_CLASS_UID))?,
        sop_instance: SopInstanceUid::parse(uid(tags::SOP_INSTANCE_UID))?,
        transfer_syntax: TransferSyntaxUid::parse(EXPLICIT_LITTLE)?,
    };
    let address = match session.caller() {
        Caller::Web { address, .. } => *address,
        _ => None,
    };
    let mut incoming = session.receive(Arrival { origin: Origin::Web { address }, declared }).await?;
    incoming.write(note.write(Encoding::ExplicitLittle).into()).await?;
    incoming.commit().await?;
    Ok(())
}
