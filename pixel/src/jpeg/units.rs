//! The minimum coded units of a scan, and the blocks in them (ISO/IEC 10918-1 §A.2).

use super::super::{Error, Result};
use super::bits::Bits;
use super::header::JpegHeader;
use super::plane::{Plane, greatest};
use super::scans::Scan;

/// What comes next in a scan.
pub(super) enum Step {
    /// What was predicted begins anew.
    Restart,
    /// The block of a colour, by its number in the scan, at a row and a column of blocks.
    Block(usize, (usize, usize)),
}

/// How a scan is divided.
pub(super) struct Units {
    rows: usize,
    columns: usize,
    /// Columns and rows of blocks that each colour has in a unit.
    blocks: Vec<(usize, usize)>,
}

impl Units {
    /// # Errors
    /// `Corrupt` for a colour that the frame does not have.
    pub(super) fn of(scan: &Scan, planes: &[Plane], header: &JpegHeader) -> Result<Self> {
        let plane = |index| planes.get(index).ok_or_else(|| Error::corrupt("scan of another colour"));
        if let [alone] = scan.components.as_slice() {
            // Units are single blocks, and only those that have samples of the image.
            let plane = plane(alone.index)?;
            return Ok(Self { rows: plane.rows, columns: plane.columns, blocks: vec![(1, 1)] });
        }
        let (horizontal, vertical) = greatest(header);
        let blocks = scan.components.iter().map(|component| {
            let plane = plane(component.index)?;
            Ok((plane.horizontal, plane.vertical))
        });
        Ok(Self {
            rows: usize::from(header.rows).div_ceil(8 * vertical),
            columns: usize::from(header.columns).div_ceil(8 * horizontal),
            blocks: blocks.collect::<Result<_>>()?,
        })
    }

    /// Goes through them in the order of the stream; `interval` units between two restarts, 0 for none. `row` is asked
    /// before each row of units.
    ///
    /// # Errors
    /// `Corrupt` where `step` finds nothing more; what `row` answers.
    pub(super) fn each(
        &self,
        bits: &mut Bits<'_>,
        interval: usize,
        row: impl Fn() -> Result<()>,
        mut step: impl FnMut(&mut Bits<'_>, Step) -> Option<()>,
    ) -> Result<()> {
        for unit in 0..self.rows * self.columns {
            if unit.is_multiple_of(self.columns) {
                row()?;
            }
            let is_restart = interval > 0 && unit > 0 && unit.is_multiple_of(interval);
            let begun =
                if is_restart { bits.restart().and_then(|()| step(bits, Step::Restart)) } else { Some(()) };
            let place = (unit / self.columns, unit % self.columns);
            let decoded = begun.and_then(|()| self.unit(bits, place, &mut step));
            decoded.ok_or_else(|| Error::corrupt(format!("JPEG stream breaks off at unit {unit}")))?;
        }
        Ok(())
    }

    fn unit(
        &self,
        bits: &mut Bits<'_>,
        (row, column): (usize, usize),
        step: &mut impl FnMut(&mut Bits<'_>, Step) -> Option<()>,
    ) -> Option<()> {
        for (colour, (horizontal, vertical)) in self.blocks.iter().enumerate() {
            for down in 0..*vertical {
                for across in 0..*horizontal {
                    let place = (row * vertical + down, column * horizontal + across);
                    step(bits, Step::Block(colour, place))?;
                }
            }
        }
        Some(())
    }
}
