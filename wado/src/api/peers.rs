//! The table of peers, as an operator changes it while the server runs.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use dicom_store::access::Action;
use dicom_store::model::AeTitle;
use dicom_store::{Peer, Sender};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};

use super::{Api, answer, json_body};
use crate::error::Problem;
use crate::resource::Named;

/// Bytes of a peer, at the most.
const MOST_BYTES: usize = 64 << 10;

pub(super) async fn peers(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let of_register = api.web.session(&parts).peers().await?;
    let fixed = api.exchange.remotes.fixed();
    let is_hidden = |peer: &&Peer| fixed.iter().any(|fixed| fixed.ae_title == peer.ae_title);
    let rest = of_register.iter().filter(|peer| !is_hidden(peer)).map(|peer| shown(peer, false));
    Ok(answer(&fixed.iter().map(|peer| shown(peer, true)).chain(rest).collect::<Vec<_>>()))
}

pub(super) async fn peer(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let ae_title = AeTitle::parse(&aet)?;
    let of_register = api.web.session(&parts).peer(&ae_title).await?;
    let shown = match (api.fixed(&ae_title), of_register) {
        (Some(fixed), _) => shown(&fixed, true),
        (None, Some(peer)) => shown(&peer, false),
        (None, None) => return Err(Problem::not_found(format!("there is no peer {ae_title}"))),
    };
    Ok(object(StatusCode::OK, &shown))
}

pub(super) async fn put(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let ae_title = AeTitle::parse(&aet)?;
    let (parts, body) = request.into_parts();
    let body: Value = json_body(&parts, body, MOST_BYTES, "a peer").await?;
    let session = api.web.session(&parts);
    if session.caller().may(Action::Configure) {
        api.is_not_fixed(&ae_title)?;
    }
    let peer = read(&ae_title, body)?;
    let is_new = session.put_peer(&peer).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(object(status, &shown(&peer, false)))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let ae_title = AeTitle::parse(&aet)?;
    let session = api.web.session(&parts);
    if session.caller().may(Action::Configure) {
        api.is_not_fixed(&ae_title)?;
    }
    session.remove_peer(&ae_title).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn echo(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    api.allowed(&parts, Action::Configure)?;
    let took = api.exchange.remotes.echo(&AeTitle::parse(&aet)?).await?;
    Ok(object(
        StatusCode::OK,
        &json!({ "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }),
    ))
}

pub(super) async fn senders(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let found = api.web.session(&parts).senders().await?;
    let rows = found.iter().map(|(Sender { ae_title, address }, row)| {
        json!({
            "ae-title": ae_title, "address": address, "first": row.made, "last": row.written,
            "associations": row.times,
        })
    });
    Ok(answer(&rows.collect::<Vec<_>>()))
}

impl Api {
    /// Whether the caller may have peers asked, who may do this here.
    pub(super) fn allowed(&self, parts: &Parts, action: Action) -> Result<(), Problem> {
        let session = self.web.session(parts);
        if session.caller().may(action) {
            return Ok(());
        }
        Err(Problem::forbidden("you may not have peers asked"))
    }

    fn fixed(&self, ae_title: &AeTitle) -> Option<Peer> {
        self.exchange.remotes.fixed().into_iter().find(|fixed| fixed.ae_title == *ae_title)
    }

    fn is_not_fixed(&self, ae_title: &AeTitle) -> Result<(), Problem> {
        match self.fixed(ae_title) {
            Some(_) => Err(Problem::new(
                StatusCode::CONFLICT,
                format!("{ae_title} is a peer of the settings; change it there"),
            )),
            None => Ok(()),
        }
    }
}

/// The peer that a body tells, under the title of the path.
fn read(ae_title: &AeTitle, mut value: Value) -> Result<Peer, Problem> {
    let wrong = |error: serde_json::Error| Problem::invalid(format!("a peer cannot be read: {error}"));
    let fields = value.as_object_mut().ok_or_else(|| Problem::invalid("a peer is an object of JSON"))?;
    fields.remove("fixed");
    let named = fields.insert("ae-title".to_owned(), json!(ae_title));
    if named.is_some_and(|named| named != json!(ae_title)) {
        return Err(Problem::invalid("the body names another AE title than the path"));
    }
    serde_json::from_value(value).map_err(wrong)
}

fn shown(peer: &Peer, is_fixed: bool) -> Value {
    let mut value = json!(peer);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("fixed".to_owned(), json!(is_fixed));
    }
    value
}

pub(super) fn object(status: StatusCode, value: &Value) -> Response {
    let mut response = answer(&[]);
    *response.body_mut() = value.to_string().into();
    *response.status_mut() = status;
    response
}
