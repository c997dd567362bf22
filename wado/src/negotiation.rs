//! What a request accepts: its `accept` parameter and `Accept` field, by the rules of the settings.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::ACCEPT;
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

impl FromRequestParts<Web> for Accepts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        Ok(accepts(&parts.headers, &Parameters::of(&parts.uri), web.config.negotiation)?)
    }
}
