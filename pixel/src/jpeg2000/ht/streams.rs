//! The three streams of a cleanup pass, as they are written (ISO/IEC 15444-15 §7.1).

/// Events that are mostly no, in runs; it grows forwards (§7.1.3).
pub(super) struct RunWriter {
    pub(super) bytes: Vec<u8>,
    held: u8,
    /// Bits of `held` that are free.
    free: u32,
    run: u32,
    state: usize,
}

/// Bits of a run's length, by state (Table 2).
pub(super) const RUN_BITS: [u32; 13] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5];

impl RunWriter {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(192), held: 0, free: 8, run: 0, state: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.held, self.free, self.run, self.state) = (0, 8, 0, 0);
    }

    fn run_bits(&self) -> u32 {
        RUN_BITS.get(self.state).copied().unwrap_or(5)
    }

    pub(super) fn event(&mut self, is_one: bool) {
        if !is_one {
            self.run += 1;
            if self.run >= 1 << self.run_bits() {
                self.bit(1);
                self.run = 0;
                self.state = (self.state + 1).min(RUN_BITS.len() - 1);
            }
            return;
        }
        self.bit(0);
        for bit in (0..self.run_bits()).rev() {
            self.bit((self.run >> bit & 1).to_le_bytes()[0]);
        }
        self.run = 0;
        self.state = self.state.saturating_sub(1);
    }

    fn bit(&mut self, bit: u8) {
        self.held = self.held << 1 | bit;
        self.free -= 1;
        if self.free == 0 {
            self.bytes.push(self.held);
            self.free = if self.held == 0xFF { 7 } else { 8 };
            self.held = 0;
        }
    }
}

/// Codes of quads and exponents; it grows backwards (§7.1.4).
pub(super) struct BackwardWriter {
    /// The last byte of the pass first.
    pub(super) bytes: Vec<u8>,
    held: u64,
    count: u32,
    is_behind_90: bool,
}

impl BackwardWriter {
    pub(super) fn new() -> Self {
        let mut new = Self { bytes: Vec::with_capacity(3072), held: 0, count: 0, is_behind_90: false };
        new.clear();
        new
    }

    /// Twelve bits are for the length of this stream and that of events.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.push(0xFF);
        (self.held, self.count, self.is_behind_90) = (0xF, 4, true);
    }

    /// So many bits, 24 at the most, the lowest first.
    pub(super) fn put(&mut self, code: u32, bits: u32) {
        self.held |= u64::from(code) << self.count;
        self.count += bits;
        loop {
            // Behind a byte over 8F seven ones stand alone.
            let width = if self.is_behind_90 && self.held & 0x7F == 0x7F { 7 } else { 8 };
            if self.count < width {
                return;
            }
            let [byte, ..] = self.held.to_le_bytes();
            let byte = if width == 7 { byte & 0x7F } else { byte };
            self.bytes.push(byte);
            self.is_behind_90 = byte > 0x8F;
            self.held >>= width;
            self.count -= width;
        }
    }
}

/// Magnitudes and signs; it grows forwards (§7.1.2).
pub(super) struct ForwardWriter {
    pub(super) bytes: Vec<u8>,
    held: u64,
    count: u32,
    /// Bits of the next byte: seven behind FF.
    width: u32,
}

impl ForwardWriter {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(16_384), held: 0, count: 0, width: 8 }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.held, self.count, self.width) = (0, 0, 8);
    }

    /// So many bits, 32 at the most, the lowest first; those above have to be zero.
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        self.held |= u64::from(number) << self.count;
        self.count += bits;
        while self.count >= self.width {
            let [byte, ..] = self.held.to_le_bytes();
            let byte = if self.width == 7 { byte & 0x7F } else { byte };
            self.bytes.push(byte);
            self.held >>= self.width;
            self.count -= self.width;
            self.width = if byte == 0xFF { 7 } else { 8 };
        }
    }

    /// Fills the last byte with ones; a byte FF at the end is left out, as readers add it.
    pub(super) fn finish(&mut self) {
        if self.count > 0 {
            let free = self.width - self.count;
            self.put((1 << free) - 1, free);
            if self.width == 7 {
                self.bytes.pop();
            }
        } else if self.width == 7 {
            self.bytes.pop();
        }
    }
}

/// Ends both streams, in one byte where they agree (§7.1.3); gives them one behind the other.
pub(super) fn join(events: &mut RunWriter, codes: &mut BackwardWriter, pass: &mut Vec<u8>) {
    if events.run > 0 {
        events.bit(1);
    }
    let last_event = if events.free == 8 { 0 } else { events.held << events.free };
    let event_mask = 0xFF_u8.checked_shl(events.free).unwrap_or(0);
    let [last_code, ..] = codes.held.to_le_bytes();
    let code_mask = 0xFF_u8.checked_shr(8 - codes.count).unwrap_or(0);
    if event_mask | code_mask != 0 {
        let both = last_event | last_code;
        let do_agree = (both ^ last_event) & event_mask | (both ^ last_code) & code_mask == 0;
        if do_agree && both != 0xFF && codes.bytes.len() > 1 {
            events.bytes.push(both);
        } else {
            events.bytes.push(last_event);
            codes.bytes.push(last_code);
        }
    }
    pass.extend_from_slice(&events.bytes);
    pass.extend(codes.bytes.iter().rev());
}
