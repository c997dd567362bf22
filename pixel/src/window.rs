//! Window Center and Window Width (PS3.3 §C.11.2.1.2, §C.11.2.1.3).

use super::{Error, ErrorKind, Result};

/// A range of values spread over all shades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    center: f64,
    width: f64,
    function: WindowFunction,
}

/// VOI LUT Function (0028,1056).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowFunction {
    /// For integers: the window covers `width` values, each a step of the ramp.
    #[default]
    Linear,
    /// For measured quantities: the ramp goes from `center − width/2` to `center + width/2`.
    LinearExact,
    /// An S-shaped curve without ends.
    Sigmoid,
}

impl Window {
    /// A window of that centre and width, in the unit of the modality's output.
    ///
    /// # Errors
    /// `Presentation` unless both are numbers, and the width is at least 1 (`Linear`) or above 0.
    pub fn new(center: f64, width: f64, function: WindowFunction) -> Result<Self> {
        let least_is_met = match function {
            WindowFunction::Linear => width >= 1.0,
            WindowFunction::LinearExact | WindowFunction::Sigmoid => width > 0.0,
        };
        if center.is_finite() && width.is_finite() && least_is_met {
            return Ok(Self { center, width, function });
        }
        Err(Error::new(
            ErrorKind::Presentation,
            format!("window of centre {center} and width {width} is impossible for {function:?}"),
        ))
    }

    /// The window from the lowest to the highest of some values.
    pub(crate) fn spanning(lowest: f64, highest: f64) -> Self {
        let width = highest - lowest;
        let center = lowest + width / 2.0;
        let width = if width.is_finite() && width > 0.0 { width } else { 1.0 };
        // Equal values all become black: they lie at the foot of the ramp.
        let center = if highest > lowest { center } else { lowest + 0.5 };
        Self { center, width, function: WindowFunction::LinearExact }
    }

    /// How bright a value is, 0 … 1. No number is black.
    pub fn brightness(&self, value: f64) -> f64 {
        let Self { center: c, width: w, function } = *self;
        let y = match function {
            WindowFunction::Linear if value <= c - 0.5 - (w - 1.0) / 2.0 => 0.0,
            WindowFunction::Linear if value > c - 0.5 + (w - 1.0) / 2.0 => 1.0,
            WindowFunction::Linear => (value - (c - 0.5)) / (w - 1.0) + 0.5,
            WindowFunction::LinearExact if value <= c - w / 2.0 => 0.0,
            WindowFunction::LinearExact if value > c + w / 2.0 => 1.0,
            WindowFunction::LinearExact => (value - c) / w + 0.5,
            WindowFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - c) / w).exp()),
        };
        if y.is_nan() { 0.0 } else { y.clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::WindowFunction::{Linear, LinearExact, Sigmoid};
    use super::*;

    /// The first two rows of each are the notes of PS3.3 §C.11.2.1.2.1; the rest is the formula by hand.
    #[rstest]
    #[case::foot(2048.0, 4096.0, Linear, 0.0, 0.0)]
    #[case::top(2048.0, 4096.0, Linear, 4095.0, 1.0)]
    #[case::middle(2048.0, 4096.0, Linear, 2047.5, 0.5)]
    #[case::quarter(40.0, 401.0, Linear, -60.5, 0.25)]
    #[case::width_one_foot(2048.0, 1.0, Linear, 2047.5, 0.0)]
    #[case::width_one_top(2048.0, 1.0, Linear, 2048.0, 1.0)]
    #[case::width_two_foot(2048.0, 2.0, Linear, 2047.0, 0.0)]
    #[case::width_two_top(2048.0, 2.0, Linear, 2048.0, 1.0)]
    #[case::exact_foot(0.0, 100.0, LinearExact, -50.0, 0.0)]
    #[case::exact_middle(0.0, 100.0, LinearExact, 0.0, 0.5)]
    #[case::exact_top(0.0, 100.0, LinearExact, 50.0, 1.0)]
    #[case::exact_narrow(0.0, 0.25, LinearExact, 0.0625, 0.75)]
    #[case::sigmoid_middle(40.0, 400.0, Sigmoid, 40.0, 0.5)]
    #[case::sigmoid_half_a_width_up(40.0, 400.0, Sigmoid, 240.0, 0.880_797_077_977_882_3)]
    #[case::sigmoid_half_a_width_down(40.0, 400.0, Sigmoid, -160.0, 0.119_202_922_022_117_6)]
    fn follows_the_formula_of_the_standard(
        #[case] center: f64,
        #[case] width: f64,
        #[case] function: WindowFunction,
        #[case] value: f64,
        #[case] brightness: f64,
    ) {
        let window = Window::new(center, width, function).unwrap();
        assert!((window.brightness(value) - brightness).abs() < 1e-12, "{}", window.brightness(value));
    }

    #[rstest]
    #[case::linear_below_one(40.0, 0.5, Linear)]
    #[case::zero(40.0, 0.0, LinearExact)]
    #[case::negative(40.0, -400.0, Sigmoid)]
    #[case::no_number(f64::NAN, 400.0, Linear)]
    #[case::endless(40.0, f64::INFINITY, LinearExact)]
    fn refuses_a_window_that_cannot_be(
        #[case] center: f64,
        #[case] width: f64,
        #[case] function: WindowFunction,
    ) {
        assert_eq!(Window::new(center, width, function).unwrap_err().kind, ErrorKind::Presentation);
    }

    #[test]
    fn spans_from_black_to_white_and_makes_equal_values_black() {
        let span = Window::spanning(-10.0, 30.0);
        assert_eq!((span.brightness(-10.0), span.brightness(10.0), span.brightness(30.0)), (0.0, 0.5, 1.0));
        assert_eq!(Window::spanning(7.0, 7.0).brightness(7.0), 0.0);
    }

    proptest! {
        #[test]
        fn never_leaves_0_to_1_and_never_falls(
            center in -1e6..1e6_f64,
            width in 1.0..1e6_f64,
            function in prop_oneof![Just(Linear), Just(LinearExact), Just(Sigmoid)],
            low in -1e7..1e7_f64,
            step in 0.0..1e7_f64,
        ) {
            let window = Window::new(center, width, function).unwrap();
            let (dark, bright) = (window.brightness(low), window.brightness(low + step));
            prop_assert!((0.0..=1.0).contains(&dark) && (0.0..=1.0).contains(&bright));
            prop_assert!(dark <= bright);
        }
    }
}
