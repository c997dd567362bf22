//! Text of every character set, as the standard, other programs and old devices write it.

mod vectors;

use super::*;
use crate::model::{Attributes, Encoding, Header, Tag, fold};
use bytes::Bytes;
use dicom::dictionary_std::tags;
use rstest::rstest;

/// The examples of PS3.5 Annexes H, I, J and K.
#[rstest]
#[case(&["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B", "Yamada^Tarou=山田^太郎=やまだ^たろう")]
#[case(&["ISO 2022 IR 13", "ISO 2022 IR 87"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎")]
#[case(&["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf", "Hong^Gildong=洪^吉洞=홍^길동")]
#[case(&["ISO_IR 192"], "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東")]
#[case(&["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东")]
#[case(&["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东")]
#[case(&["ISO_IR 100"], b"M\xfcller", "Müller")]
#[case(&["ISO_IR 144"], b"\xb8\xd2\xd0\xdd\xde\xd2", "Иванов")]
#[case(&["ISO 2022 IR 6", "ISO 2022 IR 126"], b"\x1b-F\xc4\xe9\xef\xed", "Διον")]
fn decodes_what_the_standard_gives_as_examples(
    #[case] terms: &[&str],
    #[case] bytes: &[u8],
    #[case] text: &str,
) {
    assert_eq!(CharacterSet::from_terms(terms).decode(bytes, VR::PN), text);
}

/// Each line: terms, VR, bytes, text; made by other programs' encoders for every term, with the escapes that
/// PS3.5 §6.1.2.5 asks for.
#[test]
fn decodes_what_other_programs_encode() {
    let lines = include_str!("encoded.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let [terms, vr, bytes, text] = line.split('\t').collect::<Vec<_>>().try_into().expect(line);
        let terms: Vec<&str> = terms.split('\\').collect();
        let vr = vr.parse().expect(line);
        let text: String = text.replace("\\n", "\r\n").replace("\\\\", "\\");
        assert_eq!(CharacterSet::from_terms(&terms).decode(&from_hex(bytes), vr), text, "{line}");
        count += 1;
    }
    assert!(count > 100, "{count} lines");
}

/// 134 letters, by tables of other programs: `iconv` for TCVN 5712 and VISCII, Python for windows-1258.
#[test]
fn every_letter_of_vietnamese_comes_back_from_every_encoding() {
    let rows = include_str!("letters.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let fields: Vec<&str> = row.split('\t').collect();
        let [letter, rest @ ..] = fields.as_slice() else { panic!("{row}") };
        let encodings =
            [TextEncoding::Windows1258, TextEncoding::Tcvn3, TextEncoding::Vni, TextEncoding::Viscii];
        for (encoding, hex) in encodings.into_iter().zip(rest).filter(|(_, hex)| **hex != "-") {
            let set = CharacterSet { kind: Kind::Default, repair: Some(encoding) };
            assert_eq!(set.decode(&from_hex(hex), VR::LO), **letter, "{} {row}", encoding.name());
        }
        count += 1;
    }
    assert_eq!(count, 134);
}

const NAME: &str = "Nguyễn Thị Đặng";

#[rstest]
#[case(
    b"\x4e\x67\x75\x79\xe1\xbb\x85\x6e\x20\x54\x68\xe1\xbb\x8b\x20\xc4\x90\xe1\xba\xb7\x6e\x67",
    TextEncoding::Utf8
)]
#[case(b"\x4e\x67\x75\x79\x65\xcc\x82\xcc\x83\x6e\x20\x54\x68\x69\xcc\xa3\x20\xc4\x90\x61\xcc\xa3\xcc\x86\x6e\x67", TextEncoding::Utf8)]
#[case(
    b"\x4e\x67\x75\x79\xea\xde\x6e\x20\x54\x68\x69\xf2\x20\xd0\xe3\xf2\x6e\x67",
    TextEncoding::Windows1258
)]
#[case(b"\x4e\x67\x75\x79\xd4\x6e\x20\x54\x68\xde\x20\xa7\xc6\x6e\x67", TextEncoding::Tcvn3)]
#[case(b"\x4e\x67\x75\x79\x65\xe3\x6e\x20\x54\x68\xf2\x20\xd1\x61\xeb\x6e\x67", TextEncoding::Vni)]
fn a_vietnamese_name_is_one_name_in_whatever_it_comes(
    #[case] bytes: &[u8],
    #[case] encoding: TextEncoding,
    #[values(&[][..], &["ISO_IR 6"], &["ISO_IR 100"], &["ISO_IR 192"], &["ISO 2022 IR 6", "ISO 2022 IR 100"])]
    terms: &[&str],
) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let reading = TextReading::of(&header.attributes().unwrap(), TextRule::Auto);
    let is_declared = terms == ["ISO_IR 192"] && encoding == TextEncoding::Utf8;
    assert_eq!(reading.repair(), (!is_declared).then_some(encoding));
    assert!(!reading.is_unsure());
    let kept = Header::from_bytes(&header.read_as(reading).to_bytes(b""), b"").unwrap();
    let name = kept.attributes().unwrap().text(tags::PATIENT_NAME).unwrap();
    assert_eq!(name, NAME);
    assert_eq!(fold(&name), "nguyen thi dang");
    let utf8 = kept.attributes().unwrap().in_utf8();
    assert!(utf8.bytes(tags::PATIENT_NAME).unwrap().starts_with(NAME.as_bytes()));
}

#[rstest]
#[case(&["ISO_IR 100"], b"M\xfcller^J\xf6rg", "Müller^Jörg", false)]
#[case(&[], b"M\xfcller^J\xf6rg", "Müller^Jörg", true)]
#[case(&["ISO_IR 192"], b"M\xfcller^J\xf6rg", "M\u{FFFD}ller^J\u{FFFD}rg", true)]
#[case(&["ISO_IR 144"], b"Nguy\xea\xden Th\xf2", "Nguyъоn Thђ", false)]
#[case(&["ISO_IR 192"], "Müller".as_bytes(), "Müller", false)]
fn what_is_not_clear_stays_as_it_is_declared(
    #[case] terms: &[&str],
    #[case] bytes: &[u8],
    #[case] text: &str,
    #[case] is_unsure: bool,
) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let reading = TextReading::of(&header.attributes().unwrap(), TextRule::Auto);
    assert_eq!((reading.repair(), reading.is_unsure()), (None, is_unsure));
    assert_eq!(header.read_as(reading).attributes().unwrap().text(tags::PATIENT_NAME).unwrap(), text);
}

#[test]
fn a_rule_decides_what_a_guess_does_not() {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, b"H\xb5")], &["ISO_IR 100"]);
    let attributes = header.attributes().unwrap();
    let guessed = TextReading::of(&attributes, TextRule::Auto);
    assert!(guessed.repair().is_none() && guessed.is_unsure());
    assert!(TextReading::of(&attributes, TextRule::Latin1).is_declared());
    let reading = TextReading::of(&attributes, TextRule::Tcvn3);
    assert_eq!(header.read_as(reading).attributes().unwrap().text(tags::PATIENT_NAME).unwrap(), "Hà");
}

#[test]
fn a_name_from_a_worklist_is_read_beside_what_was_typed_at_the_device() {
    let elements: [(Tag, VR, &[u8]); 2] = [
        (tags::STUDY_DESCRIPTION, VR::LO, b"Ng\xf9c th\xbcng"),
        (tags::PATIENT_NAME, VR::PN, NAME.as_bytes()),
    ];
    let header = header_of(&elements, &["ISO_IR 100"]);
    let reading = TextReading::of(&header.attributes().unwrap(), TextRule::Tcvn3);
    let attributes = header.read_as(reading).attributes().unwrap();
    assert_eq!(attributes.text(tags::PATIENT_NAME).unwrap(), NAME);
    assert_eq!(attributes.text(tags::STUDY_DESCRIPTION).unwrap(), "Ngực thẳng");
}

#[test]
fn an_item_with_a_set_of_its_own_is_read_in_it_and_others_as_what_is_around_them() {
    let mut around = Attributes::default();
    around.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 144");
    let mut own = Attributes::default();
    own.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 126");
    let mut items = vec![own, Attributes::default()];
    for item in &mut items {
        item.put_bytes(tags::CODE_MEANING, VR::LO, &b"\xc4"[..]);
    }
    around.put_items(tags::PROCEDURE_CODE_SEQUENCE, items);
    let bytes = around.write(Encoding::ImplicitLittle);
    let read = Attributes::read(bytes.into(), Encoding::ImplicitLittle).unwrap();
    let text: Vec<_> =
        read.items(tags::PROCEDURE_CODE_SEQUENCE).iter().filter_map(|i| i.text(tags::CODE_MEANING)).collect();
    assert_eq!(text, ["Δ", "Ф"]);
}

#[test]
fn a_broken_escape_never_takes_the_rest_with_it() {
    let text = CharacterSet::from_terms(&["", "ISO 2022 IR 87"]).decode(b"A\x1b%ZB", VR::LO);
    assert!(text.starts_with('A') && text.ends_with('B'));
}

#[test]
fn text_is_given_in_normal_form_c() {
    let hoa = "Ho\u{300}a";
    assert_eq!(CharacterSet::utf8().decode(hoa.as_bytes(), VR::LO), "Hòa");
}

#[test]
fn every_reading_survives_being_kept() {
    for bits in 0..16 {
        let reading = TextReading::from_bits(bits).unwrap();
        assert_eq!(TextReading::from_bits(reading.to_bits()), Some(reading));
    }
    assert_eq!(TextReading::from_bits(16), None);
}

fn header_of(elements: &[(Tag, VR, &[u8])], terms: &[&str]) -> Header {
    let mut attributes = Attributes::default();
    if !terms.is_empty() {
        attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, &terms.join("\\"));
    }
    for (tag, vr, bytes) in elements {
        attributes.put_bytes(*tag, *vr, bytes.to_vec());
    }
    let bytes = Bytes::from(attributes.write(Encoding::ExplicitLittle));
    Header {
        encoding: Encoding::ExplicitLittle,
        start: 0,
        bytes,
        holes: Vec::new(),
        text: TextReading::default(),
        correction: None,
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}
