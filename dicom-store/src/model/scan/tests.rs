//! What a scan makes of data sets, good and bad.

use bytes::Bytes;
use dicom::dictionary_std::tags;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::{FrameNumber, Value, why_no_frame};

fn image(frames: u32) -> Attributes {
    let mut image = Attributes::new();
    image.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3");
    image.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn An");
    image.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string());
    image.put_u16(tags::SAMPLES_PER_PIXEL, 1);
    image.put_u16(tags::ROWS, 3);
    image.put_u16(tags::COLUMNS, 3);
    image.put_u16(tags::BITS_ALLOCATED, 8);
    let mut item = Attributes::new();
    item.put_text(tags::CODE_MEANING, VR::LO, "Nốt phổi");
    image.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![item, Attributes::new()]);
    image
}

fn scanned(bytes: &[u8], encoding: Encoding) -> Result<Scanned> {
    scan(&mut { bytes }, 0, 1000, encoding)
}

fn head(tag: Tag, vr: &[u8; 2], length: u32) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend_from_slice(vr);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

fn item(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFE, 0xFF, 0x00, 0xE0];
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

const DELIMITER: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

fn encapsulated(frames: u32, table: &[u8], fragments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = image(frames).write(Encoding::ExplicitLittle);
    bytes.extend(head(tags::PIXEL_DATA, b"OB", UNDEFINED));
    bytes.extend(item(table));
    fragments.iter().for_each(|fragment| bytes.extend(item(fragment)));
    bytes.extend(DELIMITER);
    bytes
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap() - 1000
}

fn frame(scanned: &Scanned, bytes: &[u8], number: u32) -> Vec<u8> {
    let frame = scanned.frames.frame(FrameNumber::new(number).unwrap()).unwrap();
    frame.ranges.iter().flat_map(|r| &bytes[place(r.start)..place(r.end)]).copied().collect()
}

#[rstest]
#[case(Encoding::ImplicitLittle)]
#[case(Encoding::ExplicitLittle)]
#[case(Encoding::ExplicitBig)]
fn gives_back_every_element_but_the_pixels(#[case] encoding: Encoding) {
    let mut sent = image(2);
    sent.put_bytes(tags::PIXEL_DATA, VR::OW, vec![7; 18]);
    let scanned = scanned(&sent.write(encoding), encoding).unwrap();
    let header = Header::from_bytes(&scanned.header.to_bytes(b""), b"").unwrap();
    let read = header.attributes().unwrap();
    assert_eq!(read.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn^Văn An"));
    let items = read.items(tags::CONCEPT_NAME_CODE_SEQUENCE);
    assert_eq!(items[0].text(tags::CODE_MEANING).as_deref(), Some("Nốt phổi"));
    assert_eq!((items.len(), read.int(tags::ROWS)), (2, Some(3)));
    assert!(matches!(read.get(tags::PIXEL_DATA).unwrap().value, Value::Bulk(bulk) if bulk.length == 18));
    assert_eq!(scanned.frames.count(), 2);
}

#[test]
fn elements_behind_the_pixels_belong_to_the_header() {
    let mut sent = image(1);
    sent.put_bytes(tags::PIXEL_DATA, VR::OW, vec![7; 10]);
    sent.put_bytes(tags::DATA_SET_TRAILING_PADDING, VR::OB, vec![0; 4]);
    let scanned = scanned(&sent.write(Encoding::ExplicitLittle), Encoding::ExplicitLittle).unwrap();
    assert!(scanned.attributes.contains(tags::DATA_SET_TRAILING_PADDING));
}

#[test]
fn a_native_frame_that_is_not_whole_does_not_count() {
    let mut sent = image(9);
    sent.put_bytes(tags::PIXEL_DATA, VR::OB, vec![7; 20]);
    let scanned = scanned(&sent.write(Encoding::ExplicitLittle), Encoding::ExplicitLittle).unwrap();
    assert_eq!(scanned.frames.count(), 2);
}

#[test]
fn one_fragment_a_frame_needs_no_table() {
    let bytes = encapsulated(2, &[], &[b"AAAA", b"BB"]);
    let scanned = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!((frame(&scanned, &bytes, 1), frame(&scanned, &bytes, 2)), (b"AAAA".to_vec(), b"BB".to_vec()));
}

#[test]
fn several_fragments_a_frame_are_grouped_by_the_basic_offset_table() {
    let table = [0u32.to_le_bytes(), 22u32.to_le_bytes()].concat();
    let bytes = encapsulated(2, &table, &[b"AAAA", b"aa", b"BBBB"]);
    let scanned = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!(
        (frame(&scanned, &bytes, 1), frame(&scanned, &bytes, 2)),
        (b"AAAAaa".to_vec(), b"BBBB".to_vec())
    );
}

#[rstest]
#[case(&[])]
#[case(&[0, 0, 0, 0, 99, 0, 0, 0])]
fn without_a_true_table_frames_begin_where_code_streams_do(#[case] table: &[u8]) {
    let bytes = encapsulated(2, table, &[b"\xFF\xD8aa", b"aa", b"\xFF\xD8bb"]);
    let scanned = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!(
        (frame(&scanned, &bytes, 1), frame(&scanned, &bytes, 2)),
        (b"\xFF\xD8aaaa".to_vec(), b"\xFF\xD8bb".to_vec())
    );
}

/// The frames that the map has, in order.
fn all_frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let scanned = scanned(bytes, Encoding::ExplicitLittle).unwrap();
    (1..=scanned.frames.count()).map(|number| frame(&scanned, bytes, number)).collect()
}

#[rstest]
#[case::of_any_codec(&[&b""[..], b"AAAA", b"BB"])]
#[case::between(&[&b"AAAA"[..], b"", b"BB"])]
#[case::behind(&[&b"AAAA"[..], b"BB", b"", b""])]
#[case::before_code_streams_in_parts(&[&b""[..], b"\xFF\xD8AA", b"", b"AA", b"\xFF\xD8BB"])]
fn an_empty_fragment_is_no_frame(#[case] fragments: &[&[u8]]) {
    let streams = all_frames(&encapsulated(2, &[], fragments));
    let letters = |n: usize| streams[n].iter().filter(|byte| byte.is_ascii_uppercase()).collect::<Vec<_>>();
    assert_eq!((streams.len(), letters(0), letters(1)), (2, vec![&b'A'; 4], vec![&b'B'; 2]));
}

#[test]
fn frames_of_rle_begin_with_its_header_and_may_be_more_than_there_should_be() {
    let head = |segments: u8| [&[segments, 0, 0, 0, 64, 0, 0, 0][..], &[0; 56]].concat();
    let (first, second) = (head(1), head(15));
    let parts = all_frames(&encapsulated(2, &[], &[&first[..], b"AA", &second, b"BB"]));
    assert_eq!(parts, [[&first[..], b"AA"].concat(), [&second[..], b"BB"].concat()]);
    let more = all_frames(&encapsulated(2, &[], &[&first[..], &second, &first]));
    assert_eq!(more, [first.clone(), second, first]);
}

#[test]
fn fragments_that_nothing_assigns_to_frames_are_no_frames() {
    let bytes = encapsulated(2, &[], &[b"AAAA", b"BBBB", b"CCCC"]);
    let Scanned { frames, attributes, .. } = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!((frames.count(), frames.is_encapsulated()), (0, true));
    assert_eq!(
        why_no_frame(&attributes, &frames).as_deref(),
        Some("nothing tells which of its 3 fragments belong to which of its 2 frames")
    );
}

#[rstest]
#[case::one_each(&[], &[&b"AAAA"[..], b"BB"])]
#[case::by_the_table(&[0, 12, 22], &[&b"AAAA"[..], b"BB"])]
#[case::parts_by_the_table(&[0, 22, 32, 42], &[&b"AA"[..], b"AAAA", b"BB"])]
#[case::by_code_streams(&[], &[&b"\xFF\xD8AA"[..], b"AA", b"\xFF\xD8BB"])]
fn frames_that_are_there_can_be_had_where_the_last_are_missing(
    #[case] table: &[u32],
    #[case] fragments: &[&[u8]],
) {
    let frames = if table.is_empty() { 4 } else { u32::try_from(table.len()).unwrap() };
    let table: Vec<u8> = table.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let found = all_frames(&encapsulated(frames, &table, fragments));
    let letters = |frame: &Vec<u8>| frame.iter().rev().take(2).copied().collect::<Vec<u8>>();
    assert_eq!(found.iter().map(letters).collect::<Vec<_>>(), [b"AA", b"BB"]);
}

#[test]
fn a_table_that_points_elsewhere_says_nothing_of_missing_frames() {
    let table: Vec<u8> = [0_u32, 99, 110].iter().flat_map(|offset| offset.to_le_bytes()).collect();
    assert_eq!(all_frames(&encapsulated(3, &table, &[b"AAAA", b"BB"])), [b"AAAA".to_vec(), b"BB".to_vec()]);
}

#[test]
fn the_fragments_of_a_video_are_one_stream() {
    let bytes = encapsulated(2, &[], &[b"AAAA", b"BB"]);
    let video = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    let video = Scanned { frames: video.frames.into_one_stream(), ..video };
    assert_eq!((video.frames.count(), frame(&video, &bytes, 1)), (1, b"AAAABB".to_vec()));
}

#[rstest]
#[case::three_bytes_a_pixel(36, 2, 144)]
#[case::halved(24, 2, 96)]
#[case::halved_and_longer(30, 2, 96)]
fn colours_that_are_said_to_be_halved_are_whole_where_there_are_as_many_bytes(
    #[case] length: usize,
    #[case] count: u32,
    #[case] bits: u64,
) {
    let mut sent = image(2);
    sent.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
    sent.put_u16(tags::SAMPLES_PER_PIXEL, 3);
    sent.put_u16(tags::ROWS, 2);
    sent.put_bytes(tags::PIXEL_DATA, VR::OB, vec![7; length]);
    let scanned = scanned(&sent.write(Encoding::ExplicitLittle), Encoding::ExplicitLittle).unwrap();
    let FrameMap::Native { bits_per_frame, .. } = scanned.frames else { panic!("{:?}", scanned.frames) };
    assert_eq!((scanned.frames.count(), bits_per_frame), (count, bits));
}

#[test]
fn pixel_data_too_short_for_a_frame_say_what_is_missing() {
    let mut sent = image(1);
    sent.put_bytes(tags::PIXEL_DATA, VR::OB, vec![7; 8]);
    let bytes = sent.write(Encoding::ExplicitLittle);
    let Scanned { frames, attributes, .. } = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!(
        why_no_frame(&attributes, &frames).as_deref(),
        Some("its pixel data have 8 bytes, 9 are needed for a frame")
    );
}

#[test]
fn the_extended_offset_table_gives_the_true_lengths() {
    let mut sent = image(2);
    let words = |words: [u64; 2]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    sent.put_bytes(tags::EXTENDED_OFFSET_TABLE, VR::OV, words([0, 12]));
    sent.put_bytes(tags::EXTENDED_OFFSET_TABLE_LENGTHS, VR::OV, words([3, 2]));
    let mut bytes = sent.write(Encoding::ExplicitLittle);
    bytes.extend(head(tags::PIXEL_DATA, b"OB", UNDEFINED));
    [&b""[..], b"AAA\0", b"BB", b""].iter().for_each(|fragment| bytes.extend(item(fragment)));
    bytes.extend(item(b"cc"));
    bytes.extend(DELIMITER);
    let scanned = scanned(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!(frame(&scanned, &bytes, 1), b"AAA");
}

#[test]
fn an_un_of_undefined_length_is_implicit_inside() {
    let mut bytes = head(Tag(0x0009, 0x1010), b"UN", UNDEFINED);
    let mut inner = Attributes::new();
    inner.put_text(tags::CODE_MEANING, VR::LO, "within");
    bytes.extend(item(&inner.write(Encoding::ImplicitLittle)));
    bytes.extend(DELIMITER);
    bytes.extend(image(1).write(Encoding::ExplicitLittle));
    let read = scanned(&bytes, Encoding::ExplicitLittle).unwrap().attributes;
    assert_eq!(read.items(Tag(0x0009, 0x1010))[0].text(tags::CODE_MEANING).as_deref(), Some("within"));
    assert!(read.contains(tags::PATIENT_NAME));
}

/// Each such element once made the scan look at all that follows it: hours for these.
#[test]
fn zeros_that_are_no_padding_are_looked_at_once() {
    let mut bytes = image(1).write(Encoding::ImplicitLittle);
    bytes.resize(bytes.len() + (8 << 20), 0);
    bytes.push(1);
    assert_eq!(scanned(&bytes, Encoding::ImplicitLittle).unwrap_err().kind, ErrorKind::Invalid);
}

/// Others take padding for elements and send it on.
#[test]
fn an_element_of_group_0_does_not_keep_an_image_out() {
    let mut bytes = image(1).write(Encoding::ExplicitLittle);
    bytes.extend([0, 0, 0, 0, b'U', b'L', 4, 0, 9, 0, 0, 0]);
    assert!(scanned(&bytes, Encoding::ExplicitLittle).is_ok());
}

#[test]
fn fragments_without_end_are_refused() {
    let mut bytes = head(tags::PIXEL_DATA, b"OB", UNDEFINED);
    (0..=MAX_FRAGMENTS + 1).for_each(|_| bytes.extend(item(b"")));
    bytes.extend(DELIMITER);
    assert_eq!(scanned(&bytes, Encoding::ExplicitLittle).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn what_came_as_un_is_what_the_dictionary_says() {
    let mut sent = Attributes::new();
    sent.put_bytes(tags::PATIENT_ID, VR::UN, &b"P-17"[..]);
    sent.put_bytes(Tag(0x0009, 0x1001), VR::UN, &b"mine"[..]);
    let mut code = Attributes::new();
    code.put_text(tags::CODE_MEANING, VR::LO, "within");
    let items = item(&code.write(Encoding::ImplicitLittle));
    sent.put_bytes(tags::CONCEPT_NAME_CODE_SEQUENCE, VR::UN, items);
    let read = scanned(&sent.write(Encoding::ExplicitLittle), Encoding::ExplicitLittle).unwrap().attributes;
    assert_eq!(read.get(tags::PATIENT_ID).unwrap().vr, VR::LO);
    assert_eq!(read.get(Tag(0x0009, 0x1001)).unwrap().vr, VR::UN);
    assert_eq!(
        read.items(tags::CONCEPT_NAME_CODE_SEQUENCE)[0].text(tags::CODE_MEANING).as_deref(),
        Some("within")
    );
}

#[test]
fn zeros_behind_the_data_set_are_padding_and_anything_else_is_not() {
    let mut bytes = image(1).write(Encoding::ExplicitLittle);
    bytes.extend([0; 100_001]);
    assert!(scanned(&bytes, Encoding::ExplicitLittle).is_ok());
    bytes.push(1);
    assert!(scanned(&bytes, Encoding::ExplicitLittle).is_err());
}

#[test]
fn thirty_thousand_nested_sequences_are_refused_in_a_sentence() {
    let mut bytes = Vec::new();
    for _ in 0..30_000 {
        bytes.extend(head(tags::CONTENT_SEQUENCE, b"SQ", UNDEFINED));
        bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    let error = scanned(&bytes, Encoding::ExplicitLittle).unwrap_err();
    assert_eq!(error.what, "sequences are nested deeper than 100");
}

#[test]
fn every_truncation_is_refused_and_none_panics() {
    let bytes = encapsulated(2, &[], &[b"AAAA", b"BB"]);
    let whole = image(2).write(Encoding::ExplicitLittle);
    let between = [whole.len()];
    for end in 1..bytes.len() {
        let is_boundary = between.contains(&end);
        let result = scanned(&bytes[..end], Encoding::ExplicitLittle);
        if end > whole.len() {
            assert!(result.is_err(), "{end}");
        } else if is_boundary {
            assert!(result.is_ok(), "{end}");
        }
    }
}

proptest! {
    #[test]
    fn never_panics_whatever_arrives(bytes in prop::collection::vec(any::<u8>(), 0..400), which in 0usize..3) {
        let encoding = [Encoding::ImplicitLittle, Encoding::ExplicitLittle, Encoding::ExplicitBig][which];
        let _ = scanned(&bytes, encoding);
        let _ = Attributes::read(Bytes::from(bytes), encoding);
    }

    #[test]
    fn never_panics_on_a_changed_byte(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = encapsulated(2, &[], &[b"AAAA", b"BB"]);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(scanned) = scanned(&bytes, Encoding::ExplicitLittle) {
            prop_assert!(scanned.header.attributes().is_ok());
        }
    }
}
