//! Answers to C-FIND in the characters that a peer reads (PS3.4 §C.4.1.1.3.2).

use dicom_store::PeerText;
use dicom_store::model::Attributes;

/// An answer as the peer reads it. What cannot be said so is said in ISO_IR 192 all the same.
pub(super) fn said(answer: Attributes, text: PeerText) -> Attributes {
    let narrow = match text {
        PeerText::Utf8 => None,
        PeerText::Latin1 => answer.in_latin1(),
        PeerText::AsciiFold => answer.in_ascii(),
    };
    narrow.unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use dicom_store::model::VR;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_is("NGUYỄN^ĐỨC", PeerText::Utf8, "NGUYỄN^ĐỨC", Some("ISO_IR 192"))]
    #[case::without_tones("NGUYỄN^ĐỨC", PeerText::Latin1, "NGUYÊN^DUC", Some("ISO_IR 100"))]
    #[case::without_marks("NGUYỄN^ĐỨC", PeerText::AsciiFold, "NGUYEN^DUC", None)]
    #[case::in_another_script("山田^太郎", PeerText::AsciiFold, "山田^太郎", Some("ISO_IR 192"))]
    fn a_name_is_said_as_the_peer_reads_it(
        #[case] name: &str,
        #[case] text: PeerText,
        #[case] expected: &str,
        #[case] set: Option<&str>,
    ) {
        let mut answer = Attributes::new();
        answer.put_text(tags::PATIENT_NAME, VR::PN, name);
        let said = said(answer, text);
        assert_eq!(said.text(tags::PATIENT_NAME).as_deref(), Some(expected));
        assert_eq!(said.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), set);
    }
}
