//! Documents for people: structured reports as HTML, plain text or XML, encapsulated ones as what they are (PS3.18 §8.7.4).

use std::future::ready;

use axum::response::Response;
use dicom_store::model::{Attributes, Instance};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use super::parts::{Part, multipart};
use super::{Retrieval, Validator, bulk, identity};
use crate::accept::{Category, HTML, Offer, PDF, Syntax, TEXT, XML};
use crate::error::Problem;
use crate::{dicom_xml, report};

const OFFERS: &[Offer] = &[Offer::single(HTML), Offer::single(TEXT), Offer::single(XML)];
const OF_SEVERAL: &[Offer] =
    &[Offer::multipart(HTML), Offer::multipart(TEXT), Offer::multipart(XML), Offer::multipart(PDF)];
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

/// The documents among these instances, a part each, in the form that the client likes best and some of them have; `None`
/// where there is none.
pub(super) async fn several(
    request: &Retrieval,
    instances: &[Instance],
) -> Result<Option<Response>, Problem> {
    let Ok(choices) = request.accepts.choices(Category::Rendered, OF_SEVERAL) else { return Ok(None) };
    let documents: Vec<_> = instances.iter().filter(|instance| instance.frames == 0).cloned().collect();
    for choice in choices.iter().filter(|choice| choice.syntax == Syntax::Default) {
        if let Some(response) = parts(request, &documents, choice.offer).await? {
            return Ok(Some(response));
        }
    }
    Ok(None)
}

async fn parts(
    request: &Retrieval,
    documents: &[Instance],
    offer: Offer,
) -> Result<Option<Response>, Problem> {
    let identities: Vec<_> = documents.iter().map(identity).collect();
    let validator = Validator::of(offer, &(identities, request.base.as_str()));
    let (of, documents) = (request.clone(), documents.to_vec());
    let parts = stream::iter(documents).then(move |instance| {
        let request = of.clone();
        async move { part(&request, &instance, offer.media).await }
    });
    let mut parts = parts.try_filter_map(|part| ready(Ok(part))).boxed();
    // The first is made before the answer begins, so that its failure has a status.
    let Some(first) = parts.try_next().await? else { return Ok(None) };
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(Some(response));
    }
    let response = multipart(offer.media, stream::iter([Ok(first)]).chain(parts));
    Ok(Some(validator.mark(response)))
}

/// The document that an instance is or holds in that form; `None` where it is none, or is not to be had so.
async fn part(
    request: &Retrieval,
    instance: &Instance,
    media: &'static str,
) -> Result<Option<Part>, Problem> {
    let attributes = request.session.header(instance).await?.attributes()?;
    if !report::is_report(&attributes) {
        return bulk::document_part(request, instance, &attributes, media).await;
    }
    Ok((media != PDF).then(|| written(request, instance, &attributes, media)))
}

/// A report in that form.
fn written(request: &Retrieval, instance: &Instance, attributes: &Attributes, media: &str) -> Part {
    let bytes = match media {
        HTML => report::html(attributes).into_bytes(),
        TEXT => report::plain(attributes).into_bytes(),
        _ => {
            let mut xml = Vec::new();
            dicom_xml::write(attributes, Some(&request.base.bulk(instance)), &mut xml);
            xml
        }
    };
    let location = format!("{}/rendered", request.base.instance(instance));
    Part::of(bytes.into(), format!("{media}; charset=utf-8"), location)
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
    let part = written(request, instance, attributes, offer.media);
    let mut response = part.into_single(&request.headers, &validator).await?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(validator.mark(response))
}
