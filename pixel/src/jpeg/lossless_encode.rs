//! Samples → JPEG lossless with first-order prediction, process 14 selection value 1 (ISO/IEC 10918-1 Annex H).

use super::super::source::Source;
use super::super::{Error, ErrorKind, Result};
use super::bit_writer::BitWriter;

/// Categories of differences: how many bits one has (Table H.2).
const CATEGORIES: usize = 17;

/// Encodes the samples, all colours in one scan, with the codes that are shortest for them.
///
/// # Errors
/// `TooLarge` for more rows or columns than a frame header can count.
pub(in super::super) fn encode(source: &Source) -> Result<Vec<u8>> {
    let size = [source.shape.rows, source.shape.columns].map(u16::try_from);
    let [Ok(rows), Ok(columns)] = size else {
        return Err(Error::new(ErrorKind::TooLarge, "JPEG has 65535 rows and columns at the most"));
    };
    let internal = || Error::new(ErrorKind::Internal, "JPEG encoder has met a sample beyond its range");
    let colours = u8::try_from(source.shape.colours).map_err(|_| internal())?;
    let differences = differences(source).ok_or_else(internal)?;
    let mut frequencies = [0_u32; CATEGORIES];
    for difference in &differences {
        if let Some(count) = frequencies.get_mut(category(*difference)) {
            *count += 1;
        }
    }
    let lengths = code_lengths(&frequencies);
    let codes = codes(&lengths);

    let [precision, ..] = source.shape.precision.to_le_bytes();
    let mut stream = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 8 + 3 * colours, precision];
    stream.extend(rows.to_be_bytes());
    stream.extend(columns.to_be_bytes());
    stream.push(colours);
    (1..=colours).for_each(|id| stream.extend([id, 0x11, 0]));
    stream.extend(table(&lengths));
    stream.extend([0xFF, 0xDA, 0, 6 + 2 * colours, colours]);
    (1..=colours).for_each(|id| stream.extend([id, 0]));
    stream.extend([1, 0, 0]);
    let mut bits = BitWriter::new(stream);
    for difference in differences {
        let category = category(difference);
        let (code, length) = codes.get(category).copied().ok_or_else(internal)?;
        bits.put(u64::from(code), length);
        if let (1..=15, Ok(width)) = (category, u32::try_from(category)) {
            let number = if difference < 0 { difference - 1 } else { difference };
            bits.put(u64::from(number.cast_unsigned() & ((1 << width) - 1)), width);
        }
    }
    let mut stream = bits.finish();
    stream.extend([0xFF, 0xD9]);
    Ok(stream)
}

/// What each sample differs from its left neighbour, at the beginning of a line from the one above, modulo 2¹⁶ in
/// −32767 … 32768 (§H.1.2.1).
fn differences(source: &Source) -> Option<Vec<i32>> {
    let colours = source.shape.colours;
    let width = usize::try_from(source.shape.columns).ok()?.checked_mul(colours)?;
    let middle = vec![1_u16.checked_shl(source.shape.precision.checked_sub(1)?)?; colours];
    let mut above = middle.as_slice();
    let mut differences = Vec::with_capacity(source.samples.len());
    for line in source.samples.chunks_exact(width) {
        let predicted = above.iter().take(colours).chain(line);
        differences.extend(line.iter().zip(predicted).map(|(sample, predicted)| {
            let difference = i32::from(*sample) - i32::from(*predicted);
            (difference + 32767).rem_euclid(65536) - 32767
        }));
        above = line;
    }
    Some(differences)
}

fn category(difference: i32) -> usize {
    usize::try_from(32 - difference.unsigned_abs().leading_zeros()).unwrap_or(0)
}

/// Lengths of the shortest codes, 16 bits at the most and none of ones alone (§K.2).
fn code_lengths(frequencies: &[u32; CATEGORIES]) -> [u32; CATEGORIES] {
    // One more symbol, the rarest, takes the code of ones.
    let mut groups: Vec<(u64, Vec<usize>)> = frequencies
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(symbol, count)| (u64::from(*count) << 1, vec![symbol]))
        .collect();
    groups.push((1, vec![CATEGORIES]));
    let mut lengths = [0_u32; CATEGORIES + 1];
    while groups.len() > 1 {
        groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let (Some((first, mut symbols)), Some((second, others))) = (groups.pop(), groups.pop()) else {
            break;
        };
        symbols.extend(others);
        for symbol in &symbols {
            if let Some(length) = lengths.get_mut(*symbol) {
                *length += 1;
            }
        }
        groups.push((first + second, symbols));
    }
    let mut of_length = [0_usize; 33];
    for length in lengths.iter().filter(|length| **length > 0) {
        if let Some(count) = usize::try_from(*length).ok().and_then(|length| of_length.get_mut(length)) {
            *count += 1;
        }
    }
    shorten(&mut of_length);
    // The symbol that was added is the last of the longest ones.
    if let Some(longest) = of_length.iter_mut().rev().find(|count| **count > 0) {
        *longest -= 1;
    }
    let mut by_length: Vec<usize> =
        (0..CATEGORIES).filter(|symbol| frequencies.get(*symbol) > Some(&0)).collect();
    by_length.sort_by_key(|symbol| lengths.get(*symbol).copied());
    let mut shortened = [0; CATEGORIES];
    let all = (0..).zip(of_length).flat_map(|(length, count)| std::iter::repeat_n(length, count));
    for (symbol, length) in by_length.into_iter().zip(all) {
        if let Some(place) = shortened.get_mut(symbol) {
            *place = length;
        }
    }
    shortened
}

/// Makes codes of over 16 bits shorter and others longer instead (Figure K.3).
fn shorten(of_length: &mut [usize; 33]) {
    for length in (17..33).rev() {
        while of_length.get(length) > Some(&0) {
            let Some(shorter) = (1..length - 1).rev().find(|shorter| of_length.get(*shorter) > Some(&0))
            else {
                return;
            };
            for (place, change) in [(length, -2), (length - 1, 1), (shorter + 1, 2), (shorter, -1)] {
                if let Some(count) = of_length.get_mut(place) {
                    *count = count.saturating_add_signed(change);
                }
            }
        }
    }
}

/// Symbols in the order of their codes.
fn in_order(lengths: &[u32; CATEGORIES]) -> Vec<(usize, u32)> {
    let mut symbols: Vec<(usize, u32)> =
        lengths.iter().copied().enumerate().filter(|(_, length)| *length > 0).collect();
    symbols.sort_by_key(|(symbol, length)| (*length, *symbol));
    symbols
}

/// Code and length of each category (§C.2).
fn codes(lengths: &[u32; CATEGORIES]) -> [(u32, u32); CATEGORIES] {
    let mut codes = [(0, 0); CATEGORIES];
    let (mut code, mut before) = (0, 0);
    for (symbol, length) in in_order(lengths) {
        code <<= length - before;
        before = length;
        if let Some(place) = codes.get_mut(symbol) {
            *place = (code, length);
        }
        code += 1;
    }
    codes
}

/// DHT (§B.2.4.2).
fn table(lengths: &[u32; CATEGORIES]) -> Vec<u8> {
    let symbols = in_order(lengths);
    let mut counts = [0_u8; 16];
    for (_, length) in &symbols {
        if let Some(count) = usize::try_from(length - 1).ok().and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let [size, ..] = (19 + symbols.len()).to_le_bytes();
    let mut segment = vec![0xFF, 0xC4, 0, size, 0];
    segment.extend(counts);
    segment.extend(symbols.iter().map(|(symbol, _)| symbol.to_le_bytes()[0]));
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_has_more_than_16_bits_or_ones_alone() {
        // Fibonacci's numbers make the longest codes there are.
        let mut frequencies = [1; CATEGORIES];
        for place in 2..CATEGORIES {
            frequencies[place] = frequencies[place - 1] + frequencies[place - 2];
        }
        for frequencies in [frequencies, [7; CATEGORIES], std::array::from_fn(|place| u32::from(place == 3))]
        {
            let lengths = code_lengths(&frequencies);
            let used = frequencies.iter().filter(|count| **count > 0).count();
            assert_eq!(lengths.iter().filter(|length| (1..=16).contains(*length)).count(), used);
            for (code, length) in codes(&lengths).into_iter().filter(|(_, length)| *length > 0) {
                assert!(code < (1 << length) - 1, "{code:b} of {length} bits");
            }
        }
    }
}
