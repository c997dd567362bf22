//! Contexts, and the errors of prediction that are coded in them (ISO/IEC 14495-1 Annex A).

use super::bits::Bits;
use super::header::Parameters;
use super::writer::BitWriter;

/// Contexts of differences, of which one and its negative share a place (§A.3.4).
const REGULAR: usize = 365;

/// C never leaves this range (§A.6.2).
const MOST_CORRECTION: i32 = 127;

/// The state of one context.
#[derive(Clone, Copy)]
struct Context {
    /// A: sum of the sizes of errors.
    sizes: i32,
    /// B: what the errors add up to.
    bias: i32,
    /// C: what is added to a prediction.
    correction: i32,
    /// N: how often the context has occurred.
    count: i32,
}

/// The state of a context of interrupted runs.
#[derive(Clone, Copy)]
struct RunContext {
    sizes: i32,
    count: i32,
    /// Nn: how often the error was negative.
    negative: i32,
}

/// Decodes errors of prediction, and learns from them.
pub(super) struct Coder {
    pub(super) parameters: Parameters,
    /// RANGE: how many errors there are.
    range: i32,
    /// qbpp: bits of an error.
    error_bits: u32,
    limit: u32,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
}

impl Coder {
    /// With contexts in their initial state (§A.2.1).
    pub(super) fn new(parameters: &Parameters) -> Self {
        let Parameters { greatest, near, .. } = *parameters;
        let range = (greatest + 2 * near) / (2 * near + 1) + 1;
        let bits_of = |values: i32| 32 - values.unsigned_abs().saturating_sub(1).leading_zeros();
        let sample_bits = bits_of(greatest + 1).max(2);
        let sizes = ((range + 32) / 64).max(2);
        Self {
            parameters: *parameters,
            range,
            error_bits: bits_of(range),
            limit: 2 * (sample_bits + sample_bits.max(8)),
            contexts: vec![Context { sizes, bias: 0, correction: 0, count: 1 }; REGULAR],
            runs: [RunContext { sizes, count: 1, negative: 0 }; 2],
        }
    }

    /// Where a difference lies, −4 … 4 (§A.3.3).
    pub(super) fn quantized(&self, difference: i32) -> i32 {
        let [t1, t2, t3] = self.parameters.thresholds;
        let size = difference.abs();
        let region = if size <= self.parameters.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        if difference < 0 { -region } else { region }
    }

    /// The sample of a context, −364 … 364, with what is predicted for it (§A.4 … §A.6).
    pub(super) fn sample(&mut self, bits: &mut Bits<'_>, context: i32, predicted: i32) -> Option<i32> {
        let Parameters { greatest, near, reset, .. } = self.parameters;
        let sign = if context < 0 { -1 } else { 1 };
        let state = self.contexts.get_mut(usize::try_from(context.unsigned_abs()).ok()?)?;
        let predicted = (predicted + sign * state.correction).clamp(0, greatest);
        let k = golomb_parameter(state.sizes, state.count);
        let mapped = golomb(bits, k, self.limit, self.error_bits)?;
        let is_turned = near == 0 && k == 0 && 2 * state.bias <= -state.count;
        let error = unmapped(mapped, is_turned);
        state.learn(error, near, reset)?;
        Some(self.reconstructed(predicted, sign * error))
    }

    /// The sample that interrupts a run (§A.7.2); `is_even` when its neighbours hardly differ.
    pub(super) fn interruption(
        &mut self,
        bits: &mut Bits<'_>,
        (left, above): (i32, i32),
        is_even: bool,
        run_bits: u32,
    ) -> Option<i32> {
        let (predicted, sign) = if is_even { (left, 1) } else { (above, if left > above { -1 } else { 1 }) };
        let state = self.runs.get_mut(usize::from(is_even))?;
        let kind = i32::from(is_even);
        let k = golomb_parameter(state.sizes.saturating_add((state.count >> 1) * kind), state.count);
        let limit = self.limit.checked_sub(run_bits + 1)?;
        let mapped = i32::try_from(golomb(bits, k, limit, self.error_bits)?).ok()?;
        let raised = mapped + kind;
        let (is_odd, size) = (raised & 1 == 1, (raised + 1) / 2);
        let is_negative = (k != 0 || 2 * state.negative >= state.count) == is_odd;
        state.learn(mapped, kind, is_negative && size > 0, self.parameters.reset)?;
        Some(self.reconstructed(predicted, sign * if is_negative { -size } else { size }))
    }

    /// Writes a sample, without loss; context and prediction as for [`Coder::sample`].
    pub(super) fn put(
        &mut self,
        bits: &mut BitWriter,
        context: i32,
        predicted: i32,
        sample: i32,
    ) -> Option<()> {
        let Parameters { greatest, near, reset, .. } = self.parameters;
        let sign = if context < 0 { -1 } else { 1 };
        let state = self.contexts.get_mut(usize::try_from(context.unsigned_abs()).ok()?)?;
        let predicted = (predicted + sign * state.correction).clamp(0, greatest);
        let error = wrapped(sign * (sample - predicted), self.range);
        let k = golomb_parameter(state.sizes, state.count);
        let is_turned = k == 0 && 2 * state.bias <= -state.count;
        put_golomb(bits, mapped(error, is_turned), k, self.limit, self.error_bits)?;
        state.learn(error, near, reset)
    }

    /// Writes a sample that interrupts a run, as [`Coder::interruption`] reads it.
    pub(super) fn put_interruption(
        &mut self,
        bits: &mut BitWriter,
        (left, above): (i32, i32),
        sample: i32,
        run_bits: u32,
    ) -> Option<()> {
        let is_even = left == above;
        let (predicted, sign) = if is_even { (left, 1) } else { (above, if left > above { -1 } else { 1 }) };
        let error = wrapped(sign * (sample - predicted), self.range);
        let state = self.runs.get_mut(usize::from(is_even))?;
        let kind = i32::from(is_even);
        let k = golomb_parameter(state.sizes.saturating_add((state.count >> 1) * kind), state.count);
        let odd_is_negative = k != 0 || 2 * state.negative >= state.count;
        let is_odd = error != 0 && (error < 0) == odd_is_negative;
        let mapped = 2 * error.abs() - kind - i32::from(is_odd);
        let limit = self.limit.checked_sub(run_bits + 1)?;
        put_golomb(bits, u32::try_from(mapped).ok()?, k, limit, self.error_bits)?;
        state.learn(mapped, kind, error < 0, self.parameters.reset)
    }

    /// Prediction and error, modulo the range (§A.4.4, §A.4.5).
    fn reconstructed(&self, predicted: i32, error: i32) -> i32 {
        let Parameters { greatest, near, .. } = self.parameters;
        let step = 2 * near + 1;
        let sample = error.saturating_mul(step).saturating_add(predicted);
        let wrapped = if sample < -near {
            sample + self.range * step
        } else if sample > greatest + near {
            sample - self.range * step
        } else {
            sample
        };
        wrapped.clamp(0, greatest)
    }
}

impl Context {
    /// §A.6; `None` for an error that no encoder makes.
    fn learn(&mut self, error: i32, near: i32, reset: i32) -> Option<()> {
        self.bias = self.bias.checked_add(error.checked_mul(2 * near + 1)?)?;
        self.sizes = self.sizes.checked_add(error.checked_abs()?)?;
        if self.count == reset {
            self.sizes >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-MOST_CORRECTION - 1);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(MOST_CORRECTION);
        }
        Some(())
    }
}

impl RunContext {
    /// §A.7.2.2; `None` for an error that no encoder makes.
    fn learn(&mut self, mapped: i32, kind: i32, is_negative: bool, reset: i32) -> Option<()> {
        self.negative += i32::from(is_negative);
        self.sizes = self.sizes.checked_add((mapped + 1 - kind) >> 1)?;
        if self.count == reset {
            self.sizes >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
        Some(())
    }
}

/// The least k with N · 2^k ≥ A (§A.5.1).
fn golomb_parameter(sizes: i32, count: i32) -> u32 {
    let mut k = 0;
    while k < 24 && i64::from(count) << k < i64::from(sizes) {
        k += 1;
    }
    k
}

/// A code of limited length (§A.5.3).
fn golomb(bits: &mut Bits<'_>, k: u32, limit: u32, error_bits: u32) -> Option<u32> {
    let escape = limit.checked_sub(error_bits + 1)?;
    let zeros = bits.zeros(escape + 1)?;
    if zeros < escape { Some(zeros << k | bits.number(k)?) } else { Some(bits.number(error_bits)? + 1) }
}

/// Writes such a code.
fn put_golomb(bits: &mut BitWriter, mapped: u32, k: u32, limit: u32, error_bits: u32) -> Option<()> {
    let escape = limit.checked_sub(error_bits + 1)?;
    let zeros = mapped >> k;
    if zeros < escape {
        bits.zeros(zeros);
        bits.put(1, 1);
        bits.put(mapped & ((1 << k) - 1), k);
    } else {
        bits.zeros(escape);
        bits.put(1, 1);
        bits.put(mapped.checked_sub(1)?, error_bits);
    }
    Some(())
}

/// The error that is the same modulo the range, and smallest (§A.4.5).
fn wrapped(error: i32, range: i32) -> i32 {
    let positive = if error < 0 { error + range } else { error };
    if positive >= (range + 1) / 2 { positive - range } else { positive }
}

/// What [`unmapped`] turns back.
fn mapped(error: i32, is_turned: bool) -> u32 {
    let doubled = if error < 0 { 2 * (error + 1).unsigned_abs() } else { 2 * error.unsigned_abs() };
    doubled + u32::from((error < 0) != is_turned)
}

/// From 0, 1, 2 … to 0, −1, 1 …, or to −1, 0, −2 … (§A.5.2).
fn unmapped(mapped: u32, is_turned: bool) -> i32 {
    let half = i32::try_from(mapped >> 1).unwrap_or(i32::MAX);
    let is_odd = mapped & 1 == 1;
    if is_odd != is_turned { -half - 1 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_alternate_in_sign() {
        assert_eq!([0, 1, 2, 3, 4].map(|mapped| unmapped(mapped, false)), [0, -1, 1, -2, 2]);
        assert_eq!([0, 1, 2, 3, 4].map(|mapped| unmapped(mapped, true)), [-1, 0, -2, 1, -3]);
    }

    #[test]
    fn an_error_is_mapped_and_back() {
        for is_turned in [false, true] {
            assert!((-9..9).all(|error| unmapped(mapped(error, is_turned), is_turned) == error));
        }
    }

    #[test]
    fn a_code_that_would_be_too_long_gives_the_error_itself() {
        // Limit 32 and errors of 8 bits: 23 zeros and a one, then the error less one.
        let bytes = [0, 0, 1, 41];
        assert_eq!(golomb(&mut Bits::new(&bytes), 2, 32, 8), Some(42));
        assert_eq!(golomb(&mut Bits::new(&[0b0010_1100]), 2, 32, 8), Some(0b1001));
    }
}
