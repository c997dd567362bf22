//! What an instance says of its patient, study and series, ready for their rows.

use dicom::dictionary_std::tags;

use crate::model::{Attributes, Encoding, Level, PatientKey, PersonName, Phi, Tag};
use crate::query::{COMPUTED, attributes_of, moment};

/// The attributes of the levels above an instance (PS3.4 §C.6), and those that are searched by.
#[derive(Debug, Clone)]
pub struct LevelRows {
    pub patient: Phi<PatientKey>,
    /// Folded Patient's Name, all component groups.
    pub patient_name: Phi<String>,
    /// What the name is found by ([`PersonName::words`]).
    pub patient_words: Phi<Vec<String>>,
    /// When the study was, as far as it says.
    pub moment: i64,
    pub study_date: String,
    pub study_time: String,
    pub accession_number: Phi<String>,
    pub modality: String,
    pub series_number: Option<i64>,
    /// Data sets in explicit VR little endian and UTF-8: what rows are answered from.
    pub patient_attributes: Phi<Vec<u8>>,
    pub study_attributes: Phi<Vec<u8>>,
    pub series_attributes: Phi<Vec<u8>>,
}

impl LevelRows {
    pub fn of(attributes: &Attributes) -> Self {
        let text = |tag| column(attributes.text(tag).unwrap_or_default());
        let key = PatientKey { issuer: text(tags::ISSUER_OF_PATIENT_ID), id: text(tags::PATIENT_ID) };
        let name =
            attributes.person(tags::PATIENT_NAME).map(|name| column(name.folded())).unwrap_or_default();
        let (date, time) = (text(tags::STUDY_DATE), text(tags::STUDY_TIME));
        let pick = |level| Phi::new(pick(attributes, attributes_of(level)).write(Encoding::ExplicitLittle));
        Self {
            patient: Phi::new(key),
            patient_name: Phi::new(name),
            patient_words: Phi::new(words_of_name(attributes)),
            moment: moment(&date, &time),
            study_date: date,
            study_time: time,
            accession_number: Phi::new(text(tags::ACCESSION_NUMBER)),
            modality: text(tags::MODALITY),
            series_number: attributes.int(tags::SERIES_NUMBER),
            patient_attributes: pick(Level::Patient),
            study_attributes: pick(Level::Study),
            series_attributes: pick(Level::Series),
        }
    }
}

/// The words that a patient's name is found by, in both forms.
pub(super) fn words_of_name(attributes: &Attributes) -> Vec<String> {
    let names = attributes.texts(tags::PATIENT_NAME);
    let words = names.iter().flat_map(|name| PersonName::parse(name).words());
    let mut words: Vec<String> = words.map(column).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Longer than any value that is searched by may be (PS3.5 Table 6.2-1); an index cannot hold any length.
const LONGEST_COLUMN: usize = 512;

/// A value as its column holds it: one that is too long by its beginning and its digest, so that two of
/// them are still two. The attributes that are answered from hold it whole.
fn column(text: String) -> String {
    if text.len() <= LONGEST_COLUMN {
        return text;
    }
    let digest = blake3::hash(text.as_bytes()).to_hex();
    let beginning: String = text.chars().take(LONGEST_COLUMN / 8).collect();
    format!("{beginning}#{digest}")
}

fn pick(attributes: &Attributes, wanted: &[Tag]) -> Attributes {
    let mut picked = Attributes::new();
    for element in attributes.iter().filter(|e| wanted.contains(&e.tag) && !COMPUTED.contains(&e.tag)) {
        picked.put_from(attributes, element);
    }
    picked
}
