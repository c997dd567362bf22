//! One file within a pack: a tar header of 512 bytes and the content, padded to 512 (POSIX ustar).
//!
//! The group name carries the first 124 bits of the entry's digest, so that an entry proves that
//! it is whole. That of an instance has a link name, which means nothing for a regular file: the digest of its data
//! set, and one of what the index keeps of it ([`Outline`]), so that the index can be made anew from the beginnings
//! of entries. Any tar program reads the rest as usual.

use crate::hex::{from_hex, hex};
use crate::model::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

/// Bytes of a tar block.
pub(crate) const BLOCK: u64 = 512;
/// The same, as the length of a buffer.
pub(crate) const BLOCK_BYTES: usize = 512;
/// The largest size that fits twelve octal digits; larger ones are written in base 256, as GNU tar does.
const MAX_OCTAL: u64 = 0o77_777_777_777;
const DIGEST_DIGITS: usize = 31;
/// The link name's place in a header.
const LINK: usize = 157;
const LINK_BYTES: usize = 100;
/// Digits of the second digest in the link name; the first has all of its 64.
const OUTLINE_DIGITS: usize = 32;
/// The user name's place in a header.
const SENDER: usize = 265;
const SENDER_BYTES: usize = 32;
/// The user name of an entry that nobody sent.
const OURS: &str = "filmless";

/// The digest over all bytes of an entry.
pub(crate) type Digest = [u8; 32];

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Who sent it, where that is known: the user name of the tar header.
    pub(crate) sender: Option<String>,
    /// When it came, in seconds since 1970.
    pub(crate) seconds: u64,
    /// Hexadecimal; compare with [`Entry::proves`].
    digest: String,
    /// `None` for a record, and for an instance that was written before there were such.
    pub(crate) outline: Option<Outline>,
}

/// What the header of an instance says of it, so that the index can be made of the beginning of its data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) data_set: Digest,
    /// Hexadecimal; compare with [`Outline::proves`].
    kept: String,
}

impl Outline {
    /// Whether what the index keeps of the instance has this digest.
    pub(crate) fn proves(&self, kept: &Digest) -> bool {
        self.kept == outline_text(kept)
    }

    fn read(text: &str) -> Option<Self> {
        let (data_set, kept) = text.split_once(':')?;
        let is_one = kept.len() == OUTLINE_DIGITS && kept.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then_some(Self { data_set: from_hex(data_set)?.try_into().ok()?, kept: kept.to_owned() })
    }
}

/// `Study/Series/Instance.dcm`; a newcomer under a UID that is taken lies beside it, by its digest.
pub(crate) fn instance_name(
    study: &StudyInstanceUid,
    series: &SeriesInstanceUid,
    instance: &SopInstanceUid,
    conflict: Option<&Digest>,
) -> String {
    match conflict {
        None => format!("{study}/{series}/{instance}.dcm"),
        Some(digest) => format!("conflict/{study}/{series}/{instance}.{}.dcm", hex(&digest[..8])),
    }
}

/// Bytes that an entry of this size takes in the pack.
pub(crate) fn padded(size: u64) -> u64 {
    BLOCK + size.div_ceil(BLOCK) * BLOCK
}

impl Entry {
    /// Whether it is a record of what was done to the archive, and no instance.
    pub(crate) fn is_record(&self) -> bool {
        self.name.starts_with("filmless/")
    }

    /// Whether it is a data set under this UID, shown or kept aside ([`instance_name`]).
    pub(crate) fn is_of(&self, instance: &SopInstanceUid) -> bool {
        self.uid() == instance.as_str()
    }

    /// The instance whose data set it is; `None` for a record.
    pub(crate) fn instance(&self) -> Option<SopInstanceUid> {
        SopInstanceUid::parse(self.uid()).ok()
    }

    /// The beginning of the digest of a data set that was kept aside, hexadecimal; `None` for every other entry.
    pub(crate) fn aside(&self) -> Option<&str> {
        self.name
            .starts_with("conflict/")
            .then(|| self.stem().rsplit_once('.').map_or("", |(_, digest)| digest))
    }

    fn uid(&self) -> &str {
        let is_aside = self.name.starts_with("conflict/");
        if is_aside { self.stem().rsplit_once('.').map_or("", |(uid, _)| uid) } else { self.stem() }
    }

    fn stem(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        file.strip_suffix(".dcm").unwrap_or_default()
    }

    pub(crate) fn proves(&self, digest: &Digest) -> bool {
        self.digest == digest_text(digest)
    }

    /// Reads a header; `None` where there is none: past the last entry.
    pub(crate) fn read(block: &[u8]) -> Option<Self> {
        let field = |at: usize, length: usize| block.get(at..at + length);
        let text = |at, length| {
            let bytes = field(at, length)?;
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(length);
            std::str::from_utf8(bytes.get(..end)?).ok()
        };
        let octal = |at, length| u64::from_str_radix(text(at, length)?.trim_matches(' '), 8).ok();
        if field(257, 5)? != b"ustar" || octal(148, 8)? != checksum(block.get(..512)?) {
            return None;
        }
        let (name, prefix) = (text(0, 100)?, text(345, 155)?);
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let size = match field(124, 12)? {
            [0x80, _, _, _, tail @ ..] => u64::from_be_bytes(tail.try_into().ok()?),
            _ => octal(124, 12)?,
        };
        let sender = text(SENDER, SENDER_BYTES).filter(|name| !name.is_empty() && *name != OURS);
        Some(Self {
            name,
            size,
            sender: sender.map(str::to_owned),
            seconds: octal(136, 12)?,
            digest: text(297, 32)?.to_owned(),
            outline: text(LINK, LINK_BYTES).and_then(Outline::read),
        })
    }

    /// The header of a file.
    ///
    /// # Errors
    /// `Internal` when the name does not fit its fields (100 and 155 bytes).
    pub(crate) fn header(name: &str, size: u64, digest: &Digest, seconds: u64) -> Result<[u8; BLOCK_BYTES]> {
        let (prefix, file) = name.rsplit_once('/').unwrap_or(("", name));
        if file.len() > 100 || prefix.len() > 155 {
            return Err(Error::internal("name of an entry does not fit a tar header"));
        }
        let mut block = [0u8; BLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(field) = block.get_mut(at..at + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        };
        put(0, file.as_bytes());
        put(100, b"0000640\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        if size <= MAX_OCTAL {
            put(124, format!("{size:011o}\0").as_bytes());
        } else {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &size.to_be_bytes());
        }
        put(136, format!("{:011o}\0", seconds.min(MAX_OCTAL)).as_bytes());
        put(156, b"0");
        put(257, b"ustar\x0000");
        put(SENDER, OURS.as_bytes());
        put(297, digest_text(digest).as_bytes());
        put(345, prefix.as_bytes());
        seal(&mut block);
        Ok(block)
    }

    /// The same header, with who sent the instance: an AE title, or `web`, `import`. So that the index that is made
    /// anew from the packs knows it too.
    pub(crate) fn sent_by(mut header: [u8; BLOCK_BYTES], sender: &str) -> [u8; BLOCK_BYTES] {
        let is_name = !sender.is_empty() && sender.len() < SENDER_BYTES && !sender.contains('\0');
        if let (true, Some(field)) = (is_name, header.get_mut(SENDER..SENDER + SENDER_BYTES)) {
            let rest = std::iter::repeat(0);
            field.iter_mut().zip(sender.bytes().chain(rest)).for_each(|(place, byte)| *place = byte);
            seal(&mut header);
        }
        header
    }

    /// The same header, with the digest of the data set and that of what the index keeps of the instance.
    pub(crate) fn outlined(
        mut header: [u8; BLOCK_BYTES],
        data_set: &Digest,
        kept: &Digest,
    ) -> [u8; BLOCK_BYTES] {
        let link = format!("{}:{}", hex(data_set), outline_text(kept));
        if let Some(field) = header.get_mut(LINK..LINK + link.len()) {
            field.copy_from_slice(link.as_bytes());
            seal(&mut header);
        }
        header
    }
}

fn seal(block: &mut [u8; BLOCK_BYTES]) {
    let sum = checksum(block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn digest_text(digest: &Digest) -> String {
    let mut text = hex(digest);
    text.truncate(DIGEST_DIGITS);
    text
}

fn outline_text(kept: &Digest) -> String {
    let mut text = hex(kept);
    text.truncate(OUTLINE_DIGITS);
    text
}

/// Sum of all bytes, the checksum's own field counted as spaces.
fn checksum(block: &[u8]) -> u64 {
    let own = 148..156;
    block.iter().enumerate().map(|(at, b)| if own.contains(&at) { 32 } else { u64::from(*b) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0)]
    #[case(525_312)]
    #[case(MAX_OCTAL + 1)]
    fn a_header_reads_back(#[case] size: u64) {
        let longest = "1".repeat(64);
        let name = instance_name(
            &StudyInstanceUid::parse(&longest).unwrap(),
            &SeriesInstanceUid::parse(&longest).unwrap(),
            &SopInstanceUid::parse(&longest).unwrap(),
            Some(&[7; 32]),
        );
        let block = Entry::header(&name, size, &[9; 32], 1_700_000_000).unwrap();
        let entry = Entry::read(&block).unwrap();
        assert_eq!((entry.name.as_str(), entry.size), (name.as_str(), size));
        assert!(entry.proves(&[9; 32]) && !entry.proves(&[8; 32]));
        assert_eq!((&entry.sender, entry.seconds, &entry.outline), (&None, 1_700_000_000, &None));
        let uid = |text: &str| SopInstanceUid::parse(text).unwrap();
        assert!(entry.is_of(&uid(&longest)) && !entry.is_of(&uid("1")));
        assert_eq!(entry.aside(), Some("0707070707070707"));
        let sent = Entry::read(&Entry::sent_by(block, "OLD US 1")).unwrap();
        assert_eq!((sent.sender.as_deref(), sent.name, sent.size), (Some("OLD US 1"), entry.name, size));
        let outlined = Entry::outlined(Entry::sent_by(block, "OLD US 1"), &[0xA5; 32], &[7; 32]);
        let outlined = Entry::read(&outlined).unwrap();
        let outline = outlined.outline.unwrap();
        assert_eq!((outlined.sender.as_deref(), outline.data_set), (Some("OLD US 1"), [0xA5; 32]));
        assert!(outline.proves(&[7; 32]) && !outline.proves(&[8; 32]));
    }

    #[rstest]
    #[case("")]
    #[case("../elsewhere")]
    #[case(
        "é234567890123456789012345678901234567890123456789012345678901234:01234567890123456789012345678901"
    )]
    #[case(
        "+1234567890123456789012345678901234567890123456789012345678901234:0123456789012345678901234567890"
    )]
    fn a_link_name_that_is_no_outline_says_nothing(#[case] link: &str) {
        let mut block = Entry::header("a/b.dcm", 5, &[1; 32], 0).unwrap();
        block[LINK..LINK + link.len()].copy_from_slice(link.as_bytes());
        seal(&mut block);
        assert_eq!(Entry::read(&block).unwrap().outline, None);
    }

    #[test]
    fn a_changed_header_and_zeros_are_no_header() {
        let mut block = Entry::header("a/b.dcm", 5, &[1; 32], 0).unwrap();
        block[0] ^= 1;
        assert_eq!(Entry::read(&block), None);
        assert_eq!(Entry::read(&[0; 512]), None);
        assert_eq!(Entry::read(&[0; 100]), None);
    }
}
