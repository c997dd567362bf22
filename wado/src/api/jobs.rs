//! What the server does by itself: how its packs are, and the queue: what is to be done, how far it is, and what an operator wants of it.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use dicom_store::queue::{JobId, JobQuery, JobState, Priority, QueuedJob, Steering};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::peers::object;
use super::{Api, Page, answer, json_body};
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Named;

/// Bytes of a wish, at the most.
const MOST_BYTES: usize = 4 << 10;

pub(super) async fn jobs(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let state = parameters.get("state").map(|state| named(state, &JobState::ALL, JobState::as_str, "state"));
    let after = parameters.get("after").map(number).transpose()?;
    let kind = parameters.get("kind").map(str::to_owned);
    let limit = Page::of(&parts.uri)?.limit;
    let query = JobQuery { kind, state: state.transpose()?, after, limit, ..JobQuery::default() };
    let jobs = api.web.session(&parts).jobs(&query).await?;
    Ok(answer(&jobs.iter().map(shown).collect::<Vec<_>>()))
}

pub(super) async fn packs(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let report = api.web.session(&parts).pack_report().await?;
    let shown = json!({
        "packs": report.packs, "bytes": report.bytes, "small": report.small, "dead": report.dead,
        "in-between": report.in_between, "never-verified": report.never_verified, "waiting": report.waiting,
        "compressed": {
            "packs": report.compressed, "bytes": report.compressed_of, "kept-in": report.compressed_to,
        },
    });
    Ok(object(StatusCode::OK, &shown))
}

pub(super) async fn job(
    State(api): State<Api>,
    Named(job): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    one(&api, &parts, number(&job)?).await
}

/// What is wanted of a job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    priority: String,
}

pub(super) async fn prioritise(
    State(api): State<Api>,
    Named(job): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let job = number(&job)?;
    let wish: Wish = json_body(&parts, body, MOST_BYTES, "what is wanted of a job").await?;
    let priority = named(&wish.priority, &Priority::ALL, Priority::as_str, "priority")?;
    api.web.session(&parts).steer(job, Steering::Prioritise(priority)).await?;
    one(&api, &parts, job).await
}

pub(super) async fn run(
    State(api): State<Api>,
    Named(job): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    api.web.session(&parts).steer(number(&job)?, Steering::RunNow).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

pub(super) async fn cancel(
    State(api): State<Api>,
    Named(job): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    api.web.session(&parts).steer(number(&job)?, Steering::Cancel).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn one(api: &Api, parts: &Parts, job: JobId) -> Result<Response, Problem> {
    let query = JobQuery { id: Some(job), limit: 1, ..JobQuery::default() };
    let found = api.web.session(parts).jobs(&query).await?;
    let Some(found) = found.first() else {
        return Err(Problem::not_found(format!("there is no job {}", job.0)));
    };
    Ok(object(StatusCode::OK, &shown(found)))
}

fn shown(job: &QueuedJob) -> Value {
    json!({
        "job": job.id.0, "kind": job.kind, "about": job.key, "state": job.state.as_str(),
        "priority": job.priority.as_str(), "attempts": job.attempt, "due": job.due, "asked": job.made,
        "error": (!job.error.is_empty()).then_some(&job.error), "done": job.progress.done,
        "total": (job.progress.total > 0).then_some(job.progress.total), "cancelled": job.is_cancelled,
    })
}

fn number(text: &str) -> Result<JobId, Problem> {
    text.parse().map(JobId).map_err(|_| Problem::invalid("a job has a number"))
}

fn named<T: Copy>(
    name: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
    what: &str,
) -> Result<T, Problem> {
    let found = all.iter().copied().find(|one| as_str(*one) == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
        Problem::invalid(format!("a {what} is one of {}", names.join(", ")))
    })
}
