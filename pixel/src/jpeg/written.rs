//! JPEG streams for the tests of this module, written as plainly as the standard allows.
//!
//! All codes have the same length, so that a code is its symbol.

use super::super::ImageInfo;

/// Frame and scan of a stream.
#[derive(Clone)]
pub(super) struct Written {
    /// The marker of the frame.
    pub(super) process: u8,
    pub(super) precision: u8,
    pub(super) rows: u16,
    pub(super) columns: u16,
    /// Sampling factors of each colour.
    pub(super) sampling: Vec<u8>,
    /// Length of every code, and how many symbols have one.
    pub(super) codes: (usize, u8),
    /// The last three bytes of the scan header.
    pub(super) scan: [u8; 3],
    pub(super) restart_interval: u16,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            process: 0xC3,
            precision: 8,
            rows: 1,
            columns: 1,
            sampling: vec![0x11],
            codes: (5, 17),
            scan: [1, 0, 0],
            restart_interval: 0,
        }
    }
}

impl Written {
    /// The whole stream around the entropy-coded segments of one scan, between which restarts are put.
    pub(super) fn stream(&self, segments: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = vec![0xFF, 0xD8];
        let mut put = |marker: u8, body: &[u8]| {
            let length = u16::try_from(body.len() + 2).unwrap();
            stream.extend([&[0xFF, marker], &length.to_be_bytes()[..], body].concat());
        };
        put(0xDB, &[&[0][..], &[1; 64]].concat());
        put(0xDD, &self.restart_interval.to_be_bytes());
        let (length, count) = self.codes;
        let mut counts = [0; 16];
        counts[length - 1] = count;
        for class in [0x00, 0x10] {
            put(0xC4, &[&[class], &counts[..], &(0..count).collect::<Vec<_>>()].concat());
        }
        let colours = u8::try_from(self.sampling.len()).unwrap();
        let sizes = [self.rows.to_be_bytes(), self.columns.to_be_bytes()].concat();
        let of_frame: Vec<u8> =
            (1..).zip(&self.sampling).flat_map(|(id, sampling)| [id, *sampling, 0]).collect();
        put(self.process, &[&[self.precision], &sizes[..], &[colours], &of_frame].concat());
        let of_scan: Vec<u8> = (1..=colours).flat_map(|id| [id, 0]).collect();
        put(0xDA, &[&[colours], &of_scan[..], &self.scan].concat());
        for (number, segment) in segments.iter().enumerate() {
            if number > 0 {
                stream.extend([0xFF, 0xD0 + u8::try_from((number - 1) % 8).unwrap()]);
            }
            stream.extend(segment);
        }
        stream.extend([0xFF, 0xD9]);
        stream
    }
}

/// Bits on their way into an entropy-coded segment.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl BitWriter {
    pub(super) fn put(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | value >> bit & 1;
            self.count += 1;
            if self.count == 8 {
                let byte = u8::try_from(self.held & 0xFF).unwrap();
                self.bytes.push(byte);
                if byte == 0xFF {
                    self.bytes.push(0);
                }
                self.count = 0;
            }
        }
    }

    /// A symbol with the zeros before it in the upper half, and the bits of a number.
    pub(super) fn number(&mut self, code_bits: u32, zeros: u32, value: i32) {
        let width = 32 - value.unsigned_abs().leading_zeros();
        self.put(zeros << 4 | width, code_bits);
        let bits = if value < 0 { value - 1 } else { value };
        if width < 16 {
            self.put(u32::from_ne_bytes(bits.to_ne_bytes()) & ((1 << width) - 1), width);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.put(1, 1);
        }
        self.bytes
    }
}

/// A lossless stream with everything plain but the scan header: predictor, 0, point transform.
pub(super) fn lossless(
    samples: &[u16],
    rows: usize,
    columns: usize,
    colours: usize,
    scan: &[u8; 3],
) -> Vec<u8> {
    let highest = samples.iter().max().copied().unwrap_or(0);
    let precision = (16 - highest.leading_zeros()).max(8);
    lossless_of(samples, (rows, columns, colours), u8::try_from(precision).unwrap(), scan, 0)
}

/// A lossless stream whose lines restart after each `interval` of them, 0 for never (§H.1).
pub(super) fn lossless_of(
    samples: &[u16],
    (rows, columns, colours): (usize, usize, usize),
    precision: u8,
    scan: &[u8; 3],
    interval: usize,
) -> Vec<u8> {
    let [predictor, _, shift] = *scan;
    let at = |row: usize, column: usize, colour: usize| {
        i32::from(samples[(row * columns + column) * colours + colour] >> shift)
    };
    let mut segments = Vec::new();
    let mut bits = BitWriter::default();
    for row in 0..rows {
        let is_first = row == 0 || (interval > 0 && row % interval == 0);
        if is_first && row > 0 {
            segments.push(std::mem::take(&mut bits).finish());
        }
        for column in 0..columns {
            for colour in 0..colours {
                let predicted = match (is_first, column, predictor) {
                    (true, 0, _) => 1 << (precision - shift - 1),
                    (true, _, _) => at(row, column - 1, colour),
                    (false, 0, _) => at(row - 1, 0, colour),
                    (false, _, predictor) => {
                        let (a, b) = (at(row, column - 1, colour), at(row - 1, column, colour));
                        let c = at(row - 1, column - 1, colour);
                        [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) / 2]
                            [usize::from(predictor) - 1]
                    }
                };
                // Modulo 2¹⁶, in −32767 … 32768.
                let difference = (at(row, column, colour) - predicted + 32767).rem_euclid(65536) - 32767;
                bits.number(5, 0, difference);
            }
        }
    }
    segments.push(bits.finish());
    let frame = Written {
        precision,
        rows: rows.try_into().unwrap(),
        columns: columns.try_into().unwrap(),
        sampling: vec![0x11; colours],
        scan: *scan,
        restart_interval: (interval * columns).try_into().unwrap(),
        ..Written::default()
    };
    frame.stream(&segments)
}

/// A stream of 12 bits with steps of 1: its blocks as they come in a scan, row by row, not transformed yet.
pub(super) fn sequential(blocks: &[[[f64; 8]; 8]], frame: &Written, colours_of_blocks: &[usize]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    let mut last = [0; 4];
    for (block, colour) in blocks.iter().zip(colours_of_blocks.iter().cycle()) {
        let coefficients = forward(block);
        bits.number(8, 0, coefficients[0] - last[*colour]);
        last[*colour] = coefficients[0];
        let mut zeros = 0;
        for value in &coefficients[1..] {
            if *value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                bits.put(0xF0, 8);
                zeros -= 16;
            }
            bits.number(8, zeros, *value);
            zeros = 0;
        }
        if zeros > 0 {
            bits.put(0, 8);
        }
    }
    let written =
        Written { process: 0xC1, precision: 12, codes: (8, 255), scan: [0, 63, 0], ..frame.clone() };
    written.stream(&[bits.finish()])
}

/// The cosine transform of §A.3.3, rounded, in the order of the stream.
#[expect(clippy::cast_possible_truncation, reason = "coefficients of 12 bits have 15")]
pub(super) fn forward(block: &[[f64; 8]; 8]) -> Vec<i32> {
    let scale = |n: usize| if n == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let cosine = |at: usize, n: usize| ((2 * at + 1) as f64 * n as f64 * std::f64::consts::PI / 16.0).cos();
    let coefficient = |place: &u8| {
        let (v, u) = (usize::from(*place / 8), usize::from(*place % 8));
        let of_row =
            |y: usize| (0..8).map(|x| (block[y][x] - 2048.0) * cosine(x, u) * cosine(y, v)).sum::<f64>();
        ((0..8).map(of_row).sum::<f64>() * scale(u) * scale(v) / 4.0).round() as i32
    };
    super::tables::ZIGZAG.iter().map(coefficient).collect()
}

/// A stream of 12 bits of one value.
pub(in super::super) fn extended((rows, columns): (u32, u32)) -> Vec<u8> {
    let frame = Written {
        rows: rows.try_into().unwrap(),
        columns: columns.try_into().unwrap(),
        ..Written::default()
    };
    let blocks = rows.div_ceil(8) * columns.div_ceil(8);
    sequential(&vec![[[7.0; 8]; 8]; blocks.try_into().unwrap()], &frame, &[0])
}

/// A lossless stream of zeros for an image.
pub(in super::super) fn without_loss(info: &ImageInfo) -> Vec<u8> {
    let size =
        [info.rows, info.columns, info.samples_per_pixel].map(|number| usize::try_from(number).unwrap());
    let [rows, columns, colours] = size;
    let precision = u8::try_from(info.bits_stored).unwrap();
    lossless_of(&vec![0; rows * columns * colours], (rows, columns, colours), precision, &[1, 0, 0], 0)
}
