//! Corrections over what was received: other values for attributes of the patient and the study, on the
//! way out. The stored bytes stay as they came.

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::{Attributes, CharacterSet, Element, Encoding, Error, Result, Tag, VR, Value};

/// Original Attributes Sequence, and what is in its items (PS3.3 §C.12.1.1.9).
const ORIGINAL_ATTRIBUTES: Tag = Tag(0x0400, 0x0561);
const MODIFIED_ATTRIBUTES: Tag = Tag(0x0400, 0x0550);
const MODIFIED_AT: Tag = Tag(0x0400, 0x0562);
const MODIFYING_SYSTEM: Tag = Tag(0x0400, 0x0563);
const SOURCE_OF_PREVIOUS_VALUES: Tag = Tag(0x0400, 0x0564);
const REASON: Tag = Tag(0x0400, 0x0565);
/// Act and time of a step, where the time is told otherwise; only in the index, never in an answer.
const NUMBERS: Tag = MODIFIED_AT;

/// What Modifying System says.
const SYSTEM: &str = "FILMLESS";

/// Attributes that have to be there even without a value (PS3.3 §C.7.1.1, §C.7.2.1).
const TYPE_2: [Tag; 9] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_ID,
    tags::ACCESSION_NUMBER,
];

/// One change: the values that hold from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the act that asked for it.
    pub act: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// In UTF-8; an empty value takes the attribute away.
    pub values: Attributes,
    /// It is another patient: what identifies the one who was is taken away as well.
    pub is_other_patient: bool,
}

/// All that is corrected of the data sets of a study, in the order it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    steps: Vec<Step>,
}

impl Correction {
    /// `None` where there is nothing to do.
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self { steps })
    }

    /// Tells one correction of a study from all others: the acts that it comes from.
    pub fn acts(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().map(|step| step.act)
    }

    /// The data set with all corrections, in UTF-8, and an item of Original Attributes Sequence for each
    /// that changed something (PS3.3 §C.12.1.1.9).
    pub fn apply(&self, received: &Attributes) -> Attributes {
        let mut corrected = received.in_utf8();
        let mut originals = corrected.items(ORIGINAL_ATTRIBUTES).to_vec();
        let before = originals.len();
        for step in &self.steps {
            let previous = exchange(&mut corrected, step);
            if !previous.is_empty() {
                originals.push(original(step, previous));
            }
        }
        if originals.len() > before {
            corrected.put_items(ORIGINAL_ATTRIBUTES, originals);
            corrected.become_utf8();
        }
        corrected
    }

    /// The form that the index keeps: a data set that looks like an Original Attributes Sequence, with
    /// the new values instead of the old ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        let item = |step: &Step| {
            let mut item = Attributes::new();
            let numbers = [step.act, step.at, u64::from(step.is_other_patient)];
            item.put_bytes(NUMBERS, VR::UV, numbers.map(u64::to_le_bytes).concat());
            item.put_items(MODIFIED_ATTRIBUTES, vec![step.values.clone()]);
            item
        };
        let mut kept = Attributes::new();
        kept.put_items(ORIGINAL_ATTRIBUTES, self.steps.iter().map(item).collect());
        kept.write(Encoding::ExplicitLittle)
    }

    /// # Errors
    /// `Corrupt` when the bytes are not what [`Correction::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unreadable = || Error::corrupt("a correction in the index cannot be read");
        let kept = Attributes::read(Bytes::copy_from_slice(bytes), Encoding::ExplicitLittle)
            .map_err(|cause| unreadable().with_source(cause))?;
        let step = |item: &Attributes| {
            let numbers = item.bytes(NUMBERS).ok_or_else(unreadable)?;
            let number = |at: usize| {
                let bytes = numbers.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok());
                bytes.map(u64::from_le_bytes).ok_or_else(unreadable)
            };
            let values = item.items(MODIFIED_ATTRIBUTES).first().cloned().ok_or_else(unreadable)?;
            Ok(Step { act: number(0)?, at: number(1)?, is_other_patient: number(2)? != 0, values })
        };
        let steps = kept.items(ORIGINAL_ATTRIBUTES).iter().map(step).collect::<Result<Vec<_>>>()?;
        Self::new(steps).ok_or_else(unreadable)
    }
}

/// Puts the new values; gives those that they take the place of.
fn exchange(corrected: &mut Attributes, step: &Step) -> Attributes {
    let mut previous = Attributes::new();
    if step.is_other_patient {
        let of_the_other = |element: &&Element| {
            identifies_patient(element.tag) && !element.value.is_empty() && !step.values.contains(element.tag)
        };
        let gone: Vec<Element> = corrected.iter().filter(of_the_other).cloned().collect();
        for element in gone {
            previous.put_from(corrected, &element);
            take_away(corrected, &element);
        }
    }
    for new in step.values.iter().filter(|element| element.tag != tags::SPECIFIC_CHARACTER_SET) {
        let old = corrected.get(new.tag).cloned();
        let is_same = match &old {
            Some(old) => is_same(corrected, old, &step.values, new),
            None => new.value.is_empty(),
        };
        if is_same {
            continue;
        }
        match &old {
            Some(old) => previous.put_from(corrected, old),
            // It had no value before, which is said as well.
            None => previous.put_empty(new.tag, new.vr),
        }
        if new.value.is_empty() {
            take_away(corrected, new);
        } else {
            corrected.put_from(&step.values, new);
        }
    }
    previous
}

fn take_away(corrected: &mut Attributes, element: &Element) {
    if TYPE_2.contains(&element.tag) {
        corrected.put_empty(element.tag, element.vr);
    } else {
        corrected.remove(element.tag);
    }
}

fn is_same(corrected: &Attributes, old: &Element, values: &Attributes, new: &Element) -> bool {
    match (&old.value, &new.value) {
        (Value::Bytes(_), Value::Bytes(_)) => corrected.strings(old) == values.strings(new),
        (old, new) => old == new || (old.is_empty() && new.is_empty()),
    }
}

/// An item of Original Attributes Sequence (PS3.3 Table C.12-1).
fn original(step: &Step, previous: Attributes) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(MODIFIED_AT, VR::DT, &date_time(step.at));
    item.put_text(MODIFYING_SYSTEM, VR::LO, SYSTEM);
    item.put_empty(SOURCE_OF_PREVIOUS_VALUES, VR::LO);
    item.put_text(REASON, VR::CS, "CORRECT");
    item.put_items(MODIFIED_ATTRIBUTES, vec![previous]);
    item
}

/// A DT value in UTC (PS3.5 §6.2) of milliseconds since 1970.
pub(crate) fn date_time(at: u64) -> String {
    const DAY: u64 = 86_400_000;
    let (days, rest) = (at / DAY, at % DAY);
    // Years begin in March: the day that comes every four years is then the last one.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let micros = rest % 1000 * 1000;
    format!("{year:04}{month:02}{day:02}{hours:02}{minutes:02}{seconds:02}.{micros:06}+0000")
}

/// Whether an attribute says who the patient is, at every visit: what changes when a study moves to
/// another patient. Group 0010 but for the Patient Study Module (PS3.3 §C.7.2.2), and references.
pub fn identifies_patient(tag: Tag) -> bool {
    const OF_THE_VISIT: [u16; 22] = [
        0x1010, 0x1020, 0x1021, 0x1022, 0x1023, 0x1024, 0x1030, 0x1080, 0x1081, 0x2000, 0x2110, 0x2180,
        0x21A0, 0x21B0, 0x21C0, 0x21D0, 0x2203, 0x2298, 0x2299, 0x0041, 0x0042, 0x0043,
    ];
    (tag.0 == 0x0010 && tag.1 != 0 && !OF_THE_VISIT.contains(&tag.1))
        || tag == tags::REFERENCED_PATIENT_SEQUENCE
}

/// Whether a text that was left in the object is in another character set than UTF-8.
pub fn has_foreign_bulk_text(attributes: &Attributes) -> bool {
    let is_foreign = *attributes.charset() != CharacterSet::utf8();
    attributes.iter().any(|element| match &element.value {
        Value::Bulk(_) => is_foreign && element.is_text(),
        Value::Items(items) => items.iter().any(has_foreign_bulk_text),
        Value::Bytes(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn step(act: u64, values: &[(Tag, VR, &str)]) -> Step {
        let mut attributes = Attributes::new();
        for (tag, vr, text) in values {
            attributes.put_text(*tag, *vr, text);
        }
        Step { act, at: 1_700_000_000_123, values: attributes, is_other_patient: false }
    }

    fn received() -> Attributes {
        let mut latin = Attributes::new();
        latin.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
        latin.put_bytes(tags::PATIENT_NAME, VR::PN, &b"M\xfcller^Eva"[..]);
        latin.put_text(tags::PATIENT_ID, VR::LO, "A");
        latin.put_text(tags::PATIENT_COMMENTS, VR::LT, "of A");
        let bytes = latin.write(Encoding::ExplicitLittle);
        Attributes::read(bytes.into(), Encoding::ExplicitLittle).unwrap()
    }

    fn original_of(corrected: &Attributes, step: usize) -> Attributes {
        corrected.items(ORIGINAL_ATTRIBUTES)[step].items(MODIFIED_ATTRIBUTES)[0].clone()
    }

    #[test]
    fn new_values_take_the_place_of_old_ones_and_these_are_told() {
        let correction = Correction::new(vec![
            step(1, &[(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn An"), (tags::PATIENT_SEX, VR::CS, "M")]),
            step(2, &[(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn Anh"), (tags::PATIENT_ID, VR::LO, "A")]),
        ])
        .unwrap();
        let corrected = correction.apply(&received());
        assert_eq!(corrected.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
        assert_eq!(corrected.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn^Văn Anh"));
        let first = original_of(&corrected, 0);
        assert_eq!(first.text(tags::PATIENT_NAME).as_deref(), Some("Müller^Eva"));
        assert!(first.contains(tags::PATIENT_SEX), "it had no value before");
        let second = original_of(&corrected, 1);
        assert_eq!(second.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn^Văn An"));
        assert!(!second.contains(tags::PATIENT_ID), "it was not changed");
        let item = &corrected.items(ORIGINAL_ATTRIBUTES)[0];
        assert_eq!(item.text(MODIFIED_AT).as_deref(), Some("20231114221320.123000+0000"));
        assert_eq!(item.text(REASON).as_deref(), Some("CORRECT"));
        assert!(item.contains(SOURCE_OF_PREVIOUS_VALUES));
    }

    #[test]
    fn an_empty_value_takes_away_what_need_not_be_there() {
        let values = [(tags::PATIENT_COMMENTS, VR::LT, ""), (tags::PATIENT_ID, VR::LO, "")];
        let corrected = Correction::new(vec![step(1, &values)]).unwrap().apply(&received());
        assert!(!corrected.contains(tags::PATIENT_COMMENTS));
        assert!(corrected.get(tags::PATIENT_ID).unwrap().value.is_empty());
    }

    #[test]
    fn nothing_stays_of_a_patient_who_it_is_not() {
        let values = [(tags::PATIENT_NAME, VR::PN, "B"), (tags::PATIENT_ID, VR::LO, "B")];
        let step = Step { is_other_patient: true, ..step(1, &values) };
        let corrected = Correction::new(vec![step]).unwrap().apply(&received());
        assert_eq!(corrected.text(tags::PATIENT_ID).as_deref(), Some("B"));
        assert!(!corrected.contains(tags::PATIENT_COMMENTS));
        assert_eq!(original_of(&corrected, 0).text(tags::PATIENT_COMMENTS).as_deref(), Some("of A"));
    }

    #[test]
    fn a_correction_that_changes_nothing_says_nothing() {
        let values = [(tags::PATIENT_NAME, VR::PN, "Müller^Eva")];
        let corrected = Correction::new(vec![step(1, &values)]).unwrap().apply(&received());
        assert!(!corrected.contains(ORIGINAL_ATTRIBUTES));
    }

    #[test]
    fn a_correction_reads_back() {
        let values = [(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn An"), (tags::PATIENT_COMMENTS, VR::LT, "")];
        let correction = Correction::new(vec![step(7, &values), step(u64::MAX, &values)]).unwrap();
        let read = Correction::from_bytes(&correction.to_bytes()).unwrap();
        assert_eq!(read.acts().collect::<Vec<_>>(), [7, u64::MAX]);
        assert_eq!(read.apply(&received()), correction.apply(&received()));
        assert!(Correction::from_bytes(b"no").is_err());
    }

    #[rstest]
    #[case(0, "19700101000000.000000+0000")]
    #[case(951_827_696_789, "20000229123456.789000+0000")]
    #[case(4_107_542_400_000, "21000301000000.000000+0000")]
    fn times_are_told_in_utc(#[case] at: u64, #[case] expected: &str) {
        assert_eq!(date_time(at), expected);
    }

    #[test]
    fn what_belongs_to_the_visit_stays_with_the_study() {
        assert!(identifies_patient(tags::PATIENT_BIRTH_DATE) && identifies_patient(tags::PATIENT_ID));
        assert!(!identifies_patient(tags::PATIENT_WEIGHT) && !identifies_patient(tags::STUDY_DATE));
    }
}
