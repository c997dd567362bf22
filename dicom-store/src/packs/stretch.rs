//! Stretches of a pack: entries that follow each other, read at once, so that several are worked on at a time.
//!
//! This is how a pack is read that is as it was written. Where it is not, a stretch ends, and what comes next is for
//! those who look closer. In a pack of the log all of each entry is read and proven, and one that is larger than a
//! stretch ends it too. Of a sealed pack the beginning of each entry is read: small ones are whole in it and proven as
//! well, of the others what the index keeps is ([`PackReader::begun`]).

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, padded};
use super::pack_bytes::PackBytes;
use super::reader::{Content, PackReader, Part, instance};
use crate::Result;
use crate::ingest::Sources;
use crate::ledger;
use crate::model::FileMeta;

/// Bytes of a stretch, about.
const BYTES: u64 = 8 << 20;
/// Entries of a stretch, about, at the most.
const ENTRIES: usize = 512;
/// Bytes that are read at a time of a sealed pack: the header of most images and some more.
const BEGINNING: u64 = 16 << 10;

/// Some of a pack, in memory.
pub(super) struct Stretch {
    start: u64,
    entries: Vec<Begun>,
    /// Behind the last entry, within the pack.
    pub(super) end: u64,
}

/// An entry, as far as it was read.
struct Begun {
    entry: Entry,
    /// Of its content, within the pack.
    offset: u64,
    content: Bytes,
}

impl Stretch {
    /// What begins at `start` of a pack of `length` bytes; `None` where no entry begins that fits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(
        file: &PackBytes,
        start: u64,
        length: u64,
        is_sealed: bool,
    ) -> io::Result<Option<Self>> {
        let mut stretch = Self { start, entries: Vec::new(), end: start };
        if is_sealed {
            while stretch.entries.len() < ENTRIES {
                let run = read_up_to(file, stretch.end, length, BEGINNING)?;
                if !stretch.add_whole(&run) && !stretch.add_begun(&run, length) {
                    break;
                }
            }
        } else {
            stretch.add_whole(&read_up_to(file, start, length, BYTES)?);
        }
        Ok((!stretch.entries.is_empty()).then_some(stretch))
    }

    /// Adds the entries that are whole within what was read from the end on; gives whether there was one.
    fn add_whole(&mut self, run: &Bytes) -> bool {
        let (start, mut at) = (self.end, 0);
        while self.entries.len() < ENTRIES
            && let Some((entry, content)) = whole_at(run, at)
        {
            let offset = start + content.start as u64;
            self.end = offset - BLOCK + padded(entry.size);
            at = usize::try_from(self.end - start).unwrap_or(usize::MAX);
            self.entries.push(Begun { entry, offset, content: run.slice(content) });
        }
        at > 0
    }

    /// Adds the entry that begins what was read from the end on, when the pack has all of it.
    fn add_begun(&mut self, run: &Bytes, length: u64) -> bool {
        let Some(entry) = Entry::read(run) else { return false };
        let Some(end) = self.end.checked_add(padded(entry.size)).filter(|end| *end <= length) else {
            return false;
        };
        let content = BLOCK_BYTES..run.len().min(usize::try_from(BLOCK + entry.size).unwrap_or(usize::MAX));
        self.entries.push(Begun { entry, offset: self.end + BLOCK, content: run.slice(content) });
        self.end = end;
        true
    }

    /// Proves each entry and reads it; ends before the first that is not as it was written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn part(self, reader: &PackReader) -> Result<Part> {
        let mut part = Part { end: self.start, ..Part::default() };
        for Begun { entry, offset, content } in self.entries {
            let location = reader.location(offset, &entry);
            let content = if content.len() as u64 == entry.size {
                proven(&entry, &content, &reader.sources)
            } else {
                reader.begun(&entry, location, content)?
            };
            let Some(content) = content else { break };
            part.add(location, content);
        }
        Ok(part)
    }
}

/// Bytes from a place on, as many as are wanted and as the pack has, up to what the disk has lost.
fn read_up_to(file: &PackBytes, at: u64, length: u64, want: u64) -> io::Result<Bytes> {
    let want = usize::try_from(length.saturating_sub(at).min(want)).unwrap_or_default();
    let mut bytes = vec![0; want];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if file.has_lost(&error) => break,
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

/// The entry that begins here, with the range of its content, when all of it is there.
fn whole_at(run: &Bytes, at: usize) -> Option<(Entry, Range<usize>)> {
    let entry = Entry::read(run.get(at..)?.get(..BLOCK_BYTES)?)?;
    let end = at.checked_add(usize::try_from(padded(entry.size)).ok()?)?;
    let content = at + BLOCK_BYTES..at + BLOCK_BYTES + usize::try_from(entry.size).ok()?;
    (end <= run.len()).then_some((entry, content))
}

/// What an entry holds that is in memory; `None` when its bytes have not the digest that its header gives.
fn proven(entry: &Entry, content: &Bytes, sources: &Sources) -> Option<Content> {
    if ledger::is_act(&entry.name) {
        let is_whole = entry.proves(blake3::hash(content).as_bytes());
        let read = || ledger::Entry::from_json(content).map_or_else(Content::Unreadable, Content::Act);
        return is_whole.then(read);
    }
    let (meta, digest) = digests(entry, content)?;
    Some(Content::of(instance(entry, &mut content.as_ref(), &meta, digest, sources)))
}

/// The file meta information of an entry that is whole, and the digest of its data set: one pass gives both digests.
fn digests(entry: &Entry, content: &[u8]) -> Option<(FileMeta, Digest)> {
    let meta = FileMeta::read(content, true).ok().flatten()?;
    let (head, data_set) = content.split_at_checked(usize::try_from(meta.data_set).ok()?)?;
    let mut hasher = blake3::Hasher::new();
    let digest = *hasher.update(data_set).finalize().as_bytes();
    let is_whole = entry.proves(hasher.update(head).finalize().as_bytes());
    is_whole.then_some((meta, digest))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use dicom::dictionary_std::{tags, uids};

    use super::super::disk::Disk;
    use super::*;
    use crate::model::{
        Attributes, Encoding, PackId, SopClassUid, SopInstanceUid, TextRule, TransferSyntaxUid, VR,
    };

    const PACK: PackId = PackId(7);
    const SECONDS: u64 = 1_767_225_600;

    /// The entry of a file, as the writer makes it.
    fn entry(file: &[u8], sender: &str) -> Vec<u8> {
        let (header, data_set, kept) = header(file, sender);
        padded_to_blocks(&Entry::outlined(header, &data_set, &kept), file)
    }

    fn padded_to_blocks(header: &[u8], file: &[u8]) -> Vec<u8> {
        let mut bytes = [header, file].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        bytes
    }

    /// The header of a file without its outline, and what that is.
    fn header(file: &[u8], sender: &str) -> ([u8; BLOCK_BYTES], Digest, Digest) {
        let meta = FileMeta::read(file, true).unwrap().unwrap();
        let (head, data_set) = file.split_at(usize::try_from(meta.data_set).unwrap());
        let digest = blake3::Hasher::new().update(data_set).update(head).finalize();
        let header = Entry::header("1/2/3.dcm", file.len() as u64, digest.as_bytes(), SECONDS).unwrap();
        let header = Entry::sent_by(header, sender);
        let plain = Entry::read(&header).unwrap();
        let of_data_set = *blake3::hash(data_set).as_bytes();
        let new = instance(&plain, &mut &*file, &meta, of_data_set, &Sources::default()).unwrap();
        (header, of_data_set, new.outline())
    }

    fn reader(bytes: &[u8], is_sealed: bool) -> PackReader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let length = bytes.len() as u64;
        let bytes = PackBytes::new(Arc::new(file), &Disk::default());
        PackReader { pack: PACK, bytes, length, sources: Arc::default(), is_sealed }
    }

    /// What a stretch from the start gives, and where it ended before it was looked at.
    fn part(reader: &PackReader) -> (Part, u64) {
        let stretch = reader.stretch(0).unwrap().unwrap();
        let end = stretch.end;
        (stretch.part(reader).unwrap(), end)
    }

    fn file(name: &[u8], pixels: usize) -> Vec<u8> {
        let mut set = Attributes::new();
        set.put_text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.3");
        set.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.1");
        set.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2");
        set.put_bytes(tags::PATIENT_NAME, VR::PN, name.to_vec());
        if pixels > 0 {
            set.put_bytes(tags::PIXEL_DATA, VR::OW, vec![7; pixels]);
            set.put_bytes(tags::DATA_SET_TRAILING_PADDING, VR::OB, vec![0; 8]);
        }
        let class = SopClassUid::parse(uids::CT_IMAGE_STORAGE).unwrap();
        let syntax = TransferSyntaxUid::parse(uids::EXPLICIT_VR_LITTLE_ENDIAN).unwrap();
        let mut file = FileMeta::head(&class, &SopInstanceUid::parse("1.3").unwrap(), &syntax, None).to_vec();
        file.extend(set.write(Encoding::ExplicitLittle));
        file
    }

    #[test]
    fn an_instance_is_read_as_its_sender_means_it() {
        let source =
            crate::config::TextSource { ae_title: "OLD US".to_owned(), character_set: TextRule::Tcvn3 };
        let pack = [entry(&file(b"H\xb5", 0), "OLD US"), entry(&file(b"H\xe0", 0), "")].concat();
        let sources = Arc::new(Sources::new(&[source]).unwrap());
        let (read, end) = part(&PackReader { sources, ..reader(&pack, false) });
        assert_eq!(end, pack.len() as u64);
        let [first, second] = read.instances.as_slice() else { panic!("{} instances", read.instances.len()) };
        assert_eq!((first.sender.as_str(), first.levels.patient_name.expose().as_str()), ("OLD US", "ha"));
        assert_eq!(first.levels.patient_name, second.levels.patient_name);
        assert_eq!((first.location.pack, first.location.offset), (PACK, BLOCK));
        assert_eq!(first.received, SECONDS * 1000);
        assert_eq!(read.end, pack.len() as u64);
    }

    #[test]
    fn a_stretch_ends_before_what_is_not_whole() {
        let whole = entry(&file(b"A", 0), "");
        let mut changed = whole.clone();
        changed[700] ^= 1;
        for is_sealed in [false, true] {
            let (read, _) = part(&reader(&[&whole[..], &changed, &whole].concat(), is_sealed));
            assert_eq!((read.instances.len(), read.end), (1, whole.len() as u64));
            let torn = &whole[..whole.len() - BLOCK_BYTES];
            assert_eq!(part(&reader(&[&whole[..], torn].concat(), is_sealed)).1, whole.len() as u64);
            let none = |bytes| reader(bytes, is_sealed).stretch(0).unwrap().is_none();
            assert!(none(torn) && none(&[0; 4096]));
        }
    }

    #[test]
    fn of_a_large_instance_in_a_sealed_pack_all_is_proven_that_the_index_keeps() {
        let whole = entry(&file(b"A", 100_000), "");
        let pack = |at: usize| {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            [&whole[..], &changed, &whole].concat()
        };
        let (name, pixels, padding) = (file(b"A", 0).len() + 500, 50_000, whole.len() - 600);
        for (at, is_sealed, instances) in
            [(name, true, 1), (pixels, true, 3), (padding, true, 3), (name, false, 1), (pixels, false, 1)]
        {
            let (read, _) = part(&reader(&pack(at), is_sealed));
            assert_eq!(read.instances.len(), instances, "{at} {is_sealed}");
        }
        let proven = part(&reader(&whole, false)).0;
        let begun = part(&reader(&whole, true)).0;
        assert_eq!(begun.instances[0].digest, proven.instances[0].digest);
        assert_eq!(begun.instances[0].outline(), proven.instances[0].outline());
    }

    #[test]
    fn what_says_nothing_of_its_beginning_is_read_whole() {
        let file = file(b"A", 100_000);
        let mut pack = padded_to_blocks(&header(&file, "").0, &file);
        assert_eq!(part(&reader(&pack, true)).0.instances.len(), 1);
        pack[50_000] ^= 1;
        assert_eq!(part(&reader(&pack, true)).0.instances.len(), 0);
    }
}
