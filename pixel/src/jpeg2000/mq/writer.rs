//! The arithmetic encoder (ISO/IEC 15444-1 §C.2).

use super::states::{CONTEXTS, Context, initial};

pub(super) struct Writer {
    /// A byte that is no part of the code stands before the others: carries never reach it.
    bytes: Vec<u8>,
    code: u32,
    interval: u32,
    /// Shifts until a byte is full.
    left: u32,
    contexts: [Context; CONTEXTS],
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0], code: 0, interval: 0x8000, left: 12, contexts: initial() }
    }

    /// Everything as at the start.
    pub(super) fn restart(&mut self) {
        self.bytes.clear();
        self.bytes.push(0);
        (self.code, self.interval, self.left, self.contexts) = (0, 0x8000, 12, initial());
    }

    #[inline]
    pub(super) fn put(&mut self, context: u8, symbol: bool) {
        let Some(context) = self.contexts.get_mut(usize::from(context)) else { return };
        let state = context.state();
        self.interval -= state.probability;
        if symbol == context.more_probable {
            if self.interval & 0x8000 != 0 {
                self.code += state.probability;
                return;
            }
            if self.interval < state.probability {
                self.interval = state.probability;
            } else {
                self.code += state.probability;
            }
            context.saw_more_probable(state);
        } else {
            if self.interval < state.probability {
                self.code += state.probability;
            } else {
                self.interval = state.probability;
            }
            context.saw_less_probable(state);
        }
        while self.interval & 0x8000 == 0 {
            self.interval <<= 1;
            self.code <<= 1;
            self.left -= 1;
            if self.left == 0 {
                self.byte_out();
            }
        }
    }

    fn byte_out(&mut self) {
        let is_behind_ff = self.bytes.last() == Some(&0xFF);
        if !is_behind_ff && self.code & 0x800_0000 != 0 {
            // A carry.
            if let Some(last) = self.bytes.last_mut() {
                *last += 1;
            }
            self.code &= 0x7FF_FFFF;
        }
        let shift = if self.bytes.last() == Some(&0xFF) { 20 } else { 19 };
        let [byte, ..] = (self.code >> shift).to_le_bytes();
        self.bytes.push(byte);
        self.code &= (1 << shift) - 1;
        self.left = if shift == 20 { 7 } else { 8 };
    }

    /// Ends the code (§C.2.9); gives its bytes, of which a last FF is none.
    pub(super) fn finish(&mut self) -> &[u8] {
        let end = self.code + self.interval;
        self.code |= 0xFFFF;
        if self.code >= end {
            self.code -= 0x8000;
        }
        for _ in 0..2 {
            self.code <<= self.left;
            self.byte_out();
        }
        if self.bytes.last() == Some(&0xFF) {
            self.bytes.pop();
        }
        self.bytes.get(1..).unwrap_or_default()
    }
}
