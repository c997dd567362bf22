//! Numbers out of value fields, binary and decimal alike.

use dicom::core::VR;

/// Reads exactly `N` bytes, or nothing.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// Writes a number in base 128, least significant part first: one byte below 128.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}

/// Reads what [`put_varint`] wrote and moves on behind it.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn each<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok()).map(read).collect()
}

/// The integers of a little endian binary value; empty for VRs that hold none.
pub(super) fn binary_ints(vr: VR, bytes: &[u8]) -> Vec<i64> {
    match vr {
        VR::US | VR::OW => each(bytes, |b| i64::from(u16::from_le_bytes(b))),
        VR::SS => each(bytes, |b| i64::from(i16::from_le_bytes(b))),
        VR::UL | VR::OL => each(bytes, |b| i64::from(u32::from_le_bytes(b))),
        VR::SL => each(bytes, |b| i64::from(i32::from_le_bytes(b))),
        VR::SV => each(bytes, i64::from_le_bytes),
        VR::UV | VR::OV => each(bytes, u64::from_le_bytes)
            .into_iter()
            .map(|n| i64::try_from(n).unwrap_or(i64::MAX))
            .collect(),
        VR::OB => bytes.iter().map(|b| i64::from(*b)).collect(),
        _ => Vec::new(),
    }
}

/// The floating point numbers of a little endian binary value; empty for VRs that hold none.
pub(super) fn binary_floats(vr: VR, bytes: &[u8]) -> Vec<f64> {
    match vr {
        VR::FL | VR::OF => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        VR::FD | VR::OD => each(bytes, f64::from_le_bytes),
        _ => Vec::new(),
    }
}
