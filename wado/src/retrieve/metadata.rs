//! Metadata of a study, series or instance (PS3.18 §10.4.1.1.3): headers straight out of the index, written as they
//! come. No object is opened and no more than a few batches of instances are in memory.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dicom_store::Error;
use dicom_store::model::{Header, Instance};
use futures_util::stream::{self, StreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::{Retrieval, Validator, identity};
use crate::accept::{Category, DICOM_JSON, DICOM_XML, JSON, Offer, Wrap};
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::multipart::{Boundary, PartHead};
use crate::{dicom_json, dicom_xml};

const OFFERS: &[Offer] = &[Offer::single(DICOM_JSON), Offer::single(JSON), Offer::multipart(DICOM_XML)];

/// Instances that are written by one piece of work.
const BATCH: usize = 16;
/// Pieces of work under way for one answer.
const AHEAD: usize = 2;

/// `…/metadata`
pub(crate) async fn metadata(request: Retrieval) -> Result<Response, Problem> {
    let offer = request.accepts.best(Category::Dicom, OFFERS)?;
    let instances = request.instances().await?;
    let identity: Vec<_> = instances.iter().map(identity).collect();
    let validator = Validator::of(offer, &(identity, request.base.as_str()));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let Retrieval { session, pool, base, target, .. } = request;
    let headers = session.headers(&target.resource()?);
    let format = Format::of(offer);
    let close = format.close();
    let content_type = format.content_type();
    let batches = headers.chunks(BATCH).enumerate().map(move |(place, batch)| {
        let (pool, base, format) = (pool.clone(), base.clone(), format.clone());
        async move { pool.run(move || format.batch(batch, &base, place == 0)).await? }
    });
    let body = batches.buffered(AHEAD).chain(stream::iter([Ok(close)]));
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(validator.mark(response))
}

/// The form of the answer.
#[derive(Clone)]
enum Format {
    Json(&'static str),
    Xml(Boundary),
}

impl Format {
    fn of(offer: Offer) -> Self {
        match offer.wrap {
            Wrap::Single => Self::Json(offer.media),
            Wrap::Multipart => Self::Xml(Boundary::new()),
        }
    }

    fn content_type(&self) -> HeaderValue {
        match self {
            Self::Json(media) => HeaderValue::from_static(media),
            Self::Xml(boundary) => boundary.content_type(DICOM_XML),
        }
    }

    fn close(&self) -> Bytes {
        match self {
            Self::Json(_) => Bytes::from_static(b"]"),
            Self::Xml(boundary) => boundary.close(),
        }
    }

    fn batch(
        &self,
        batch: Vec<Result<(Instance, Header), Error>>,
        base: &BaseUrl,
        is_first: bool,
    ) -> Result<Bytes, Problem> {
        let mut out = Vec::with_capacity(batch.len() * 8192);
        for (place, item) in batch.into_iter().enumerate() {
            let (instance, header) = item?;
            let attributes = header.attributes()?;
            let bulk = base.bulk(&instance);
            let opens = is_first && place == 0;
            match self {
                Self::Json(_) => {
                    out.push(if opens { b'[' } else { b',' });
                    dicom_json::write(&attributes, Some(&bulk), &mut out);
                }
                Self::Xml(boundary) => {
                    let location = format!("{}/metadata", base.instance(&instance));
                    let head = PartHead { content_type: DICOM_XML, location: Some(&location), length: None };
                    out.extend_from_slice(&boundary.open(&head, opens));
                    dicom_xml::write(&attributes, Some(&bulk), &mut out);
                }
            }
        }
        Ok(out.into())
    }
}
