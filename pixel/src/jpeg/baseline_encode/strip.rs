//! One row of minimum coded units of a picture, taken apart into colours.

use super::cosine::Lines;
use super::{Colours, Samples8};

/// The rows of a picture that are encoded at a time. Beyond its edges the last column and row go on.
pub(super) struct Strip {
    pub(super) luminance: Plane,
    /// Cb and Cr, for as many pixels together as share them.
    pub(super) chrominance: Option<[Plane; 2]>,
    /// The same before that.
    whole: Option<[Plane; 2]>,
    shared: (usize, usize),
    next_row: usize,
}

/// Samples of one colour.
pub(super) struct Plane {
    samples: Vec<u8>,
    /// Samples of a row, in whole minimum coded units.
    pub(super) stride: usize,
}

impl Plane {
    fn new(stride: usize, rows: usize) -> Self {
        Self { samples: vec![0; stride * rows], stride }
    }

    /// Samples of a block, less 128.
    #[inline(always)]
    pub(super) fn block(&self, x: usize, y: usize) -> Lines {
        let mut lines = [[0.0; 8]; 8];
        let rows = self.samples.chunks_exact(self.stride).skip(8 * y);
        for (line, row) in lines.iter_mut().zip(rows) {
            if let Some(samples) = row.get(8 * x..).and_then(<[u8]>::first_chunk::<8>) {
                *line = samples.map(|sample| f32::from(sample) - 128.0);
            }
        }
        lines
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.samples.chunks_exact_mut(self.stride)
    }
}

/// Lets the last sample of the picture go on to the end of the row.
#[inline(always)]
fn go_on(row: &mut [u8], columns: usize) {
    let last = row.get(columns - 1).copied().unwrap_or_default();
    row.get_mut(columns..).unwrap_or_default().fill(last);
}

impl Strip {
    /// Of a picture of a pixel at least, before its first one; `shared` are the columns and rows of pixels that have one
    /// sample of chrominance.
    pub(super) fn new(picture: &Samples8<'_>, shared: (usize, usize)) -> Self {
        let (beside, above) = shared;
        let stride = usize::try_from(picture.columns).unwrap_or(0).next_multiple_of(8 * beside);
        let rows = 8 * above;
        let of = |stride, rows| [Plane::new(stride, rows), Plane::new(stride, rows)];
        let is_grey = picture.colours == Colours::Grey;
        let whole = (!is_grey && shared != (1, 1)).then(|| of(stride, rows));
        let chrominance = (!is_grey).then(|| of(stride / beside, 8));
        Self { luminance: Plane::new(stride, rows), chrominance, whole, shared, next_row: 0 }
    }

    /// Takes the next rows; false behind the last ones.
    #[inline(always)]
    pub(super) fn next(&mut self, picture: &Samples8<'_>) -> bool {
        let columns = usize::try_from(picture.columns).unwrap_or(0);
        let rows = picture.bytes.chunks_exact(columns * picture.colours.count());
        let Some(last) = rows.clone().next_back().filter(|_| self.next_row < rows.len()) else {
            return false;
        };
        let rows = rows.skip(self.next_row).chain(std::iter::repeat(last));
        self.next_row += 8 * self.shared.1;
        let Some(chrominance) = self.whole.as_mut().or(self.chrominance.as_mut()) else {
            for (to, from) in self.luminance.rows_mut().zip(rows) {
                to.get_mut(..columns).unwrap_or_default().copy_from_slice(from);
                go_on(to, columns);
            }
            return true;
        };
        let [blue, red] = chrominance;
        let planes = self.luminance.rows_mut().zip(blue.rows_mut()).zip(red.rows_mut());
        for (((y, blue), red), from) in planes.zip(rows) {
            if picture.colours == Colours::Rgb {
                convert(from, (y, blue, red), of_rgb);
            } else {
                convert(from, (y, blue, red), |pixel| pixel);
            }
            [y, blue, red].into_iter().for_each(|row| go_on(row, columns));
        }
        if let (Some(whole), Some(shared)) = (&self.whole, &mut self.chrominance) {
            for (whole, shared) in whole.iter().zip(shared) {
                share(whole, shared, self.shared.1);
            }
        }
        true
    }
}

/// Pixels → planes.
#[inline(always)]
fn convert(
    pixels: &[u8],
    (y, blue, red): (&mut [u8], &mut [u8], &mut [u8]),
    conversion: impl Fn([u8; 3]) -> [u8; 3],
) {
    let (pixels, _) = pixels.as_chunks::<3>();
    for (((pixel, y), blue), red) in pixels.iter().zip(y).zip(blue).zip(red) {
        [*y, *blue, *red] = conversion(*pixel);
    }
}

/// RGB → YCbCr (JFIF §7), in sixteen bits behind the point.
#[inline(always)]
fn of_rgb(pixel: [u8; 3]) -> [u8; 3] {
    let [red, green, blue] = pixel.map(i32::from);
    let middle = (128 << 16) + (1 << 15) - 1;
    let y = (19_595 * red + 38_470 * green + 7_471 * blue + (1 << 15)) >> 16;
    let cb = (-11_059 * red - 21_709 * green + 32_768 * blue + middle) >> 16;
    let cr = (32_768 * red - 27_439 * green - 5_329 * blue + middle) >> 16;
    [y, cb, cr].map(|sample| {
        let [byte, ..] = sample.to_le_bytes();
        byte
    })
}

/// The mean of two or four samples, to the nearest.
#[inline(always)]
fn share(whole: &Plane, shared: &mut Plane, above: usize) {
    let rows = whole.samples.chunks_exact(whole.stride * above);
    for (to, from) in shared.samples.chunks_exact_mut(shared.stride).zip(rows) {
        let (upper, lower) = from.split_at(whole.stride);
        // Of two beside each other twice the sum.
        let lower = if lower.is_empty() { upper } else { lower };
        let (upper, _) = upper.as_chunks::<2>();
        let (lower, _) = lower.as_chunks::<2>();
        for ((to, [a, b]), [c, d]) in to.iter_mut().zip(upper).zip(lower) {
            let sum = u16::from(*a) + u16::from(*b) + u16::from(*c) + u16::from(*d);
            let [mean, ..] = ((sum + 2) / 4).to_le_bytes();
            *to = mean;
        }
    }
}
