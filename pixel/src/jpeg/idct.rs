//! The inverse cosine transform (ISO/IEC 10918-1 §A.3.3), in floats: nearer to the formula than any tolerance.

/// cos((2x + 1)uπ/16) · C(u)/2, by sample x and coefficient u.
const BASIS: [[f32; 8]; 8] = [
    [
        0.353_553_4,
        0.490_392_65,
        0.461_939_77,
        0.415_734_8,
        0.353_553_4,
        0.277_785_1,
        0.191_341_71,
        0.097_545_16,
    ],
    [
        0.353_553_4,
        0.415_734_8,
        0.191_341_71,
        -0.097_545_16,
        -0.353_553_4,
        -0.490_392_65,
        -0.461_939_77,
        -0.277_785_1,
    ],
    [
        0.353_553_4,
        0.277_785_1,
        -0.191_341_71,
        -0.490_392_65,
        -0.353_553_4,
        0.097_545_16,
        0.461_939_77,
        0.415_734_8,
    ],
    [
        0.353_553_4,
        0.097_545_16,
        -0.461_939_77,
        -0.277_785_1,
        0.353_553_4,
        0.415_734_8,
        -0.191_341_71,
        -0.490_392_65,
    ],
    [
        0.353_553_4,
        -0.097_545_16,
        -0.461_939_77,
        0.277_785_1,
        0.353_553_4,
        -0.415_734_8,
        -0.191_341_71,
        0.490_392_65,
    ],
    [
        0.353_553_4,
        -0.277_785_1,
        -0.191_341_71,
        0.490_392_65,
        -0.353_553_4,
        -0.097_545_16,
        0.461_939_77,
        -0.415_734_8,
    ],
    [
        0.353_553_4,
        -0.415_734_8,
        0.191_341_71,
        0.097_545_16,
        -0.353_553_4,
        0.490_392_65,
        -0.461_939_77,
        0.277_785_1,
    ],
    [
        0.353_553_4,
        -0.490_392_65,
        0.461_939_77,
        -0.415_734_8,
        0.353_553_4,
        -0.277_785_1,
        0.191_341_71,
        -0.097_545_16,
    ],
];

/// A block of eight rows.
pub(super) type Block = [[f32; 8]; 8];

/// Samples around 0, row by row, from dequantized coefficients.
pub(super) fn inverse(coefficients: &Block) -> Block {
    // Columns first, so that both passes add whole rows.
    let mut columns = [[0.0; 8]; 8];
    for (row, basis) in columns.iter_mut().zip(&BASIS) {
        for (factor, coefficients) in basis.iter().zip(coefficients) {
            row.iter_mut().zip(coefficients).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    let mut samples = [[0.0; 8]; 8];
    for (row, column) in samples.iter_mut().zip(&columns) {
        for (sample, basis) in row.iter_mut().zip(&BASIS) {
            *sample = basis.iter().zip(column).map(|(factor, value)| factor * value).sum();
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn the_basis_is_that_of_the_formula() {
        for (x, row) in BASIS.iter().enumerate() {
            for (u, factor) in row.iter().enumerate() {
                let scale = if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
                let exact = ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos() * scale / 2.0;
                assert!((f64::from(*factor) - exact).abs() < 1e-7, "{x} {u}");
            }
        }
    }

    #[test]
    fn the_first_coefficient_is_the_mean_and_the_second_falls_from_left_to_right() {
        let mut block = [[0.0; 8]; 8];
        block[0][0] = 80.0;
        assert!(inverse(&block).as_flattened().iter().all(|sample| (sample - 10.0).abs() < 1e-4));
        block[0][1] = 80.0;
        let samples = inverse(&block);
        assert!(samples.iter().all(|row| row == &samples[0] && row.is_sorted_by(|a, b| a > b)));
    }
}
