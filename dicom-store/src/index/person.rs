//! A patient as one study tells them.
//!
//! An identifier is one patient, whoever came with it. Devices without a worklist give one identifier to
//! many people, and a name is mended between two visits: so a study keeps what it says of its patient
//! where that is something else than what came with the identifier first.

use dicom::dictionary_std::tags;

use crate::model::{Attributes, PersonName, Tag};

/// What a study says of its patient beside what is known already; empty when that is nothing. What is known of
/// another person and the study does not say is taken away.
pub(super) fn own(known: &Attributes, says: &Attributes) -> Attributes {
    let mut own = Attributes::new();
    for element in says.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET && !e.value.is_empty()) {
        if known.get(element.tag).is_none_or(|known| known.value != element.value) {
            own.put_from(says, element);
        }
    }
    if difference(known, says).is_some() {
        let is_said = |tag: Tag| says.get(tag).is_some_and(|said| !said.value.is_empty());
        for element in known.iter().filter(|e| !e.value.is_empty() && !is_said(e.tag)) {
            own.put_empty(element.tag, element.vr);
        }
    }
    own
}

/// What tells one person from another, as a sentence has it; `None` when they may be one.
pub(super) fn difference(known: &Attributes, says: &Attributes) -> Option<&'static str> {
    let name = |of: &Attributes| of.person(tags::PATIENT_NAME).unwrap_or_default();
    let date = |of: &Attributes| of.text(tags::PATIENT_BIRTH_DATE);
    let is_other_name = !PersonName::may_be_one(&name(known), &name(says));
    let is_other_date = date(known).zip(date(says)).is_some_and(|(known, says)| known != says);
    match (is_other_name, is_other_date) {
        (true, true) => Some("name and birth date"),
        (true, false) => Some("name"),
        (false, true) => Some("birth date"),
        (false, false) => None,
    }
}

/// The patient as a study tells them: what is known, and the study's own over it.
pub(super) fn told(known: &Attributes, own: &Attributes) -> Attributes {
    let mut told = known.clone();
    for element in own.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
        told.put_from(own, element);
    }
    told
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::VR;

    fn person(name: &str, birth_date: &str, sex: &str) -> Attributes {
        let mut person = Attributes::new();
        let values = [
            (tags::PATIENT_NAME, VR::PN, name),
            (tags::PATIENT_BIRTH_DATE, VR::DA, birth_date),
            (tags::PATIENT_SEX, VR::CS, sex),
        ];
        for (tag, vr, text) in values {
            person.put_text(tag, vr, text);
        }
        person
    }

    #[rstest]
    #[case::the_same(person("NGUYEN^AN", "19500101", "M"), None)]
    #[case::written_otherwise(person("Nguyễn  An", "19500101", "M"), None)]
    #[case::less_is_said(person("", "", ""), None)]
    #[case::another_name(person("TRAN^BINH", "19500101", "M"), Some("name"))]
    #[case::another_day(person("NGUYEN^AN", "20100101", "M"), Some("birth date"))]
    #[case::another_person(person("TRAN^BINH", "20100101", "F"), Some("name and birth date"))]
    fn people_are_told_apart(#[case] says: Attributes, #[case] expected: Option<&str>) {
        assert_eq!(difference(&person("NGUYEN^AN", "19500101", "M"), &says), expected);
    }

    #[test]
    fn what_one_person_is_not_said_to_be_is_not_taken_from_another() {
        let known = person("NGUYEN^AN", "19500101", "M");
        for says in [person("TRAN^BINH", "", "F"), person("TRAN^BINH", "20100101", "")] {
            let told = told(&known, &own(&known, &says));
            for tag in [tags::PATIENT_NAME, tags::PATIENT_BIRTH_DATE, tags::PATIENT_SEX] {
                assert_eq!(told.text(tag), says.text(tag), "{tag}");
            }
        }
    }

    #[test]
    fn what_is_not_said_of_the_same_person_is_known() {
        let known = person("NGUYEN^AN", "19500101", "");
        let says = person("Nguyễn An", "", "M");
        let told = told(&known, &own(&known, &says));
        assert_eq!(told.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn An"));
        assert_eq!(told.text(tags::PATIENT_BIRTH_DATE).as_deref(), Some("19500101"));
        assert_eq!(told.text(tags::PATIENT_SEX).as_deref(), Some("M"));
        assert!(own(&known, &known).is_empty());
    }
}
