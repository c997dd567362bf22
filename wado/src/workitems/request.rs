//! What requests for workitems hold.

use axum::body::{Body, Bytes};
use dicom::dictionary_std::tags;
use dicom_store::Filter;
use dicom_store::model::Attributes;
use dicom_store::workitem::MOST_BYTES;
use http::request::Parts;

use crate::accept::{DICOM_JSON, DICOM_XML, JSON, media_type};
use crate::attribute::AttributePath;
use crate::dicom_json::read;
use crate::dicom_xml;
use crate::error::Problem;
use crate::multipart::{Reader, boundary};
use crate::negotiation::content_type;

/// Text is longer than the data set that it says.
const MOST_TEXT: usize = 8 * MOST_BYTES;

/// The data set of a request.
pub(super) struct Payload {
    pub(super) attributes: Attributes,
    /// Affected SOP Instance UID (0000,1000), which is no attribute of a data set.
    pub(super) affected: Option<String>,
}

/// # Errors
/// 400, 413, or 415 for another media type than those of PS3.18 Table 11.1.3-1.
pub(super) async fn payload(parts: &Parts, body: Body) -> Result<Payload, Problem> {
    let too_large = || Problem::too_large(format!("a workitem has up to {MOST_TEXT} bytes of text"));
    let media = content_type(&parts.headers);
    let bytes = async |body| axum::body::to_bytes(body, MOST_TEXT).await.map_err(|_| too_large());
    let object = match media_type(media).0.as_str() {
        DICOM_JSON | JSON => json(&bytes(body).await?)?,
        DICOM_XML | "application/xml" => dicom_xml::read::object(&bytes(body).await?)?,
        "multipart/related" if media.contains(DICOM_XML) => {
            let boundary =
                boundary(media).ok_or_else(|| Problem::invalid("Content-Type names no boundary"))?;
            dicom_xml::read::object(&single_part(&bytes(body).await?, &boundary).await?)?
        }
        _ => {
            return Err(Problem::unsupported(
                "a workitem is sent as application/dicom+json, or as application/dicom+xml",
            ));
        }
    };
    let affected = read::text(&object, tags::AFFECTED_SOP_INSTANCE_UID).map(str::to_owned);
    // PS3.18 §11.1.3: the transactions have no bulk data.
    let attributes = read::data_set(&object, &mut |reference| {
        Err(dicom_store::Error::invalid(format!(
            "{} is bulk data, which a workitem has none of",
            reference.tag
        )))
    })?;
    Ok(Payload { attributes, affected })
}

/// As [`payload`], where there may be none.
pub(super) async fn optional_payload(parts: &Parts, body: Body) -> Result<Attributes, Problem> {
    if axum::body::HttpBody::is_end_stream(&body) {
        return Ok(Attributes::new());
    }
    Ok(payload(parts, body).await?.attributes)
}

/// One data set: by itself, or an array of it alone.
fn json(bytes: &Bytes) -> Result<read::Object, Problem> {
    match read::split(bytes)?.as_slice() {
        [one] => Ok(read::object(one)?),
        all => Err(Problem::invalid(format!("one workitem was expected, not {}", all.len()))),
    }
}

async fn single_part(bytes: &Bytes, boundary: &str) -> Result<Vec<u8>, Problem> {
    let wrong = |what: String| Problem::invalid(what);
    let body = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes.clone())]);
    let mut reader = Reader::new(body, boundary).map_err(|error| wrong(error.to_string()))?;
    let mut part = Vec::new();
    if reader.next_part().await.map_err(|error| wrong(error.to_string()))?.is_none() {
        return Err(wrong("the request has no part".to_owned()));
    }
    while let Some(chunk) = reader.chunk().await.map_err(|error| wrong(error.to_string()))? {
        part.extend_from_slice(&chunk);
    }
    Ok(part)
}

/// `attribute=value,attribute=value` (PS3.18 §11.10.1.2). A part without `=` goes on the value before it.
pub(super) fn filter(text: &str) -> Result<Filter, Problem> {
    let mut keys: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        match (part.split_once('='), keys.last_mut()) {
            (Some((name, value)), _) => keys.push((name.trim().to_owned(), value.to_owned())),
            (None, Some((_, value))) => {
                value.push('\\');
                value.push_str(part);
            }
            (None, None) => {
                return Err(Problem::invalid("a filter is attribute=value, with commas between several"));
            }
        }
    }
    let keys = keys.into_iter().map(|(name, value)| {
        let path = AttributePath::parse(&name)
            .ok_or_else(|| Problem::invalid(format!("{name} is no attribute of DICOM")))?;
        Ok((path.tags, value))
    });
    Ok(Filter::new(keys.collect::<Result<_, Problem>>()?)?)
}
