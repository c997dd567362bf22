//! What a viewer needs to open a study, in one answer: the study, its series and instances in the order of display with
//! what is needed to lay them out, where their bytes are, and the other studies of the patient.
//!
//! Attributes have their keywords for names and plain values: numbers are numbers, names of persons have their component
//! groups. Series come by their number, instances by theirs, as the device meant them; those without come first. Headers
//! come out of the index and go out as they come.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use bytes::Bytes;
use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::dictionary_std::{StandardDataDictionary, tags as t};
use dicom_store::model::{Attributes, Header, Instance, Level, Resource, SeriesInstanceUid, Tag, VR};
use dicom_store::{Error, Key, Query, Session};
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value, json};

use super::{no_store, presets, priors};
use crate::attribute;
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;

/// Instances that are written by one piece of work, and pieces under way for one answer.
const BATCH: usize = 16;
const AHEAD: usize = 2;

const STUDY: &[Tag] = &[
    t::STUDY_INSTANCE_UID,
    t::STUDY_DATE,
    t::STUDY_TIME,
    t::ACCESSION_NUMBER,
    t::MODALITIES_IN_STUDY,
    t::STUDY_DESCRIPTION,
    t::STUDY_ID,
    t::REFERRING_PHYSICIAN_NAME,
    t::PATIENT_NAME,
    t::PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID,
    t::PATIENT_BIRTH_DATE,
    t::PATIENT_SEX,
    t::PATIENT_AGE,
    t::NUMBER_OF_STUDY_RELATED_SERIES,
    t::NUMBER_OF_STUDY_RELATED_INSTANCES,
];
const SERIES: &[Tag] = &[
    t::SERIES_INSTANCE_UID,
    t::MODALITY,
    t::SERIES_NUMBER,
    t::SERIES_DESCRIPTION,
    t::SERIES_DATE,
    t::SERIES_TIME,
    t::BODY_PART_EXAMINED,
    t::LATERALITY,
    t::PATIENT_POSITION,
    t::PROTOCOL_NAME,
    t::FRAME_OF_REFERENCE_UID,
    t::NUMBER_OF_SERIES_RELATED_INSTANCES,
];
const INSTANCE: &[Tag] = &[
    t::SOP_CLASS_UID,
    t::SOP_INSTANCE_UID,
    t::INSTANCE_NUMBER,
    t::ACQUISITION_NUMBER,
    t::IMAGE_TYPE,
    t::CONTENT_DATE,
    t::CONTENT_TIME,
    t::IMAGE_LATERALITY,
    t::VIEW_POSITION,
    t::PATIENT_ORIENTATION,
    t::FRAME_OF_REFERENCE_UID,
    t::IMAGE_POSITION_PATIENT,
    t::IMAGE_ORIENTATION_PATIENT,
    t::SLICE_LOCATION,
    t::SLICE_THICKNESS,
    t::SPACING_BETWEEN_SLICES,
    t::PIXEL_SPACING,
    t::IMAGER_PIXEL_SPACING,
    t::FRAME_TIME,
    t::RECOMMENDED_DISPLAY_FRAME_RATE,
    t::SAMPLES_PER_PIXEL,
    t::PHOTOMETRIC_INTERPRETATION,
    t::ROWS,
    t::COLUMNS,
    t::BITS_ALLOCATED,
    t::BITS_STORED,
    t::HIGH_BIT,
    t::PIXEL_REPRESENTATION,
    t::RESCALE_INTERCEPT,
    t::RESCALE_SLOPE,
    t::RESCALE_TYPE,
    t::WINDOW_CENTER,
    t::WINDOW_WIDTH,
    t::WINDOW_CENTER_WIDTH_EXPLANATION,
    t::VOILUT_FUNCTION,
    t::LOSSY_IMAGE_COMPRESSION,
];
/// Those that may have several values, and are lists also with one.
const LISTS: &[Tag] = &[
    t::MODALITIES_IN_STUDY,
    t::IMAGE_TYPE,
    t::PATIENT_ORIENTATION,
    t::IMAGE_POSITION_PATIENT,
    t::IMAGE_ORIENTATION_PATIENT,
    t::PIXEL_SPACING,
    t::IMAGER_PIXEL_SPACING,
    t::WINDOW_CENTER,
    t::WINDOW_WIDTH,
    t::WINDOW_CENTER_WIDTH_EXPLANATION,
];

type Fields = Map<String, Value>;

/// `GET /studies/{study}/display`
pub(super) async fn display(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let target = Target::from_request_parts(&mut parts, &web).await?;
    let study = target.study.ok_or_else(|| Problem::not_found("the path names no study"))?;
    let with_instances = match Parameters::of(&parts.uri).get("instances") {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Problem::invalid("instances is true or false")),
    };
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let key = Key::parse(&[t::STUDY_INSTANCE_UID], VR::UI, study.as_str())?;
    let found = rows(&session, Level::Study, key.clone()).await?;
    let of_study =
        found.first().ok_or_else(|| Problem::not_found(format!("study {study} is not in the archive")))?;
    let series = rows(&session, Level::Series, key).await?;
    let list = List { base };
    let opening = list.opening(of_study, &priors::priors(&session, of_study).await?, &web, &series);
    let body = if with_instances {
        list.with_instances(opening, series, session, &web, Resource::Study(study))
    } else {
        Body::from(list.without_instances(opening, series))
    };
    let mut response = Response::new(body);
    no_store(&mut response);
    Ok(response)
}

async fn rows(session: &Session, level: Level, key: Key) -> Result<Vec<Attributes>, Problem> {
    let mut query = Query::new(level);
    query.keys.push(key);
    let mut rows = session.search(&query).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await {
        found.push(row?.attributes);
    }
    Ok(found)
}

/// How the answer is written.
#[derive(Clone)]
struct List {
    base: BaseUrl,
}

impl List {
    /// All before the first series.
    fn opening(
        &self,
        study: &Attributes,
        priors: &[priors::Prior],
        web: &Web,
        series: &[Attributes],
    ) -> Vec<u8> {
        let of_study = |row: &Attributes| {
            let mut of_study = fields(row, STUDY);
            let url = format!("{}/studies/{}", self.base, row.uid(t::STUDY_INSTANCE_UID).unwrap_or_default());
            of_study.insert("url".to_owned(), json!(url));
            of_study
        };
        let of_prior = |prior: &priors::Prior| {
            let mut of_prior = of_study(&prior.row);
            of_prior.insert("same-modality".to_owned(), json!(prior.has_same_modality));
            of_prior.insert("same-part".to_owned(), json!(prior.has_same_part));
            of_prior
        };
        let modalities: Vec<String> = series.iter().filter_map(|row| row.text(t::MODALITY)).collect();
        let presets = presets::of(&web.config, |of| modalities.iter().any(|modality| modality == of));
        let mut text = json!({
            "study": of_study(study),
            "priors": priors.iter().map(of_prior).collect::<Vec<_>>(),
            "window-presets": presets,
        })
        .to_string();
        text.pop();
        text.push_str(",\"series\":[");
        text.into_bytes()
    }

    fn series(&self, row: &Attributes) -> Fields {
        let mut series = fields(row, SERIES);
        let (study, uid) = (row.uid(t::STUDY_INSTANCE_UID), row.uid(t::SERIES_INSTANCE_UID));
        let url =
            format!("{}/studies/{}/series/{}", self.base, study.unwrap_or_default(), uid.unwrap_or_default());
        series.insert("thumbnail".to_owned(), json!(format!("{url}/thumbnail")));
        series.insert("url".to_owned(), json!(url));
        series
    }

    /// In the order in which instances come: by number, those without first.
    fn without_instances(&self, mut text: Vec<u8>, mut series: Vec<Attributes>) -> Vec<u8> {
        series.sort_by_cached_key(|row| {
            (row.int(t::SERIES_NUMBER), row.uid(t::SERIES_INSTANCE_UID).map(str::to_owned))
        });
        let series: Vec<Fields> = series.iter().map(|row| self.series(row)).collect();
        let list = serde_json::to_string(&series).expect("values of JSON are always JSON");
        text.extend_from_slice(list.get(1..).unwrap_or("]").as_bytes());
        text.push(b'}');
        text
    }

    fn with_instances(
        self,
        opening: Vec<u8>,
        series: Vec<Attributes>,
        session: Session,
        web: &Web,
        study: Resource,
    ) -> Body {
        let known: HashMap<String, Fields> = series
            .iter()
            .filter_map(|row| Some((row.uid(t::SERIES_INSTANCE_UID)?.to_owned(), self.series(row))))
            .collect();
        let (pool, mut writer) = (web.pool.clone(), Writer { known, current: None });
        let batches = session.headers(&study).chunks(BATCH).map(move |batch| {
            let (pool, list) = (pool.clone(), self.clone());
            async move { pool.run(move || list.batch(batch)).await? }
        });
        let batches = batches.buffered(AHEAD).map(move |batch| batch.map(|batch| writer.write(batch)));
        let opening = stream::iter([Ok::<_, Problem>(Bytes::from(opening))]);
        // A study that is found has an instance, so that a series is open.
        let closing = stream::iter([Ok(Bytes::from_static(b"]}]}"))]);
        Body::from_stream(opening.chain(batches).chain(closing))
    }

    fn batch(
        &self,
        batch: Vec<Result<(Instance, Header), Error>>,
    ) -> Result<Vec<(SeriesInstanceUid, Fields)>, Problem> {
        let written = batch.into_iter().map(|item| {
            let (instance, header) = item?;
            let mut of_instance = fields(&header.attributes()?, INSTANCE);
            of_instance.insert("frames".to_owned(), json!(instance.frames));
            of_instance.insert("TransferSyntaxUID".to_owned(), json!(instance.transfer_syntax.as_str()));
            of_instance.insert("url".to_owned(), json!(self.base.instance(&instance)));
            Ok((instance.series, of_instance))
        });
        written.collect()
    }
}

/// Puts instances into their series, which come one after the other.
struct Writer {
    known: HashMap<String, Fields>,
    current: Option<SeriesInstanceUid>,
}

impl Writer {
    fn write(&mut self, batch: Vec<(SeriesInstanceUid, Fields)>) -> Bytes {
        let mut text = String::with_capacity(batch.len() * 1024);
        for (series, instance) in batch {
            let instance = Value::Object(instance);
            if self.current.as_ref() == Some(&series) {
                text.push_str(&format!(",{instance}"));
                continue;
            }
            text.push_str(if self.current.is_some() { "]}," } else { "" });
            let unknown = || Map::from_iter([("SeriesInstanceUID".to_owned(), json!(series.as_str()))]);
            let head = Value::Object(self.known.remove(series.as_str()).unwrap_or_else(unknown)).to_string();
            let head = head.strip_suffix('}').unwrap_or(&head);
            text.push_str(&format!("{head},\"instances\":[{instance}"));
            self.current = Some(series);
        }
        text.into()
    }
}

/// Those of the attributes that have a value, under their keywords.
fn fields(row: &Attributes, wanted: &[Tag]) -> Fields {
    let named = wanted.iter().filter_map(|tag| {
        let keyword = StandardDataDictionary.by_tag(*tag)?.alias();
        Some((keyword.to_owned(), value(row, *tag)?))
    });
    named.collect()
}

fn value(row: &Attributes, tag: Tag) -> Option<Value> {
    let is_list = LISTS.contains(&tag);
    let values: Vec<Value> = match attribute::vr(tag) {
        VR::PN => {
            let name = row.person(tag)?;
            let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(name.groups());
            let groups = groups.filter(|(_, group)| !group.is_empty());
            let groups: Fields = groups.map(|(name, group)| (name.to_owned(), json!(group))).collect();
            if groups.is_empty() { Vec::new() } else { vec![Value::Object(groups)] }
        }
        VR::IS | VR::US | VR::SS | VR::UL | VR::SL => row.ints(tag).into_iter().map(Value::from).collect(),
        VR::DS | VR::FD | VR::FL => row.floats(tag).into_iter().map(Value::from).collect(),
        _ => row.texts(tag).into_iter().map(Value::from).collect(),
    };
    let is_empty = |value: &Value| value.is_null() || value.as_str().is_some_and(str::is_empty);
    if values.iter().all(is_empty) {
        return None;
    }
    if is_list { Some(Value::Array(values)) } else { values.into_iter().next() }
}
