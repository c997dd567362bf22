//! Data sets that lie in a file without the head of one (PS3.10 §7.1), as older archives export them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use dicom_store::Declared;
use dicom_store::model::{
    Encoding, Error, FrameMap, Result, SopClassUid, SopInstanceUid, Source, Tag, TransferSyntaxUid, scan,
    transfer_syntax,
};

const SOP_CLASS_UID: Tag = Tag(0x0008, 0x0016);
const SOP_INSTANCE_UID: Tag = Tag(0x0008, 0x0018);
/// Read at once when nothing larger is asked for.
const WINDOW: usize = 64 * 1024;

/// What a file without preamble begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// File Meta Information, to which only the preamble is missing.
    FileMeta,
    DataSet(Encoding),
    /// Nothing of DICOM.
    Other,
}

/// Tells by the first element: group 0002, little endian, or 0008.
pub(super) fn start(head: &[u8]) -> Start {
    let Some(&[first, second, _, _, a, b, _, _]) = head.get(..8) else { return Start::Other };
    let has_vr = a.is_ascii_uppercase() && b.is_ascii_uppercase();
    match [first, second] {
        [0x02, 0] if has_vr => Start::FileMeta,
        [0x08, 0] if has_vr => Start::DataSet(Encoding::ExplicitLittle),
        [0x08, 0] => Start::DataSet(Encoding::ImplicitLittle),
        [0, 0x08] if has_vr => Start::DataSet(Encoding::ExplicitBig),
        _ => Start::Other,
    }
}

/// What such a data set says of itself.
///
/// # Errors
/// `Invalid` when it is no whole data set, names no SOP class or instance, or is compressed: by what is nowhere said.
pub(super) async fn declare(path: PathBuf, encoding: Encoding) -> Result<Declared> {
    let declared = tokio::task::spawn_blocking(move || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        read(&mut Windowed { file, length, start: 0, window: Vec::new() }, encoding)
    });
    declared.await.map_err(|error| Error::internal("a file was not read").with_source(error))?
}

fn read(source: &mut dyn Source, encoding: Encoding) -> Result<Declared> {
    let scanned = scan(source, 0, 0, encoding)?;
    if matches!(scanned.frames, FrameMap::Fragments { .. }) {
        return Err(Error::invalid("no DICOM preamble, and so no word of how its pixels are compressed"));
    }
    let uid = |tag| {
        let missing = || Error::invalid(format!("no DICOM preamble, and no UID in {tag}"));
        scanned.attributes.uid(tag).ok_or_else(missing)
    };
    let syntax = match encoding {
        Encoding::ImplicitLittle => transfer_syntax::IMPLICIT_LITTLE,
        Encoding::ExplicitLittle => transfer_syntax::EXPLICIT_LITTLE,
        Encoding::ExplicitBig => transfer_syntax::EXPLICIT_BIG,
    };
    Ok(Declared::DataSet {
        sop_class: SopClassUid::parse(uid(SOP_CLASS_UID)?)?,
        sop_instance: SopInstanceUid::parse(uid(SOP_INSTANCE_UID)?)?,
        transfer_syntax: TransferSyntaxUid::parse(syntax)?,
    })
}

/// A file of which a part is held: large values are stepped over, not read.
struct Windowed {
    file: File,
    length: u64,
    start: u64,
    window: Vec<u8>,
}

impl Source for Windowed {
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let want = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(want);
        let is_held = offset >= self.start && offset + want as u64 <= self.start + self.window.len() as u64;
        if !is_held {
            let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.window.resize(want.max(WINDOW).min(left), 0);
            self.start = offset;
            self.file.read_exact_at(&mut self.window, offset)?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.window.get(from..from.saturating_add(want)).unwrap_or_default())
    }

    fn length(&self) -> u64 {
        self.length
    }
}
