//! How text is read that may not be in the character set that it names (PS3.3 §C.12.1.1.2), for an operator: by
//! sender, and study by study.
//!
//! A reading has the fields `reading` (`declared`, or the encoding that it is read in instead), `by` of a repair
//! (`rule` of `store.sources`, or `guess`) and `unclear`, when some of it may be read wrong or means nothing. Studies are
//! narrowed by parameters of these names; without any, they are those of which something is not read as it is declared.

use axum::extract::{Request, State};
use axum::response::Response;
use dicom_store::model::{StudyInstanceUid, TextReading};
use dicom_store::{StudyText, TextCount, TextQuery};
use serde_json::{Map, Value, json};

use super::{Page, answer};
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::state::Web;

/// `GET /text`: senders, and how what they sent is read.
pub(super) async fn senders(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let counts = web.session(&parts).text_counts().await?;
    let row = |count: &TextCount| {
        let mut row = fields(&count.sender, count.reading);
        row.insert("studies".to_owned(), json!(count.studies));
        row.insert("instances".to_owned(), json!(count.instances));
        row.insert("newest".to_owned(), json!(count.newest));
        Value::Object(row)
    };
    Ok(answer(&counts.iter().map(row).collect::<Vec<_>>()))
}

/// `GET /text/studies`: studies from the one that came last, each with all that is read of it.
pub(super) async fn studies(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let page = Page::of(&parts.uri)?;
    let parameters = Parameters::of(&parts.uri);
    let query = TextQuery {
        studies: named(&parameters)?,
        sender: parameters.get("sender").map(str::to_owned),
        readings: wanted(&parameters)?,
        before: page.before,
        limit: page.limit,
    };
    let found = web.session(&parts).text_of_studies(&query).await?;
    let of_study = |rows: &[StudyText]| {
        let first = rows.first()?;
        let text: Vec<Value> = rows.iter().map(part).collect();
        Some(json!({ "place": first.place, "study": first.study, "text": text }))
    };
    let rows = found.chunk_by(|one, next| one.place == next.place).filter_map(of_study);
    Ok(answer(&rows.collect::<Vec<_>>()))
}

fn part(text: &StudyText) -> Value {
    let mut row = fields(&text.sender, text.reading);
    row.insert("instances".to_owned(), json!(text.instances));
    row.insert("newest".to_owned(), json!(text.newest));
    Value::Object(row)
}

fn fields(sender: &str, reading: TextReading) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("sender".to_owned(), json!(sender));
    fields.insert("reading".to_owned(), json!(name(reading)));
    if let Some(by) = by(reading) {
        fields.insert("by".to_owned(), json!(by));
    }
    fields.insert("unclear".to_owned(), json!(reading.is_unsure()));
    fields
}

fn name(reading: TextReading) -> &'static str {
    reading.repair().map_or("declared", |encoding| encoding.name())
}

/// Who says that it is something else than it is declared to be.
fn by(reading: TextReading) -> Option<&'static str> {
    reading.repair().map(|_| if reading.is_by_rule() { "rule" } else { "guess" })
}

/// The readings that the parameters leave.
fn wanted(parameters: &Parameters) -> Result<Vec<TextReading>, Problem> {
    let [name_is, by_is, unclear_is] = ["reading", "by", "unclear"].map(|name| parameters.get(name));
    let is_asked = [name_is, by_is, unclear_is].iter().any(Option::is_some);
    let is_wanted = |reading: &TextReading| {
        let unclear = if reading.is_unsure() { "true" } else { "false" };
        name_is.is_none_or(|wanted| wanted == name(*reading))
            && by_is.is_none_or(|wanted| Some(wanted) == by(*reading))
            && unclear_is.is_none_or(|wanted| wanted == unclear)
            && (is_asked || !reading.is_declared())
    };
    let wanted: Vec<TextReading> = TextReading::all().filter(is_wanted).collect();
    if wanted.is_empty() {
        let what = "no text is read so: reading is declared or an encoding, by is rule or guess, unclear is true or false";
        return Err(Problem::invalid(what));
    }
    Ok(wanted)
}

/// The studies that are asked for by name.
fn named(parameters: &Parameters) -> Result<Vec<StudyInstanceUid>, Problem> {
    let named = parameters.iter().filter(|(name, _)| *name == "study");
    named.map(|(_, uid)| Ok(StudyInstanceUid::parse(uid)?)).collect()
}
