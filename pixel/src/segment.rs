//! The segments that all code streams of the JPEG family are made of: FF and a marker, and most times a length and as
//! many bytes.

/// Marker, contents and what follows, in a stream of JPEG or JPEG-LS; fill bytes before a marker are skipped (ISO/IEC
/// 10918-1 §B.1.1.2).
pub(super) fn next_segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let bytes = bytes.strip_prefix(&[0xFF])?;
    let fill = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let (marker, rest) = bytes.get(fill..)?.split_first()?;
    // Restarts, start and end of the image, and TEM stand alone (Table B.1).
    if matches!(marker, 0x01 | 0xD0..=0xD9) {
        return Some((*marker, &[], rest));
    }
    let (segment, behind) = split(rest)?;
    Some((*marker, segment, behind))
}

/// The contents of a segment whose marker stands before these bytes, and what follows.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, _) = bytes.split_first_chunk::<2>()?;
    let (segment, behind) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((segment.get(2..)?, behind))
}
