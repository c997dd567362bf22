//! A ZIP file that is written while it is sent (APPNOTE.TXT 6.3): entries are stored as they are, one after the other,
//! and nothing of them is kept but what the directory at the end says.
//!
//! CRC and lengths stand behind each entry, for they are known only then. ZIP64 is used where an entry, the file or
//! the number of entries needs it. All entries have the same date, so that the same instances give the same file.

use bytes::Bytes;

const LOCAL: u32 = 0x0403_4B50;
const DESCRIPTOR: u32 = 0x0807_4B50;
const CENTRAL: u32 = 0x0201_4B50;
const END: u32 = 0x0605_4B50;
const END_64: u32 = 0x0606_4B50;
const LOCATOR_64: u32 = 0x0706_4B50;
/// Stored entries with ZIP64 (4.5); without it (2.0).
const VERSION_64: u16 = 45;
const VERSION: u16 = 20;
/// CRC and lengths stand behind the data.
const FLAGS: u16 = 0x0008;
/// 1 January 1980, midnight.
const TIME: u16 = 0;
const DATE: u16 = 0x0021;

/// A ZIP file in the making: gives the bytes that go before and behind the data of each entry.
#[derive(Debug, Default)]
pub(crate) struct Zip {
    /// Bytes so far.
    length: u64,
    entries: u64,
    /// The directory, as it will stand at the end.
    directory: Vec<u8>,
    open: Option<Open>,
}

/// The entry that is being written.
#[derive(Debug)]
struct Open {
    name: String,
    start: u64,
    length: u64,
    crc: crc32fast::Hasher,
    is_64: bool,
}

impl Zip {
    /// What goes before the data of an entry; `length` is that of the data, where it is known.
    pub(crate) fn begin(&mut self, name: String, length: Option<u64>) -> Bytes {
        // Beside 4 GiB the descriptor would have to say what the head did not announce.
        let is_64 = length.is_none_or(|length| length >= u64::from(u32::MAX));
        let mut head = Vec::with_capacity(64 + name.len());
        put(&mut head, LOCAL);
        common(&mut head, is_64);
        put(&mut head, 0_u32);
        let size = if is_64 { u32::MAX } else { 0 };
        put(&mut head, size);
        put(&mut head, size);
        put(&mut head, short(name.len()));
        put(&mut head, if is_64 { 20_u16 } else { 0 });
        head.extend_from_slice(name.as_bytes());
        if is_64 {
            put(&mut head, 1_u16);
            put(&mut head, 16_u16);
            put(&mut head, 0_u64);
            put(&mut head, 0_u64);
        }
        let crc = crc32fast::Hasher::new();
        self.open = Some(Open { name, start: self.length, length: 0, crc, is_64 });
        self.wrote(head)
    }

    /// Takes note of data of the open entry, which go out as they are.
    pub(crate) fn data(&mut self, bytes: &Bytes) {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.length += count;
        if let Some(open) = &mut self.open {
            open.length += count;
            open.crc.update(bytes);
        }
    }

    /// What goes behind the data of the open entry.
    pub(crate) fn end(&mut self) -> Bytes {
        let Some(Open { name, start, length, crc, is_64 }) = self.open.take() else { return Bytes::new() };
        let crc = crc.finalize();
        let mut tail = Vec::with_capacity(24);
        put(&mut tail, DESCRIPTOR);
        put(&mut tail, crc);
        for _ in 0..2 {
            if is_64 { put(&mut tail, length) } else { put(&mut tail, word(length)) }
        }
        self.entries += 1;
        let mut extra = Vec::new();
        if length >= u64::from(u32::MAX) {
            put(&mut extra, length);
            put(&mut extra, length);
        }
        if start >= u64::from(u32::MAX) {
            put(&mut extra, start);
        }
        let directory = &mut self.directory;
        put(directory, CENTRAL);
        put(directory, VERSION_64);
        common(directory, is_64 || !extra.is_empty());
        put(directory, crc);
        put(directory, word(length));
        put(directory, word(length));
        put(directory, short(name.len()));
        put(directory, if extra.is_empty() { 0 } else { short(extra.len() + 4) });
        // No comment, first disk, no attributes.
        directory.extend_from_slice(&[0; 2 + 2 + 2 + 4]);
        put(directory, word(start));
        directory.extend_from_slice(name.as_bytes());
        if !extra.is_empty() {
            put(directory, 1_u16);
            put(directory, short(extra.len()));
            directory.append(&mut extra);
        }
        self.wrote(tail)
    }

    /// The directory, behind the last entry.
    pub(crate) fn finish(mut self) -> Bytes {
        let (start, entries) = (self.length, self.entries);
        let mut out = std::mem::take(&mut self.directory);
        let length = u64::try_from(out.len()).unwrap_or(u64::MAX);
        let most = u64::from(u32::MAX);
        if entries >= u64::from(u16::MAX) || start >= most || length >= most {
            let at = start + length;
            put(&mut out, END_64);
            put(&mut out, 44_u64);
            put(&mut out, VERSION_64);
            put(&mut out, VERSION_64);
            out.extend_from_slice(&[0; 8]);
            put(&mut out, entries);
            put(&mut out, entries);
            put(&mut out, length);
            put(&mut out, start);
            put(&mut out, LOCATOR_64);
            put(&mut out, 0_u32);
            put(&mut out, at);
            put(&mut out, 1_u32);
        }
        put(&mut out, END);
        put(&mut out, 0_u32);
        let count = u16::try_from(entries).unwrap_or(u16::MAX);
        put(&mut out, count);
        put(&mut out, count);
        put(&mut out, word(length));
        put(&mut out, word(start));
        put(&mut out, 0_u16);
        out.into()
    }

    fn wrote(&mut self, bytes: Vec<u8>) -> Bytes {
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        bytes.into()
    }
}

/// What the head of an entry and the directory have alike.
fn common(out: &mut Vec<u8>, is_64: bool) {
    put(out, if is_64 { VERSION_64 } else { VERSION });
    put(out, FLAGS);
    put(out, 0_u16);
    put(out, TIME);
    put(out, DATE);
}

/// What does not fit is told in the ZIP64 field.
fn word(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// A little endian number.
trait Number {
    fn append(self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            fn append(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

number!(u16, u32, u64);

fn put(out: &mut Vec<u8>, number: impl Number) {
    number.append(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_where_the_directory_says() {
        let mut zip = Zip::default();
        let mut file = Vec::new();
        for (name, data, length) in
            [("A/B", b"first".as_slice(), Some(5)), ("C", b"", Some(0)), ("D", b"unknown", None)]
        {
            file.extend_from_slice(&zip.begin(name.into(), length));
            let data = Bytes::from_static(data);
            zip.data(&data);
            file.extend_from_slice(&data);
            file.extend_from_slice(&zip.end());
        }
        file.extend_from_slice(&zip.finish());
        let number =
            |at: usize| usize::try_from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap())).unwrap();
        let end = file.len() - 22;
        assert_eq!((number(end), number(end + 16) + number(end + 12)), (0x0605_4B50, end));
        assert_eq!(file[end + 10..end + 12], [3, 0]);
        let mut at = number(end + 16);
        for (name, data) in [("A/B", "first"), ("C", ""), ("D", "unknown")] {
            assert_eq!(number(at), 0x0201_4B50);
            let (crc, length, start) = (number(at + 16), number(at + 20), number(at + 42));
            assert_eq!(
                (length, crc),
                (data.len(), usize::try_from(crc32fast::hash(data.as_bytes())).unwrap())
            );
            assert_eq!(number(start), 0x0403_4B50);
            let extra = usize::from(u16::from_le_bytes([file[start + 28], file[start + 29]]));
            assert!(file[start + 30..].starts_with(name.as_bytes()));
            assert!(file[start + 30 + name.len() + extra..].starts_with(data.as_bytes()));
            at += 46 + name.len();
        }
        assert_eq!(at, end);
    }

    #[test]
    fn lengths_over_four_gibibytes_are_told_in_64_bits() {
        let mut zip = Zip::default();
        zip.begin("LARGE".into(), Some(5 << 30));
        // As if that much had gone out.
        let open = zip.open.as_mut().unwrap();
        open.length = 5 << 30;
        zip.length += 5 << 30;
        assert_eq!(zip.end().len(), 24);
        zip.begin("BEHIND".into(), Some(1));
        zip.data(&Bytes::from_static(b"x"));
        assert_eq!(zip.end().len(), 16);
        let end = zip.finish();
        let find = |needle: &[u8]| memchr::memmem::find(&end, needle).unwrap();
        let first = find(b"LARGE") + 5;
        assert_eq!(end[first..first + 4], [1, 0, 16, 0]);
        assert_eq!(end[first + 4..first + 12], (5_u64 << 30).to_le_bytes());
        let second = find(b"BEHIND") + 6;
        assert_eq!(end[second..second + 4], [1, 0, 8, 0]);
        assert!(find(&LOCATOR_64.to_le_bytes()) > find(&END_64.to_le_bytes()));
    }
}
