//! Region, scale and flip: fitting a picture into a viewport (PS3.18 §8.3.5.1.3).

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::{Bitmap, Channels, Error, ErrorKind, Result};

/// Longest edge of a viewport, in pixels; larger than any screen.
const MAX_EDGE: u32 = 16_384;

/// Most pixels that a picture is enlarged to, 4096 × 4096: more than medical screens have, and few enough that a pool
/// full of such work fits into memory.
const MAX_PIXELS: u64 = 4096 * 4096;

/// A place of so many pixels, and what of the picture to show in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Viewport {
    /// Columns of the place, at most 16384.
    pub width: u32,
    /// Rows of the place, at most 16384.
    pub height: u32,
    /// What to show; the whole picture when none.
    pub region: Option<Region>,
}

/// A part of the picture, in its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Region {
    /// Left edge, from 0.
    pub x: f64,
    /// Upper edge, from 0.
    pub y: f64,
    /// Columns, all when none; a negative number mirrors left and right.
    pub width: Option<f64>,
    /// Rows, all when none; a negative number turns it upside down.
    pub height: Option<f64>,
}

/// A region with its edges inside of the picture.
#[derive(Clone, Copy)]
struct Crop {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// The picture in the viewport: cropped, scaled up or down until one edge fits exactly, flipped.
///
/// The answer is no larger than the viewport and not padded. `pixel_aspect` is the height of a pixel
/// divided by its width; the answer has square ones.
///
/// # Errors
/// `Presentation` when the viewport is empty or has an edge over 16384, when the answer would have more pixels than both
/// 4096 × 4096 and the picture, or when the region lies outside of the picture.
pub fn fit(picture: Bitmap, viewport: &Viewport, pixel_aspect: f64) -> Result<Bitmap> {
    let edges = 1..=MAX_EDGE;
    if !edges.contains(&viewport.width) || !edges.contains(&viewport.height) {
        return Err(presentation(format!("viewport of {} × {} pixels", viewport.width, viewport.height)));
    }
    let region = viewport.region.unwrap_or_default();
    let crop = crop(&picture, &region)?;
    let (width, height) = fitted(&crop, viewport, pixel_aspect);
    let count = |width: u32, height: u32| u64::from(width) * u64::from(height);
    if count(width, height) > MAX_PIXELS.max(count(picture.width, picture.height)) {
        return Err(presentation(format!(
            "viewport makes an image of {width} × {height} pixels, limit is {MAX_PIXELS} (4096 × 4096), or as many as the stored image has"
        )));
    }
    let mut scaled = resize(picture, &crop, width, height)?;
    if region.width.is_some_and(|width| width < 0.0) {
        mirror(&mut scaled);
    }
    if region.height.is_some_and(|height| height < 0.0) {
        turn_upside_down(&mut scaled);
    }
    Ok(scaled)
}

fn presentation(what: String) -> Error {
    Error::new(ErrorKind::Presentation, what)
}

fn crop(picture: &Bitmap, region: &Region) -> Result<Crop> {
    let (columns, rows) = (f64::from(picture.width), f64::from(picture.height));
    let (left, width) = clipped(region.x, region.width, columns)?;
    let (top, height) = clipped(region.y, region.height, rows)?;
    Ok(Crop { left, top, width, height })
}

fn clipped(start: f64, length: Option<f64>, whole: f64) -> Result<(f64, f64)> {
    let end = start + length.map_or(whole, f64::abs);
    let (first, last) = (start.max(0.0), end.min(whole));
    if first < last && start.is_finite() && end.is_finite() {
        return Ok((first, last - first));
    }
    Err(presentation(format!("region from {start} to {end} of a picture of {whole} pixels")))
}

/// Columns and rows of the answer: the region as large as the viewport holds it.
fn fitted(crop: &Crop, viewport: &Viewport, pixel_aspect: f64) -> (u32, u32) {
    let aspect = if pixel_aspect.is_finite() && pixel_aspect > 0.0 { pixel_aspect } else { 1.0 };
    let (width, height) = (crop.width, crop.height * aspect);
    let factor = (f64::from(viewport.width) / width).min(f64::from(viewport.height) / height);
    (pixels(width * factor, viewport.width), pixels(height * factor, viewport.height))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn pixels(length: f64, most: u32) -> u32 {
    (length.round() as u32).clamp(1, most)
}

fn resize(picture: Bitmap, crop: &Crop, width: u32, height: u32) -> Result<Bitmap> {
    let is_whole = crop.left == 0.0 && crop.top == 0.0;
    let is_same = crop.width == f64::from(width) && crop.height == f64::from(height);
    if is_whole && is_same && (picture.width, picture.height) == (width, height) {
        return Ok(picture);
    }
    let kind = match picture.channels {
        Channels::Grey => PixelType::U8,
        Channels::Rgb => PixelType::U8x3,
    };
    let internal =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("scaling: {error}"));
    let source =
        ImageRef::new(picture.width, picture.height, &picture.bytes, kind).map_err(|e| internal(&e))?;
    let mut target = Image::new(width, height, kind);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(crop.left, crop.top, crop.width, crop.height)
        .use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| internal(&e))?;
    Ok(Bitmap { width, height, channels: picture.channels, bytes: target.into_vec() })
}

fn mirror(picture: &mut Bitmap) {
    let (row, pixel) = (picture.row_bytes(), picture.channels.count());
    for row in picture.bytes.chunks_exact_mut(row.max(1)) {
        row.reverse();
        row.chunks_exact_mut(pixel).for_each(<[u8]>::reverse);
    }
}

fn turn_upside_down(picture: &mut Bitmap) {
    let row = picture.row_bytes();
    picture.bytes = picture.bytes.chunks_exact(row.max(1)).rev().flatten().copied().collect();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn grey(width: u32, height: u32, bytes: Vec<u8>) -> Bitmap {
        Bitmap { width, height, channels: Channels::Grey, bytes }
    }

    /// Columns 0 … 63 of twice their number, 32 rows.
    fn ramp() -> Bitmap {
        grey(64, 32, (0..32).flat_map(|_| (0..64).map(|x| x * 2)).collect())
    }

    fn viewport(width: u32, height: u32) -> Viewport {
        Viewport { width, height, region: None }
    }

    #[rstest]
    #[case::smaller(32, 32, 32, 16)]
    #[case::larger(256, 256, 256, 128)]
    #[case::low(200, 8, 16, 8)]
    #[case::same(64, 32, 64, 32)]
    #[case::least(1, 1, 1, 1)]
    fn keeps_the_aspect(#[case] width: u32, #[case] height: u32, #[case] columns: u32, #[case] rows: u32) {
        let fitted = fit(ramp(), &viewport(width, height), 1.0).unwrap();
        assert_eq!((fitted.width, fitted.height), (columns, rows));
        assert_eq!(fitted.bytes.len(), usize::try_from(columns * rows).unwrap());
    }

    #[test]
    fn pixels_that_are_not_square_become_so() {
        let fitted = fit(ramp(), &viewport(64, 64), 2.0).unwrap();
        assert_eq!((fitted.width, fitted.height), (64, 64));
    }

    #[test]
    fn a_region_is_cut_out() {
        let region = Some(Region { x: 16.0, y: 8.0, width: Some(4.0), height: Some(2.0) });
        let fitted = fit(ramp(), &Viewport { width: 4, height: 2, region }, 1.0).unwrap();
        assert_eq!(fitted.bytes, [[32, 34, 36, 38]; 2].concat());
    }

    #[test]
    fn what_a_region_has_outside_of_the_picture_is_left_off() {
        let region = Some(Region { x: 60.0, y: 0.0, width: Some(100.0), height: None });
        let fitted = fit(ramp(), &Viewport { width: 64, height: 32, region }, 1.0).unwrap();
        assert_eq!((fitted.width, fitted.height), (4, 32));
    }

    #[test]
    fn a_picture_of_more_pixels_than_the_limit_is_shown_in_its_own_size_and_no_larger() {
        let picture = grey(5000, 4000, vec![7; 5000 * 4000]);
        let fitted = fit(picture.clone(), &viewport(5000, 4000), 1.0).unwrap();
        assert_eq!((fitted.width, fitted.height), (5000, 4000));
        assert_eq!(fit(picture, &viewport(5005, 4004), 1.0).unwrap_err().kind, ErrorKind::Presentation);
    }

    #[test]
    fn negative_lengths_flip() {
        let picture = Bitmap { width: 2, height: 2, channels: Channels::Rgb, bytes: (0..12).collect() };
        let flipped = |width, height| {
            let region = Some(Region { x: 0.0, y: 0.0, width: Some(width), height: Some(height) });
            fit(picture.clone(), &Viewport { width: 2, height: 2, region }, 1.0).unwrap().bytes
        };
        assert_eq!(flipped(-2.0, 2.0), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
        assert_eq!(flipped(2.0, -2.0), [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
    }

    #[rstest]
    #[case::empty_viewport(viewport(0, 10))]
    #[case::huge_viewport(viewport(10, 1 << 20))]
    #[case::too_many_pixels(viewport(5800, 5800))]
    #[case::beside(Viewport { region: Some(Region { x: 64.0, ..Region::default() }), ..viewport(8, 8) })]
    #[case::empty(Viewport { region: Some(Region { width: Some(0.0), ..Region::default() }), ..viewport(8, 8) })]
    #[case::no_number(Viewport { region: Some(Region { y: f64::NAN, ..Region::default() }), ..viewport(8, 8) })]
    fn refuses_what_shows_nothing(#[case] viewport: Viewport) {
        assert_eq!(fit(ramp(), &viewport, 1.0).unwrap_err().kind, ErrorKind::Presentation);
    }

    proptest! {
        #[test]
        fn any_region_is_shown_or_refused(
            (width, height) in (0..100_u32, 0..100_u32),
            (x, y) in (-100.0..100.0_f64, -100.0..100.0_f64),
            sizes in prop::option::of((-1e9..1e9_f64, -1e9..1e9_f64)),
            aspect in prop_oneof![0.01..100.0_f64, Just(f64::NAN)],
        ) {
            let region = Region { x, y, width: sizes.map(|s| s.0), height: sizes.map(|s| s.1) };
            if let Ok(fitted) = fit(ramp(), &Viewport { width, height, region: Some(region) }, aspect) {
                prop_assert!(fitted.width <= width && fitted.height <= height);
            }
        }
    }
}
