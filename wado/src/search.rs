//! QIDO-RS: search (PS3.18 §10.6, §8.3.4).
//!
//! Matching is the archive's; here the request becomes a query and each row a result with the attributes that
//! the standard requires, the matched ones, and those asked for by `includefield`.
//!
//! Declared: an attribute of a lower level than the resource's, a private one and one in a sequence match when an
//! instance below has them, all of them the same one; counts of lower levels are not matched (a `Warning` says so). For
//! this the archive looks at headers, and where no index leads to what is asked for at one study after another, so many
//! at the most: where that ends a search, a `Warning` says that there may be more, and without a single result the
//! answer is 413. `limit=0` gives no results; results beyond `web.max-results` are announced by a `Warning` as those
//! beyond `limit` are; of further ones up to 250 are counted, and fewer where they lie far between: `or more` says so.

mod request;
mod result;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use dicom_store::model::{ErrorKind, Level};
use dicom_store::{Counted, Page, Query, Session};
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::accept::{Accepts, Category, DICOM_JSON, DICOM_XML, JSON, Offer, Wrap};
use crate::base_url::BaseUrl;
use crate::error::{Problem, warn};
use crate::multipart::{Boundary, PartHead};
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;
use crate::{dicom_json, dicom_xml};

pub(crate) use request::Search;
use result::Shape;

/// Results that are counted behind a page.
const MOST_COUNTED: u64 = 250;

pub(crate) const OFFERS: &[Offer] =
    &[Offer::single(DICOM_JSON), Offer::single(JSON), Offer::multipart(DICOM_XML)];

/// All that a search needs of its request.
pub(crate) struct SearchRequest {
    pub(crate) session: Session,
    pub(crate) accepts: Accepts,
    pub(crate) base: BaseUrl,
    pub(crate) target: Target,
    pub(crate) parameters: Parameters,
}

impl FromRequestParts<Web> for SearchRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        Ok(Self {
            session: web.session(parts),
            accepts: Accepts::from_request_parts(parts, web).await?,
            base: BaseUrl::of(parts, &web.config),
            target: Target::from_request_parts(parts, web).await?,
            parameters: Parameters::of(&parts.uri),
        })
    }
}

/// `/studies`
pub(crate) async fn studies(web: State<Web>, request: SearchRequest) -> Result<Response, Problem> {
    search(Level::Study, &web, request).await
}

/// `/series`, `/studies/{study}/series`
pub(crate) async fn series(web: State<Web>, request: SearchRequest) -> Result<Response, Problem> {
    search(Level::Series, &web, request).await
}

/// `/instances`, `/studies/{study}/instances`, `/studies/{study}/series/{series}/instances`
pub(crate) async fn instances(web: State<Web>, request: SearchRequest) -> Result<Response, Problem> {
    search(Level::Instance, &web, request).await
}

async fn search(level: Level, web: &Web, request: SearchRequest) -> Result<Response, Problem> {
    let SearchRequest { session, accepts, base, target, parameters } = request;
    let offer = accepts.best(Category::Dicom, OFFERS)?;
    let Search { mut query, is_in_vain, include, limit, mut warnings } =
        Search::read(level, &target, &parameters)?;
    let limit = limit.unwrap_or(u64::MAX).min(web.config.max_results.get());
    // One more than wanted tells whether there are more.
    query.page.limit = Some(limit.saturating_add(1));
    let shape = Shape::new(level, &target, include);
    let mut answer = Answer::new(offer);
    let mut rows = session.search(&query).await?;
    let mut has_more = false;
    while !is_in_vain && let Some(row) = rows.next().await {
        let row = match row {
            Err(error) if error.kind == ErrorKind::TooLarge && answer.count > 0 => {
                warnings.push(format!("There may be more results: {}", error.what));
                break;
            }
            row => row?,
        };
        if answer.count == limit {
            has_more = true;
            break;
        }
        answer.add(&shape.result(&row.attributes, &base));
    }
    drop(rows);
    if has_more {
        warnings.push(remaining(&session, query, limit).await?);
    }
    let mut response = answer.finish();
    for text in warnings {
        warn(&mut response, &base, &text);
    }
    Ok(response)
}

/// How many results there are behind the page (PS3.18 §8.3.4.4.1).
async fn remaining(session: &Session, mut query: Query, shown: u64) -> Result<String, Problem> {
    query.page = Page { offset: query.page.offset.saturating_add(shown), limit: Some(MOST_COUNTED) };
    let Counted { found, is_all } = session.count(&query).await?;
    // There was one more, which may be gone or not be come to again.
    let remaining = found.max(1);
    let more = if is_all { "" } else { ", or more" };
    Ok(format!("There are {remaining} additional results that can be requested{more}"))
}

/// Results in the form that was asked for. Bounded by the number of results: each takes some kilobytes.
pub(crate) struct Answer {
    offer: Offer,
    boundary: Boundary,
    bytes: Vec<u8>,
    count: u64,
}

impl Answer {
    pub(crate) fn new(offer: Offer) -> Self {
        Self { offer, boundary: Boundary::new(), bytes: Vec::new(), count: 0 }
    }

    pub(crate) fn add(&mut self, result: &dicom_store::model::Attributes) {
        match self.offer.wrap {
            Wrap::Single => {
                self.bytes.push(if self.count == 0 { b'[' } else { b',' });
                dicom_json::write(result, None, &mut self.bytes);
            }
            Wrap::Multipart => {
                let head = PartHead { content_type: DICOM_XML, location: None, length: None };
                self.bytes.extend_from_slice(&self.boundary.open(&head, self.count == 0));
                dicom_xml::write(result, None, &mut self.bytes);
            }
        }
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// 204 without a body when there is no result (PS3.18 §8.3.4.4.1).
    pub(crate) fn finish(mut self) -> Response {
        let mut response = Response::new(Body::empty());
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        if self.count == 0 {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        let content_type = match self.offer.wrap {
            Wrap::Single => {
                self.bytes.push(b']');
                HeaderValue::from_static(self.offer.media)
            }
            Wrap::Multipart => {
                self.bytes.extend_from_slice(&self.boundary.close());
                self.boundary.content_type(DICOM_XML)
            }
        };
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        *response.body_mut() = Body::from(self.bytes);
        response
    }
}
