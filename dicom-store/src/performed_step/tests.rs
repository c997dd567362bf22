#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use rstest::rstest;

use super::*;
use crate::fixture::step::{ended, of_series, started};

fn uid() -> SopInstanceUid {
    SopInstanceUid::parse("2.25.1").unwrap()
}

fn created() -> PerformedProcedureStep {
    PerformedProcedureStep::create(uid(), &started("1.2")).unwrap()
}

/// How a refusal is answered, and the tag that it names.
fn named<T: std::fmt::Debug>(outcome: Result<T>) -> (&'static str, Tag) {
    match outcome.unwrap_err() {
        PerformedStepRefusal::Missing { tag, .. } => ("missing", tag),
        PerformedStepRefusal::Empty { tag, .. } => ("empty", tag),
        PerformedStepRefusal::Value { tag, .. } => ("value", tag),
        other => panic!("{other}"),
    }
}

#[rstest]
#[case(tags::MODALITY)]
#[case(tags::PERFORMED_STATION_AE_TITLE)]
#[case(tags::PERFORMED_PROCEDURE_STEP_START_DATE)]
#[case(tags::PERFORMED_PROCEDURE_STEP_START_TIME)]
#[case(tags::PERFORMED_PROCEDURE_STEP_STATUS)]
#[case(tags::PERFORMED_PROCEDURE_STEP_ID)]
#[case(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE)]
fn a_creation_has_every_attribute_of_type_1(#[case] tag: Tag) {
    let mut missing = started("1.2");
    let element = missing.remove(tag).unwrap();
    assert_eq!(named(PerformedProcedureStep::create(uid(), &missing)), ("missing", tag));
    missing.put_empty(tag, element.vr);
    assert_eq!(named(PerformedProcedureStep::create(uid(), &missing)), ("empty", tag));
}

#[rstest]
#[case("COMPLETED")]
#[case("DISCONTINUED")]
#[case("in progress")]
fn a_step_begins_in_progress(#[case] term: &str) {
    let mut asked = started("1.2");
    asked.put_text(tags::PERFORMED_PROCEDURE_STEP_STATUS, VR::CS, term);
    let refused = named(PerformedProcedureStep::create(uid(), &asked));
    assert_eq!(refused, ("value", tags::PERFORMED_PROCEDURE_STEP_STATUS));
}

#[test]
fn items_have_their_attributes_of_type_1_as_well() {
    let mut asked = started("1.2");
    asked.put_items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, vec![Attributes::new()]);
    let refused = named(PerformedProcedureStep::create(uid(), &asked));
    assert_eq!(refused, ("missing", tags::STUDY_INSTANCE_UID));
    let set = |item: Attributes| named(created().set(&ended("COMPLETED", vec![item])));
    let mut series = of_series("1.3", &["1.4"]);
    series.remove(tags::PROTOCOL_NAME);
    assert_eq!(set(series), ("empty", tags::PROTOCOL_NAME));
    assert_eq!(set(of_series("no uid", &["1.4"])), ("value", tags::SERIES_INSTANCE_UID));
    assert_eq!(set(of_series("1.3", &[""])), ("empty", tags::REFERENCED_SOP_INSTANCE_UID));
}

#[test]
fn a_new_step_has_what_is_of_type_2_and_says_what_it_is() {
    let step = created();
    assert!(step.attributes.get(tags::PERFORMED_SERIES_SEQUENCE).unwrap().value.is_empty());
    assert!(step.attributes.get(tags::PATIENT_NAME).unwrap().value.is_empty());
    assert_eq!(step.attributes.uid(tags::SOP_INSTANCE_UID), Some("2.25.1"));
    assert_eq!(step.studies().iter().map(StudyInstanceUid::as_str).collect::<Vec<_>>(), ["1.2"]);
}

#[rstest]
#[case::no_series(tags::PERFORMED_SERIES_SEQUENCE)]
#[case::no_end_date(tags::PERFORMED_PROCEDURE_STEP_END_DATE)]
#[case::no_end_time(tags::PERFORMED_PROCEDURE_STEP_END_TIME)]
fn a_final_state_says_all_that_it_has_to(#[case] tag: Tag) {
    for term in ["COMPLETED", "DISCONTINUED"] {
        let mut step = created();
        let mut changes = ended(term, vec![of_series("1.3", &[])]);
        changes.remove(tag);
        assert_eq!(named(step.set(&changes)), ("empty", tag));
        assert_eq!(step, created(), "nothing of a request that is refused is done");
    }
}

#[rstest]
#[case("COMPLETED", PerformedStepStatus::Completed)]
#[case("DISCONTINUED", PerformedStepStatus::Discontinued)]
fn what_was_said_before_counts_and_nothing_changes_behind_the_end(
    #[case] term: &str,
    #[case] expected: PerformedStepStatus,
) {
    let mut step = created();
    let earlier = ended("IN PROGRESS", vec![of_series("1.3", &["1.4", "1.5"])]);
    assert!(step.set(&earlier).unwrap().is_empty());
    assert_eq!(step.status, PerformedStepStatus::InProgress);
    let mut last = Attributes::new();
    last.put_text(tags::PERFORMED_PROCEDURE_STEP_STATUS, VR::CS, term);
    step.set(&last).unwrap();
    assert_eq!(step.status, expected);
    assert!(matches!(step.set(&Attributes::new()), Err(PerformedStepRefusal::Final)));
    assert_eq!(step.references().len(), 2);
}

#[test]
fn an_unknown_state_is_refused() {
    for (term, expected) in [("DONE", "value"), ("", "empty")] {
        let mut changes = Attributes::new();
        changes.put_text(tags::PERFORMED_PROCEDURE_STEP_STATUS, VR::CS, term);
        assert_eq!(named(created().set(&changes)).0, expected);
    }
}

#[test]
fn patient_and_order_stay_and_whoever_says_otherwise_is_told() {
    let mut asked = started("1.2");
    asked.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^An");
    asked.put_text(tags::PATIENT_ID, VR::LO, "77");
    let mut step = PerformedProcedureStep::create(uid(), &asked).unwrap();
    let mut changes = Attributes::new();
    changes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^An");
    changes.put_text(tags::PATIENT_ID, VR::LO, "78");
    changes.put_empty(tags::ADMISSION_ID, VR::LO);
    let order = asked.get(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE).unwrap().clone();
    changes.put(order);
    changes.put_text(tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, VR::LO, "Ngực");
    assert_eq!(step.set(&changes).unwrap(), [tags::PATIENT_ID]);
    assert_eq!(step.attributes.text(tags::PATIENT_ID).as_deref(), Some("77"));
    assert_eq!(step.attributes.text(tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION).as_deref(), Some("Ngực"));
    assert!(!step.attributes.contains(tags::ADMISSION_ID));
}

/// A data set as it comes over the network, in this character set.
fn sent(charset: &str, values: &[(Tag, VR, &[u8])]) -> Attributes {
    let mut sent = Attributes::new();
    sent.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, charset);
    values.iter().for_each(|(tag, vr, bytes)| sent.put_bytes(*tag, *vr, bytes.to_vec()));
    Attributes::read(sent.write(Encoding::ExplicitLittle).into(), Encoding::ExplicitLittle).unwrap()
}

#[test]
fn text_stays_right_whatever_character_set_each_request_has() {
    let mut asked = sent("ISO_IR 100", &[(tags::PATIENT_NAME, VR::PN, b"M\xFCller^J\xF6rg")]);
    for element in &started("1.2") {
        asked.put(element.clone());
    }
    let mut step = PerformedProcedureStep::create(uid(), &asked).unwrap();
    let comment = "Снимок".chars().map(|c| u8::try_from(u32::from(c) - 0x360).unwrap()).collect::<Vec<_>>();
    let description = (tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, VR::LO, comment.as_slice());
    let changes = sent("ISO_IR 144", &[description, (tags::PATIENT_NAME, VR::PN, b"M\xFCller^J\xF6rg")]);
    assert_eq!(step.set(&changes).unwrap(), [tags::PATIENT_NAME], "the same bytes are another name");
    let kept = PerformedProcedureStep::read("2.25.1", &step.body().unwrap()).unwrap();
    assert_eq!(kept.attributes.text(tags::PATIENT_NAME).as_deref(), Some("Müller^Jörg"));
    assert_eq!(kept.attributes.text(tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION).as_deref(), Some("Снимок"));
    assert_eq!(kept.attributes.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
}

#[test]
fn a_step_of_many_instances_is_kept_small_and_one_of_too_many_is_refused() {
    let uids =
        |count: u32| (0..count).map(|n| format!("1.2.840.113619.2.55.3.1234567890.{n}")).collect::<Vec<_>>();
    let series = |uids: &[String]| of_series("1.3", &uids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut step = created();
    step.set(&ended("COMPLETED", vec![series(&uids(5000))])).unwrap();
    let body = step.body().unwrap();
    assert!(body.len() < 200_000, "{} bytes", body.len());
    assert_eq!(PerformedProcedureStep::read("2.25.1", &body).unwrap().references().len(), 5000);
    let refused = created().set(&ended("COMPLETED", vec![series(&uids(30_000))])).unwrap_err();
    assert!(matches!(&refused, PerformedStepRefusal::Archive(error) if error.kind == ErrorKind::TooLarge));
}
