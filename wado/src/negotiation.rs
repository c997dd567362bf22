//! What a request accepts: its `accept` parameter and `Accept` field, by the rules of the settings; and what it holds.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;

use crate::accept::{Accepts, Negotiation, Refusal};
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::state::Web;

/// # Errors
/// `Absent` when there is neither and there has to be one.
pub(crate) fn accepts(
    headers: &HeaderMap,
    parameters: &Parameters,
    negotiation: Negotiation,
) -> Result<Accepts, Refusal> {
    let fields: Vec<_> = headers.get_all(ACCEPT).iter().map(|field| field.to_str().unwrap_or("")).collect();
    let field = (!fields.is_empty()).then(|| fields.join(","));
    Accepts::read(parameters.get("accept"), field.as_deref(), negotiation)
}

/// The same where nothing has to be said: everything is accepted by a request that does not say.
pub(crate) fn accepts_or_anything(headers: &HeaderMap, parameters: &Parameters) -> Accepts {
    accepts(headers, parameters, Negotiation::Lenient).unwrap_or_else(|_| Accepts::anything())
}

/// What a body is said to be; empty where nothing is said.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl FromRequestParts<Web> for Accepts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        Ok(accepts(&parts.headers, &Parameters::of(&parts.uri), web.config.negotiation)?)
    }
}
