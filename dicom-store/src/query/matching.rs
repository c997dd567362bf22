//! Whether a row satisfies a key: the one place where matching is decided (PS3.4 §C.2.2.2).

use dicom::dictionary_std::tags;

use super::date_time::{Kind, Range};
use super::{Key, Matching, Options, Query};
use crate::model::{Attributes, Element, PersonName, Tag, VR};

/// Dates with the times that belong to them.
const PAIRS: &[(Tag, Tag)] = &[
    (tags::STUDY_DATE, tags::STUDY_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, tags::PERFORMED_PROCEDURE_STEP_START_TIME),
    (tags::PATIENT_BIRTH_DATE, tags::PATIENT_BIRTH_TIME),
];

pub(super) fn matches<'k>(query: &Query, keys: impl Iterator<Item = &'k Key>, row: &Attributes) -> bool {
    let is_told = |key: &&Key| !query.lets_unknown_pass(key) || row.text(key.tag()).is_some();
    all_match(&keys.filter(is_told).collect::<Vec<_>>(), row, query.options)
}

fn all_match(keys: &[&Key], row: &Attributes, options: Options) -> bool {
    let periods = if options.combined_date_time { combined(keys) } else { Vec::new() };
    let is_in_period = |tag: Tag| periods.iter().any(|(date, time, _)| tag == *date || tag == *time);
    periods.iter().all(|(date, time, period)| lies_in(row, *date, *time, period))
        && keys.iter().filter(|key| !is_in_period(key.tag())).all(|key| key_matches(key, row, options))
}

/// Date and time ranges that are asked together, as one period each.
fn combined(keys: &[&Key]) -> Vec<(Tag, Tag, Range)> {
    let range = |tag| {
        keys.iter().find(|key| key.tag() == tag).and_then(|key| match &key.matching {
            Matching::Range(_, range) => Some(range),
            _ => None,
        })
    };
    PAIRS
        .iter()
        .filter_map(|(date, time)| {
            let (days, times) = (range(*date)?, range(*time)?);
            let join = |day: &Option<String>, time: &Option<String>, open: &str| {
                day.as_ref().map(|day| format!("{day}{}", time.as_deref().unwrap_or(open)))
            };
            let from = join(&days.from, &times.from, "000000.000000");
            let to = join(&days.to, &times.to, "235959.999999");
            Some((*date, *time, Range { from, to }))
        })
        .collect()
}

fn lies_in(row: &Attributes, date: Tag, time: Tag, period: &Range) -> bool {
    let Some(day) = row.text(date) else { return false };
    let time = row.text(time).unwrap_or_default();
    period.contains(Kind::DateTime, &format!("{day}{}", time.replace(':', "")))
}

fn key_matches(key: &Key, row: &Attributes, options: Options) -> bool {
    let Some(tag) = tag_in(key, row) else { return key.matching == Matching::Empty };
    match &key.matching {
        Matching::Universal => true,
        Matching::Empty => row.get(tag).is_none_or(|element| element.value.is_empty()),
        Matching::Item(keys) => {
            let keys: Vec<&Key> = keys.iter().collect();
            row.items(tag).iter().any(|item| all_match(&keys, item, options))
        }
        Matching::Range(kind, range) => row.texts(tag).iter().any(|value| range.contains(*kind, value)),
        Matching::Wildcard(pattern) => row.texts(tag).iter().any(|value| pattern.matches(value)),
        Matching::Name(name) => row.texts(tag).iter().any(|value| name.matches(&PersonName::parse(value))),
        Matching::Values(wanted) => {
            let stored = row.texts(tag);
            // A number in text is what it means, however it is written: the answers of DICOMweb tell `01` as 1.
            let is_number = |element: &Element| matches!(element.vr, VR::IS | VR::DS);
            let has_numbers = stored.is_empty() || row.get(tag).is_some_and(is_number);
            let numbers = if has_numbers { row.floats(tag) } else { Vec::new() };
            let is_stored = |value: &String| {
                stored.contains(value) || value.parse().is_ok_and(|value: f64| numbers.contains(&value))
            };
            wanted.iter().any(is_stored) || is_whole(wanted, &stored)
        }
    }
}

/// Where a row has what a key is about: a private creator's attributes lie in the block that it has there.
fn tag_in(key: &Key, row: &Attributes) -> Option<Tag> {
    let Some(creator) = &key.creator else { return Some(key.tag()) };
    let Tag(group, element) = key.tag();
    let block = row.private_block(group, creator)?;
    Some(Tag(group, (block << 8) | (element & 0xFF)))
}

/// All values in their order, where several were stored and are asked for.
fn is_whole(wanted: &[String], stored: &[String]) -> bool {
    wanted.len() > 1 && wanted == stored
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::Level;

    fn row() -> Attributes {
        let mut row = Attributes::new();
        row.put_text(tags::STUDY_DATE, VR::DA, "20260102");
        row.put_text(tags::STUDY_TIME, VR::TM, "083000");
        row.put_text(tags::STUDY_DESCRIPTION, VR::LO, "CT sọ não");
        row.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn An=阮");
        row.put_text(tags::SERIES_NUMBER, VR::IS, "01");
        row.put_texts(tags::MODALITIES_IN_STUDY, VR::CS, &["CT", "SR"]);
        let mut request = Attributes::new();
        request.put_text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1");
        request.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS1");
        let mut other = Attributes::new();
        other.put_text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP2");
        row.put_items(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![request, other]);
        row
    }

    fn is_match(is_combined: bool, keys: &[(&[Tag], VR, &str)]) -> bool {
        let mut query = Query::new(Level::Series);
        query.options.combined_date_time = is_combined;
        query.keys = keys.iter().map(|(path, vr, value)| Key::parse(path, *vr, value).unwrap()).collect();
        query.matches(&row())
    }

    /// From 1 January 10:00 to 3 January 18:00 holds 8:30 of the 2nd; by itself, 10:00 to 18:00 does not.
    #[rstest]
    #[case(true, true)]
    #[case(false, false)]
    fn dates_and_times_are_one_period_only_when_that_was_agreed(
        #[case] is_combined: bool,
        #[case] expected: bool,
    ) {
        let keys: [(&[Tag], VR, &str); 2] =
            [(&[tags::STUDY_DATE], VR::DA, "20260101-20260103"), (&[tags::STUDY_TIME], VR::TM, "1000-1800")];
        assert_eq!(is_match(is_combined, &keys), expected);
    }

    #[rstest]
    #[case(&[tags::STUDY_DESCRIPTION], VR::LO, "CT s? não", true)]
    #[case(&[tags::STUDY_DESCRIPTION], VR::LO, "ct*", false)]
    #[case(&[tags::PATIENT_NAME], VR::PN, "NGUYEN^VAN AN", true)]
    #[case(&[tags::PATIENT_NAME], VR::PN, "=阮", true)]
    #[case(&[tags::PATIENT_NAME], VR::PN, "an nguy", true)]
    #[case(&[tags::MODALITIES_IN_STUDY], VR::CS, "SR", true)]
    #[case(&[tags::MODALITIES_IN_STUDY], VR::CS, "MR\\SR", true)]
    #[case(&[tags::SERIES_NUMBER], VR::IS, "1", true)]
    #[case(&[tags::SERIES_NUMBER], VR::IS, "+001", true)]
    #[case(&[tags::SERIES_NUMBER], VR::IS, "10", false)]
    #[case(&[tags::SERIES_NUMBER], VR::IS, "7\\ 1", true)]
    #[case(&[tags::SERIES_NUMBER], VR::IS, "*", true)]
    #[case(&[tags::STUDY_DATE], VR::DA, "*", true)]
    #[case(&[tags::STUDY_INSTANCE_UID], VR::UI, "*", true)]
    #[case(&[tags::ACCESSION_NUMBER], VR::SH, "\"\"", true)]
    #[case(&[tags::STUDY_DATE], VR::DA, "\"\"", false)]
    #[case(&[tags::REQUEST_ATTRIBUTES_SEQUENCE, tags::REQUESTED_PROCEDURE_ID], VR::SH, "RP2", true)]
    #[case(&[tags::REQUEST_ATTRIBUTES_SEQUENCE, tags::REQUESTED_PROCEDURE_ID], VR::SH, "RP3", false)]
    fn every_kind_of_matching_holds(
        #[case] path: &[Tag],
        #[case] vr: VR,
        #[case] value: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(is_match(false, &[(path, vr, value)]), expected);
    }

    #[test]
    fn one_item_has_to_satisfy_all_keys_of_a_sequence() {
        let mut item = Attributes::new();
        item.put_text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP2");
        item.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS1");
        let mut identifier = Attributes::new();
        identifier.put_items(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![item]);
        let query = Query::from_identifier(Level::Series, &identifier, Options::default()).unwrap();
        assert_eq!(query.keys.len(), 1);
        assert!(!query.matches(&row()));
    }
}
