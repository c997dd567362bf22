//! C-FIND identifiers ↔ queries and rows (PS3.4 §C.4.1.1.3), and the unique keys of retrieves
//! (PS3.4 §C.4.2.1.4).

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{
    AeTitle, Attributes, Element, Encoding, Error, Level, Result, SeriesInstanceUid, SopInstanceUid,
    StudyInstanceUid, Tag, TransferSyntaxUid, VR, Value,
};
use dicom_store::query::{Options, Query, Row, level_of};

use super::services::Model;

/// What says something about the answer, and is nothing that is matched.
const NOT_KEYS: [Tag; 7] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::QUERY_RETRIEVE_LEVEL,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::RETRIEVE_AE_TITLE,
    tags::INSTANCE_AVAILABILITY,
    tags::STORAGE_MEDIA_FILE_SET_ID,
    tags::STORAGE_MEDIA_FILE_SET_UID,
];

/// What no data set has, and what is not answered here: whether a peer asks for it or not, it matches.
const NOWHERE: [Tag; 4] =
    [tags::QUERY_RETRIEVE_VIEW, tags::RETRIEVE_URL, tags::RETRIEVE_URI, tags::RETRIEVE_LOCATION_UID];

/// An identifier, and the level that it is about.
pub(super) struct Identifier {
    pub level: Level,
    attributes: Attributes,
}

impl Identifier {
    /// # Errors
    /// `Invalid` when it cannot be read, or its level is none of the model's (PS3.4 §C.3.2).
    pub(super) fn read(bytes: Bytes, transfer_syntax: &TransferSyntaxUid, model: Model) -> Result<Self> {
        let attributes = Attributes::read(bytes, transfer_syntax.facts().encoding)?;
        let level: Level = attributes
            .text(tags::QUERY_RETRIEVE_LEVEL)
            .ok_or_else(|| Error::invalid("Query/Retrieve Level is missing"))?
            .parse()?;
        if level == Level::Patient && model == Model::StudyRoot {
            return Err(Error::invalid("the Study Root model has no PATIENT level"));
        }
        Ok(Self { level, attributes })
    }

    /// The query that a C-FIND asks for.
    ///
    /// `relational`: queries across levels were negotiated; otherwise each level above needs its unique
    /// key (PS3.4 §C.4.1.2.1).
    ///
    /// # Errors
    /// `Invalid` when a unique key is missing or a key's value is none of its kind.
    pub(super) fn query(&self, model: Model, relational: bool, options: Options) -> Result<Query> {
        if !relational {
            self.parents(model)?;
        }
        let mut keys = self.attributes.clone();
        for tag in NOT_KEYS.into_iter().chain(NOWHERE) {
            keys.remove(tag);
        }
        Query::from_identifier(self.level, &keys, options)
    }

    /// The response for a row: what was asked for, and what every response has.
    pub(super) fn response(&self, row: &Row, retrieve_ae_title: &AeTitle) -> Attributes {
        let mut response = self.answer(&row.attributes);
        response.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, self.level.as_str());
        response.put_text(tags::RETRIEVE_AE_TITLE, VR::AE, retrieve_ae_title.as_str());
        if self.attributes.contains(tags::INSTANCE_AVAILABILITY) {
            response.put_text(tags::INSTANCE_AVAILABILITY, VR::CS, "ONLINE");
        }
        response
    }

    fn answer(&self, row: &Attributes) -> Attributes {
        let mut response = Attributes::new();
        for key in self.attributes.iter().filter(|key| !NOT_KEYS.contains(&key.tag) && self.supports(key.tag))
        {
            answer_key(key, row, &mut response);
        }
        response
    }

    /// Whether every key can be matched and returned; otherwise responses say so by FF01H.
    pub(super) fn is_supported(&self) -> bool {
        self.attributes.iter().all(|key| NOT_KEYS.contains(&key.tag) || self.supports(key.tag))
    }

    /// Private attributes are archived but not searched. Group lengths mean nothing.
    fn supports(&self, tag: Tag) -> bool {
        let is_standard = tag.0.is_multiple_of(2) && tag.1 != 0;
        let is_kept = level_of(tag).map_or(self.level == Level::Instance, |level| level <= self.level);
        is_standard && is_kept && !NOWHERE.contains(&tag)
    }

    /// The unique keys above the level, each a single value.
    fn parents(&self, model: Model) -> Result<Parents> {
        let patient = (model == Model::PatientRoot && self.level > Level::Patient)
            .then(|| self.single(tags::PATIENT_ID, "Patient ID"))
            .transpose()?;
        self.below(patient)
    }

    /// The same of a retrieve. A Patient ID without a value is of any patient: a study need not have one (type 2).
    fn parents_of_retrieve(&self, model: Model) -> Result<Parents> {
        let id = self.attributes.text(tags::PATIENT_ID);
        let is_empty = self.attributes.contains(tags::PATIENT_ID) && id.is_none_or(|id| id.trim().is_empty());
        if is_empty { self.below(None) } else { self.parents(model) }
    }

    fn below(&self, patient: Option<String>) -> Result<Parents> {
        let study = (self.level > Level::Study)
            .then(|| self.single(tags::STUDY_INSTANCE_UID, "Study Instance UID"))
            .transpose()?;
        let series = (self.level > Level::Series)
            .then(|| self.single(tags::SERIES_INSTANCE_UID, "Series Instance UID"))
            .transpose()?;
        Ok(Parents {
            patient,
            study: study.as_deref().map(StudyInstanceUid::parse).transpose()?,
            series: series.as_deref().map(SeriesInstanceUid::parse).transpose()?,
        })
    }

    fn single(&self, tag: Tag, name: &str) -> Result<String> {
        match <[String; 1]>::try_from(self.attributes.texts(tag)) {
            Ok([value]) if !value.is_empty() && !value.contains(['*', '?']) => Ok(value),
            _ => Err(Error::invalid(format!("{name} must be a single value at this level"))),
        }
    }

    /// What a retrieve asks for (PS3.4 §C.4.2.1.4.1).
    ///
    /// # Errors
    /// `Invalid` when a unique key is missing, empty or has a wild card; but Patient ID may be empty above the level.
    pub(super) fn wanted(&self, model: Model) -> Result<Wanted> {
        let Parents { patient, study, series } = self.parents_of_retrieve(model)?;
        let what = match (self.level, study, series) {
            (Level::Patient, ..) => {
                let has_issuer = self.attributes.text(tags::ISSUER_OF_PATIENT_ID).is_some();
                let issuer = has_issuer
                    .then(|| self.single(tags::ISSUER_OF_PATIENT_ID, "Issuer of Patient ID"))
                    .transpose()?;
                What::Patient { id: self.single(tags::PATIENT_ID, "Patient ID")?, issuer }
            }
            (Level::Study, ..) => {
                let studies = self.list(tags::STUDY_INSTANCE_UID, "Study Instance UID")?;
                What::Studies(parse_all(&studies, StudyInstanceUid::parse)?)
            }
            (Level::Series, Some(study), _) => {
                let series = self.list(tags::SERIES_INSTANCE_UID, "Series Instance UID")?;
                What::Series(study, parse_all(&series, SeriesInstanceUid::parse)?)
            }
            (Level::Instance, Some(study), Some(series)) => {
                let instances = self.list(tags::SOP_INSTANCE_UID, "SOP Instance UID")?;
                What::Instances(study, series, parse_all(&instances, SopInstanceUid::parse)?)
            }
            _ => return Err(Error::invalid("a unique key is missing")),
        };
        Ok(Wanted { what, patient })
    }

    fn list(&self, tag: Tag, name: &str) -> Result<Vec<String>> {
        let values = self.attributes.texts(tag);
        if values.is_empty() || values.iter().any(|value| value.is_empty() || value.contains(['*', '?'])) {
            return Err(Error::invalid(format!("{name} must be a value or a list of values")));
        }
        Ok(values)
    }
}

struct Parents {
    patient: Option<String>,
    study: Option<StudyInstanceUid>,
    series: Option<SeriesInstanceUid>,
}

/// What a retrieve asks for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub what: What,
    /// The Patient ID of all of it, where the identifier says it above what it asks for: of another patient nothing matches.
    pub patient: Option<String>,
}

/// The entities of a retrieve.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum What {
    Patient { id: String, issuer: Option<String> },
    Studies(Vec<StudyInstanceUid>),
    Series(StudyInstanceUid, Vec<SeriesInstanceUid>),
    Instances(StudyInstanceUid, SeriesInstanceUid, Vec<SopInstanceUid>),
}

fn parse_all<T>(values: &[String], parse: fn(&str) -> Result<T>) -> Result<Vec<T>> {
    values.iter().map(|value| parse(value)).collect()
}

/// Puts what a key asks for: the value, empty where there is none; of items only what their keys name.
fn answer_key(key: &Element, row: &Attributes, response: &mut Attributes) {
    let Some(found) = row.get(key.tag) else {
        response.put_empty(key.tag, key.vr);
        return;
    };
    match (&key.value, &found.value) {
        (Value::Items(asked), Value::Items(items)) if asked.first().is_some_and(|item| !item.is_empty()) => {
            let keys = asked.iter().take(1).flatten().collect::<Vec<_>>();
            let answered = items.iter().map(|item| {
                let mut answered = Attributes::new();
                keys.iter().for_each(|key| answer_key(key, item, &mut answered));
                answered
            });
            response.put_items(key.tag, answered.collect());
        }
        // Left in the object: no answer carries pixel data.
        (_, Value::Bulk(_)) => response.put_empty(key.tag, found.vr),
        _ => response.put_from(row, found),
    }
}

/// The data set of a final response that names what was not retrieved (PS3.4 §C.4.2.1.4.2).
pub(super) fn failed_list(failed: &[SopInstanceUid], encoding: Encoding) -> Vec<u8> {
    let mut list = Attributes::new();
    let mut uids = failed.iter().map(SopInstanceUid::as_str).collect::<Vec<_>>().join("\\");
    if uids.len() % 2 == 1 {
        uids.push('\0');
    }
    list.put_bytes(tags::FAILED_SOP_INSTANCE_UID_LIST, VR::UI, uids.into_bytes());
    list.write(encoding)
}
