//! A row of the archive → the attributes of one search result (PS3.18 Tables 10.6.3-3 to 10.6.3-5).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Level, Tag, VR};
use dicom_store::query::level_of;

use super::request::AVAILABILITY;
use crate::attribute::{self, AttributePath};
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::resource::Target;

/// Always there, empty when the value is unknown.
const STUDY: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::MODALITIES_IN_STUDY,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
];
const SERIES: &[Tag] = &[
    tags::MODALITY,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
];
const INSTANCE: &[Tag] = &[tags::SOP_CLASS_UID, tags::SOP_INSTANCE_UID, tags::INSTANCE_NUMBER];

/// There when the value is known.
const STUDY_IF_KNOWN: &[Tag] = &[tags::TIMEZONE_OFFSET_FROM_UTC];
const SERIES_IF_KNOWN: &[Tag] = &[
    tags::SERIES_DESCRIPTION,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
];
const INSTANCE_IF_KNOWN: &[Tag] = &[
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::NUMBER_OF_FRAMES,
    tags::AVAILABLE_TRANSFER_SYNTAX_UID,
    tags::TIMEZONE_OFFSET_FROM_UTC,
];

/// Fields asked for beyond the required ones.
#[derive(Debug, Default)]
pub(super) struct Include {
    all: bool,
    fields: Vec<Tag>,
    /// Attributes that were matched on: they are shown as well.
    matched: Vec<Tag>,
    /// Whose the private blocks are that the request names: the number of a block is only the request's.
    creators: Vec<(Tag, String)>,
}

impl Include {
    /// Adds the value of one `includefield` parameter. Names that are not known are ignored.
    pub(super) fn add(&mut self, value: &str) -> Result<(), Problem> {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "all" {
                self.all = true;
            } else if let Some(tag) = AttributePath::parse(name).and_then(|path| path.outermost()) {
                self.fields.push(tag);
            }
        }
        Ok(())
    }

    pub(super) fn matched(&mut self, tag: Tag) {
        self.matched.push(tag);
    }

    /// Notes the creator of a private block, where a parameter is one.
    pub(super) fn creator(&mut self, tag: Tag, name: &str) {
        if tag.0 % 2 == 1 && (0x10..=0xFF).contains(&tag.1) {
            self.creators.push((tag, name.trim().to_owned()));
        }
    }

    /// Whether it is asked how much there is of the patient.
    pub(super) fn asks_patient_counts(&self) -> bool {
        let counts = [
            tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
            tags::NUMBER_OF_PATIENT_RELATED_SERIES,
            tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
        ];
        self.all || self.fields.iter().chain(&self.matched).any(|tag| counts.contains(tag))
    }

    /// # Errors
    /// 400 for `all` beside other fields (PS3.18 §8.3.4.3).
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.all && !self.fields.is_empty() {
            return Err(Problem::invalid("includefield holds all beside other fields"));
        }
        Ok(())
    }
}

/// Which attributes the results of a search have.
pub(super) struct Shape {
    level: Level,
    all: bool,
    /// In order, with their VRs.
    required: Vec<(Tag, VR)>,
    if_known: Vec<Tag>,
    private: Vec<Private>,
}

/// A private attribute that is shown, by the number of its block in the request; whose it is, where that is said.
struct Private {
    tag: Tag,
    creator: Option<String>,
}

impl Private {
    /// Where a row has it: the creator of its block, and the attribute itself. Both are told.
    fn places(&self, row: &Attributes) -> Option<[Tag; 2]> {
        let Tag(group, element) = self.tag;
        let block = match &self.creator {
            Some(creator) => row.private_block(group, creator)?,
            None => element >> 8,
        };
        Some([Tag(group, block), Tag(group, block << 8 | element & 0xFF)])
    }
}

impl Shape {
    pub(super) fn new(level: Level, target: &Target, include: Include) -> Self {
        let mut required = Vec::new();
        let mut if_known = include.fields;
        if_known.extend(include.matched);
        let is_private = |tag: &Tag| tag.0 % 2 == 1 && tag.1 >= 0x1000;
        let creator = |tag: Tag| {
            let mut of_block = include.creators.iter().filter(|(block, _)| *block == Tag(tag.0, tag.1 >> 8));
            of_block.next().map(|(_, name)| name.clone())
        };
        let private = if_known.iter().copied().filter(is_private);
        let private = private.map(|tag| Private { tag, creator: creator(tag) }).collect();
        // Without an attribute of its block a creator says nothing.
        if_known.retain(|tag| tag.0 % 2 == 0);
        // Attributes of the levels above are added where the path does not say which entity it is.
        if level == Level::Study || target.study.is_none() {
            required.extend_from_slice(STUDY);
            if_known.extend_from_slice(STUDY_IF_KNOWN);
        }
        if level == Level::Series || (level == Level::Instance && target.series.is_none()) {
            required.extend_from_slice(SERIES);
            if_known.extend_from_slice(SERIES_IF_KNOWN);
        }
        if level == Level::Instance {
            required.extend_from_slice(INSTANCE);
            if_known.extend_from_slice(INSTANCE_IF_KNOWN);
            required.push(tags::SERIES_INSTANCE_UID);
        }
        required.push(tags::STUDY_INSTANCE_UID);
        // An attribute of a lower level has no one value here (PS3.18 §8.3.4.3).
        if_known.retain(|tag| level_of(*tag).is_none_or(|of| of <= level));
        required.sort_unstable();
        required.dedup();
        let required = required.into_iter().map(|tag| (tag, attribute::vr(tag))).collect();
        Self { level, all: include.all, required, if_known, private }
    }

    /// The result for one row.
    pub(super) fn result(&self, row: &Attributes, base: &BaseUrl) -> Attributes {
        let mut result = Attributes::new();
        result.reserve(row.len() + self.required.len());
        let private: Vec<Tag> = self.private.iter().filter_map(|one| one.places(row)).flatten().collect();
        let mut required = self.required.iter().peekable();
        for element in row {
            while let Some((tag, vr)) = required.next_if(|(tag, _)| *tag < element.tag) {
                result.put_empty(*tag, *vr);
            }
            let is_required = required.next_if(|(tag, _)| *tag == element.tag).is_some();
            let is_asked = self.if_known.contains(&element.tag) || private.contains(&element.tag);
            if is_required || self.all || is_asked {
                result.put_from(row, element);
            }
        }
        for (tag, vr) in required {
            result.put_empty(*tag, *vr);
        }
        result.put_text(tags::INSTANCE_AVAILABILITY, VR::CS, AVAILABILITY);
        if let Some(url) = self.retrieve_url(row, base) {
            result.put_text(tags::RETRIEVE_URL, VR::UR, &url);
        }
        result
    }

    fn retrieve_url(&self, row: &Attributes, base: &BaseUrl) -> Option<String> {
        let mut url = format!("{base}/studies/{}", row.uid(tags::STUDY_INSTANCE_UID)?);
        if self.level >= Level::Series {
            url.push_str("/series/");
            url.push_str(row.uid(tags::SERIES_INSTANCE_UID)?);
        }
        if self.level >= Level::Instance {
            url.push_str("/instances/");
            url.push_str(row.uid(tags::SOP_INSTANCE_UID)?);
        }
        Some(url)
    }
}
