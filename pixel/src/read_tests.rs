use proptest::prelude::*;

use super::*;

const FIRST: u32 = 1;

fn image() -> Attributes {
    let mut attributes = Attributes::new();
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, 4),
        (tags::COLUMNS, 6),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        attributes.put_u16(tag, value);
    }
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    let bulk = Bulk { offset: 1000, length: 48, encapsulated: false };
    attributes.put(Element { tag: tags::PIXEL_DATA, vr: VR::OW, value: Value::Bulk(bulk) });
    attributes
}

fn texts(attributes: &mut Attributes, pairs: &[(Tag, &str)]) {
    pairs.iter().for_each(|(tag, text)| attributes.put_text(*tag, VR::DS, text));
}

fn read(attributes: &Attributes, frame: u32) -> ImageInfo {
    ImageInfo::read(attributes, FrameNumber::new(frame).unwrap()).unwrap()
}

fn us(values: &[u16]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn with_group(item: &mut Attributes, group: Tag, pairs: &[(Tag, &str)]) {
    let mut inner = Attributes::new();
    texts(&mut inner, pairs);
    item.put_items(group, vec![inner]);
}

#[test]
fn reads_which_way_the_shades_go() {
    let shape = |term: &str| {
        let mut attributes = image();
        attributes.put_text(tags::PRESENTATION_LUT_SHAPE, VR::CS, term);
        read(&attributes, FIRST).shape
    };
    assert_eq!(read(&image(), FIRST).shape, None);
    assert_eq!(shape("INVERSE"), Some(LutShape::Inverse));
    assert_eq!(shape("IDENTITY"), Some(LutShape::Identity));
    assert_eq!(shape("LIN OD"), None);
}

#[test]
fn reads_what_a_plain_image_says() {
    let mut attributes = image();
    texts(
        &mut attributes,
        &[
            (tags::RESCALE_SLOPE, "2"),
            (tags::RESCALE_INTERCEPT, "-1024"),
            (tags::WINDOW_CENTER, "40\\300"),
            (tags::WINDOW_WIDTH, "400\\1500"),
            (tags::PIXEL_SPACING, "2\\1"),
        ],
    );
    attributes.put_u16(tags::PIXEL_PADDING_VALUE, 63);
    attributes.put_u16(tags::PIXEL_PADDING_RANGE_LIMIT, 0);
    let info = read(&attributes, FIRST);
    assert_eq!(
        (info.rows, info.columns, info.bits_allocated, info.bits_stored, info.high_bit),
        (4, 6, 16, 12, 11)
    );
    assert_eq!(
        (info.kind, info.is_words, info.is_signed, info.frames),
        (SampleKind::Integer, true, false, 1)
    );
    assert_eq!(info.modality, Modality::Rescale { slope: 2.0, intercept: -1024.0 });
    assert_eq!(info.voi, Some(Voi::Window(Window::new(40.0, 400.0, WindowFunction::Linear).unwrap())));
    assert_eq!(info.padding, Some(Padding { first: 0.0, last: 63.0 }));
    assert_eq!(info.pixel_aspect, 2.0);
}

#[test]
fn a_frames_own_functional_groups_win_over_the_shared_ones() {
    let mut attributes = image();
    let mut shared = Attributes::new();
    with_group(&mut shared, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, &[(tags::RESCALE_SLOPE, "3")]);
    with_group(
        &mut shared,
        tags::FRAME_VOILUT_SEQUENCE,
        &[(tags::WINDOW_CENTER, "10"), (tags::WINDOW_WIDTH, "20")],
    );
    let mut own = Attributes::new();
    with_group(
        &mut own,
        tags::FRAME_VOILUT_SEQUENCE,
        &[(tags::WINDOW_CENTER, "30"), (tags::WINDOW_WIDTH, "40")],
    );
    attributes.put_items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
    attributes.put_items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, vec![Attributes::new(), own]);
    let window =
        |center, width| Some(Voi::Window(Window::new(center, width, WindowFunction::Linear).unwrap()));
    assert_eq!(read(&attributes, 1).voi, window(10.0, 20.0));
    assert_eq!(read(&attributes, 2).voi, window(30.0, 40.0));
    assert_eq!(read(&attributes, 2).modality, Modality::Rescale { slope: 3.0, intercept: 0.0 });
}

#[test]
fn a_table_is_read_with_entries_in_words_or_bytes() {
    let mut attributes = image();
    let mut item = Attributes::new();
    item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, us(&[3, 5, 8]));
    item.put_bytes(tags::LUT_DATA, VR::OW, Bytes::from_static(&[9, 8, 7, 0]));
    attributes.put_items(tags::MODALITY_LUT_SEQUENCE, vec![item.clone()]);
    item.put_bytes(tags::LUT_DATA, VR::US, us(&[100, 200, 300]));
    attributes.put_items(tags::VOILUT_SEQUENCE, vec![item]);
    let info = read(&attributes, FIRST);
    assert_eq!(info.modality, Modality::Lut(Arc::new(Lut { first: 5, entries: vec![9, 8, 7], bits: 8 })));
    assert_eq!(info.voi, Some(Voi::Lut(Arc::new(Lut { first: 5, entries: vec![100, 200, 300], bits: 8 }))));
}

#[test]
fn the_first_input_of_a_signed_table_is_signed_whatever_its_vr() {
    let mut item = Attributes::new();
    item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, us(&[1, 0xFF00, 16]));
    item.put_bytes(tags::LUT_DATA, VR::US, us(&[1]));
    assert_eq!(table_of(&item, true).unwrap().first, -256);
    assert_eq!(table_of(&item, false).unwrap().first, 0xFF00);
}

#[test]
fn the_first_input_of_a_view_is_signed_where_the_modality_gives_negative_values() {
    let mut attributes = image();
    let mut item = Attributes::new();
    item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, us(&[2, 64_512, 12]));
    item.put_bytes(tags::LUT_DATA, VR::US, us(&[1, 4095]));
    attributes.put_items(tags::VOILUT_SEQUENCE, vec![item]);
    let first = |attributes: &Attributes| match read(attributes, FIRST).voi {
        Some(Voi::Lut(table)) => table.first,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(&attributes), 64_512);
    texts(&mut attributes, &[(tags::RESCALE_SLOPE, "1"), (tags::RESCALE_INTERCEPT, "-1024")]);
    assert_eq!(first(&attributes), -1024);
    texts(&mut attributes, &[(tags::RESCALE_INTERCEPT, "2048")]);
    attributes.put_u16(tags::PIXEL_REPRESENTATION, 1);
    assert_eq!(first(&attributes), 64_512, "no value is below 0");
}

#[test]
fn a_view_of_16_bits_that_holds_fewer_has_as_many_as_it_holds() {
    let bits = |declared: u16, greatest: u16| {
        let mut item = Attributes::new();
        item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, us(&[2, 0, declared]));
        item.put_bytes(tags::LUT_DATA, VR::US, us(&[0, greatest]));
        used_bits(&table_of(&item, false).unwrap())
    };
    assert_eq!([bits(16, 255), bits(16, 1023), bits(16, 4095), bits(16, 4096)], [8, 10, 12, 16]);
    assert_eq!((bits(12, 255), bits(16, 0)), (12, 16));
}

#[test]
fn floats_have_padding_of_their_own() {
    let mut attributes = image();
    attributes.put_u16(tags::PIXEL_PADDING_VALUE, 7);
    let pixels = attributes.get(tags::PIXEL_DATA).unwrap().clone();
    attributes.remove(tags::PIXEL_DATA);
    attributes.put(Element { tag: tags::FLOAT_PIXEL_DATA, vr: VR::OF, ..pixels.clone() });
    attributes.put_u16(tags::BITS_ALLOCATED, 32);
    assert_eq!(read(&attributes, FIRST).padding, None);
    attributes.put_bytes(tags::FLOAT_PIXEL_PADDING_VALUE, VR::FL, (-1e30_f32).to_le_bytes().to_vec());
    let least = f64::from(-1e30_f32);
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: least, last: least }));
    attributes.put_bytes(tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT, VR::FL, (-1_f32).to_le_bytes().to_vec());
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: least, last: -1.0 }));

    attributes.remove(tags::FLOAT_PIXEL_DATA);
    attributes.put(Element { tag: tags::DOUBLE_FLOAT_PIXEL_DATA, vr: VR::OD, ..pixels });
    attributes.put_u16(tags::BITS_ALLOCATED, 64);
    assert_eq!(read(&attributes, FIRST).padding, None);
    for (tag, value) in
        [(tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE, 2_f64), (tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT, 1.5)]
    {
        attributes.put_bytes(tag, VR::FD, value.to_le_bytes().to_vec());
    }
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: 1.5, last: 2.0 }));
}

#[test]
fn colours_that_are_said_to_be_halved_and_stored_whole_are_ybr_full() {
    let mut attributes = image();
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
    attributes.put_u16(tags::SAMPLES_PER_PIXEL, 3);
    attributes.put_u16(tags::BITS_ALLOCATED, 8);
    let mut of_length = |length, encapsulated| {
        let bulk = Bulk { offset: 1000, length, encapsulated };
        attributes.put(Element { tag: tags::PIXEL_DATA, vr: VR::OB, value: Value::Bulk(bulk) });
        read(&attributes, FIRST).photometric
    };
    assert_eq!(of_length(4 * 6 * 3, false), Photometric::YbrFull);
    assert_eq!(of_length(4 * 6 * 2, false), Photometric::YbrFull422);
    assert_eq!(of_length(4 * 6 * 3, true), Photometric::YbrFull422);
}

#[test]
fn padding_is_a_stored_value_whatever_its_vr() {
    let mut attributes = image();
    attributes.put_u16(tags::PIXEL_PADDING_VALUE, 63_536);
    attributes.put_u16(tags::PIXEL_REPRESENTATION, 1);
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: -2000.0, last: -2000.0 }));
    attributes.put_bytes(tags::PIXEL_PADDING_VALUE, VR::SS, us(&[63_536]));
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: -2000.0, last: -2000.0 }));
    attributes.put_u16(tags::PIXEL_REPRESENTATION, 0);
    assert_eq!(read(&attributes, FIRST).padding, Some(Padding { first: 63_536.0, last: 63_536.0 }));
}

#[test]
fn tables_left_in_the_object_are_named_and_put_in() {
    let mut attributes = image();
    let bulk = Bulk { offset: 600, length: 4, encapsulated: false };
    let mut item = Attributes::new();
    item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, us(&[2, 0, 8]));
    item.put(Element { tag: tags::LUT_DATA, vr: VR::US, value: Value::Bulk(bulk) });
    attributes.put_items(tags::VOILUT_SEQUENCE, vec![item]);
    assert_eq!(read(&attributes, FIRST).voi, None);
    assert_eq!(ImageInfo::tables_in_bulk(&attributes), [bulk]);

    let filled = ImageInfo::with_tables(&attributes, &|wanted| (*wanted == bulk).then(|| us(&[7, 8])));
    let table = Lut { first: 0, entries: vec![7, 8], bits: 8 };
    assert_eq!(read(&filled, FIRST).voi, Some(Voi::Lut(Arc::new(table))));
}

#[test]
fn a_palette_is_read_from_entries_or_segments() {
    let mut attributes = image();
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    for [descriptor, data, _] in PALETTE {
        attributes.put_bytes(descriptor, VR::US, us(&[2, 0, 16]));
        attributes.put_bytes(data, VR::OW, us(&[0x1100, 0x2200]));
    }
    assert_eq!(read(&attributes, FIRST).palette.unwrap().unwrap().color(1), [0x22; 3]);
    for [_, data, segments] in PALETTE {
        attributes.remove(data);
        attributes.put_bytes(segments, VR::OW, us(&[0, 2, 0x3300, 0x4400]));
    }
    assert_eq!(read(&attributes, FIRST).palette.unwrap().unwrap().color(1), [0x44; 3]);
}

#[test]
fn a_supplemental_palette_is_read_where_the_frame_is_presented_in_colour() {
    let mut attributes = image();
    for [descriptor, data, _] in PALETTE {
        attributes.put_bytes(descriptor, VR::US, us(&[2, 1000, 16]));
        attributes.put_bytes(data, VR::OW, us(&[0x1100, 0x2200]));
    }
    assert_eq!(read(&attributes, FIRST).palette, None);
    attributes.put_text(tags::PIXEL_PRESENTATION, VR::CS, "COLOR");
    let info = read(&attributes, FIRST);
    assert!(!info.is_colour(999.0) && info.is_colour(1000.0) && info.is_colour(4000.0));
    assert_eq!(info.palette.unwrap().unwrap().color(1001), [0x22; 3]);

    // What is said of the frame comes before what is said of all of them.
    attributes.put_text(tags::PIXEL_PRESENTATION, VR::CS, "MIXED");
    let frames = ["MONOCHROME", "COLOR"].map(|term| {
        let (mut inner, mut item) = (Attributes::new(), Attributes::new());
        inner.put_text(tags::PIXEL_PRESENTATION, VR::CS, term);
        item.put_items(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, vec![inner]);
        item
    });
    attributes.put_items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.into());
    assert_eq!(read(&attributes, 1).palette, None);
    assert!(read(&attributes, 2).palette.is_some());
}

#[test]
fn segments_are_bytes_where_entries_are_and_words_where_bytes_give_another_number() {
    let mut attributes = image();
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    let mut last_color = |segments: &[u8]| {
        for [descriptor, _, tag] in PALETTE {
            attributes.put_bytes(descriptor, VR::US, us(&[256, 0, 8]));
            attributes.put_bytes(tag, VR::OW, segments.to_vec());
        }
        read(&attributes, FIRST).palette.unwrap().map(|palette| palette.color(255))
    };
    assert_eq!(last_color(&[0, 1, 0xFF, 1, 0xFF, 0x40]).unwrap(), [0x40; 3]);
    assert_eq!(last_color(&us(&[0, 1, 0xFF, 1, 255, 0x30])).unwrap(), [0x30; 3]);
    assert_eq!(last_color(&[9, 9]).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn a_broken_palette_is_no_matter_where_no_colour_is_asked_for() {
    let mut attributes = image();
    for [descriptor, _, segments] in PALETTE {
        attributes.put_bytes(descriptor, VR::US, us(&[2, 0, 16]));
        attributes.put_bytes(segments, VR::OW, us(&[9, 9]));
    }
    assert_eq!(read(&attributes, FIRST).palette, None);
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    assert!(read(&attributes, FIRST).palette.unwrap().is_err());
}

#[test]
fn an_instance_without_pixel_data_is_no_image() {
    let mut attributes = image();
    attributes.remove(tags::PIXEL_DATA);
    let error = ImageInfo::read(&attributes, FrameNumber::new(1).unwrap()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAnImage);
}

#[test]
fn an_image_without_a_size_or_of_odd_samples_is_refused() {
    let refusal = |tag, value| {
        let mut attributes = image();
        attributes.put_u16(tag, value);
        ImageInfo::read(&attributes, FrameNumber::new(1).unwrap()).unwrap_err().kind
    };
    assert_eq!(refusal(tags::ROWS, 0), ErrorKind::Invalid);
    assert_eq!(refusal(tags::BITS_ALLOCATED, 12), ErrorKind::Unsupported);
}

#[test]
fn bits_that_cannot_be_are_taken_as_usual() {
    let mut attributes = image();
    attributes.put_u16(tags::BITS_STORED, 20);
    attributes.put_u16(tags::HIGH_BIT, 3);
    let info = read(&attributes, FIRST);
    assert_eq!((info.bits_stored, info.high_bit), (16, 15));
}

proptest! {
    #[test]
    fn any_numbers_make_an_image_or_an_error(numbers in proptest::collection::vec(any::<u16>(), 9)) {
        let mut attributes = image();
        let with = [
            tags::SAMPLES_PER_PIXEL, tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED, tags::BITS_STORED,
            tags::HIGH_BIT, tags::PIXEL_REPRESENTATION, tags::PIXEL_PADDING_VALUE, tags::PLANAR_CONFIGURATION,
        ];
        for (tag, number) in with.into_iter().zip(numbers) {
            attributes.put_u16(tag, number);
        }
        let _ = ImageInfo::read(&attributes, FrameNumber::new(1).unwrap());
    }
}
