//! What presentation states put over images: overlays, graphics, texts (PS3.3 §C.10.5, §C.11.7; PS3.4 §N.2).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Tag, VR};
use http::StatusCode;
use rstest::rstest;
use worker::pixel::{Picture, PictureKind};

use crate::annotation::black;
use crate::pictures::state;
use crate::service::{Service, explicit};

const STATE: &str = "/studies/1.2/series/1.8/instances/1.9/rendered";
const SIDE: usize = 512;

/// An overlay of 512 × 512 with these rows of it filled.
fn put_overlay(to: &mut Attributes, group: u16, rows: std::ops::Range<usize>) {
    for (element, number) in [(0x0010, 512), (0x0011, 512), (0x0100, 1), (0x0102, 0)] {
        to.put_u16(Tag(group, element), number);
    }
    to.put_text(Tag(group, 0x0040), VR::CS, "G");
    to.put_bytes(Tag(group, 0x0050), VR::SS, vec![1, 0, 1, 0]);
    let mut bits = vec![0; SIDE * SIDE / 8];
    bits[rows.start * SIDE / 8..rows.end * SIDE / 8].fill(0xFF);
    to.put_bytes(Tag(group, 0x3000), VR::OW, bits);
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A state that shows all of the image as it is, with layers for marks (white) and lines (grey).
fn plain() -> Attributes {
    let mut state = state("1.9");
    state.remove(tags::DISPLAYED_AREA_SELECTION_SEQUENCE);
    state.remove(tags::PRESENTATION_LUT_SHAPE);
    state.put_u16(tags::IMAGE_ROTATION, 0);
    let layer = |name: &str, order: &str, shade: u16| {
        let mut layer = Attributes::new();
        layer.put_text(tags::GRAPHIC_LAYER, VR::CS, name);
        layer.put_text(tags::GRAPHIC_LAYER_ORDER, VR::IS, order);
        layer.put_u16(tags::GRAPHIC_LAYER_RECOMMENDED_DISPLAY_GRAYSCALE_VALUE, shade);
        layer
    };
    let layers = vec![layer("MARKS", "2", 0xFFFF), layer("LINES", "1", 0x8000)];
    state.put_items(tags::GRAPHIC_LAYER_SEQUENCE, layers);
    state
}

/// A note in the upper half, with its anchor below.
fn note(words: &str) -> Attributes {
    let mut text = Attributes::new();
    text.put_text(tags::UNFORMATTED_TEXT_VALUE, VR::ST, words);
    text.put_text(tags::BOUNDING_BOX_ANNOTATION_UNITS, VR::CS, "PIXEL");
    text.put_bytes(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER, VR::FL, floats(&[40.0, 60.0]));
    text.put_bytes(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, VR::FL, floats(&[240.0, 120.0]));
    text.put_text(tags::ANCHOR_POINT_ANNOTATION_UNITS, VR::CS, "PIXEL");
    text.put_bytes(tags::ANCHOR_POINT, VR::FL, floats(&[300.0, 240.0]));
    text.put_text(tags::ANCHOR_POINT_VISIBILITY, VR::CS, "Y");
    let mut annotation = Attributes::new();
    annotation.put_text(tags::GRAPHIC_LAYER, VR::CS, "MARKS");
    annotation.put_items(tags::TEXT_OBJECT_SEQUENCE, vec![text]);
    annotation
}

async fn shown(service: &Service, query: &str) -> (Vec<u8>, String) {
    let answer = service.get(&format!("{STATE}{query}"), "image/png").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let bytes = Picture::read(&answer.body, PictureKind::Png).unwrap().bytes;
    (bytes, answer.field("warning").to_owned())
}

#[tokio::test]
async fn overlays_of_the_state_and_of_the_image_are_drawn_where_it_activates_them() {
    let service = Service::open().await;
    let mut image = black(1);
    put_overlay(&mut image, 0x6000, 100..110);
    // Nobody activates this one.
    put_overlay(&mut image, 0x6004, 300..310);
    let mut state = plain();
    state.put_text(Tag(0x6000, 0x1001), VR::CS, "LINES");
    put_overlay(&mut state, 0x6002, 200..210);
    state.put_text(Tag(0x6002, 0x1001), VR::CS, "MARKS");
    service.store(&[explicit(&image), explicit(&state)]).await;
    let (bytes, warning) = shown(&service, "").await;
    let of_row = |row: usize| bytes[row * SIDE + 7];
    assert_eq!([99, 100, 109, 110, 200, 209, 210, 305].map(of_row), [0, 0x80, 0x80, 0, 255, 255, 0, 0]);
    assert_eq!(warning, "");

    // Where no state says otherwise an image shows its own, all of them and in white.
    let path = "/studies/1.2/series/1.3/instances/1.4/rendered";
    let answer = service.get(path, "image/png").await;
    let bytes = Picture::read(&answer.body, PictureKind::Png).unwrap().bytes;
    let of_row = |row: usize| bytes[row * SIDE + 7];
    assert_eq!([99, 100, 109, 110, 200, 300, 309, 310].map(of_row), [0, 255, 255, 0, 0, 255, 255, 0]);
}

#[tokio::test]
async fn what_bits_hide_is_hidden_and_what_is_not_there_is_told() {
    let service = Service::open().await;
    let mut state = plain();
    state.put_text(tags::SHUTTER_SHAPE, VR::CS, "BITMAP");
    state.put_u16(tags::SHUTTER_OVERLAY_GROUP, 0x6006);
    state.put_u16(tags::SHUTTER_PRESENTATION_VALUE, 0x4000);
    put_overlay(&mut state, 0x6006, 0..256);
    state.put_text(Tag(0x6000, 0x1001), VR::CS, "LINES");
    service.store(&[explicit(&black(1)), explicit(&state)]).await;
    let (bytes, warning) = shown(&service, "").await;
    assert!(bytes[..256 * SIDE].iter().all(|byte| *byte == 0x40));
    assert!(bytes[256 * SIDE..].iter().all(|byte| *byte == 0));
    assert!(warning.ends_with("what is not shown: overlays that the image does not have"), "{warning}");
}

#[tokio::test]
async fn a_note_stands_in_its_box_and_points_at_what_it_is_about() {
    let service = Service::open().await;
    let mut state = plain();
    state.put_items(tags::GRAPHIC_ANNOTATION_SEQUENCE, vec![note("Nốt phổi đặc\r\n8 mm")]);
    service.store(&[explicit(&black(1)), explicit(&state)]).await;
    let (bytes, warning) = shown(&service, "").await;
    assert_eq!(warning, "");
    let is_light = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
        y.clone().any(|y| bytes[y * SIDE + x.start..y * SIDE + x.end].iter().any(|byte| *byte > 200))
    };
    assert!(is_light(40..240, 60..90) && is_light(40..240, 90..122), "two lines");
    assert!(is_light(298..302, 236..241), "the anchor");
    assert!(!is_light(0..512, 0..55) && !is_light(0..512, 245..512) && !is_light(310..512, 0..512));
    // In a smaller picture it is as sharp, and at its place.
    let (small, _) = shown(&service, "?viewport=256,256").await;
    let lines = small.chunks(SIDE / 2).enumerate().filter(|(_, row)| row.iter().any(|byte| *byte > 200));
    let lines: Vec<usize> = lines.map(|(row, _)| row).collect();
    assert!(
        (28..40).contains(lines.first().unwrap()) && (115..123).contains(lines.last().unwrap()),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_profile_of_a_state_takes_the_place_of_the_one_of_the_image() {
    let service = Service::open().await;
    let (mut image, mut state) = (black(1), plain());
    image.put_bytes(tags::ICC_PROFILE, VR::OB, b"profile of the image".to_vec());
    state.put_bytes(tags::ICC_PROFILE, VR::OB, b"profile of the state".to_vec());
    service.store(&[explicit(&image), explicit(&state)]).await;
    let has = async |path: &str, words: &[u8]| {
        let answer = service.get(path, "image/jpeg").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.body.windows(words.len()).any(|part| part == words)
    };
    let by_state = format!("{STATE}?iccprofile=yes");
    assert!(has(&by_state, b"profile of the state").await && !has(&by_state, b"profile of the image").await);
    assert!(
        has("/studies/1.2/series/1.3/instances/1.4/rendered?iccprofile=yes", b"profile of the image").await
    );
    assert!(!has(STATE, b"profile of the").await);
}

/// The state with a displayed area between these corners, and what else stands there.
fn with_area(corners: [i32; 4], put: impl FnOnce(&mut Attributes)) -> Attributes {
    let bytes: Vec<u8> = corners.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut area = Attributes::new();
    area.put_bytes(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, VR::SL, bytes[..8].to_vec());
    area.put_bytes(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, VR::SL, bytes[8..].to_vec());
    put(&mut area);
    let mut state = plain();
    state.put_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area]);
    state
}

#[rstest]
#[case::of_the_state(None, |area: &mut Attributes| area.put_text(tags::PRESENTATION_PIXEL_ASPECT_RATIO, VR::IS, "2\\1"), (32, 64))]
#[case::by_distances(None, |area: &mut Attributes| area.put_text(tags::PRESENTATION_PIXEL_SPACING, VR::DS, "0.2\\0.4"), (64, 32))]
#[case::instead_of_the_image(Some("2\\1"), |area: &mut Attributes| area.put_text(tags::PRESENTATION_PIXEL_ASPECT_RATIO, VR::IS, "1\\1"), (64, 64))]
#[case::of_the_image(Some("2\\1"), |_: &mut Attributes| {}, (32, 64))]
#[tokio::test]
async fn the_shape_of_pixels_is_what_the_state_says(
    #[case] of_image: Option<&str>,
    #[case] put: fn(&mut Attributes),
    #[case] expected: (u16, u16),
) {
    let service = Service::open().await;
    let mut image = black(1);
    if let Some(aspect) = of_image {
        image.put_text(tags::PIXEL_ASPECT_RATIO, VR::IS, aspect);
    }
    let side = i32::try_from(SIDE).unwrap();
    service.store(&[explicit(&image), explicit(&with_area([1, 1, side, side], put))]).await;
    let answer = service.get(&format!("{STATE}?viewport=64,64"), "image/png").await;
    let picture = Picture::read(&answer.body, PictureKind::Png).unwrap();
    assert_eq!((picture.columns, picture.rows), expected);
}

#[tokio::test]
async fn an_image_is_inset_where_the_displayed_area_is_larger() {
    let service = Service::open().await;
    let mut state = with_area([-99, -49, 700, 600], |_| {});
    state.put_text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE");
    service.store(&[explicit(&black(1)), explicit(&state)]).await;
    let answer = service.get(STATE, "image/png").await;
    let picture = Picture::read(&answer.body, PictureKind::Png).unwrap();
    assert_eq!((picture.columns, picture.rows), (800, 650));
    let at = |x: usize, y: usize| picture.bytes[y * 800 + x];
    let inside = [(100, 50), (100 + SIDE - 1, 50 + SIDE - 1)];
    let outside = [(99, 50), (100, 49), (100 + SIDE, 50 + SIDE - 1), (100, 50 + SIDE), (0, 0), (799, 649)];
    assert_eq!(inside.map(|(x, y)| at(x, y)), [255; 2]);
    assert_eq!(outside.map(|(x, y)| at(x, y)), [0; 6]);
}
