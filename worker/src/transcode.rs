//! An instance, or a frame of it, in another transfer syntax than the stored one (PS3.5 §8.2, §10, Annex A).
//!
//! Frames are recoded one by one on the pool while they are on their way; what was made of one is kept for a while, so
//! that many who ask for the same cost one computation. The data set is written anew from the header in the index:
//! values that were left in the object are put in their places as they are sent, and what describes the pixels says
//! what they have become. Nothing is lost on the way that was still there: instances are put into lossless codes only,
//! so that they stay what their SOP Instance UID names (PS3.3 §C.7.6.1.1.5).

mod bits;
mod recent;
mod writer;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::{
    Attributes, Element, Encoding, Error, ErrorKind, FileMeta, FrameMap, FrameNumber, Instance,
    TransferSyntaxUid, VR, Value, transfer_syntax,
};
use dicom_store::{STEP, Session};
use futures_util::stream::{self, BoxStream, StreamExt};

use recent::Key;
pub(crate) use recent::Recent;
use writer::{Piece, Writer};

use crate::pixel::{self, ImageInfo, RecodedFrame};
use crate::{CpuPool, Result, frame};

/// Frames that are made ahead of the one being sent.
const AHEAD: usize = 2;

/// Of JPEG baseline, which loses something.
const QUALITY: u8 = 90;

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];

/// A data set, or a file with one, on its way out.
pub struct DataSet {
    /// Of all chunks together, in bytes; none where frames are compressed while they are sent.
    pub length: Option<u64>,
    /// An error ends them early.
    pub chunks: BoxStream<'static, Result<Bytes>>,
}

/// Whether the whole instance can be put into that transfer syntax, as far as its own says.
pub fn is_possible(instance: &Instance, wanted: &TransferSyntaxUid) -> bool {
    let (stored, facts) = (instance.transfer_syntax.facts(), wanted.facts());
    if instance.transfer_syntax == *wanted {
        return true;
    }
    if !pixel::can_encode(wanted) {
        return false;
    }
    if instance.frames == 0 {
        return !facts.encapsulated && !stored.encapsulated;
    }
    let is_exact =
        pixel::is_within(&instance.transfer_syntax, wanted) || !wanted.is(transfer_syntax::JPEG_BASELINE);
    let is_readable = !stored.encapsulated || pixel::can_decode(&instance.transfer_syntax);
    is_exact && is_readable
}

/// In which of these transfer syntaxes an instance is given: the first that it can be had in. `None` for as it is stored,
/// because that is the best or nothing else can be had.
pub fn wanted_of<'a>(instance: &Instance, wanted: &'a [TransferSyntaxUid]) -> Option<&'a TransferSyntaxUid> {
    let best = wanted.iter().find(|syntax| is_possible(instance, syntax));
    best.filter(|syntax| **syntax != instance.transfer_syntax)
}

/// The Part 10 file of an instance in that transfer syntax, made while it is sent.
///
/// # Errors
/// As [`data_set`].
pub async fn file(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    wanted: &TransferSyntaxUid,
) -> Result<DataSet> {
    let head = FileMeta::head(&instance.sop_class, &instance.sop_instance, wanted, None);
    let DataSet { length, chunks } = data_set(session, pool, instance, wanted).await?;
    let length = length.map(|length| length + u64::try_from(head.len()).unwrap_or(0));
    Ok(DataSet { length, chunks: stream::iter([Ok(head)]).chain(chunks).boxed() })
}

/// One frame in that transfer syntax; `info` is what the data set says of it, or of another one as far as that is the same.
///
/// # Errors
/// What the archive answers; `Pixel` as [`pixel::recode`].
pub async fn frame(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    map: &FrameMap,
    (info, number): (ImageInfo, FrameNumber),
    wanted: &TransferSyntaxUid,
) -> Result<RecodedFrame> {
    let key = Key::new(instance, number, wanted);
    pool.recent().get_or(key, make(session, pool, instance, map, (info, number), wanted)).await
}

/// The same for who is going to keep it.
///
/// # Errors
/// As [`frame`].
pub(crate) async fn make(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    map: &FrameMap,
    (info, number): (ImageInfo, FrameNumber),
    wanted: &TransferSyntaxUid,
) -> Result<RecodedFrame> {
    let stored = map.frame(number).map_or(0, |place| place.length());
    // The samples, and what is made of them; for all at once, as in `frame::native`.
    let made = u64::try_from(info.decoded_length()?).unwrap_or(u64::MAX).saturating_mul(2);
    let room = session.room(stored.saturating_add(made)).await?;
    let bytes = session.read_frame(&room, instance, map, number).await?;
    let (syntax, wanted) = (instance.transfer_syntax.clone(), wanted.clone());
    let info = ImageInfo { number, ..info };
    Ok(pool.run(move || pixel::recode(&bytes, &info, &syntax, &wanted, QUALITY)).await??)
}

/// The data set of an instance in that transfer syntax. The first frame has been made when this answers.
///
/// # Errors
/// What the archive answers; `Pixel` when the frames cannot be what is wanted; `TooLarge` for values that are too long
/// to be written so.
pub async fn data_set(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    wanted: &TransferSyntaxUid,
) -> Result<DataSet> {
    let (header, map) = session.header_and_frames(instance).await?;
    let attributes = frame::attributes(session, instance, &header).await?;
    let facts = wanted.facts();
    let source = Source::new(session, pool, instance, map, wanted);
    let has_frames = source.map.count() > 0 && instance.frames > 0;
    let is_recoded = has_frames && (source.map.is_encapsulated() || facts.encapsulated);
    let first = if is_recoded { Some(source.first(&attributes).await?) } else { None };
    let is_big_endian = header.encoding() == Encoding::ExplicitBig;
    let mut writer = Writer::new(facts.encoding, is_big_endian);
    let described = first.as_ref().map(|(info, frame)| described(&attributes, info, frame));
    for element in described.as_ref().unwrap_or(&attributes) {
        match &first {
            Some((info, frame)) if is_pixels(element) => {
                let length = u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX);
                writer.frames(info, source.map.count(), (!facts.encapsulated).then_some(length))?;
            }
            _ => writer.element(element)?,
        }
    }
    let (pieces, length) = writer.finish();
    let source = Arc::new(source);
    let chunks = stream::iter(pieces).map(move |piece| chunks(piece, &source)).flatten().boxed();
    Ok(DataSet { length, chunks })
}

/// The frames of an instance as the one value that they are in Explicit VR Little Endian, padding included. The first has
/// been made when this answers.
///
/// # Errors
/// As [`data_set`].
pub async fn pixel_data(session: &Session, pool: &CpuPool, instance: &Instance) -> Result<DataSet> {
    let (header, map) = session.header_and_frames(instance).await?;
    let attributes = frame::attributes(session, instance, &header).await?;
    let wanted = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE)?;
    let source = Source::new(session, pool, instance, map, &wanted);
    let (info, first) = source.first(&attributes).await?;
    let each = u64::try_from(first.bytes.len()).unwrap_or(u64::MAX);
    let (frames, all) = Piece::native(&info, source.map.count(), each)?;
    let padding = Bytes::from_static(if all % 2 == 1 { &[0] } else { &[] });
    let chunks = chunks(frames, &Arc::new(source)).chain(stream::iter([Ok(padding)])).boxed();
    Ok(DataSet { length: Some(all + all % 2), chunks })
}

fn is_pixels(element: &Element) -> bool {
    [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA].contains(&element.tag)
}

/// The data set as it describes the frames from now on.
fn described(attributes: &Attributes, info: &ImageInfo, frame: &RecodedFrame) -> Attributes {
    let mut described = attributes.clone();
    for tag in [
        tags::EXTENDED_OFFSET_TABLE,
        tags::EXTENDED_OFFSET_TABLE_LENGTHS,
        tags::ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH,
    ] {
        described.remove(tag);
    }
    if let Some(term) = frame.photometric.as_str() {
        described.put_bytes(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, term.as_bytes().to_vec());
    }
    if info.samples_per_pixel > 1 {
        described.put_u16(tags::PLANAR_CONFIGURATION, u16::from(frame.is_planar));
    }
    described
}

/// What the chunks are read from.
struct Source {
    session: Session,
    pool: CpuPool,
    instance: Instance,
    map: FrameMap,
    wanted: TransferSyntaxUid,
}

impl Source {
    fn new(
        session: &Session,
        pool: &CpuPool,
        instance: &Instance,
        map: FrameMap,
        wanted: &TransferSyntaxUid,
    ) -> Self {
        let (session, pool, instance) = (session.clone(), pool.clone(), instance.clone());
        Self { session, pool, instance, map, wanted: wanted.clone() }
    }

    async fn first(&self, attributes: &Attributes) -> Result<(ImageInfo, RecodedFrame)> {
        let info = ImageInfo::read(attributes, FrameNumber::FIRST)?;
        let frame = self.frame(info.clone(), FrameNumber::FIRST).await?;
        Ok((info, frame))
    }

    async fn frame(&self, info: ImageInfo, number: FrameNumber) -> Result<RecodedFrame> {
        frame(&self.session, &self.pool, &self.instance, &self.map, (info, number), &self.wanted).await
    }

    /// As it stands among the others: native frames one behind the other, code streams as items.
    async fn framed(&self, info: ImageInfo, number: FrameNumber, length: Option<u64>) -> Result<Bytes> {
        let bytes = self.frame(info, number).await?.bytes;
        let own = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(length) = length {
            let what =
                || Error::corrupt(format!("frame {} has {own} bytes, the first {length}", number.get()));
            return if own == length { Ok(bytes) } else { Err(what().into()) };
        }
        let even = u32::try_from(own + own % 2)
            .map_err(|_| Error::new(ErrorKind::TooLarge, format!("code stream of {own} bytes")))?;
        let mut item = BytesMut::with_capacity(bytes.len() + 9);
        item.put_slice(&ITEM);
        item.put_u32_le(even);
        item.put_slice(&bytes);
        if own % 2 == 1 {
            item.put_u8(0);
        }
        Ok(item.freeze())
    }
}

fn chunks(piece: Piece, source: &Arc<Source>) -> BoxStream<'static, Result<Bytes>> {
    let source = Arc::clone(source);
    match piece {
        Piece::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
        Piece::Stored { range, unit } => {
            let starts = stream::iter(range.clone().step_by(usize::try_from(STEP).unwrap_or(usize::MAX)));
            let read = move |start: u64| {
                let (source, part) = (Arc::clone(&source), start..range.end.min(start + STEP));
                async move { Ok(little_endian(source.session.read(&source.instance, part).await?, unit)) }
            };
            starts.then(read).boxed()
        }
        Piece::Frames { info, count, length, shared } => {
            let numbers = stream::iter((1..=count).filter_map(FrameNumber::new));
            let make = move |number| {
                let (source, info) = (Arc::clone(&source), (*info).clone());
                async move { source.framed(info, number, length).await }
            };
            let frames = numbers.map(make).buffered(AHEAD);
            match shared {
                Some(bits) => bits::joined(frames, bits).boxed(),
                None => frames.boxed(),
            }
        }
    }
}

/// Turns numbers of so many bytes round.
pub fn little_endian(bytes: Bytes, unit: usize) -> Bytes {
    if unit <= 1 {
        return bytes;
    }
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    bytes.into()
}

/// Size of the numbers of a VR; 1 where bytes have no order.
pub fn unit(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Whether an element's value is in fragments.
fn is_encapsulated(element: &Element) -> bool {
    matches!(&element.value, Value::Bulk(bulk) if bulk.encapsulated)
}

#[cfg(test)]
mod tests;
