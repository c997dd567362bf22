//! Attributes as a person writes them: keyword and text.

use std::collections::BTreeMap;
use std::fmt;

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::dictionary_std::{StandardDataDictionary, tags};
use serde::{Deserialize, Serialize};

use crate::model::{Attributes, Level, Tag, VR, correction, implicit_vr};
use crate::query::{COMPUTED, attributes_of};
use crate::{Error, Result};

/// New values by keyword (`PatientName`) or tag (`00100010`); several values with `\` between them, an empty
/// text for none. Component groups of a name stand as in the data set, with `=` between them.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, String>);

/// How many, not what: values are patient data.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

impl Values {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a data set, for what belongs to the patient at every visit.
    ///
    /// # Errors
    /// `Invalid` for an attribute that is none of these, or a value that is none of its kind.
    pub(crate) fn of_patient(&self) -> Result<Attributes> {
        self.attributes("patient", |tag| {
            let is_key = tag == tags::PATIENT_ID || tag == tags::ISSUER_OF_PATIENT_ID;
            correction::identifies_patient(tag) && !is_key
        })
    }

    /// As a data set, for what the index knows of a study.
    ///
    /// # Errors
    /// As [`Values::of_patient`].
    pub(crate) fn of_study(&self) -> Result<Attributes> {
        self.attributes("study", |tag| {
            let is_fixed = COMPUTED.contains(&tag) || tag == tags::STUDY_INSTANCE_UID;
            attributes_of(Level::Study).contains(&tag) && !is_fixed
        })
    }

    /// Whether somebody may ask for these now: what an earlier version took holds, and need not be anything that can be.
    ///
    /// # Errors
    /// `Invalid` for a date or time that no calendar or clock has, and for several values of what has one.
    pub(crate) fn are_possible(&self) -> Result<()> {
        for (name, text) in &self.0 {
            let Some(tag) = tag(name) else { continue };
            is_possible(tag, implicit_vr(tag, false), text)
                .map_err(|why| Error::invalid(format!("{name}: {why}")))?;
        }
        Ok(())
    }

    fn attributes(&self, of: &str, may_change: fn(Tag) -> bool) -> Result<Attributes> {
        if self.0.is_empty() {
            return Err(Error::invalid("a correction without values changes nothing"));
        }
        let mut attributes = Attributes::new();
        for (name, text) in &self.0 {
            let tag = tag(name).ok_or_else(|| Error::invalid(format!("{name} is no attribute of DICOM")))?;
            if !may_change(tag) {
                return Err(Error::invalid(format!("{name} is nothing that can be corrected of a {of}")));
            }
            let vr = implicit_vr(tag, false);
            if vr == VR::SQ {
                return Err(Error::invalid(format!("{name} is a sequence; only values can be corrected")));
            }
            check(tag, vr, text).map_err(|why| Error::invalid(format!("{name}: {why}")))?;
            attributes.put_text(tag, vr, text);
        }
        Ok(attributes)
    }
}

fn tag(name: &str) -> Option<Tag> {
    if name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        let half = |part: Option<&str>| u16::from_str_radix(part?, 16).ok();
        let tag = Tag(half(name.get(..4))?, half(name.get(4..))?);
        return StandardDataDictionary.by_tag(tag).map(|_| tag);
    }
    StandardDataDictionary.by_name(name).map(DataDictionaryEntry::tag)
}

/// Whether a text is a value of its kind (PS3.5 §6.2); what is wrong with it if not, without quoting it.
fn check(tag: Tag, vr: VR, text: &str) -> std::result::Result<(), &'static str> {
    let may_break = matches!(vr, VR::LT | VR::ST | VR::UT);
    if text.chars().any(|c| c.is_control() && !(may_break && matches!(c, '\r' | '\n' | '\t'))) {
        return Err("a value holds a control character");
    }
    if may_break {
        return if text.chars().count() <= 10_240 { Ok(()) } else { Err("a text has over 10240 characters") };
    }
    for value in text.split('\\').filter(|value| !value.is_empty()) {
        check_one(tag, vr, value)?;
    }
    Ok(())
}

fn check_one(tag: Tag, vr: VR, value: &str) -> std::result::Result<(), &'static str> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let length = value.chars().count();
    let claim = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
    match vr {
        VR::PN => claim(
            value.split('=').count() <= 3 && value.split('=').all(|group| group.chars().count() <= 64),
            "a name has three component groups of up to 64 characters",
        ),
        VR::DA => claim(is_date(value), "a date is written YYYYMMDD"),
        VR::TM => {
            let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
            let is_whole = is_digits(whole) && matches!(whole.len(), 2 | 4 | 6);
            let is_time = is_whole && is_digits(fraction) && fraction.len() <= 6;
            claim(is_time && whole < "24", "a time is written HHMMSS")
        }
        VR::AS => claim(
            length == 4 && value.get(..3).is_some_and(is_digits) && value.ends_with(['D', 'W', 'M', 'Y']),
            "an age is written 042Y, with D, W, M or Y",
        ),
        VR::CS if tag == tags::PATIENT_SEX => {
            claim(matches!(value, "M" | "F" | "O"), "a sex is written M, F or O")
        }
        VR::CS => {
            let is_code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b' ';
            claim(
                length <= 16 && value.bytes().all(is_code),
                "a code has up to 16 capitals, digits, spaces and _",
            )
        }
        VR::SH => claim(length <= 16, "the value has over 16 characters"),
        VR::DS | VR::IS => claim(
            length <= 16 && value.trim().parse::<f64>().is_ok_and(f64::is_finite),
            "the value is no number",
        ),
        VR::LO => claim(length <= 64, "the value has over 64 characters"),
        _ => Err("values of this kind cannot be corrected"),
    }
}

/// Attributes that may have several values, of those that can be corrected (PS3.6 §6).
const SEVERAL: [Tag; 8] = [
    // Other Patient IDs and Insurance Plan Identification, both retired.
    Tag(0x0010, 0x1000),
    Tag(0x0010, 0x1050),
    tags::OTHER_PATIENT_NAMES,
    tags::PATIENT_TELEPHONE_NUMBERS,
    tags::CONSULTING_PHYSICIAN_NAME,
    tags::NAME_OF_PHYSICIANS_READING_STUDY,
    tags::PHYSICIANS_OF_RECORD,
    tags::ADMITTING_DIAGNOSES_DESCRIPTION,
];

/// What is wrong with a text that is written as a value of its kind.
fn is_possible(tag: Tag, vr: VR, text: &str) -> std::result::Result<(), &'static str> {
    if matches!(vr, VR::LT | VR::ST | VR::UT) {
        return Ok(());
    }
    if text.contains('\\') && !SEVERAL.contains(&tag) {
        return Err("there is one value, and no backslash in it");
    }
    let holds = match vr {
        VR::DA => text.is_empty() || is_of_calendar(text),
        VR::TM => text.is_empty() || is_of_clock(text),
        _ => return Ok(()),
    };
    if holds {
        Ok(())
    } else {
        Err(if vr == VR::DA { "there is no such day" } else { "there is no such time" })
    }
}

fn two(text: &str, at: usize) -> Option<u32> {
    text.get(at..at + 2)?.parse().ok()
}

fn is_of_calendar(date: &str) -> bool {
    let (Some(Ok(year)), Some(month), Some(day)) =
        (date.get(..4).map(str::parse::<u32>), two(date, 4), two(date, 6))
    else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// A minute may have a leap second (PS3.5 §6.2).
fn is_of_clock(time: &str) -> bool {
    let whole = time.split('.').next().unwrap_or_default();
    let within = |at: usize, most: u32| whole.len() <= at || two(whole, at).is_some_and(|n| n <= most);
    within(0, 23) && within(2, 59) && within(4, 60)
}

fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let is_digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    is_digits
        && number(4, 6).is_some_and(|month| (1..=12).contains(&month))
        && number(6, 8).is_some_and(|day| (1..=31).contains(&day))
}

impl From<&Attributes> for Values {
    /// What identifies a patient, but for the identifier itself, as it would be typed.
    fn from(patient: &Attributes) -> Self {
        let is_key = |tag| tag == tags::PATIENT_ID || tag == tags::ISSUER_OF_PATIENT_ID;
        let typed = patient.iter().filter(|e| correction::identifies_patient(e.tag) && !is_key(e.tag));
        let typed = typed.filter_map(|element| {
            let entry = StandardDataDictionary.by_tag(element.tag)?;
            let text = patient.strings(element).join("\\");
            let holds = !text.is_empty()
                && check(element.tag, element.vr, &text).is_ok()
                && is_possible(element.tag, element.vr, &text).is_ok();
            holds.then(|| (entry.alias().to_owned(), text))
        });
        Self(typed.collect())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn values(name: &str, text: &str) -> Values {
        Values(BTreeMap::from([(name.to_owned(), text.to_owned())]))
    }

    #[rstest]
    #[case("PatientName", "Nguyễn^Văn An=阮", true)]
    #[case("PatientName", "A=B=C=D", false)]
    #[case("00100030", "19800229", true)]
    #[case("PatientBirthDate", "1980-02-29", false)]
    #[case("PatientBirthDate", "19801301", false)]
    #[case("PatientBirthDate", "", true)]
    #[case("PatientSex", "F", true)]
    #[case("PatientSex", "female", false)]
    #[case("PatientComments", "two\r\nlines", true)]
    #[case("PatientName", "A\u{1b}B", false)]
    #[case("PatientID", "7", false)]
    #[case("PatientWeight", "70", false)]
    #[case("StudyDate", "20260101", false)]
    #[case("OtherPatientIDsSequence", "7", false)]
    #[case("Nonsense", "7", false)]
    fn takes_what_can_be_corrected_of_a_patient(
        #[case] name: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(values(name, text).of_patient().is_ok(), expected);
    }

    #[rstest]
    #[case("StudyDate", "20260101", true)]
    #[case("StudyTime", "083000.5", true)]
    #[case("StudyTime", "8:30", false)]
    #[case("AccessionNumber", "ACC-0001", true)]
    #[case("AccessionNumber", "longer than sixteen characters", false)]
    #[case("PatientWeight", "70.5", true)]
    #[case("PatientWeight", "heavy", false)]
    #[case("StudyInstanceUID", "1.2", false)]
    #[case("ModalitiesInStudy", "CT", false)]
    #[case("Rows", "512", false)]
    fn takes_what_can_be_corrected_of_a_study(
        #[case] name: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(values(name, text).of_study().is_ok(), expected);
    }

    #[rstest]
    #[case("PatientBirthDate", "20240229", None)]
    #[case("PatientBirthDate", "20230229", Some("there is no such day"))]
    #[case("PatientBirthDate", "20241345", Some("a date is written YYYYMMDD"))]
    #[case("StudyDate", "20240431", Some("there is no such day"))]
    #[case("StudyDate", "19000229", Some("there is no such day"))]
    #[case("StudyDate", "20000229", None)]
    #[case("StudyTime", "235960.5", None)]
    #[case("StudyTime", "1275", Some("there is no such time"))]
    #[case("StudyTime", "101080", Some("there is no such time"))]
    #[case("StudyTime", "2400", Some("a time is written HHMMSS"))]
    #[case("PatientName", "A^B\\C^D", Some("there is one value, and no backslash in it"))]
    #[case("ReferringPhysicianName", "A^B\\C^D", Some("there is one value, and no backslash in it"))]
    #[case("StudyDate", "20240101\\20240102", Some("there is one value, and no backslash in it"))]
    #[case("OtherPatientNames", "A^B\\C^D", None)]
    #[case("NameOfPhysiciansReadingStudy", "A^B\\C^D", None)]
    #[case("PatientComments", "a\\b", None)]
    fn takes_what_can_be(#[case] name: &str, #[case] text: &str, #[case] why: Option<&str>) {
        let values = values(name, text);
        let written = if name.starts_with("Study") || name.contains("Physician") {
            values.of_study()
        } else {
            values.of_patient()
        };
        let refused = written.map(drop).and_then(|()| values.are_possible()).err();
        assert_eq!(refused.map(|error| error.what), why.map(|why| format!("{name}: {why}")));
    }

    #[test]
    fn an_error_never_quotes_the_value() {
        let error = values("PatientBirthDate", "DOE").of_patient().unwrap_err();
        assert_eq!(error.what, "PatientBirthDate: a date is written YYYYMMDD");
    }
}
