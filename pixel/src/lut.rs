//! Look-up tables and rescaling of grey values (PS3.3 §C.11.1, §C.11.2).

use std::sync::Arc;

use super::Window;

/// A table from integers to integers (PS3.3 §C.11.1.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lut {
    /// The input that the first entry belongs to.
    pub first: i64,
    /// The entries, at least one.
    pub entries: Vec<u16>,
    /// Bits of an entry: the outputs lie in 0 … 2^bits − 1.
    pub bits: u32,
}

impl Lut {
    /// The entry of an input; the first or last one beyond the ends.
    pub fn at(&self, input: f64) -> u16 {
        let place = nearest(input).saturating_sub(self.first).max(0);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        self.entries.get(place).or(self.entries.last()).copied().unwrap_or(0)
    }

    /// The entry of an input as a part of the greatest possible one, 0 … 1.
    pub fn part(&self, input: f64) -> f64 {
        (f64::from(self.at(input)) / f64::from(self.greatest())).min(1.0)
    }

    /// The greatest output that its bits can hold.
    fn greatest(&self) -> u32 {
        (1_u32 << self.bits.clamp(1, 16)) - 1
    }
}

/// From stored values to values with a meaning (PS3.3 §C.11.1).
#[derive(Clone, Debug, PartialEq)]
pub enum Modality {
    /// Rescale Slope and Rescale Intercept; 1 and 0 where the data set has none.
    Rescale {
        /// Never 0.
        slope: f64,
        /// In the unit of the output.
        intercept: f64,
    },
    /// Modality LUT Sequence.
    Lut(Arc<Lut>),
}

impl Modality {
    /// Stored values are what they mean.
    pub const IDENTITY: Self = Self::Rescale { slope: 1.0, intercept: 0.0 };

    /// The lowest and the highest value that it can give for stored ones between these.
    pub(crate) fn range(&self, lowest: f64, highest: f64) -> (f64, f64) {
        match self {
            Self::Rescale { .. } => {
                let (first, last) = (self.value(lowest), self.value(highest));
                (first.min(last), first.max(last))
            }
            Self::Lut(lut) => (0.0, f64::from(lut.greatest())),
        }
    }

    /// The value that a stored one stands for.
    pub fn value(&self, stored: f64) -> f64 {
        match self {
            Self::Rescale { slope, intercept } => stored * slope + intercept,
            Self::Lut(lut) => f64::from(lut.at(stored)),
        }
    }
}

/// Which values are worth seeing (PS3.3 §C.11.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Voi {
    /// Window Center and Window Width, with VOI LUT Function.
    Window(Window),
    /// VOI LUT Sequence.
    Lut(Arc<Lut>),
}

impl Voi {
    /// How bright a value is, 0 … 1.
    pub fn brightness(&self, value: f64) -> f64 {
        match self {
            Self::Window(window) => window.brightness(value),
            Self::Lut(lut) => lut.part(value),
        }
    }
}

/// The nearest integer; the outermost ones for what lies beyond, 0 for no number.
#[expect(clippy::cast_possible_truncation, reason = "float casts saturate, which is what is wanted")]
fn nearest(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::below_the_first(-3.0, 10)]
    #[case::the_first(5.0, 10)]
    #[case::between(6.0, 20)]
    #[case::the_last(7.0, 30)]
    #[case::beyond_the_last(4000.0, 30)]
    #[case::beyond_any_integer(1e300, 30)]
    #[case::no_number(f64::NAN, 10)]
    fn a_table_answers_for_every_input(#[case] input: f64, #[case] entry: u16) {
        let lut = Lut { first: 5, entries: vec![10, 20, 30], bits: 8 };
        assert_eq!(lut.at(input), entry);
    }

    #[test]
    fn the_greatest_entry_is_full_brightness() {
        let lut = Lut { first: 0, entries: vec![0, 2048, 4095], bits: 12 };
        assert_eq!(Voi::Lut(Arc::new(lut)).brightness(2.0), 1.0);
    }

    #[test]
    fn hounsfield_units_come_out_of_slope_and_intercept() {
        let modality = Modality::Rescale { slope: 2.0, intercept: -1024.0 };
        assert_eq!(modality.value(512.0), 0.0);
    }
}
