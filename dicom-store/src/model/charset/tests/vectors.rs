//! Names as real files have them, with the text that other programs find, and text that is nothing at all.

use dicom::core::VR;
use dicom::dictionary_std::tags;
use proptest::prelude::*;
use rstest::rstest;

use super::header_of;
use crate::model::{Attributes, CharacterSet, Encoding, Header, TextEncoding, TextReading, TextRule, fold};

/// Patient's Name of the files `chr*.dcm` that many programs are tested with, and what pydicom and DCMTK read.
#[rstest]
#[case::arab(&["ISO_IR 127"], b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1 ", "قباني^لنزار")]
#[case::fren(&["ISO_IR 100"], b"Buc^J\xe9r\xf4me", "Buc^Jérôme")]
#[case::germ(&["ISO_IR 100"], b"\xc4neas^R\xfcdiger ", "Äneas^Rüdiger")]
#[case::greek(&["ISO_IR 126"], b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2 ", "Διονυσιος")]
#[case::h31(&["", "ISO 2022 IR 87 "], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B", "Yamada^Tarou=山田^太郎=やまだ^たろう")]
#[case::h32(&["ISO 2022 IR 13", "ISO 2022 IR 87 "], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう")]
#[case::hbrw(&["ISO_IR 138"], b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה")]
#[case::i2(&["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf", "Hong^Gildong=洪^吉洞=홍^길동")]
#[case::jap_multi(&["", "ISO 2022 IR 87 "], b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B ", "やまだ^たろう")]
#[case::jap_multi_explicit_ir6(&["ISO 2022 IR 6", "ISO 2022 IR 87"], b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B ", "やまだ^たろう")]
#[case::korean_multi(&["", "ISO 2022 IR 149"], b"\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf\x1b(B ", "김희중")]
#[case::russ(&["ISO_IR 144"], b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг")]
#[case::x1(&["ISO_IR 192"], b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1= ", "Wang^XiaoDong=王^小東")]
#[case::x2(&["GB18030 "], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东")]
fn reads_the_names_of_real_files(#[case] terms: &[&str], #[case] bytes: &[u8], #[case] expected: &str) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let attributes = header.attributes().unwrap();
    assert!(TextReading::of(&attributes, TextRule::Auto).is_declared());
    let name = attributes.person(tags::PATIENT_NAME).unwrap();
    assert_eq!(name.groups().join("=").trim_end_matches('='), expected);
}

#[rstest]
#[case::fren(&["ISO_IR 100"], b"Buc^J\xe9r\xf4me\\Buc^J\xe9r\xf4me ", "Buc^Jérôme")]
#[case::japanese(&["", "ISO 2022 IR 87"], b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B\\\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B ", "やまだ^たろう")]
#[case::korean(&["", "ISO 2022 IR 149"], b"\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf\x1b(B\\\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf\x1b(B ", "김희중")]
fn reads_names_of_several_values(#[case] terms: &[&str], #[case] bytes: &[u8], #[case] expected: &str) {
    let header = header_of(&[(tags::OTHER_PATIENT_NAMES, VR::PN, bytes)], terms);
    let names = header.attributes().unwrap().texts(tags::OTHER_PATIENT_NAMES).join("|");
    assert_eq!(names, format!("{expected}|{expected}"));
}

/// `chrSQEncoding`: an item in another set than what is around it; `chrSQEncoding1`: one in the same.
#[rstest]
#[case("ISO_IR 192", Some("ISO 2022 IR 13\\ISO 2022 IR 87"))]
#[case("ISO 2022 IR 13\\ISO 2022 IR 87", None)]
fn reads_names_in_items(#[case] around: &str, #[case] own: Option<&str>) {
    let mut item = Attributes::default();
    if let Some(own) = own {
        item.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, own);
    }
    let name = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
    item.put_bytes(tags::PATIENT_NAME, VR::PN, &name[..]);
    let mut set = Attributes::default();
    set.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, around);
    set.put_items(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, vec![item]);
    let read =
        Attributes::read(set.write(Encoding::ExplicitLittle).into(), Encoding::ExplicitLittle).unwrap();
    let items = read.items(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE);
    assert_eq!(items[0].text(tags::PATIENT_NAME).unwrap(), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎");
}

/// Greek goes to G1 by an escape; behind each of these the byte is what the first value says again, or is not.
#[rstest]
#[case(VR::PN, b"^", 'Ä')]
#[case(VR::PN, b"=", 'Ä')]
#[case(VR::PN, b"\\", 'Ä')]
#[case(VR::LO, b"\\", 'Ä')]
#[case(VR::LO, b"^", 'Δ')]
#[case(VR::SH, b"=", 'Δ')]
#[case(VR::LT, b"\\", 'Δ')]
#[case(VR::LT, b"\r\n", 'Ä')]
#[case(VR::ST, b"\n", 'Ä')]
#[case(VR::UT, b"\x0c", 'Ä')]
#[case(VR::LT, b"\t", 'Ä')]
#[case(VR::LO, b" ", 'Δ')]
fn the_first_set_holds_again_behind_what_ends_a_value_or_a_line(
    #[case] vr: VR,
    #[case] end: &[u8],
    #[case] expected: char,
) {
    let bytes = [b"\x1b-F\xc4", end, b"\xc4"].concat();
    let text = CharacterSet::from_terms(&["ISO 2022 IR 100", "ISO 2022 IR 126"]).decode(&bytes, vr);
    assert!(text.starts_with('Δ') && text.ends_with(expected), "{text}");
}

/// One name in everything that it comes in; windows-1258 and half of the UTF-8 have its tones apart.
#[rstest]
#[case::composed("Nguyễn Thị Đặng Hòa".as_bytes(), TextEncoding::Utf8)]
#[case::decomposed(b"\x4e\x67\x75\x79\x65\xcc\x82\xcc\x83\x6e\x20\x54\x68\x69\xcc\xa3\x20\xc4\x90\x61\xcc\xa3\xcc\x86\x6e\x67\x20\x48\x6f\xcc\x80\x61", TextEncoding::Utf8)]
#[case::windows(
    b"\x4e\x67\x75\x79\xea\xde\x6e\x20\x54\x68\x69\xf2\x20\xd0\xe3\xf2\x6e\x67\x20\x48\x6f\xcc\x61",
    TextEncoding::Windows1258
)]
#[case::tcvn3(
    b"\x4e\x67\x75\x79\xd4\x6e\x20\x54\x68\xde\x20\xa7\xc6\x6e\x67\x20\x48\xdf\x61",
    TextEncoding::Tcvn3
)]
#[case::vni(
    b"\x4e\x67\x75\x79\x65\xe3\x6e\x20\x54\x68\xf2\x20\xd1\x61\xeb\x6e\x67\x20\x48\x6f\xf8\x61",
    TextEncoding::Vni
)]
fn a_whole_vietnamese_name_is_found_as_one(
    #[case] bytes: &[u8],
    #[case] encoding: TextEncoding,
    #[values(&[][..], &["", "ISO 2022 IR 6"], &[" ISO_IR 100 "], &["ISO_IR 192"])] terms: &[&str],
    #[values(TextRule::Auto, rule_of(encoding))] rule: TextRule,
) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let reading = TextReading::of(&header.attributes().unwrap(), rule);
    assert!(!reading.is_unsure());
    let is_declared = encoding == TextEncoding::Utf8 && terms == ["ISO_IR 192"];
    assert_eq!(reading.repair(), (!is_declared).then_some(encoding));
    assert_eq!(reading.is_by_rule(), rule != TextRule::Auto && !is_declared);
    let name = header.read_as(reading).attributes().unwrap().text(tags::PATIENT_NAME).unwrap();
    assert_eq!(name, "Nguyễn Thị Đặng Hòa");
    assert_eq!(fold(&name), "nguyen thi dang hoa");
}

fn rule_of(encoding: TextEncoding) -> TextRule {
    match encoding {
        TextEncoding::Utf8 => TextRule::Utf8,
        TextEncoding::Windows1258 => TextRule::Windows1258,
        TextEncoding::Tcvn3 => TextRule::Tcvn3,
        TextEncoding::Vni => TextRule::Vni,
        TextEncoding::Viscii => TextRule::Viscii,
        TextEncoding::Latin1 => TextRule::Latin1,
        TextEncoding::Utf8Twice => TextRule::Utf8Twice,
    }
}

/// The same name, which something on its way took for windows-1252 or Latin-1 and encoded once more. Nothing but a
/// rule says that a sender does so; without one it is marked.
#[rstest]
#[case::as_windows_1252("Nguyá»…n Thá»‹ Ä\u{90}áº·ng HÃ²a")]
#[case::as_latin1(
    "Nguy\u{e1}\u{bb}\u{85}n Th\u{e1}\u{bb}\u{8b} \u{c4}\u{90}\u{e1}\u{ba}\u{b7}ng H\u{c3}\u{b2}a"
)]
fn a_whole_vietnamese_name_that_was_encoded_twice_is_found_by_a_rule(
    #[case] twice: &str,
    #[values(&[][..], &["", "ISO 2022 IR 6"], &[" ISO_IR 100 "], &["ISO_IR 192"])] terms: &[&str],
) {
    let elements = [(tags::PATIENT_NAME, VR::PN, twice.as_bytes())];
    let header = header_of(&elements, terms);
    let reading = TextReading::of(&header.attributes().unwrap(), TextRule::Utf8Twice);
    assert_eq!((reading.repair(), reading.is_by_rule()), (Some(TextEncoding::Utf8Twice), true));
    assert!(!reading.is_unsure());
    let kept = Header::from_bytes(&header.clone().read_as(reading).to_bytes(b""), b"").unwrap();
    let told = kept.attributes().unwrap();
    let name = told.text(tags::PATIENT_NAME).unwrap();
    assert_eq!(name, "Nguyễn Thị Đặng Hòa");
    assert_eq!(fold(&name), "nguyen thi dang hoa");
    assert_eq!(told.bytes(tags::PATIENT_NAME), header.attributes().unwrap().bytes(tags::PATIENT_NAME));
    for rule in [TextRule::Auto, TextRule::Declared] {
        let reading = TextReading::of(&header.attributes().unwrap(), rule);
        assert_ne!(reading.repair(), Some(TextEncoding::Utf8Twice));
        assert_eq!(reading.is_unsure(), rule == TextRule::Auto, "{rule:?}");
    }
}

#[test]
fn a_rule_of_what_is_encoded_twice_leaves_what_is_encoded_once() {
    for (name, repair) in [("Nguyễn^Hòa", None), ("J\u{f6}rg", None)] {
        let header = header_of(&[(tags::PATIENT_NAME, VR::PN, name.as_bytes())], &["ISO_IR 192"]);
        let reading = TextReading::of(&header.attributes().unwrap(), TextRule::Utf8Twice);
        assert_eq!((reading.repair(), reading.is_unsure()), (repair, false), "{name}");
    }
}

#[rstest]
#[case::utf8(&["ISO_IR 192"], b"A\xffB", true)]
#[case::chinese(&["GB18030"], b"\xcd\xf5\xff", true)]
#[case::half_of_a_hangul(&["", "ISO 2022 IR 149"], b"\x1b$)C\xb1", true)]
#[case::half_of_a_kanji(&["", "ISO 2022 IR 87"], b"\x1b$B;3E\x1b(B", true)]
#[case::escape_of_nothing(&["", "ISO 2022 IR 87"], b"A\x1b%ZB", true)]
#[case::hole_of_a_set(&["ISO_IR 126"], b"A\xffB", true)]
#[case::what_was_replaced_elsewhere(&["ISO_IR 192"], "A\u{FFFD}B".as_bytes(), false)]
#[case::kanji(&["", "ISO 2022 IR 87"], b"\x1b$B;3ED\x1b(B", false)]
fn what_means_nothing_is_not_clear_whatever_is_said_of_the_sender(
    #[case] terms: &[&str],
    #[case] bytes: &[u8],
    #[case] is_unsure: bool,
    #[values(TextRule::Auto, TextRule::Declared)] rule: TextRule,
) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let reading = TextReading::of(&header.attributes().unwrap(), rule);
    assert_eq!((reading.repair(), reading.is_unsure()), (None, is_unsure));
}

#[rstest]
#[case::names_are_from_a_worklist(TextRule::Tcvn3, &["ISO_IR 100"], "Đặng".as_bytes(), Some(TextEncoding::Utf8), false, false)]
#[case::it_is(TextRule::Utf8, &[], "Đặng".as_bytes(), Some(TextEncoding::Utf8), true, false)]
#[case::it_is_not(TextRule::Utf8, &[], b"H\xb5", None, false, true)]
#[case::it_is_what_it_says(TextRule::Utf8, &["ISO_IR 100"], b"J\xf6rg", None, false, false)]
#[case::latin1(TextRule::Latin1, &["ISO_IR 192"], b"J\xf6rg", Some(TextEncoding::Latin1), true, false)]
#[case::nothing_to_read(TextRule::Vni, &["ISO_IR 100"], b"ANNA", None, false, false)]
fn a_rule_is_told_where_it_decided(
    #[case] rule: TextRule,
    #[case] terms: &[&str],
    #[case] bytes: &[u8],
    #[case] repair: Option<TextEncoding>,
    #[case] is_by_rule: bool,
    #[case] is_unsure: bool,
) {
    let header = header_of(&[(tags::PATIENT_NAME, VR::PN, bytes)], terms);
    let reading = TextReading::of(&header.attributes().unwrap(), rule);
    assert_eq!(
        (reading.repair(), reading.is_by_rule(), reading.is_unsure()),
        (repair, is_by_rule, is_unsure)
    );
}

#[test]
fn every_reading_has_a_number_of_its_own() {
    let mut numbers: Vec<u8> = TextReading::all().map(TextReading::number).collect();
    assert!(TextReading::all().all(|reading| TextReading::from_number(reading.number()) == Some(reading)));
    numbers.dedup();
    // Declared or one of seven encodings, clear or not; a rule says an encoding.
    assert_eq!(numbers.len(), 2 + 7 * 2 + 7 * 2);
    assert!([16, 24, 32, 255].into_iter().all(|number| TextReading::from_number(number).is_none()));
}

const TERMS: &[&[&str]] = &[
    &[],
    &["ISO_IR 100"],
    &["ISO_IR 166"],
    &["ISO_IR 13"],
    &["ISO_IR 192"],
    &["GB18030"],
    &["GBK"],
    &["", "ISO 2022 IR 87", "ISO 2022 IR 159"],
    &["ISO 2022 IR 13", "ISO 2022 IR 87"],
    &["", "ISO 2022 IR 149"],
    &["", "ISO 2022 IR 58"],
    &["ISO 2022 IR 100", "ISO 2022 IR 126", "ISO 2022 IR 144"],
];

const RULES: &[TextRule] = &[
    TextRule::Auto,
    TextRule::Declared,
    TextRule::Utf8,
    TextRule::Tcvn3,
    TextRule::Vni,
    TextRule::Latin1,
    TextRule::Utf8Twice,
];

proptest! {
    #[test]
    fn whatever_comes_is_given_in_utf8(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(proptest::sample::select(&b"\x1b$()-BCDAFI@^=\\\r\n\xb1\xe8\xc4\x8f a"[..]), 0..40),
        ],
        terms in proptest::sample::select(TERMS),
        rule in proptest::sample::select(RULES),
    ) {
        let elements = [(tags::PATIENT_NAME, VR::PN, &bytes[..]), (tags::PATIENT_COMMENTS, VR::LT, &bytes[..])];
        let header = header_of(&elements, terms);
        let reading = TextReading::of(&header.attributes().unwrap(), rule);
        let kept = Header::from_bytes(&header.read_as(reading).to_bytes(b""), b"").unwrap();
        let told = kept.attributes().unwrap().in_utf8();
        for tag in [tags::PATIENT_NAME, tags::PATIENT_COMMENTS] {
            prop_assert!(told.bytes(tag).is_none_or(|bytes| std::str::from_utf8(bytes).is_ok()));
        }
    }
}
