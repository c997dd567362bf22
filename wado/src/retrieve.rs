//! WADO-RS: retrieve (PS3.18 §10.4).
//!
//! | resource | module | reads |
//! |---|---|---|
//! | study, series, instance | [`instance`], [`convert`] | the object, streamed |
//! | metadata | [`metadata`] | the index only |
//! | frames | [`frames`] | the bytes of these frames |
//! | bulk data | [`bulk`] | the range of the value |
//! | rendered, thumbnail | [`rendered`], [`thumbnail`] | the bytes of the frames shown |

pub(crate) mod bulk;
mod convert;
pub(crate) mod frames;
mod image;
pub(crate) mod instance;
pub(crate) mod metadata;
mod parts;
mod presentation;
pub(crate) mod rendered;
pub(crate) mod thumbnail;

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use dicom_store::Session;
use dicom_store::model::{FrameNumber, Instance, Location};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use worker::pool::CpuPool;

use crate::accept::Accepts;
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;

/// All that a retrieve needs of its request.
pub(crate) struct Retrieval {
    pub(crate) session: Session,
    pub(crate) pool: CpuPool,
    pub(crate) accepts: Accepts,
    pub(crate) base: BaseUrl,
    pub(crate) target: Target,
    pub(crate) parameters: Parameters,
    pub(crate) headers: HeaderMap,
}

impl FromRequestParts<Web> for Retrieval {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let accepts = Accepts::from_request_parts(parts, web).await?;
        let target = Target::from_request_parts(parts, web).await?;
        let parameters = Parameters::of(&parts.uri);
        Ok(Self::of(parts, web, target, accepts, parameters))
    }
}

impl Retrieval {
    /// What a request asks for in other words than those of WADO-RS.
    pub(crate) fn of(
        parts: &mut Parts,
        web: &Web,
        target: Target,
        accepts: Accepts,
        parameters: Parameters,
    ) -> Self {
        Self {
            session: web.session(parts),
            pool: web.pool.clone(),
            accepts,
            base: BaseUrl::of(parts, &web.config),
            target,
            parameters,
            headers: std::mem::take(&mut parts.headers),
        }
    }

    /// The same of one frame.
    pub(crate) fn of_frame(mut self, number: FrameNumber) -> Self {
        self.target.frames = Some(number.get().to_string());
        self
    }

    /// The instances of the resource, at least one.
    ///
    /// # Errors
    /// 404 when there is no such resource, 401 or 403 when the caller may not see it.
    pub(crate) async fn instances(&self) -> Result<Vec<Instance>, Problem> {
        let resource = self.target.resource()?;
        let instances = self.session.instances(&resource).await?;
        if instances.is_empty() {
            return Err(Problem::not_found(format!("there is no {resource}")));
        }
        Ok(instances)
    }

    /// The one instance that the path names.
    ///
    /// # Errors
    /// As [`Retrieval::instances`].
    pub(crate) async fn instance(&self) -> Result<Instance, Problem> {
        let mut instances = self.instances().await?;
        instances.pop().ok_or_else(|| Problem::not_found("there is no such instance"))
    }
}

/// What tells an instance from all others: where its bytes lie, and what was corrected of it.
pub(crate) fn identity(instance: &Instance) -> (&str, u64, u64, u64, Vec<u64>) {
    let Location { pack, offset, length } = instance.location;
    let acts = instance.correction.iter().flat_map(|correction| correction.acts()).collect();
    (instance.sop_instance.as_str(), pack.0, offset, length, acts)
}

/// Validator of an answer (RFC 9110 §8.8.3): weak, since the same answer may come compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validator(String);

impl Validator {
    /// From everything that the answer depends on. Stored instances do not change; a series grows.
    pub(crate) fn of(cause: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        cause.hash(&mut hasher);
        Self(format!("W/\"{:016x}\"", hasher.finish()))
    }

    /// 304 when the client has this very answer (RFC 9110 §13.1.2).
    pub(crate) fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let opaque = self.0.trim_start_matches("W/");
        let is_same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == opaque;
        let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if !fields.flat_map(|value| value.split(',')).any(|tag| is_same(tag.trim())) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        Some(self.mark(response))
    }

    /// Adds validator and cache rule to an answer: kept by the browser, not by proxies, and checked before use.
    pub(crate) fn mark(&self, response: Response) -> Response {
        self.mark_for(response, "private, no-cache")
    }

    /// As [`Validator::mark`], for what never changes.
    pub(crate) fn mark_immutable(&self, response: Response) -> Response {
        self.mark_for(response, "private, max-age=86400")
    }

    fn mark_for(&self, mut response: Response, rule: &'static str) -> Response {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(ETAG, value);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(rule));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::same(|own| own, true)]
    #[case::strong(|own: String| own.trim_start_matches("W/").to_owned(), true)]
    #[case::in_a_list(|own| format!("\"x\", {own}"), true)]
    #[case::any(|_| "*".into(), true)]
    #[case::other(|_| "\"x\"".into(), false)]
    fn the_client_may_have_the_answer_already(#[case] field: fn(String) -> String, #[case] expected: bool) {
        let validator = Validator::of(&("1.2.3", 4));
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&field(validator.0.clone())).unwrap());
        assert_eq!(validator.not_modified(&headers).is_some(), expected);
    }
}
