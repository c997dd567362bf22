//! What is exchanged with peers: what they have, what is fetched from them and sent to them.

use std::collections::HashMap;

use axum::extract::{Request, State};
use axum::response::Response;
use dicom::dictionary_std::tags;
use dicom_store::Session;
use dicom_store::access::Action;
use dicom_store::model::{AeTitle, Attributes, StudyInstanceUid, Tag, VR};
use dicom_store::queue::{JobQuery, QueuedJob};
use dicom_store::register::Registered;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use worker::job::Job;
use worker::jobs::Forward;
use worker::jobs::bring_over::{IMPORT, Import};
use worker::jobs::complete::{COMPLETE, Completed};
use worker::jobs::forward::{DELIVERY, Delivery, Proof};
use worker::jobs::retrieve::{RETRIEVAL, Retrieval};
use worker::migrate::{Order, dates};

use super::peers::object;
use super::{Api, Page, answer, json_body};
use crate::accept::DICOM_JSON;
use crate::attribute::{AttributePath, vr};
use crate::base_url::BaseUrl;
use crate::dicom_json;
use crate::error::{Problem, warn};
use crate::parameters::Parameters;
use crate::resource::Named;

/// Deliveries whose jobs are looked for together.
const AT_ONCE: usize = 500;
/// Rows of a search at a peer that says nothing else, and at the most.
const ROWS: usize = 100;
const MOST_ROWS: usize = 5000;
/// Bytes of an order, and studies of one.
const MOST_BYTES: usize = 256 << 10;
const MOST_STUDIES: usize = 1000;

/// What is told of each study of a peer.
const RETURNED: [Tag; 13] = [
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::MODALITIES_IN_STUDY,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_INSTANCE_UID,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
];

/// Which studies are fetched or sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    studies: Vec<StudyInstanceUid>,
}

/// Which studies are sent, and whether what was delivered is sent, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedSend {
    studies: Vec<StudyInstanceUid>,
    #[serde(default)]
    again: bool,
}

pub(super) async fn studies(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    api.allowed(&parts, Action::Search)?;
    let (keys, limit) = keys(&Parameters::of(&parts.uri))?;
    let found = api.exchange.remotes.search(&AeTitle::parse(&aet)?, &keys, limit).await?;
    let mut body = vec![b'['];
    for (n, row) in found.rows.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        dicom_json::write(&row.in_utf8(), None, &mut body);
    }
    body.push(b']');
    let mut response = answer(&[]);
    *response.body_mut() = body.into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    if !found.is_all {
        let base = BaseUrl::of(&parts, &api.web.config);
        warn(
            &mut response,
            &base,
            "The peer has more that match, or answers that cannot be read; narrow the search.",
        );
    }
    Ok(response)
}

/// The identifier of a C-FIND, and how many answers are wanted.
fn keys(parameters: &Parameters) -> Result<(Attributes, usize), Problem> {
    let mut keys = Attributes::new();
    for tag in RETURNED {
        keys.put_empty(tag, vr(tag));
    }
    let mut limit = ROWS;
    for (name, value) in parameters.iter() {
        if name == "limit" {
            limit = value.parse().map_err(|_| Problem::invalid("limit is no number"))?;
            continue;
        }
        let path = AttributePath::parse(name).filter(|path| path.tags.len() == 1 && path.vr != VR::SQ);
        let tag = path.as_ref().and_then(AttributePath::outermost);
        let (Some(path), Some(tag)) = (&path, tag) else {
            return Err(Problem::invalid(format!("{name} is no attribute that a peer is asked for")));
        };
        if value.chars().any(char::is_control) {
            return Err(Problem::invalid(format!("the value of {name} has a control character")));
        }
        keys.put_text(tag, path.vr, value);
    }
    keys.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY");
    Ok((keys, limit.min(MOST_ROWS)))
}

pub(super) async fn retrieve(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (peer, AskedSend { studies, .. }) = order(&api, &aet, request, Deed::Retrieve).await?;
    for study in &studies {
        api.exchange.orders.retrieve(&peer, study).await?;
    }
    Ok(object(StatusCode::ACCEPTED, &json!({ "peer": peer, "studies": studies })))
}

pub(super) async fn send(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (peer, AskedSend { studies, again }) = order(&api, &aet, request, Deed::Send).await?;
    for study in &studies {
        api.exchange.orders.send(&peer, study, again).await?;
    }
    Ok(object(StatusCode::ACCEPTED, &json!({ "peer": peer, "studies": studies })))
}

/// What of another archive comes over.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct AskedImport {
    since: Option<String>,
    until: Option<String>,
    at_a_time: usize,
    mib_s: Option<u64>,
}

impl Default for AskedImport {
    fn default() -> Self {
        Self { since: None, until: None, at_a_time: 2, mib_s: None }
    }
}

pub(super) async fn import(
    State(api): State<Api>,
    Named(aet): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let peer = AeTitle::parse(&aet)?;
    let session = api.web.session(&parts);
    if !session.caller().may(Action::Configure) {
        session.order("import from", peer.to_string()).await?;
    }
    let asked: AskedImport = json_body(&parts, body, MOST_BYTES, "an order").await?;
    dates(asked.since.as_deref(), asked.until.as_deref())?;
    let Some(known) = api.exchange.remotes.peer(&peer).await else {
        return Err(Problem::not_found(format!("there is no peer {peer}")));
    };
    session.order("import from", peer.to_string()).await?;
    let order = Order {
        peer,
        since: asked.since,
        until: asked.until,
        at_a_time: asked.at_a_time.clamp(1, known.max_associations.max(1)),
        bytes_a_second: asked.mib_s.map(|mib| mib.saturating_mul(1 << 20)),
    };
    api.exchange.orders.import(&order).await?;
    Ok(object(StatusCode::ACCEPTED, &json!(order)))
}

pub(super) async fn imports(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (rows, ..) = noted(&api, request, IMPORT).await?;
    let shown = rows.iter().filter_map(|row| {
        let import: Import = serde_json::from_str(&row.body).ok()?;
        let is_complete = import.is_through && import.counts.is_some_and(|counts| counts.is_complete());
        Some(json!({
            "peer": row.name, "order": import.order, "counts": import.counts, "through": import.is_through,
            "complete": is_complete, "asked": row.made, "changed": row.written,
        }))
    });
    Ok(answer(&shown.collect::<Vec<_>>()))
}

/// What is ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Retrieve,
    Send,
}

/// Who is asked for what, once it is known that the caller may.
async fn order(api: &Api, aet: &str, request: Request, deed: Deed) -> Result<(AeTitle, AskedSend), Problem> {
    let action = match deed {
        Deed::Retrieve => "retrieve from",
        Deed::Send => "send to",
    };
    let (parts, body) = request.into_parts();
    let peer = AeTitle::parse(aet)?;
    let session = api.web.session(&parts);
    if !session.caller().may(Action::Configure) {
        session.order(action, peer.to_string()).await?;
    }
    let asked: AskedSend = match deed {
        Deed::Retrieve => {
            let Asked { studies } = json_body(&parts, body, MOST_BYTES, "an order").await?;
            AskedSend { studies, again: false }
        }
        Deed::Send => json_body(&parts, body, MOST_BYTES, "an order").await?,
    };
    if asked.studies.is_empty() || asked.studies.len() > MOST_STUDIES {
        return Err(Problem::invalid(format!("an order is about 1 to {MOST_STUDIES} studies")));
    }
    let is_destination = api.exchange.destinations.named(&peer).await.is_some();
    let is_peer = api.exchange.remotes.peer(&peer).await.is_some();
    match deed {
        _ if !is_peer && !is_destination => {
            return Err(Problem::not_found(format!("there is no peer {peer}, and no destination")));
        }
        Deed::Retrieve if !is_peer => {
            let what = format!("{peer} is a destination, from which nothing is retrieved");
            return Err(Problem::new(StatusCode::CONFLICT, what));
        }
        Deed::Send if !is_destination => {
            return Err(Problem::new(StatusCode::CONFLICT, format!("nothing may be sent to {peer}")));
        }
        Deed::Retrieve | Deed::Send => {}
    }
    for study in &asked.studies {
        session.order(&format!("{action} {peer}"), study.to_string()).await?;
    }
    Ok((peer, asked))
}

pub(super) async fn retrievals(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (rows, ..) = noted(&api, request, RETRIEVAL).await?;
    let shown = rows.iter().filter_map(|row| {
        let Retrieval { peer, study, by, state, expected, here, missing, error, .. } =
            serde_json::from_str(&row.body).ok()?;
        Some(json!({
            "name": row.name, "peer": peer, "study": study, "by": by, "state": state, "expected": expected,
            "here": here, "missing": missing, "error": error, "asked": row.made, "changed": row.written,
        }))
    });
    Ok(answer(&shown.collect::<Vec<_>>()))
}

pub(super) async fn deliveries(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (rows, is_of_one, session) = noted(&api, request, DELIVERY).await?;
    let read = |row: Registered| serde_json::from_str(&row.body).ok().map(|delivery| (row, delivery));
    let mut found: Vec<(Registered, Delivery)> = rows.into_iter().filter_map(read).collect();
    let states = states(&session, &mut found).await?;
    let shown = found.iter().zip(states).map(|((row, delivery), state)| {
        let (delivered, failed, refused) = delivery.counts();
        let why = delivery.instances.values().find_map(|proof| match proof {
            Proof::Failed(why) | Proof::Refused(why) => Some(why.as_str()),
            Proof::Delivered | Proof::Committed => None,
        });
        let mut value = json!({
            "name": row.name, "destination": delivery.destination, "study": delivery.study, "by": delivery.by,
            "state": state, "total": delivery.total,
            "delivered": delivered, "committed": delivery.commits.then(|| delivery.committed()), "failed": failed,
            "refused": refused, "why": why, "asked": row.made, "changed": row.written,
        });
        if let (true, Some(fields)) = (is_of_one, value.as_object_mut()) {
            fields.insert("instances".to_owned(), json!(delivery.instances));
        }
        value
    });
    Ok(answer(&shown.collect::<Vec<_>>()))
}

/// How deliveries are, by what the queue has of those that are not done. A job may end between one look and the other: of
/// what has none the line is read again, which is the last one then.
async fn states(
    session: &Session,
    found: &mut [(Registered, Delivery)],
) -> Result<Vec<&'static str>, Problem> {
    let mut jobs: Vec<QueuedJob> = Vec::new();
    let open: Vec<&Delivery> =
        found.iter().map(|(_, delivery)| delivery).filter(|delivery| !delivery.is_done()).collect();
    for some in open.chunks(AT_ONCE) {
        let keys: Vec<String> = some.iter().flat_map(|delivery| delivery.job_keys()).collect();
        // Of one key one waits, beside one that runs and few that are parked.
        let limit = u32::try_from(20 * keys.len()).unwrap_or(u32::MAX);
        let kind = Some(Forward::KIND.to_owned());
        jobs.extend(session.jobs(&JobQuery { kind, keys, limit, ..JobQuery::default() }).await?);
    }
    let mut by_key: HashMap<String, Vec<QueuedJob>> = HashMap::new();
    for job in jobs {
        by_key.entry(job.key.clone()).or_default().push(job);
    }
    let mut states = Vec::with_capacity(found.len());
    for (row, delivery) in found {
        let jobs: Vec<QueuedJob> =
            delivery.job_keys().iter().filter_map(|key| by_key.remove(key)).flatten().collect();
        if !delivery.is_done()
            && jobs.is_empty()
            && let Some(last) = session.noted_as(DELIVERY, &row.name).await?
            && let Ok(read) = serde_json::from_str(&last.body)
        {
            (*row, *delivery) = (last, read);
        }
        states.push(delivery.state(&jobs));
    }
    Ok(states)
}

/// Which studies are complete, and what speaks for it.
pub(super) async fn completions(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let (page, parameters) = (Page::of(&parts.uri)?, Parameters::of(&parts.uri));
    let session = api.web.session(&parts);
    let rows = match parameters.get("study").map(StudyInstanceUid::parse).transpose()? {
        Some(study) => session.noted_as(COMPLETE, study.as_str()).await?.into_iter().collect(),
        None => session.noted(COMPLETE, parameters.get("after").unwrap_or_default(), page.limit).await?,
    };
    let shown = rows.iter().filter_map(|row| {
        let completed: Completed = serde_json::from_str(&row.body).ok()?;
        let evidence: Vec<_> = completed.all().collect();
        Some(json!({
            "name": row.name, "study": completed.study, "instances": completed.instances, "evidence": evidence,
            "asked": row.made, "changed": row.written,
        }))
    });
    Ok(answer(&shown.collect::<Vec<_>>()))
}

/// The lines of a kind that are asked for, whether they are of one study, and who asks.
async fn noted(api: &Api, request: Request, kind: &str) -> Result<(Vec<Registered>, bool, Session), Problem> {
    let (parts, _) = request.into_parts();
    let (page, parameters) = (Page::of(&parts.uri)?, Parameters::of(&parts.uri));
    let study = parameters.get("study").map(StudyInstanceUid::parse).transpose()?;
    let after = match &study {
        Some(study) => format!("{study} "),
        None => parameters.get("after").unwrap_or_default().to_owned(),
    };
    let session = api.web.session(&parts);
    let mut rows = session.noted(kind, &after, page.limit).await?;
    if study.is_some() {
        rows.retain(|row: &Registered| row.name.starts_with(&after));
    }
    Ok((rows, study.is_some(), session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(Attributes, usize), Problem> {
        keys(&Parameters::of(&format!("/studies?{query}").parse().unwrap()))
    }

    #[test]
    fn a_search_at_a_peer_names_keys_and_asks_for_what_a_list_shows() {
        let (keys, limit) = read("PatientName=nguy%E1%BB%85n*&StudyDate=20260101-&limit=7").unwrap();
        assert_eq!(limit, 7);
        assert_eq!(keys.text(tags::PATIENT_NAME).as_deref(), Some("nguyễn*"));
        assert_eq!(keys.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
        assert_eq!(keys.text(tags::QUERY_RETRIEVE_LEVEL).as_deref(), Some("STUDY"));
        assert!(RETURNED.iter().all(|tag| keys.contains(*tag)));
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        for query in ["colour=red", "limit=many", "PatientName=a%0Ab", "OtherPatientIDsSequence.PatientID=1"]
        {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
