//! The three streams of a cleanup pass, as they are read (ISO/IEC 15444-15 §7.1). Behind their ends come ones.

use super::streams::RUN_BITS;

/// Events that are mostly no.
pub(super) struct Events<'a> {
    rest: &'a [u8],
    held: u32,
    count: u32,
    is_behind_ff: bool,
    state: usize,
    /// Events that are no, and whether one that is yes follows them.
    run: u32,
    has_end: bool,
}

impl<'a> Events<'a> {
    /// `bytes` are those of this stream and of codes, without their last.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut events =
            Self { rest: bytes, held: 0, count: 0, is_behind_ff: false, state: 0, run: 0, has_end: false };
        events.next_run();
        events
    }

    fn bits(&mut self, bits: u32) -> u32 {
        while self.count < bits {
            let byte = match self.rest.split_first() {
                // The last byte is shared with the length of both.
                Some((byte, [])) => byte | 0xF,
                Some((byte, _)) => *byte,
                None => 0xFF,
            };
            self.rest = self.rest.get(1..).unwrap_or_default();
            let width = if self.is_behind_ff { 7 } else { 8 };
            self.held = self.held << width | u32::from(byte) & ((1 << width) - 1);
            self.count += width;
            self.is_behind_ff = byte == 0xFF;
        }
        self.count -= bits;
        self.held >> self.count & ((1 << bits) - 1)
    }

    fn next_run(&mut self) {
        let order = RUN_BITS.get(self.state).copied().unwrap_or(5);
        if self.bits(1) == 1 {
            (self.run, self.has_end) = (1 << order, false);
            self.state = (self.state + 1).min(RUN_BITS.len() - 1);
        } else {
            (self.run, self.has_end) = (self.bits(order), true);
            self.state = self.state.saturating_sub(1);
        }
    }

    /// The next event.
    pub(super) fn event(&mut self) -> bool {
        if self.run == 0 && !self.has_end {
            self.next_run();
        }
        if self.run > 0 {
            self.run -= 1;
            return false;
        }
        self.next_run();
        true
    }
}

/// Codes of quads and offsets, from the end on.
pub(super) struct Codes<'a> {
    rest: &'a [u8],
    held: u64,
    count: u32,
    is_behind_90: bool,
}

impl<'a> Codes<'a> {
    /// `bytes` are those of this stream and of events, without their last.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (last, rest) = bytes.split_last().unwrap_or((&0, &[]));
        let high = last >> 4;
        let count = if high & 7 == 7 { 3 } else { 4 };
        Self { rest, held: u64::from(high), count, is_behind_90: last | 0xF > 0x8F }
    }

    /// The next bits, 32 at least, the first one lowest.
    #[inline]
    pub(super) fn peek(&mut self) -> u32 {
        while self.count < 32 {
            let (byte, rest) = self.rest.split_last().unwrap_or((&0, &[]));
            self.rest = rest;
            let width = if self.is_behind_90 && byte & 0x7F == 0x7F { 7 } else { 8 };
            self.held |= u64::from(*byte) << self.count;
            self.count += width;
            self.is_behind_90 = *byte > 0x8F;
        }
        let [a, b, c, d, ..] = self.held.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    #[inline]
    pub(super) fn skip(&mut self, bits: u32) {
        self.held >>= bits;
        self.count = self.count.saturating_sub(bits);
    }
}

/// Magnitudes and signs.
pub(super) struct Magnitudes<'a> {
    rest: &'a [u8],
    held: u64,
    count: u32,
    is_behind_ff: bool,
}

impl<'a> Magnitudes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0, is_behind_ff: false }
    }

    /// A number of so many bits, 31 at the most.
    #[inline]
    pub(super) fn number(&mut self, bits: u32) -> u32 {
        while self.count < bits {
            let (byte, rest) = self.rest.split_first().unwrap_or((&0xFF, &[]));
            self.rest = rest;
            let width = if self.is_behind_ff { 7 } else { 8 };
            self.held |= u64::from(*byte & if self.is_behind_ff { 0x7F } else { 0xFF }) << self.count;
            self.count += width;
            self.is_behind_ff = *byte == 0xFF;
        }
        let [a, b, c, d, ..] = self.held.to_le_bytes();
        self.held >>= bits;
        self.count -= bits;
        u32::from_le_bytes([a, b, c, d]) & ((1 << bits) - 1)
    }
}
