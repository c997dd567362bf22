//! Stored grey values → shades of 8 bits: modality, values of interest, polarity (PS3.3 §C.11).
//!
//! Samples of up to 16 bits go through a table with an entry a stored value, so that the formulas
//! run once a value and not once a pixel. Wider ones and floats are computed one by one.

use std::borrow::Cow;

use super::{Error, ImageInfo, Modality, Result, SampleKind, Voi, Window};

/// Values of 16 bits.
const WORDS: usize = 1 << 16;

/// Which values are spread over the shades.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shown {
    /// The first view that the data set proposes; without one, all values that the frame has.
    #[default]
    AsProposed,
    /// The same; without a view, all values that the bits can stand for, which do not differ from frame to frame.
    AsProposedOrAll,
    /// This window, in the unit of the modality's output.
    Window(Window),
}

/// One byte a pixel, 0 black and 255 white. Padding is black.
///
/// # Errors
/// `Unsupported` for integers of 64 bits.
pub(super) fn shades(samples: &[u8], info: &ImageInfo, shown: &Shown) -> Result<Vec<u8>> {
    match (info.kind, info.sample_bytes()) {
        (SampleKind::Integer, 1) => Ok(by_table(samples.iter().map(|byte| u16::from(*byte)), info, shown)),
        (SampleKind::Integer, 2) => {
            let (words, _) = samples.as_chunks::<2>();
            Ok(by_table(words.iter().map(|word| u16::from_le_bytes(*word)), info, shown))
        }
        (SampleKind::Integer, 4) => {
            let stored = StoredBits::of(info);
            let (words, _) = samples.as_chunks::<4>();
            let values = words.iter().map(|word| stored.value(u32::from_le_bytes(*word)));
            Ok(one_by_one(values.map(number), info, shown))
        }
        (SampleKind::Float, 4) => {
            let (words, _) = samples.as_chunks::<4>();
            let values = words.iter().map(|word| f64::from(f32::from_le_bytes(*word)));
            Ok(one_by_one(values, info, shown))
        }
        (SampleKind::Double, 8) => {
            let (words, _) = samples.as_chunks::<8>();
            Ok(one_by_one(words.iter().map(|word| f64::from_le_bytes(*word)), info, shown))
        }
        (kind, bytes) => Err(Error::unsupported(format!("{kind:?} samples of {bytes} bytes"))),
    }
}

/// The stored values of samples of up to 16 bits.
pub(super) fn stored_values<'a>(samples: &'a [u8], info: &ImageInfo) -> Box<dyn Iterator<Item = i64> + 'a> {
    let stored = StoredBits::of(info);
    if info.sample_bytes() == 1 {
        return Box::new(samples.iter().map(move |byte| stored.value(u32::from(*byte))));
    }
    let (words, _) = samples.as_chunks::<2>();
    Box::new(words.iter().map(move |word| stored.value(u32::from(u16::from_le_bytes(*word)))))
}

/// Where the stored bits lie in a sample (PS3.5 §8.1.1).
///
/// What lies above them, such as overlays of old devices, is no part of the value.
#[derive(Clone, Copy)]
struct StoredBits {
    shift: u32,
    mask: u32,
    /// The bit that makes a value negative; 0 where none does.
    sign: u32,
}

impl StoredBits {
    fn of(info: &ImageInfo) -> Self {
        let bits = info.bits_stored.clamp(1, 32);
        let mask = u32::MAX >> (32 - bits);
        let sign = if info.is_signed { 1 << (bits - 1) } else { 0 };
        Self { shift: (info.high_bit + 1).saturating_sub(bits).min(31), mask, sign }
    }

    fn value(self, sample: u32) -> i64 {
        self.value_at(self.rank(sample))
    }

    /// The stored bits in the order of their values: 0 is the lowest value, positive or not.
    fn rank(self, sample: u32) -> u32 {
        (sample >> self.shift & self.mask) ^ self.sign
    }

    fn value_at(self, rank: u32) -> i64 {
        i64::from(rank) - i64::from(self.sign)
    }
}

/// The same of 16 bits at the most.
#[derive(Clone, Copy)]
struct NarrowBits {
    shift: u32,
    mask: u16,
    sign: u16,
}

impl NarrowBits {
    fn of(StoredBits { shift, mask, sign }: StoredBits) -> Self {
        let low = |bits: u32| u16::try_from(bits & 0xFFFF).unwrap_or(0);
        let mask = if shift < 16 { low(mask) } else { 0 };
        Self { shift: shift.min(15), mask, sign: low(sign) }
    }

    fn rank(self, sample: u16) -> u16 {
        (sample >> self.shift & self.mask) ^ self.sign
    }
}

#[expect(clippy::cast_precision_loss, reason = "stored values have 32 bits at most")]
pub(super) fn number(stored: i64) -> f64 {
    stored as f64
}

/// The whole way of one value.
struct Shader<'a> {
    modality: &'a Modality,
    voi: Cow<'a, Voi>,
    is_inverted: bool,
    info: &'a ImageInfo,
}

impl<'a> Shader<'a> {
    /// `extremes` are the lowest and highest value of the frame but for its padding, asked for only
    /// when nothing else says what to show.
    fn new(info: &'a ImageInfo, shown: &Shown, extremes: impl FnOnce() -> Option<(f64, f64)>) -> Self {
        let voi = match (shown, &info.voi) {
            (Shown::Window(window), _) => Cow::Owned(Voi::Window(*window)),
            (Shown::AsProposed | Shown::AsProposedOrAll, Some(voi)) => Cow::Borrowed(voi),
            (Shown::AsProposed, None) => Cow::Owned(Voi::Window(whole_range(info, extremes))),
            (Shown::AsProposedOrAll, None) => {
                let (lowest, highest) = info.output_range().or_else(extremes).unwrap_or((0.0, 1.0));
                Cow::Owned(Voi::Window(Window::spanning(lowest, highest)))
            }
        };
        Self { modality: &info.modality, voi, is_inverted: info.is_inverted(), info }
    }

    fn shade(&self, stored: f64) -> u8 {
        if is_padding(self.info, stored) {
            return 0;
        }
        let brightness = self.voi.brightness(self.modality.value(stored));
        to_byte(if self.is_inverted { 1.0 - brightness } else { brightness })
    }
}

fn is_padding(info: &ImageInfo, stored: f64) -> bool {
    info.padding.is_some_and(|padding| padding.contains(stored))
}

/// The window from the lowest to the highest value of the frame, padding left out.
///
/// Values of 8 bits and fewer without a meaning of their own are shades already: they keep their full
/// range, so that the frames of one image do not differ in brightness.
fn whole_range(info: &ImageInfo, extremes: impl FnOnce() -> Option<(f64, f64)>) -> Window {
    let is_shade =
        info.kind == SampleKind::Integer && info.bits_stored <= 8 && info.modality == Modality::IDENTITY;
    let all = if is_shade { info.output_range() } else { None };
    let (lowest, highest) = all.or_else(extremes).unwrap_or((0.0, 1.0));
    Window::spanning(lowest, highest)
}

/// The lowest and highest meaning of some samples, of those that are shown in grey.
fn extremes_of(samples: impl Iterator<Item = f64>, info: &ImageInfo) -> Option<(f64, f64)> {
    samples
        .filter(|stored| !is_padding(info, *stored) && !info.is_colour(*stored))
        .map(|stored| info.modality.value(stored))
        .filter(|value| value.is_finite())
        .fold(None, |extremes, value| match extremes {
            None => Some((value, value)),
            Some((lowest, highest)) => Some((value.min(lowest), value.max(highest))),
        })
}

fn one_by_one(samples: impl Iterator<Item = f64> + Clone, info: &ImageInfo, shown: &Shown) -> Vec<u8> {
    let shader = Shader::new(info, shown, || extremes_of(samples.clone(), info));
    samples.map(|stored| shader.shade(stored)).collect()
}

/// With an entry for each value, computed from the frame's lowest to its highest, which of 16 bits are few.
fn by_table(samples: impl Iterator<Item = u16> + Clone, info: &ImageInfo, shown: &Shown) -> Vec<u8> {
    let stored = StoredBits::of(&ImageInfo { bits_stored: info.bits_stored.min(16), ..info.clone() });
    let narrow = NarrowBits::of(stored);
    let ranks = samples.map(|sample| narrow.rank(sample));
    let value = |rank: u16| number(stored.value_at(u32::from(rank)));
    let (lowest, highest) =
        ranks.clone().fold((u16::MAX, 0), |(low, high), rank| (low.min(rank), high.max(rank)));

    let extremes = || match (&info.modality, info.padding, &info.palette) {
        (Modality::Rescale { .. }, None, None) => extremes_of([lowest, highest].into_iter().map(value), info),
        _ => {
            let mut occurs = [false; WORDS];
            for rank in ranks.clone() {
                if let Some(occurs) = occurs.get_mut(usize::from(rank)) {
                    *occurs = true;
                }
            }
            let present = (0..=u16::MAX).zip(&occurs).filter(|(_, occurs)| **occurs);
            extremes_of(present.map(|(rank, _)| value(rank)), info)
        }
    };
    let shader = Shader::new(info, shown, extremes);
    let mut shades = [0; WORDS];
    for rank in lowest..=highest {
        if let Some(shade) = shades.get_mut(usize::from(rank)) {
            *shade = shader.shade(value(rank));
        }
    }
    ranks.map(|rank| shades.get(usize::from(rank)).copied().unwrap_or(0)).collect()
}

/// 0 … 1 → 0 … 255, to the nearest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn to_byte(brightness: f64) -> u8 {
    (brightness * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::fixture::grey;
    use super::super::{Lut, LutShape, Padding, Photometric, WindowFunction};
    use super::*;

    fn words(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn window(center: f64, width: f64) -> Shown {
        Shown::Window(Window::new(center, width, WindowFunction::Linear).unwrap())
    }

    fn shown(samples: &[u8], info: &ImageInfo) -> Vec<u8> {
        shades(samples, info, &Shown::AsProposed).unwrap()
    }

    #[test]
    fn a_window_goes_by_the_formula_of_the_standard() {
        // ((v − 15.5) / 15 + 0.5) · 255 at 8, 9, 16, 23 of centre 16, width 16.
        let info = grey(1, 6, 16);
        let shades = shades(&words(&[0, 8, 9, 16, 23, 40]), &info, &window(16.0, 16.0)).unwrap();
        assert_eq!(shades, [0, 0, 17, 136, 255, 255]);
    }

    #[test]
    fn signed_values_of_12_bits_are_extended_and_rescaled() {
        let info = ImageInfo {
            bits_stored: 12,
            high_bit: 11,
            is_signed: true,
            modality: Modality::Rescale { slope: 2.0, intercept: 100.0 },
            ..grey(1, 3, 16)
        };
        // −1 → 98, 0 → 100, 1 → 102; the four highest bits belong to something else.
        let shades = shades(&words(&[0xFFFF, 0xF000, 0x0001]), &info, &window(100.5, 5.0)).unwrap();
        assert_eq!(shades, [0, 128, 255]);
    }

    #[test]
    fn stored_bits_need_not_be_the_lowest() {
        let info = ImageInfo { bits_stored: 8, high_bit: 15, ..grey(1, 2, 16) };
        assert_eq!(shown(&words(&[0x80FF, 0xFF00]), &info), [0x80, 0xFF]);
    }

    #[test]
    fn without_a_window_the_frames_own_range_is_spread_without_its_padding() {
        let padding = Some(Padding { first: 0.0, last: 0.0 });
        let info = ImageInfo { padding, ..grey(1, 4, 16) };
        assert_eq!(shown(&words(&[0, 1000, 1500, 2000]), &info), [0, 0, 128, 255]);
    }

    #[test]
    fn without_a_window_all_values_of_the_bits_may_be_spread() {
        let all = |samples: &[u16], info: &ImageInfo| {
            shades(&words(samples), info, &Shown::AsProposedOrAll).unwrap()
        };
        let info = ImageInfo { bits_stored: 12, high_bit: 11, ..grey(1, 2, 16) };
        assert_eq!(all(&[0, 4095], &info), [0, 255]);
        assert_eq!(all(&[2048, 2048], &info), [128, 128]);
        let falling = Modality::Rescale { slope: -1.0, intercept: 7.0 };
        assert_eq!(all(&[0, 4095], &ImageInfo { modality: falling, ..info.clone() }), [255, 0]);
        let table = Modality::Lut(Arc::new(Lut { first: 0, entries: vec![0, 51], bits: 8 }));
        assert_eq!(all(&[0, 1], &ImageInfo { modality: table, ..info }), [0, 51]);
    }

    #[test]
    fn without_a_window_8_bits_are_shades_already() {
        assert_eq!(shown(&[3, 100, 200], &grey(1, 3, 8)), [3, 100, 200]);
        let bit = ImageInfo { bits_stored: 1, high_bit: 0, ..grey(1, 2, 8) };
        assert_eq!(shown(&[1, 1], &bit), [255, 255]);
    }

    #[test]
    fn monochrome1_is_inverted_and_its_padding_still_black() {
        let info = ImageInfo {
            photometric: Photometric::Monochrome1,
            padding: Some(Padding { first: 4000.0, last: 4095.0 }),
            ..grey(1, 3, 16)
        };
        assert_eq!(shown(&words(&[0, 100, 4095]), &info), [255, 0, 0]);
    }

    /// As DCMTK shows them.
    #[rstest]
    #[case::identity(Photometric::Monochrome2, Some(LutShape::Identity), [0, 64, 128, 191, 255])]
    #[case::inverse(Photometric::Monochrome2, Some(LutShape::Inverse), [255, 191, 127, 64, 0])]
    #[case::identity_of_monochrome1(Photometric::Monochrome1, Some(LutShape::Identity), [0, 64, 128, 191, 255])]
    #[case::inverse_of_monochrome1(Photometric::Monochrome1, Some(LutShape::Inverse), [255, 191, 127, 64, 0])]
    #[case::none_of_monochrome1(Photometric::Monochrome1, None, [255, 191, 127, 64, 0])]
    fn the_shape_of_the_presentation_lut_tells_the_polarity(
        #[case] photometric: Photometric,
        #[case] shape: Option<LutShape>,
        #[case] expected: [u8; 5],
    ) {
        let info = ImageInfo { photometric, shape, ..grey(1, 5, 16) };
        let samples = words(&[0, 1000, 2000, 3000, 4000]);
        assert_eq!(shades(&samples, &info, &window(2000.0, 4000.0)).unwrap(), expected);
    }

    #[test]
    fn tables_of_the_data_set_are_followed() {
        let modality = Modality::Lut(Arc::new(Lut { first: 0, entries: vec![5, 6, 7], bits: 16 }));
        let voi = Voi::Lut(Arc::new(Lut { first: 5, entries: vec![0, 255, 51], bits: 8 }));
        let info = ImageInfo { modality, voi: Some(voi), ..grey(1, 3, 16) };
        assert_eq!(shown(&words(&[0, 1, 2]), &info), [0, 255, 51]);
    }

    #[test]
    fn an_asked_window_wins_over_the_proposed_one() {
        let proposed = Window::new(5000.0, 10.0, WindowFunction::Linear).unwrap();
        let info = ImageInfo { voi: Some(Voi::Window(proposed)), ..grey(1, 1, 16) };
        assert_eq!(shown(&words(&[100]), &info), [0]);
        assert_eq!(shades(&words(&[100]), &info, &window(50.0, 10.0)).unwrap(), [255]);
    }

    #[test]
    fn wide_integers_and_floats_are_shown_too() {
        let wide: Vec<u8> = [0_u32, 1 << 20, 1 << 21].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(shown(&wide, &grey(1, 3, 32)), [0, 128, 255]);
        let float = ImageInfo { kind: SampleKind::Float, ..grey(1, 4, 32) };
        let values: Vec<u8> = [-1.5_f32, 0.0, 1.5, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(shown(&values, &float), [0, 128, 255, 0]);
        let padded = ImageInfo { padding: Some(Padding { first: -1.5, last: -1.0 }), ..float };
        assert_eq!(shown(&values, &padded), [0, 0, 255, 0]);
        let double = ImageInfo { kind: SampleKind::Double, ..grey(1, 2, 64) };
        let values: Vec<u8> = [1e-9_f64, 2e-9].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(shown(&values, &double), [0, 255]);
    }

    #[rstest]
    #[case::all_equal(grey(1, 4, 16))]
    #[case::all_padding(ImageInfo { padding: Some(Padding { first: 7.0, last: 7.0 }), ..grey(1, 4, 16) })]
    fn a_frame_of_one_value_is_black(#[case] info: ImageInfo) {
        assert_eq!(shown(&words(&[7; 4]), &info), [0; 4]);
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_formula(
            sample in any::<u16>(),
            bits_stored in 1..=16_u32,
            spare in 0..16_u32,
            is_signed in any::<bool>(),
            center in -40000.0..40000.0_f64,
            width in 1.0..80000.0_f64,
        ) {
            let high_bit = (bits_stored - 1 + spare).min(15);
            let info = ImageInfo { bits_stored, high_bit, is_signed, ..grey(1, 1, 16) };
            let shown = window(center, width);
            let table = shades(&sample.to_le_bytes(), &info, &shown).unwrap();
            let value = StoredBits::of(&info).value(u32::from(sample));
            let formula = one_by_one([number(value)].into_iter(), &info, &shown);
            prop_assert_eq!(table, formula);
        }
    }
}
