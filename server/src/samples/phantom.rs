//! A head of ellipsoids, after the phantom of Shepp and Logan (1974), cut into slices.

use super::Image;

/// Which tissue values the slices have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contrast {
    /// Hounsfield units above -1024.
    Ct,
    T1,
    T2,
}

/// Half axes and centre in units of half the field of view, angle in degrees.
struct Ellipsoid {
    axes: [f64; 3],
    centre: [f64; 3],
    angle: f64,
    tissue: Tissue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tissue {
    Air,
    Skull,
    Brain,
    Fluid,
    Lesion,
}

const fn part(axes: [f64; 3], centre: [f64; 3], angle: f64, tissue: Tissue) -> Ellipsoid {
    Ellipsoid { axes, centre, angle, tissue }
}

/// From the outside to the inside: the last one that holds a point says what is there.
const HEAD: [Ellipsoid; 10] = [
    part([0.69, 0.92, 0.90], [0.0, 0.0, 0.0], 0.0, Tissue::Skull),
    part([0.6624, 0.874, 0.88], [0.0, -0.0184, 0.0], 0.0, Tissue::Brain),
    part([0.11, 0.31, 0.22], [0.22, 0.0, -0.05], -18.0, Tissue::Fluid),
    part([0.16, 0.41, 0.28], [-0.22, 0.0, -0.05], 18.0, Tissue::Fluid),
    part([0.21, 0.25, 0.41], [0.0, 0.35, -0.15], 0.0, Tissue::Lesion),
    part([0.046, 0.046, 0.05], [0.0, 0.1, 0.25], 0.0, Tissue::Lesion),
    part([0.046, 0.046, 0.05], [0.0, -0.1, 0.25], 0.0, Tissue::Fluid),
    part([0.046, 0.023, 0.05], [-0.08, -0.605, 0.0], 0.0, Tissue::Lesion),
    part([0.023, 0.023, 0.02], [0.0, -0.605, 0.0], 0.0, Tissue::Lesion),
    part([0.023, 0.046, 0.02], [0.06, -0.605, 0.0], 0.0, Tissue::Fluid),
];

impl Ellipsoid {
    fn holds(&self, point: [f64; 3]) -> bool {
        let ([x, y, z], [left, up, front], [wide, high, deep]) = (point, self.centre, self.axes);
        let (x, y, z) = (x - left, y - up, z - front);
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let turned = [(x * cos + y * sin) / wide, (y * cos - x * sin) / high, z / deep];
        turned.iter().map(|ratio| ratio * ratio).sum::<f64>() <= 1.0
    }
}

impl Contrast {
    /// Stored value of a tissue, 12 bits.
    fn value(self, tissue: Tissue) -> i32 {
        match (self, tissue) {
            (Self::Ct, Tissue::Air) => 24,
            (Self::Ct, Tissue::Skull) => 2024,
            (Self::Ct, Tissue::Brain) => 1059,
            (Self::Ct, Tissue::Fluid) => 1030,
            (Self::Ct, Tissue::Lesion) => 1082,
            (_, Tissue::Air) => 8,
            (Self::T1, Tissue::Skull) => 720,
            (Self::T1, Tissue::Brain) => 560,
            (Self::T1, Tissue::Fluid) => 160,
            (Self::T1, Tissue::Lesion) => 420,
            (Self::T2, Tissue::Skull) => 300,
            (Self::T2, Tissue::Brain) => 480,
            (Self::T2, Tissue::Fluid) => 1100,
            (Self::T2, Tissue::Lesion) => 780,
        }
    }

    fn noise(self) -> i32 {
        if self == Self::Ct { 9 } else { 24 }
    }
}

/// Slices from the feet upwards; `edge` pixels a side, `distance` millimetres apart.
pub(super) fn head(contrast: Contrast, edge: u16, slices: u16, distance: f64) -> Vec<Image> {
    let mut noise = Noise(0x2545_F491_4F6C_DD1D);
    let middle = f64::from(slices - 1) / 2.0;
    (0..slices)
        .map(|slice| {
            let z = (f64::from(slice) - middle) / middle * 0.85;
            let at = |pixel: u16| (f64::from(pixel) + 0.5) / f64::from(edge) * 2.0 - 1.0;
            let points = (0..edge).flat_map(|row| (0..edge).map(move |column| [at(column), at(row), z]));
            let pixels = points.map(|point| value(contrast, point, &mut noise)).collect();
            Image { rows: edge, columns: edge, pixels, position: (f64::from(slice) - middle) * distance }
        })
        .collect()
}

fn value(contrast: Contrast, point: [f64; 3], noise: &mut Noise) -> u16 {
    let inside = HEAD.iter().rev().find(|part| part.holds(point));
    let tissue = inside.map_or(Tissue::Air, |part| part.tissue);
    let value = contrast.value(tissue) + noise.next(contrast.noise());
    u16::try_from(value.clamp(0, 4095)).unwrap_or_default()
}

/// Repeatable noise, roughly normal (xorshift64*).
struct Noise(u64);

impl Noise {
    /// Around 0, mostly within `width`.
    fn next(&mut self, width: i32) -> i32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes();
        let sum: i32 = bits.iter().take(4).map(|byte| i32::from(*byte) - 128).sum();
        sum * width / 256
    }
}
