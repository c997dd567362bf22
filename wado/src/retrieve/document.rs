//! Documents for people: structured reports as HTML, plain text or XML, encapsulated ones as what they are (PS3.18 §8.7.4).

use axum::response::Response;
use dicom_store::model::{Attributes, Instance};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use super::parts::Part;
use super::{Retrieval, Validator, bulk, identity};
use crate::accept::{HTML, Offer, TEXT, XML};
use crate::error::Problem;
use crate::{dicom_xml, report};

const OFFERS: &[Offer] = &[Offer::single(HTML), Offer::single(TEXT), Offer::single(XML)];
/// A page made of what somebody sent runs nothing and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// The document that an instance is or holds, as its rendered form; `None` when it is none.
pub(super) async fn answer(request: &Retrieval, instance: &Instance) -> Result<Option<Response>, Problem> {
    let attributes = request.session.header(instance).await?.attributes()?;
    if report::is_report(&attributes) {
        return report(request, instance, &attributes).await.map(Some);
    }
    bulk::document(request, instance, &attributes).await
}

async fn report(
    request: &Retrieval,
    instance: &Instance,
    attributes: &Attributes,
) -> Result<Response, Problem> {
    let offer = request.accepts.best_rendered(OFFERS)?;
    let validator = Validator::of(offer, &(identity(instance), request.base.as_str()));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let bytes = match offer.media {
        HTML => report::html(attributes).into_bytes(),
        TEXT => report::plain(attributes).into_bytes(),
        _ => {
            let mut xml = Vec::new();
            dicom_xml::write(attributes, Some(&request.base.bulk(instance)), &mut xml);
            xml
        }
    };
    let location = format!("{}/rendered", request.base.instance(instance));
    let part = Part::of(bytes.into(), format!("{}; charset=utf-8", offer.media), location);
    let mut response = part.into_single(&request.headers, &validator).await?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(validator.mark(response))
}
