//! A pattern to look at a display with: grey steps, line pairs, and squares of 5 and 95 per cent.

use super::Image;

const MAX: u32 = 4095;

/// A square image of 12 bits.
pub(super) fn display(edge: u16) -> Image {
    let pixels = (0..edge).flat_map(|row| (0..edge).map(move |column| value(row, column, edge))).collect();
    Image { rows: edge, columns: edge, pixels, position: 0.0 }
}

fn value(row: u16, column: u16, edge: u16) -> u16 {
    let (x, y, edge) = (u32::from(column), u32::from(row), u32::from(edge));
    let cell = edge / 16;
    let (column, line) = (x / cell, y / cell);
    let grey = match (column, line) {
        // Sixteen steps from black to white and back.
        (_, 6..=7) => column * MAX / 15,
        (_, 8..=9) => (15 - column.min(15)) * MAX / 15,
        // 5 per cent in black, 95 per cent in white: both have to be seen.
        (3..=5, 2..=4) => {
            if is_inner(x, y, cell, 4, 3) {
                MAX / 20
            } else {
                0
            }
        }
        (10..=12, 2..=4) => {
            if is_inner(x, y, cell, 11, 3) {
                MAX * 19 / 20
            } else {
                MAX
            }
        }
        // Line pairs of 1, 2 and 4 pixels.
        (2..=4, 11..=13) => (x % 2) * MAX,
        (6..=8, 11..=13) => (x / 2 % 2) * MAX,
        (11..=13, 11..=13) => (y / 4 % 2) * MAX,
        _ if x < 4 || y < 4 || x + 4 >= edge || y + 4 >= edge => MAX,
        _ => MAX / 2,
    };
    u16::try_from(grey).unwrap_or(u16::MAX)
}

fn is_inner(x: u32, y: u32, cell: u32, column: u32, line: u32) -> bool {
    x / cell == column && y / cell == line
}
