//! Softcopy presentation states: how somebody wanted an image to be seen (PS3.3 §C.11.8, PS3.4 §N.2).
//!
//! What the state says replaces what the image proposes: modality and values of interest, each without effect where the
//! state has none (PS3.4 §N.2.1.1, §N.2.1.3), then the presentation LUT; then shutters, overlays and graphics are drawn in the image's own pixels, the displayed area is cut out, rotated and
//! flipped; texts are written last, when it has its size. All of it is grey, also over colours.
//!
//! Of compound graphics the simple objects are drawn that come with them. Not drawn are overlays in unused bits of the
//! pixels, and what is too much; [`Softcopy::warning`] says what of it the state has.

mod draw;
mod label;
mod overlay;
mod shape;

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, Tag, VR};

use crate::pixel::{self, Bitmap, ImageInfo, Overlay};
use draw::Canvas;
use label::{Label, Mapping};
use shape::{Graphic, Shutter};

/// Points of all graphics together; filled ones cost a look at each for every row.
const MOST_POINTS: usize = 100_000;
/// Texts of a state, over one frame.
const MOST_TEXTS: usize = 1000;
/// Pixels of a displayed area that is shown beyond the image: 8192 × 8192.
const MOST_SHOWN: u64 = 1 << 26;

/// Views that an image proposes, at the top or in functional groups.
const VIEWS: &[Tag] = &[
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::WINDOW_CENTER_WIDTH_EXPLANATION,
    tags::VOILUT_FUNCTION,
    tags::VOILUT_SEQUENCE,
];
const MODALITY: &[Tag] =
    &[tags::MODALITY_LUT_SEQUENCE, tags::RESCALE_INTERCEPT, tags::RESCALE_SLOPE, tags::RESCALE_TYPE];
const GROUPS: &[Tag] = &[tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE];

/// What a presentation state says of one frame.
#[derive(Debug, Clone, Default)]
pub struct Softcopy {
    /// Attributes that take the place of the image's, which are not used: PS3.4 §N.2.1.1 and §N.2.1.3 want the identity
    /// where the state has none.
    modality: Attributes,
    voi: Attributes,
    lut: Option<PresentationLut>,
    shutters: Vec<Shutter>,
    /// Shade of what a shutter hides.
    hidden: u8,
    /// With the place of their layer among all, and its shade.
    overlays: Vec<(i64, u8, Overlay)>,
    /// Groups of overlays that are of the image itself, in the same way.
    wanted: Vec<(i64, u8, u16)>,
    graphics: Vec<(i64, Graphic)>,
    labels: Vec<Label>,
    area: Option<Area>,
    /// Quarter turns clockwise.
    turns: u8,
    is_flipped: bool,
    left_out: Vec<&'static str>,
}

/// The displayed area (PS3.3 §C.10.4).
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    /// Left, upper, right and lower edge, columns and rows from 1, both ends included.
    edges: [f64; 4],
    pixels: u64,
    /// Height by width of a pixel, where the state says it.
    aspect: Option<f64>,
}

/// Softcopy Presentation LUT (PS3.3 §C.11.6).
#[derive(Debug, Clone, PartialEq, Eq)]
enum PresentationLut {
    Inverse,
    Table { entries: Vec<u16>, bits: u32 },
}

/// An image that a presentation state refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub instance: String,
    /// Frames that are meant; all when there are none.
    pub frames: Vec<u32>,
}

/// The images of a presentation state, in its order (PS3.18 §8.3.5.1.6).
pub fn references(state: &Attributes) -> Vec<Reference> {
    let mut found = Vec::new();
    for series in state.items(tags::REFERENCED_SERIES_SEQUENCE) {
        let Some(uid) = series.uid(tags::SERIES_INSTANCE_UID) else { continue };
        for image in series.items(tags::REFERENCED_IMAGE_SEQUENCE) {
            let Some(instance) = image.uid(tags::REFERENCED_SOP_INSTANCE_UID) else { continue };
            let frames = image.ints(tags::REFERENCED_FRAME_NUMBER);
            found.push(Reference {
                series: uid.to_owned(),
                instance: instance.to_owned(),
                frames: frames.into_iter().filter_map(|frame| u32::try_from(frame).ok()).collect(),
            });
        }
    }
    found
}

impl Softcopy {
    /// What the state says of this frame.
    pub fn read(state: &Attributes, instance: &str, frame: FrameNumber) -> Self {
        let of =
            |sequence: Tag| state.items(sequence).iter().filter(move |item| is_meant(item, instance, frame));
        let mut softcopy = Self {
            modality: only(state, MODALITY),
            voi: of(tags::SOFTCOPY_VOILUT_SEQUENCE)
                .next()
                .map_or_else(Attributes::new, |item| only(item, VIEWS)),
            lut: presentation_lut(state),
            hidden: shade(state.int(tags::SHUTTER_PRESENTATION_VALUE)).unwrap_or(0),
            turns: turns(state.int(tags::IMAGE_ROTATION).unwrap_or(0)),
            is_flipped: state.text(tags::IMAGE_HORIZONTAL_FLIP).as_deref() == Some("Y"),
            area: of(tags::DISPLAYED_AREA_SELECTION_SEQUENCE).next().and_then(Area::read),
            ..Self::default()
        };
        if softcopy.area.is_some_and(|area| area.pixels > MOST_SHOWN) {
            softcopy.leave_out("what a displayed area of more than 67,108,864 pixels has beyond the image");
        }
        for kind in state.texts(tags::SHUTTER_SHAPE) {
            match Shutter::read(state, &kind, frame) {
                Some(shutter) => softcopy.shutters.push(shutter),
                None => softcopy.leave_out("shutters of other shapes"),
            }
        }
        for annotation in of(tags::GRAPHIC_ANNOTATION_SEQUENCE) {
            softcopy.annotate(state, annotation);
        }
        softcopy.graphics.sort_by_key(|(order, _)| *order);
        for (group, layer) in overlay::activated(state) {
            let (order, shade) = layer_of(state, Some(&layer));
            match Overlay::read(state, group, frame) {
                Some(overlay) => softcopy.overlays.push((order, shade, overlay)),
                None if state.contains(Overlay::data_of(group)) => {}
                None => softcopy.wanted.push((order, shade, group)),
            }
        }
        softcopy
    }

    /// Where the bits of the overlays are that the state wants of the image itself.
    pub fn overlays_of_image(&self) -> impl Iterator<Item = Tag> {
        self.wanted.iter().map(|(_, _, group)| Overlay::data_of(*group))
    }

    /// Takes them from the image's attributes, in which they have to be values and not what lies in the object.
    pub fn take_overlays(&mut self, image: &Attributes, frame: FrameNumber) {
        for (order, shade, group) in std::mem::take(&mut self.wanted) {
            match Overlay::read(image, group, frame) {
                Some(overlay) => self.overlays.push((order, shade, overlay)),
                None => self.leave_out("overlays that the image does not have"),
            }
        }
    }

    /// What the state has and the picture will not, for whoever looks at it; `None` when it shows all.
    pub fn warning(&self) -> Option<String> {
        let list = self.left_out.join(", ");
        (!list.is_empty()).then(|| format!("The presentation state has what is not shown: {list}"))
    }

    /// Height by width of a pixel of the picture, before it is fitted: as the state says, or else as the image does.
    pub(crate) fn pixel_aspect(&self, of_image: f64) -> f64 {
        let aspect = self.area.and_then(|area| area.aspect).unwrap_or(of_image);
        if self.turns % 2 == 1 { 1.0 / aspect } else { aspect }
    }

    /// Bytes of the picture of that image, of all of it and of what is displayed.
    ///
    /// # Errors
    /// As [`ImageInfo::pixels`].
    pub fn picture_length(&self, info: &ImageInfo) -> pixel::Result<usize> {
        let (pixels, bytes) = (info.pixels()?, info.picture_length()?);
        let shown = self.area.filter(|area| area.pixels <= MOST_SHOWN).map_or(0, |area| area.pixels);
        let shown = usize::try_from(shown).unwrap_or(usize::MAX).saturating_mul(bytes / pixels.max(1));
        Ok(bytes.saturating_add(shown))
    }

    fn leave_out(&mut self, what: &'static str) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    fn annotate(&mut self, state: &Attributes, annotation: &Attributes) {
        let (graphics, texts) =
            (annotation.items(tags::GRAPHIC_OBJECT_SEQUENCE), annotation.items(tags::TEXT_OBJECT_SEQUENCE));
        let id = |item: &Attributes| item.int(tags::COMPOUND_GRAPHIC_INSTANCE_ID);
        let simple: Vec<i64> = graphics.iter().chain(texts).filter_map(id).collect();
        let is_drawn = |compound: &Attributes| id(compound).is_some_and(|id| simple.contains(&id));
        if !annotation.items(tags::COMPOUND_GRAPHIC_SEQUENCE).iter().all(is_drawn) {
            self.leave_out("compound graphics without simple ones");
        }
        let layer = annotation.text(tags::GRAPHIC_LAYER);
        let (order, shade) = layer_of(state, layer.as_deref());
        for object in texts {
            match Label::read(object, shade) {
                Some(label) if self.labels.len() < MOST_TEXTS => self.labels.push(label),
                Some(_) => self.leave_out("texts beyond 1,000"),
                None => self.leave_out("texts without words or a place"),
            }
        }
        for object in graphics {
            let before: usize = self.graphics.iter().map(|(_, graphic)| graphic.len()).sum();
            match Graphic::read(object, shade) {
                Some(graphic) if before + graphic.len() <= MOST_POINTS => {
                    self.graphics.push((order, graphic))
                }
                Some(_) => self.leave_out("graphics beyond 100,000 points"),
                None => self.leave_out("graphics of other types"),
            }
        }
    }

    /// The attributes of the image with what the state says in their places. Polarity is the presentation LUT's.
    pub fn over(&self, image: &Attributes) -> Attributes {
        let mut attributes = image.clone();
        if image.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("MONOCHROME1") {
            attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
        }
        attributes.remove(tags::PRESENTATION_LUT_SHAPE);
        let taken = [
            (&self.modality, MODALITY, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE),
            (&self.voi, VIEWS, tags::FRAME_VOILUT_SEQUENCE),
        ];
        for (instead, names, group) in taken {
            for tag in names {
                attributes.remove(*tag);
            }
            for sequence in GROUPS {
                without(&mut attributes, *sequence, group);
            }
            for element in instead {
                attributes.put(element.clone());
            }
        }
        attributes
    }

    /// The picture, made by these attributes, as the state wants it to be seen. `fit` gives it its size.
    ///
    /// # Errors
    /// Those of `fit`.
    pub fn show(
        &self,
        picture: Bitmap,
        fit: impl FnOnce(Bitmap) -> pixel::Result<Bitmap>,
    ) -> pixel::Result<Bitmap> {
        let mut canvas = Canvas::new(picture);
        if let Some(lut) = &self.lut {
            canvas.each(|shade| lut.apply(shade));
        }
        for shutter in &self.shutters {
            shutter.draw(&mut canvas, self.hidden);
        }
        let mut overlays: Vec<_> = self.overlays.iter().collect();
        overlays.sort_by_key(|(order, _, _)| *order);
        overlays.into_iter().for_each(|(_, shade, overlay)| overlay::draw(overlay, &mut canvas, *shade));
        let graphics = |is_of_display: bool| {
            let graphics = self.graphics.iter().map(|(_, graphic)| graphic);
            graphics.filter(move |graphic| graphic.is_of_display() == is_of_display)
        };
        let whole = canvas.whole();
        let cut = canvas.cut(self.area.map_or(whole, |area| area.shown(whole)));
        graphics(false).for_each(|graphic| graphic.draw(&mut canvas, whole));
        canvas.count_from_one();
        for _ in 0..self.turns {
            canvas.turn();
        }
        if self.is_flipped {
            canvas.flip();
        }
        let whole = canvas.whole();
        graphics(true).for_each(|graphic| graphic.draw(&mut canvas, whole));
        let shown = canvas.into_picture();
        let (width, height) = (f64::from(shown.width.max(1)), f64::from(shown.height.max(1)));
        let mut picture = fit(shown)?;
        let scale = (f64::from(picture.width) / width, f64::from(picture.height) / height);
        let mapping = Mapping { cut, turns: self.turns, is_flipped: self.is_flipped, scale };
        self.labels.iter().for_each(|label| label.write(&mut picture, &mapping));
        Ok(picture)
    }
}

impl Area {
    /// Whichever corner is named first.
    fn read(item: &Attributes) -> Option<Self> {
        let corner = |tag| {
            let numbers = item.ints(tag);
            Some((i32::try_from(*numbers.first()?).ok()?, i32::try_from(*numbers.get(1)?).ok()?))
        };
        let (x1, y1) = corner(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER)?;
        let (x2, y2) = corner(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER)?;
        let count = |one: i32, other: i32| u64::from(one.abs_diff(other)) + 1;
        let pairs = [tags::PRESENTATION_PIXEL_SPACING, tags::PRESENTATION_PIXEL_ASPECT_RATIO]
            .map(|tag| item.floats(tag));
        let aspect = pairs.iter().find_map(|pair| match pair.as_slice() {
            [vertical, horizontal, ..] if *vertical > 0.0 && *horizontal > 0.0 => Some(vertical / horizontal),
            _ => None,
        });
        Some(Self {
            edges: [x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)].map(f64::from),
            pixels: count(x1, x2).saturating_mul(count(y1, y2)),
            aspect: aspect.filter(|aspect| (0.01..=100.0).contains(aspect)),
        })
    }

    /// What of it is shown of an image that has these edges.
    fn shown(&self, [left, upper, right, lower]: [f64; 4]) -> [f64; 4] {
        if self.pixels <= MOST_SHOWN {
            return self.edges;
        }
        let [x1, y1, x2, y2] = self.edges;
        [x1.max(left), y1.max(upper), x2.min(right), y2.min(lower)]
    }
}

impl PresentationLut {
    fn apply(&self, shade: u8) -> u8 {
        match self {
            Self::Inverse => u8::MAX - shade,
            Self::Table { entries, bits } => {
                let at = usize::from(shade) * entries.len().saturating_sub(1) / usize::from(u8::MAX);
                let entry = entries.get(at).copied().unwrap_or_default();
                u8::try_from(entry >> bits.saturating_sub(8)).unwrap_or(u8::MAX)
            }
        }
    }
}

/// Place and shade of a layer (PS3.3 §C.10.7); the highest place is drawn last.
fn layer_of(state: &Attributes, name: Option<&str>) -> (i64, u8) {
    let layers = state.items(tags::GRAPHIC_LAYER_SEQUENCE).iter();
    let layer = layers.into_iter().find(|item| item.text(tags::GRAPHIC_LAYER).as_deref() == name);
    let of = |tag| layer.and_then(|layer| layer.int(tag));
    let value = of(tags::GRAPHIC_LAYER_RECOMMENDED_DISPLAY_GRAYSCALE_VALUE);
    (of(tags::GRAPHIC_LAYER_ORDER).unwrap_or_default(), shade(value).unwrap_or(u8::MAX))
}

fn presentation_lut(state: &Attributes) -> Option<PresentationLut> {
    if state.text(tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE") {
        return Some(PresentationLut::Inverse);
    }
    let item = state.items(tags::PRESENTATION_LUT_SEQUENCE).first()?;
    let bits = item.ints(tags::LUT_DESCRIPTOR).get(2).copied().and_then(|bits| u32::try_from(bits).ok())?;
    let (words, _) = item.bytes(tags::LUT_DATA)?.as_chunks::<2>();
    let entries: Vec<u16> = words.iter().map(|word| u16::from_le_bytes(*word)).collect();
    let is_usable = !entries.is_empty() && (8..=16).contains(&bits);
    is_usable.then_some(PresentationLut::Table { entries, bits })
}

/// Whether an item of the state is about this frame: it names it, or names no image.
fn is_meant(item: &Attributes, instance: &str, frame: FrameNumber) -> bool {
    let named = item.items(tags::REFERENCED_IMAGE_SEQUENCE);
    let is_it = |image: &Attributes| {
        let frames = image.ints(tags::REFERENCED_FRAME_NUMBER);
        image.uid(tags::REFERENCED_SOP_INSTANCE_UID) == Some(instance)
            && (frames.is_empty() || frames.contains(&i64::from(frame.get())))
    };
    named.is_empty() || named.iter().any(is_it)
}

fn only(of: &Attributes, names: &[Tag]) -> Attributes {
    let mut kept = Attributes::new();
    names.iter().filter_map(|tag| of.get(*tag)).for_each(|element| kept.put(element.clone()));
    kept
}

fn without(attributes: &mut Attributes, sequence: Tag, inner: Tag) {
    let items = attributes.items(sequence);
    if items.iter().any(|item| item.contains(inner)) {
        let mut items = items.to_vec();
        for item in &mut items {
            item.remove(inner);
        }
        attributes.put_items(sequence, items);
    }
}

/// A P-value of 16 bits as a shade.
fn shade(value: Option<i64>) -> Option<u8> {
    value.and_then(|value| u8::try_from(value.clamp(0, 0xFFFF) >> 8).ok())
}

fn turns(degrees: i64) -> u8 {
    u8::try_from(degrees.rem_euclid(360) / 90).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Channels;

    const IMAGE: &str = "1.2.3";

    fn picture() -> Bitmap {
        Bitmap { width: 4, height: 2, channels: Channels::Grey, bytes: vec![0, 10, 20, 30, 40, 50, 60, 70] }
    }

    fn state(put: impl FnOnce(&mut Attributes)) -> Softcopy {
        let mut state = Attributes::new();
        put(&mut state);
        Softcopy::read(&state, IMAGE, FrameNumber::FIRST)
    }

    fn ints(attributes: &mut Attributes, tag: Tag, vr: VR, numbers: &[i32]) {
        let bytes: Vec<u8> = match vr {
            VR::US => numbers.iter().flat_map(|n| u16::try_from(*n).unwrap().to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        };
        attributes.put_bytes(tag, vr, bytes);
    }

    #[test]
    fn the_area_is_cut_out_turned_and_flipped() {
        let mut area = Attributes::new();
        ints(&mut area, tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, VR::SL, &[2, 1]);
        ints(&mut area, tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, VR::SL, &[4, 2]);
        let shown = state(|state| {
            state.put_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area.clone()]);
            ints(state, tags::IMAGE_ROTATION, VR::US, &[90]);
        })
        .show(picture(), Ok)
        .unwrap();
        assert_eq!((shown.width, shown.height, shown.bytes), (2, 3, vec![50, 10, 60, 20, 70, 30]));
        let flipped = state(|state| state.put_text(tags::IMAGE_HORIZONTAL_FLIP, VR::CS, "Y"))
            .show(picture(), Ok)
            .unwrap();
        assert_eq!(flipped.bytes, [30, 20, 10, 0, 70, 60, 50, 40]);
    }

    #[test]
    fn what_the_area_has_beyond_the_image_is_black_with_its_graphics() {
        let area = |corners: [i32; 4]| {
            let mut area = Attributes::new();
            ints(&mut area, tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, VR::SL, &corners[..2]);
            ints(&mut area, tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, VR::SL, &corners[2..]);
            area
        };
        let of = |corners| {
            state(|state| state.put_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area(corners)]))
        };
        let shown = of([0, 0, 2, 3]).show(picture(), Ok).unwrap();
        assert_eq!((shown.width, shown.height), (3, 4));
        assert_eq!(shown.bytes, [[0, 0, 0], [0, 0, 10], [0, 40, 50], [0, 0, 0]].concat());
        let aside = of([9, 9, 12, 12]).show(picture(), Ok).unwrap();
        assert_eq!(aside.bytes, picture().bytes);
        let vast = of([-100_000, 1, 100_000, 2]);
        let most = of([-100_000, 0, 100_000, 1000]);
        assert_eq!((vast.warning(), most.show(picture(), Ok).unwrap().bytes), (None, picture().bytes));
        assert!(most.warning().is_some_and(|text| text.contains("beyond the image")));

        let mut point = Attributes::new();
        point.put_text(tags::GRAPHIC_TYPE, VR::CS, "POINT");
        point.put_bytes(
            tags::GRAPHIC_DATA,
            VR::FL,
            [-1_f32, 2.0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>(),
        );
        let mut annotation = Attributes::new();
        annotation.put_items(tags::GRAPHIC_OBJECT_SEQUENCE, vec![point]);
        let shown = state(|state| {
            state.put_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area([-1, 1, 2, 2])]);
            state.put_items(tags::GRAPHIC_ANNOTATION_SEQUENCE, vec![annotation]);
        });
        assert_eq!(shown.show(picture(), Ok).unwrap().bytes, [255, 0, 0, 10, 255, 255, 40, 50]);
    }

    #[test]
    fn the_presentation_lut_is_the_last_word_on_shades() {
        let inverse = state(|state| state.put_text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE"));
        assert_eq!(inverse.show(picture(), Ok).unwrap().bytes[..2], [255, 245]);
        let mut table = Attributes::new();
        ints(&mut table, tags::LUT_DESCRIPTOR, VR::US, &[2, 0, 16]);
        table.put_bytes(tags::LUT_DATA, VR::OW, vec![0, 0x80, 0xFF, 0xFF]);
        let shown = state(|state| state.put_items(tags::PRESENTATION_LUT_SEQUENCE, vec![table]))
            .show(picture(), Ok)
            .unwrap();
        assert!(shown.bytes.iter().all(|shade| *shade == 0x80));
    }

    #[test]
    fn a_shutter_hides_what_is_outside_and_graphics_lie_above_it() {
        let mut line = Attributes::new();
        line.put_text(tags::GRAPHIC_ANNOTATION_UNITS, VR::CS, "PIXEL");
        line.put_text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE");
        let ends: Vec<u8> = [1_f32, 2.0, 4.0, 2.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        line.put_bytes(tags::GRAPHIC_DATA, VR::FL, ends);
        let mut annotation = Attributes::new();
        annotation.put_items(tags::GRAPHIC_OBJECT_SEQUENCE, vec![line]);
        annotation.put_items(tags::TEXT_OBJECT_SEQUENCE, vec![Attributes::new()]);
        let softcopy = state(|state| {
            state.put_text(tags::SHUTTER_SHAPE, VR::CS, "RECTANGULAR");
            for (tag, edge) in [
                (tags::SHUTTER_LEFT_VERTICAL_EDGE, "1"),
                (tags::SHUTTER_RIGHT_VERTICAL_EDGE, "4"),
                (tags::SHUTTER_UPPER_HORIZONTAL_EDGE, "0"),
                (tags::SHUTTER_LOWER_HORIZONTAL_EDGE, "3"),
            ] {
                state.put_text(tag, VR::IS, edge);
            }
            ints(state, tags::SHUTTER_PRESENTATION_VALUE, VR::US, &[0x0800]);
            state.put_items(tags::GRAPHIC_ANNOTATION_SEQUENCE, vec![annotation]);
        });
        assert_eq!(softcopy.show(picture(), Ok).unwrap().bytes, [8, 10, 20, 8, 255, 255, 255, 255]);
        assert_eq!(
            softcopy.warning().as_deref(),
            Some("The presentation state has what is not shown: texts without words or a place")
        );
    }

    #[test]
    fn what_the_state_says_stands_in_for_what_the_image_proposes() {
        let mut voi = Attributes::new();
        voi.put_text(tags::WINDOW_CENTER, VR::DS, "40");
        let mut other = voi.clone();
        let mut reference = Attributes::new();
        reference.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "9.9");
        other.put_items(tags::REFERENCED_IMAGE_SEQUENCE, vec![reference]);
        other.put_text(tags::WINDOW_CENTER, VR::DS, "7");
        let mut image = Attributes::new();
        image.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
        image.put_text(tags::WINDOW_CENTER, VR::DS, "1");
        image.put_text(tags::WINDOW_WIDTH, VR::DS, "2");
        image.put_text(tags::RESCALE_SLOPE, VR::DS, "3");
        image.put_text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE");
        let texts = |over: Attributes| {
            [tags::WINDOW_CENTER, tags::WINDOW_WIDTH, tags::RESCALE_SLOPE, tags::PHOTOMETRIC_INTERPRETATION]
                .map(|tag| over.text(tag).unwrap_or_default())
        };
        let with_view = state(|state| state.put_items(tags::SOFTCOPY_VOILUT_SEQUENCE, vec![other, voi]));
        assert_eq!(texts(with_view.over(&image)), ["40", "", "", "MONOCHROME2"]);
        assert_eq!(with_view.over(&image).text(tags::PRESENTATION_LUT_SHAPE), None);
        let with_slope = state(|state| state.put_text(tags::RESCALE_SLOPE, VR::DS, "5"));
        assert_eq!(texts(with_slope.over(&image)), ["", "", "5", "MONOCHROME2"]);
    }

    #[test]
    fn what_the_image_proposes_for_its_frames_is_not_used_either() {
        let item = |group: Tag, tag: Tag| {
            let mut inner = Attributes::new();
            inner.put_text(tag, VR::DS, "3");
            let mut item = Attributes::new();
            item.put_items(group, vec![inner]);
            item
        };
        let mut image = Attributes::new();
        for (sequence, item) in [
            (
                tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
                item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE),
            ),
            (
                tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
                item(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER),
            ),
        ] {
            image.put_items(sequence, vec![item]);
        }
        let over = state(|_| {}).over(&image);
        for sequence in GROUPS {
            assert_eq!(over.items(*sequence), [Attributes::new()]);
        }
    }
}
