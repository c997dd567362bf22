//! Tag trees: what a precinct tells of its code-blocks, the least of four of them first (ISO/IEC 15444-1 §B.10.2).

use super::packet_bits::{BitReader, BitWriter};

/// A tree over a rectangle of leaves.
pub(super) struct TagTree {
    /// The leaves first, the root last.
    levels: Vec<Level>,
}

struct Level {
    across: usize,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    value: u32,
    /// The value is known to be no less.
    least: u32,
    is_known: bool,
}

impl TagTree {
    /// Over so many leaves across and down, at least one.
    pub(super) fn new(across: usize, down: usize) -> Self {
        let mut levels = Vec::new();
        let (mut across, mut down) = (across.max(1), down.max(1));
        loop {
            levels.push(Level { across, nodes: vec![Node::default(); across.saturating_mul(down)] });
            if across == 1 && down == 1 {
                return Self { levels };
            }
            (across, down) = (across.div_ceil(2), down.div_ceil(2));
        }
    }

    /// Over leaves of these values, row by row.
    pub(super) fn of(across: usize, values: &[u32]) -> Self {
        let across = across.max(1);
        let mut tree = Self::new(across, values.len().div_ceil(across));
        for level in &mut tree.levels {
            level.nodes.iter_mut().for_each(|node| node.value = u32::MAX);
        }
        for (leaf, value) in values.iter().enumerate() {
            for (level, place) in tree.way_to_root(leaf).into_iter().enumerate() {
                if let Some(node) = tree.node(level, place) {
                    node.value = node.value.min(*value);
                }
            }
        }
        tree
    }

    /// Where the leaf and what stands above it lie in their levels.
    fn way_to_root(&self, leaf: usize) -> Vec<usize> {
        let across = self.levels.first().map_or(1, |level| level.across);
        let (mut column, mut row) = (leaf % across, leaf / across);
        self.levels
            .iter()
            .map(|level| {
                let place = row * level.across + column;
                (column, row) = (column / 2, row / 2);
                place
            })
            .collect()
    }

    fn node(&mut self, level: usize, place: usize) -> Option<&mut Node> {
        self.levels.get_mut(level)?.nodes.get_mut(place)
    }

    /// Writes what is needed to know whether the leaf is below the limit.
    pub(super) fn write(&mut self, leaf: usize, limit: u32, bits: &mut BitWriter) {
        let mut least = 0;
        for (level, place) in self.way_to_root(leaf).into_iter().enumerate().rev() {
            let Some(node) = self.node(level, place) else { return };
            node.least = node.least.max(least);
            while node.least < limit && !node.is_known {
                if node.least >= node.value {
                    bits.put(1, 1);
                    node.is_known = true;
                } else {
                    bits.put(0, 1);
                    node.least += 1;
                }
            }
            least = node.least;
        }
    }

    /// Reads whether the leaf is below the limit; its value then. The inner `None` stands for no, the outer one for an
    /// end of bits.
    #[expect(clippy::option_option, reason = "an end and a no are two answers")]
    pub(super) fn read(&mut self, leaf: usize, limit: u32, bits: &mut BitReader<'_>) -> Option<Option<u32>> {
        let mut least = 0;
        let mut is_known = false;
        for (level, place) in self.way_to_root(leaf).into_iter().enumerate().rev() {
            let node = self.node(level, place)?;
            node.least = node.least.max(least);
            while node.least < limit && !node.is_known {
                if bits.bit()? {
                    node.is_known = true;
                } else {
                    node.least += 1;
                }
            }
            (least, is_known) = (node.least, node.is_known);
        }
        Some((is_known && least < limit).then_some(least))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // Figure B.13: leaves 1, 3, 2, 3, 2, 3 / 2, 2, 1, 4, 3, 2 / 2, 2, 2, 2, 1, 2; codes 01111, 001, 101.
        let values = [1, 3, 2, 3, 2, 3, 2, 2, 1, 4, 3, 2, 2, 2, 2, 2, 1, 2];
        let mut tree = TagTree::of(6, &values);
        let mut bits = BitWriter::default();
        for (leaf, value) in values.iter().enumerate().take(3) {
            (1..=value + 1).for_each(|limit| tree.write(leaf, limit, &mut bits));
        }
        assert_eq!(bits.finish(), [0b0111_1001, 0b1010_0000]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(across in 1..9_usize, values in proptest::collection::vec(0..20_u32, 1..60)) {
            let (mut written, mut bits) = (TagTree::of(across, &values), BitWriter::default());
            for limit in [1, 7, 21] {
                (0..values.len()).for_each(|leaf| written.write(leaf, limit, &mut bits));
            }
            let bytes = bits.finish();
            let mut bits = BitReader::new(&bytes);
            let mut tree = TagTree::new(across, values.len().div_ceil(across));
            for limit in [1, 7, 21] {
                for (leaf, value) in values.iter().enumerate() {
                    let read = tree.read(leaf, limit, &mut bits).unwrap();
                    prop_assert_eq!(read, (*value < limit).then_some(*value));
                }
            }
        }
    }
}
