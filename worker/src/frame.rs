//! A frame of a stored instance, with what its data set says of it.

use std::collections::HashMap;

use bytes::Bytes;
use dicom_store::model::{Attributes, Bulk, Encoding, FrameMap, FrameNumber, Header, Instance};
use dicom_store::{Room, Session};

use crate::Result;
use crate::pixel::{self, ImageInfo, NativeFrame};
use crate::pool::CpuPool;

/// One frame as it is stored, and its image, with memory for its picture: one question to the index and one ranged read,
/// unless the image has large look-up tables.
///
/// # Errors
/// As [`to_show`], and those of [`ImageInfo::read`].
pub async fn open(
    session: &Session,
    instance: &Instance,
    frame: FrameNumber,
) -> Result<(ImageInfo, Bytes, Room)> {
    let (header, map) = session.header_and_frames(instance).await?;
    let info = ImageInfo::read(&attributes(session, instance, &header).await?, frame)?;
    let picture = info.picture_length()?;
    let (bytes, room) = to_show(session, instance, &map, (&info, picture), frame).await?;
    Ok((info, bytes, room))
}

/// One frame as it is stored, in memory that is taken for it, for its samples and for the picture of so many bytes that is
/// made of them: to be held until that is encoded.
///
/// # Errors
/// `NotFound` past the last frame, and whatever else the archive answers; `Pixel` for an image that cannot be.
pub async fn to_show(
    session: &Session,
    instance: &Instance,
    map: &FrameMap,
    (info, picture): (&ImageInfo, usize),
    frame: FrameNumber,
) -> Result<(Bytes, Room)> {
    let stored = map.frame(frame).map_or(0, |place| place.length());
    let made = info.decoded_length()?.saturating_add(picture);
    let made = u64::try_from(made).unwrap_or(u64::MAX);
    // For all at once, as in `native`.
    let room = session.room(stored.saturating_add(made)).await?;
    let bytes = session.read_frame(&room, instance, map, frame).await?;
    Ok((bytes, room))
}

/// The exact bytes of a frame in Explicit VR Little Endian, in memory that is taken for them while they are on
/// their way out.
///
/// # Errors
/// As [`open`]; `Pixel` when the frame cannot be decoded.
pub async fn native(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    map: &FrameMap,
    info: ImageInfo,
    frame: FrameNumber,
) -> Result<NativeFrame> {
    // For both at once: whoever waited for the second with the first in hand could wait for ever.
    let stored = map.frame(frame).map_or(0, |place| place.length());
    let made = u64::try_from(made_of(instance, &info)?).unwrap_or(u64::MAX);
    let room = session.room(stored.saturating_add(made)).await?;
    let bytes = session.read_frame(&room, instance, map, frame).await?;
    let syntax = instance.transfer_syntax.clone();
    let made = pool.run(move || pixel::to_native_le(&bytes, &info, &syntax)).await??;
    Ok(NativeFrame { bytes: room.hold(made.bytes), ..made })
}

/// Bytes that are made of a frame. What a codec gives has all its chrominance, whatever the image has natively.
fn made_of(instance: &Instance, info: &ImageInfo) -> pixel::Result<usize> {
    if instance.transfer_syntax.facts().encapsulated { info.decoded_length() } else { info.native_length() }
}

/// The attributes of an instance, ready for [`ImageInfo::read`]: look-up tables that are too large
/// for the index, and lie in the object, are fetched.
///
/// # Errors
/// What the archive answers.
pub async fn attributes(
    session: &Session,
    instance: &Instance,
    header: &Header,
) -> dicom_store::Result<Attributes> {
    let attributes = header.attributes()?;
    let in_bulk = ImageInfo::tables_in_bulk(&attributes);
    if in_bulk.is_empty() {
        return Ok(attributes);
    }
    let mut tables = HashMap::new();
    for table in in_bulk {
        let value = session.read(instance, table.offset..table.offset.saturating_add(table.length)).await?;
        tables.insert(table.offset, little_endian(value, header.encoding()));
    }
    Ok(ImageInfo::with_tables(&attributes, &|wanted: &Bulk| tables.get(&wanted.offset).cloned()))
}

/// Tables are words of 16 bits.
fn little_endian(value: Bytes, encoding: Encoding) -> Bytes {
    if encoding != Encoding::ExplicitBig {
        return value;
    }
    let mut value = value.to_vec();
    value.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    value.into()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use dicom::dictionary_std::tags;
    use dicom_store::fixture::{self, Sample, ct};
    use dicom_store::model::{VR, transfer_syntax};
    use dicom_store::{Arrival, Declared, Origin, Stored};
    use futures_util::poll;
    use rstest::rstest;

    use super::*;
    use crate::pixel::Voi;

    /// A VOI LUT of 4096 entries, far too large for the index.
    fn with_large_table(mut sample: Sample) -> Sample {
        let words = |values: &mut dyn Iterator<Item = u16>| -> Vec<u8> {
            values.flat_map(u16::to_le_bytes).collect()
        };
        let mut item = Attributes::new();
        item.put_bytes(tags::LUT_DESCRIPTOR, VR::US, words(&mut [4096, 0, 16].into_iter()));
        item.put_bytes(tags::LUT_DATA, VR::US, words(&mut (0..4096).map(|n| n * 16)));
        sample.attributes.put_items(tags::VOILUT_SEQUENCE, vec![item]);
        sample
    }

    #[rstest]
    #[case::little(transfer_syntax::EXPLICIT_LITTLE)]
    #[case::big(transfer_syntax::EXPLICIT_BIG)]
    #[case::deflated(transfer_syntax::DEFLATED)]
    #[tokio::test]
    async fn a_frame_comes_with_its_tables_whatever_the_transfer_syntax(#[case] syntax: &str) {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let sample = with_large_table(ct().transfer_syntax(syntax));
        let Stored::New(instance) = fixture::store(&session, &sample).await.unwrap() else {
            panic!("not new")
        };

        let (info, bytes, _room) = open(&session, &instance, FrameNumber::FIRST).await.unwrap();
        let Some(Voi::Lut(table)) = info.voi else { panic!("no table") };
        assert_eq!((table.entries.len(), table.entries[4095]), (4096, 4095 * 16));
        assert_eq!(bytes.len(), 16 * 16 * 2);
    }

    #[tokio::test]
    async fn the_last_byte_of_an_odd_frame_in_words_of_big_endian_is_found() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let samples: Vec<u8> = (1..=9).chain([0]).collect();
        let mut sample =
            ct().size(3, 3).transfer_syntax(transfer_syntax::EXPLICIT_BIG).pixels(VR::OW, samples);
        for (tag, value) in [(tags::BITS_ALLOCATED, 8), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
            sample.attributes.put_u16(tag, value);
        }
        let Stored::New(instance) = fixture::store(&session, &sample).await.unwrap() else {
            panic!("not new")
        };

        let (header, map) = session.header_and_frames(&instance).await.unwrap();
        let info = ImageInfo::read(&header.attributes().unwrap(), FrameNumber::FIRST).unwrap();
        let pool = CpuPool::new(1).unwrap();
        let frame = native(&session, &pool, &instance, &map, info, FrameNumber::FIRST).await.unwrap();
        assert_eq!(frame.bytes, (1..=9).collect::<Vec<u8>>());
    }

    /// A colour image in RLE, each segment of which repeats one value.
    async fn halved_in_rle(session: &Session, (rows, columns): (u16, u16), values: [u8; 3]) -> Instance {
        let mut stream = vec![3, 0, 0, 0];
        let runs = (usize::from(rows) * usize::from(columns)).div_ceil(128);
        let offsets = (0..3).map(|place| u32::try_from(64 + place * 2 * runs).unwrap());
        stream.extend(offsets.flat_map(u32::to_le_bytes));
        stream.resize(64, 0);
        values.iter().for_each(|value| stream.extend([129, *value].repeat(runs)));
        let mut sample =
            ct().size(rows, columns).transfer_syntax(transfer_syntax::RLE).without(tags::PIXEL_DATA);
        sample.attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 3),
            (tags::PLANAR_CONFIGURATION, 0),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
        ] {
            sample.attributes.put_u16(tag, value);
        }
        let length = u32::try_from(stream.len()).unwrap().to_le_bytes();
        let head = b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\0\0\0\0\xFE\xFF\0\xE0";
        let end = b"\xFE\xFF\xDD\xE0\0\0\0\0";
        let data_set = [&sample.file()[..], head, &length, &stream, end].concat();
        let arrival = Arrival { origin: Origin::Import, declared: Declared::File { study: None } };
        let mut incoming = session.receive(arrival).await.unwrap();
        incoming.write(data_set.into()).await.unwrap();
        incoming.commit().await.unwrap().instance().clone()
    }

    #[tokio::test]
    async fn chrominance_that_is_halved_natively_comes_whole_out_of_a_codec_whatever_the_width() {
        let folder = tempfile::tempdir().unwrap();
        let config = dicom_store::Config { serve_memory_mib: 18, ..fixture::config(&folder) };
        let archive = dicom_store::Archive::open(&config).await.unwrap();
        let session = fixture::system(&archive);
        let instance = halved_in_rle(&session, (1024, 1023), [90, 120, 150]).await;
        let (header, map) = session.header_and_frames(&instance).await.unwrap();
        let info = ImageInfo::read(&header.attributes().unwrap(), FrameNumber::FIRST).unwrap();
        let pool = CpuPool::new(1).unwrap();
        let frame = native(&session, &pool, &instance, &map, info, FrameNumber::FIRST).await.unwrap();
        assert!(frame.bytes == [90, 120, 150].repeat(1024 * 1023), "{} bytes", frame.bytes.len());
        // Of the 6 MiB for what does not go out in steps it has taken three bytes a pixel.
        let mut other = pin!(session.room((3 << 20) + (16 << 10)));
        assert!(poll!(&mut other).is_pending());
        drop(frame);
        assert!(other.await.is_ok());
    }

    #[tokio::test]
    async fn a_frame_that_is_shown_holds_memory_for_its_samples_and_its_picture() {
        let folder = tempfile::tempdir().unwrap();
        let config = dicom_store::Config { serve_memory_mib: 18, ..fixture::config(&folder) };
        let archive = dicom_store::Archive::open(&config).await.unwrap();
        let session = fixture::system(&archive);
        let Stored::New(instance) = fixture::store(&session, &ct().size(1024, 1024)).await.unwrap() else {
            panic!("not new")
        };
        let (_, _, room) = open(&session, &instance, FrameNumber::FIRST).await.unwrap();
        // Of the 6 MiB for what does not go out in steps: 2 as it is stored, 2 of samples, 1 of picture.
        let mut other = pin!(session.room(2 << 20));
        assert!(poll!(&mut other).is_pending());
        drop(room);
        assert!(other.await.is_ok());
    }

    #[tokio::test]
    async fn a_frame_past_the_last_is_not_found() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let Stored::New(instance) = fixture::store(&session, &ct()).await.unwrap() else { panic!("not new") };
        let second = FrameNumber::new(2).unwrap();
        let Err(crate::Error::Store(error)) = open(&session, &instance, second).await else {
            panic!("a frame")
        };
        assert_eq!(error.kind, dicom_store::ErrorKind::NotFound);
    }
}
