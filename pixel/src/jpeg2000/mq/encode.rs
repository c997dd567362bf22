//! A code-block → its passes (ISO/IEC 15444-1 Annex D).

use super::super::geometry::Orientation;
use super::contexts::{
    NEIGHBOURS, Neighbourhood, REFINED, SIGNIFICANT, VISITED, refined_context, sign_context, zero_contexts,
};
use super::states::{RUN, UNIFORM};
use super::writer::Writer;

/// Rows that are coded column by column (§D.1).
const STRIPE: usize = 4;

/// Encodes code-blocks, with room that is used again for each.
pub(in super::super) struct BlockEncoder {
    writer: Writer,
    around: Neighbourhood,
    sizes: Vec<u32>,
    negative: Vec<bool>,
    width: usize,
    height: usize,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Passes {
    /// Bit planes that are not all zero.
    pub(in super::super) planes: u32,
    /// Bytes of all passes together.
    pub(in super::super) length: usize,
}

impl BlockEncoder {
    pub(in super::super) fn new() -> Self {
        let (sizes, negative) = (Vec::new(), Vec::new());
        Self { writer: Writer::new(), around: Neighbourhood::new(), sizes, negative, width: 0, height: 0 }
    }

    /// Appends the passes of the block, whose rows all have the same length.
    pub(in super::super) fn encode<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [i32]>,
        orientation: Orientation,
        passes: &mut Vec<u8>,
    ) -> Passes {
        self.sizes.clear();
        self.negative.clear();
        (self.width, self.height) = (0, 0);
        let mut any = 0;
        for row in rows {
            (self.width, self.height) = (row.len(), self.height + 1);
            self.sizes.extend(row.iter().map(|sample| sample.unsigned_abs()));
            self.negative.extend(row.iter().map(|sample| *sample < 0));
            any |= row.iter().fold(0, |any, sample| any | sample.unsigned_abs());
        }
        let planes = 32 - any.leading_zeros();
        if planes == 0 {
            return Passes { planes, length: 0 };
        }
        self.writer.restart();
        self.around.restart(self.width, self.height);
        let zero_contexts = zero_contexts(orientation);
        for plane in (0..planes).rev() {
            if plane + 1 < planes {
                self.propagation(plane, zero_contexts);
                self.refinement(plane);
            }
            self.cleanup(plane, zero_contexts);
        }
        let code = self.writer.finish();
        passes.extend_from_slice(code);
        Passes { planes, length: code.len() }
    }

    /// Every sample in the order of the standard: its column, row and the place of its flags.
    fn each(&mut self, mut visit: impl FnMut(&mut Self, usize, usize)) {
        for top in (0..self.height).step_by(STRIPE) {
            for column in 0..self.width {
                for row in top..self.height.min(top + STRIPE) {
                    let (place, sample) = (self.around.place(column, row), row * self.width + column);
                    visit(self, place, sample);
                }
            }
        }
    }

    fn bit(&self, sample: usize, plane: u32) -> bool {
        self.sizes.get(sample).copied().unwrap_or(0) >> plane & 1 == 1
    }

    /// The sign of a sample that has become significant (§D.3.2).
    fn sign(&mut self, place: usize, sample: usize) {
        let is_negative = self.negative.get(sample).copied().unwrap_or(false);
        let (context, is_turned) = sign_context(self.around.at(place));
        self.writer.put(context, is_negative != is_turned);
        self.around.becomes_significant(place, is_negative);
    }

    fn zero(&mut self, place: usize, sample: usize, plane: u32, contexts: &[u8; 256]) {
        let neighbours = usize::from(self.around.at(place) & NEIGHBOURS);
        let is_one = self.bit(sample, plane);
        self.writer.put(contexts.get(neighbours).copied().unwrap_or(0), is_one);
        if is_one {
            self.sign(place, sample);
        }
    }

    fn propagation(&mut self, plane: u32, contexts: &[u8; 256]) {
        self.each(|this, place, sample| {
            let flags = this.around.at(place);
            if flags & NEIGHBOURS != 0 && flags & SIGNIFICANT == 0 {
                this.zero(place, sample, plane, contexts);
                this.around.add(place, VISITED);
            }
        });
    }

    fn refinement(&mut self, plane: u32) {
        self.each(|this, place, sample| {
            let flags = this.around.at(place);
            if flags & (SIGNIFICANT | VISITED) == SIGNIFICANT {
                this.writer.put(refined_context(flags), this.bit(sample, plane));
                this.around.add(place, REFINED);
            }
        });
    }

    fn cleanup(&mut self, plane: u32, contexts: &[u8; 256]) {
        for top in (0..self.height).step_by(STRIPE) {
            for column in 0..self.width {
                let end = self.height.min(top + STRIPE);
                let first = self.run(column, top..end, plane);
                for row in first..end {
                    let (place, sample) = (self.around.place(column, row), row * self.width + column);
                    if self.around.at(place) & (SIGNIFICANT | VISITED) == 0 {
                        self.zero(place, sample, plane, contexts);
                    }
                }
            }
        }
        self.around.flags.iter_mut().for_each(|flags| *flags &= !VISITED);
    }

    /// Four samples whose neighbours are all zero come together (§D.3.4); gives the row to go on with.
    fn run(&mut self, column: usize, rows: std::ops::Range<usize>, plane: u32) -> usize {
        let is_quiet = rows.len() == STRIPE
            && rows.clone().all(|row| {
                let flags = self.around.at(self.around.place(column, row));
                flags & (SIGNIFICANT | VISITED | NEIGHBOURS) == 0
            });
        if !is_quiet {
            return rows.start;
        }
        let first = rows.clone().find(|row| self.bit(row * self.width + column, plane));
        self.writer.put(RUN, first.is_some());
        let Some(row) = first else { return rows.end };
        let distance = row - rows.start;
        self.writer.put(UNIFORM, distance & 2 != 0);
        self.writer.put(UNIFORM, distance & 1 != 0);
        self.sign(self.around.place(column, row), row * self.width + column);
        row + 1
    }
}
