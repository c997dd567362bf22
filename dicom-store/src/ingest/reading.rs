//! What an instance says of itself, read once at the door.

use std::io::Read;

use dicom::dictionary_std::{tags, uids};
use flate2::read::DeflateDecoder;

use super::Sources;
use crate::index::{LevelRows, NewInstance};
use crate::ledger::Note;
use crate::model::{
    Codec, Encoding, FileMeta, Location, PackId, Scanned, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    Source, StudyInstanceUid, TransferSyntaxUid, scan,
};
use crate::packs::entry::Digest;
use crate::{Error, ErrorKind, Result};

/// A deflated data set is inflated in memory to be read; one that grows past this is refused.
const MAX_INFLATED: u64 = 128 << 20;

/// The result of one pass over a Part 10 file.
#[derive(Debug)]
pub(crate) struct Reading {
    scanned: Scanned,
    data_set: u64,
    transfer_syntax: TransferSyntaxUid,
    sender: String,
    pub(crate) study: StudyInstanceUid,
    pub(crate) series: SeriesInstanceUid,
    pub(crate) sop_instance: SopInstanceUid,
    pub(crate) sop_class: SopClassUid,
}

impl Reading {
    /// Reads a file whose meta information is known.
    ///
    /// # Errors
    /// `Invalid` when the data set cannot be read or lacks one of its four UIDs; `TooLarge` when it
    /// inflates without end.
    pub(crate) fn of_file(source: &mut dyn Source, meta: &FileMeta) -> Result<Self> {
        let facts = meta.transfer_syntax.facts();
        let mut scanned = if facts.deflated {
            let inflated = inflate(source, meta.data_set)?;
            scan(&mut inflated.as_slice(), 0, meta.data_set, facts.encoding)?
        } else {
            scan_as_declared_or_implicit(source, meta.data_set, facts.encoding)?
        };
        if facts.codec == Codec::Video {
            scanned.frames = scanned.frames.into_one_stream();
        }
        let uid = |tag, name: &str| {
            scanned
                .attributes
                .uid(tag)
                .map(str::to_owned)
                .ok_or_else(|| Error::invalid(format!("data set has no {name}")))
        };
        Ok(Self {
            data_set: meta.data_set,
            sender: String::new(),
            transfer_syntax: meta.transfer_syntax.clone(),
            sop_class: SopClassUid::parse(&uid(tags::SOP_CLASS_UID, "SOP Class UID (0008,0016)")?)?,
            sop_instance: SopInstanceUid::parse(&uid(
                tags::SOP_INSTANCE_UID,
                "SOP Instance UID (0008,0018)",
            )?)?,
            study: StudyInstanceUid::parse(&uid(
                tags::STUDY_INSTANCE_UID,
                "Study Instance UID (0020,000D)",
            )?)?,
            series: SeriesInstanceUid::parse(&uid(
                tags::SERIES_INSTANCE_UID,
                "Series Instance UID (0020,000E)",
            )?)?,
            scanned,
        })
    }

    /// Decides how its text is read, by what is known of the sender.
    ///
    /// # Errors
    /// `Corrupt` when what was read once cannot be read again.
    pub(crate) fn sent_by(mut self, sender: &str, sources: &Sources) -> Result<Self> {
        let reading = sources.reading(sender, &self.scanned.attributes);
        if !reading.is_declared() {
            let Scanned { header, attributes, frames } = self.scanned;
            let header = header.read_as(reading);
            let attributes = if reading.repair().is_some() { header.attributes()? } else { attributes };
            self.scanned = Scanned { header, attributes, frames };
        }
        sender.clone_into(&mut self.sender);
        Ok(self)
    }

    /// What it takes back, if it is a note that does (IHE RAD TF-2 §4.66).
    pub(crate) fn note(&self) -> Option<Note> {
        let is_document = self.sop_class.as_str() == uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE;
        is_document.then(|| Note::read(&self.scanned.attributes)).flatten()
    }

    /// What the index takes of an instance that came so many seconds after the beginning of 1970; where it lies is
    /// filled in by whoever writes it.
    pub(crate) fn into_new(self, digest: Digest, seconds: u64) -> Result<NewInstance> {
        let Scanned { header, attributes, frames } = self.scanned;
        Ok(NewInstance {
            levels: LevelRows::of(&attributes),
            header,
            frame_map: frames.to_bytes(),
            frames: frames.count(),
            number: attributes.int(tags::INSTANCE_NUMBER),
            data_set: self.data_set,
            transfer_syntax: self.transfer_syntax,
            study: self.study,
            series: self.series,
            sop_instance: self.sop_instance,
            sop_class: self.sop_class,
            location: Location { pack: PackId(0), offset: 0, length: 0 },
            digest,
            sender: self.sender,
            received: seconds.saturating_mul(1000),
            is_conflict: false,
        })
    }
}

/// Some devices write implicit VR under a transfer syntax that is explicit. Such a data set is kept as it
/// is, and read as what it is.
fn scan_as_declared_or_implicit(source: &mut dyn Source, start: u64, declared: Encoding) -> Result<Scanned> {
    let error = match scan(source, start, 0, declared) {
        Err(error) if error.kind == ErrorKind::Invalid && declared == Encoding::ExplicitLittle => error,
        result => return result,
    };
    scan(source, start, 0, Encoding::ImplicitLittle).map_err(|_| error)
}

fn inflate(source: &mut dyn Source, from: u64) -> Result<Vec<u8>> {
    let mut inflated = Vec::new();
    let mut reader = DeflateDecoder::new(SourceReader { source, at: from }).take(MAX_INFLATED + 1);
    reader
        .read_to_end(&mut inflated)
        .map_err(|cause| Error::invalid("deflated data set cannot be inflated").with_source(cause))?;
    if inflated.len() as u64 > MAX_INFLATED {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("data set inflates to over {} MiB", MAX_INFLATED >> 20),
        ));
    }
    Ok(inflated)
}

struct SourceReader<'a> {
    source: &'a mut dyn Source,
    at: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.source.at(self.at, buffer.len())?;
        let read = bytes.len();
        buffer.get_mut(..read).unwrap_or_default().copy_from_slice(bytes);
        self.at += read as u64;
        Ok(read)
    }
}
