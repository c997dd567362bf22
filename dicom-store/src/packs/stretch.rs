//! Stretches of a pack: whole entries that follow each other, read at once, so that several are worked on at a time.
//!
//! This is how a pack is read that is as it was written. Where it is not, or where an entry is larger than a stretch,
//! a stretch ends, and what comes next is for those who look closer.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;

use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, padded};
use super::reader::Part;
use crate::Result;
use crate::index::NewInstance;
use crate::ingest::{Reading, Sources};
use crate::ledger;
use crate::model::{FileMeta, Location, PackId};

/// Bytes of a stretch, about.
const BYTES: u64 = 8 << 20;
/// Entries of a stretch, at the most.
const ENTRIES: usize = 512;

/// Some of a pack, in memory.
pub(super) struct Stretch {
    pack: PackId,
    start: u64,
    bytes: Bytes,
    /// Each with the range of its content within the bytes.
    entries: Vec<(Entry, Range<usize>)>,
    /// Behind the last entry, within the pack.
    pub(super) end: u64,
}

impl Stretch {
    /// What begins at `start` of a pack of `length` bytes; `None` where no entry begins that fits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(pack: PackId, mut file: &File, start: u64, length: u64) -> io::Result<Option<Self>> {
        let want = length.saturating_sub(start).min(BYTES);
        let mut bytes = Vec::with_capacity(usize::try_from(want).unwrap_or_default());
        file.seek(SeekFrom::Start(start))?;
        file.take(want).read_to_end(&mut bytes)?;
        let (mut entries, mut at) = (Vec::new(), 0);
        while entries.len() < ENTRIES {
            let Some(entry) = bytes.get(at..).and_then(|rest| rest.get(..BLOCK_BYTES)).and_then(Entry::read)
            else {
                break;
            };
            let end = usize::try_from(padded(entry.size)).ok().and_then(|size| at.checked_add(size));
            let content = usize::try_from(entry.size).unwrap_or_default();
            let Some(end) = end.filter(|end| *end <= bytes.len()) else { break };
            entries.push((entry, at + BLOCK_BYTES..at + BLOCK_BYTES + content));
            at = end;
        }
        let end = start + at as u64;
        Ok((!entries.is_empty()).then(|| Self { pack, start, bytes: bytes.into(), entries, end }))
    }

    /// Proves each entry by its digest and reads it; ends before the first that is not whole.
    pub(super) fn part(self, sources: &Sources) -> Part {
        let mut read = Part { end: self.start, ..Part::default() };
        for (entry, range) in &self.entries {
            let content = self.bytes.slice(range.clone());
            let location =
                Location { pack: self.pack, offset: self.start + range.start as u64, length: entry.size };
            let taken = if ledger::is_act(&entry.name) {
                if !entry.proves(blake3::hash(&content).as_bytes()) {
                    break;
                }
                ledger::Entry::from_json(&content).map(|act| read.acts.push(act))
            } else {
                let Some((meta, digest)) = proven(entry, &content) else { break };
                let new = instance(entry, &content, &meta, digest, sources);
                new.map(|new| read.instances.push(NewInstance { location, ..new }))
            };
            // A whole entry that cannot be read any more is kept and told; it must not stop the archive.
            match taken {
                Ok(()) => {}
                Err(cause) => read.unreadable.push((location.offset, cause)),
            }
            read.end = location.offset - BLOCK + padded(entry.size);
        }
        read
    }
}

/// The file meta information of an entry that is whole, and the digest of its data set: one pass gives both digests.
fn proven(entry: &Entry, content: &[u8]) -> Option<(FileMeta, Digest)> {
    let meta = FileMeta::read(content, true).ok().flatten()?;
    let (head, data_set) = content.split_at_checked(usize::try_from(meta.data_set).ok()?)?;
    let mut hasher = blake3::Hasher::new();
    let digest = *hasher.update(data_set).finalize().as_bytes();
    let is_whole = entry.proves(hasher.update(head).finalize().as_bytes());
    is_whole.then_some((meta, digest))
}

fn instance(
    entry: &Entry,
    mut content: &[u8],
    meta: &FileMeta,
    digest: Digest,
    sources: &Sources,
) -> Result<NewInstance> {
    let sender = entry.sender.as_deref().unwrap_or_default();
    let reading = Reading::of_file(&mut content, meta)?.sent_by(sender, sources)?;
    let is_conflict = entry.name.starts_with("conflict/");
    Ok(NewInstance { is_conflict, ..reading.into_new(digest, entry.seconds)? })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::model::TextRule;

    const PACK: PackId = PackId(7);
    const SECONDS: u64 = 1_767_225_600;

    /// The entry of a file, as the writer makes it.
    fn entry(file: &[u8], sender: &str) -> Vec<u8> {
        let meta = FileMeta::read(file, true).unwrap().unwrap();
        let (head, data_set) = file.split_at(usize::try_from(meta.data_set).unwrap());
        let digest = blake3::Hasher::new().update(data_set).update(head).finalize();
        let header = Entry::header("1/2/3.dcm", file.len() as u64, digest.as_bytes(), SECONDS).unwrap();
        let mut bytes = [&Entry::sent_by(header, sender)[..], file].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        bytes
    }

    fn stretch(bytes: &[u8], start: u64) -> Option<Stretch> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Stretch::read(PACK, &file, start, bytes.len() as u64).unwrap()
    }

    fn file(name: &[u8]) -> Vec<u8> {
        use crate::model::{Attributes, Encoding, SopClassUid, SopInstanceUid, TransferSyntaxUid, VR};
        use dicom::dictionary_std::{tags, uids};
        let mut set = Attributes::new();
        set.put_text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.3");
        set.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.1");
        set.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2");
        set.put_bytes(tags::PATIENT_NAME, VR::PN, name.to_vec());
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
        let sources = Sources::new(&[source]).unwrap();
        let pack = [entry(&file(b"H\xb5"), "OLD US"), entry(&file(b"H\xe0"), "")].concat();
        let stretch = stretch(&pack, 0).unwrap();
        assert_eq!(stretch.end, pack.len() as u64);
        let read = stretch.part(&sources);
        let [first, second] = read.instances.as_slice() else { panic!("{} instances", read.instances.len()) };
        assert_eq!((first.sender.as_str(), first.levels.patient_name.expose().as_str()), ("OLD US", "ha"));
        assert_eq!(first.levels.patient_name, second.levels.patient_name);
        assert_eq!((first.location.pack, first.location.offset), (PACK, BLOCK));
        assert_eq!(first.received, SECONDS * 1000);
        assert_eq!(read.end, pack.len() as u64);
    }

    #[test]
    fn a_stretch_ends_before_what_is_not_whole() {
        let whole = entry(&file(b"A"), "");
        let mut changed = whole.clone();
        changed[700] ^= 1;
        let read = stretch(&[&whole[..], &changed, &whole].concat(), 0).unwrap().part(&Sources::default());
        assert_eq!((read.instances.len(), read.end), (1, whole.len() as u64));
        let torn = &whole[..whole.len() - BLOCK_BYTES];
        assert_eq!(stretch(&[&whole[..], torn].concat(), 0).unwrap().end, whole.len() as u64);
        assert!(stretch(torn, 0).is_none() && stretch(&[0; 4096], 0).is_none());
    }
}
