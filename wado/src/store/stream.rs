//! What a code stream or a picture says of its image, for metadata that leave it out (PS3.18 §10.5.1.4, PS3.3 §C.7.6.3).

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Codec, Tag, TransferSyntaxUid, VR};
use dicom_store::{Error, ErrorKind, Result};
use tokio::sync::OwnedSemaphorePermit;
use worker::pixel::{MAX_PICTURE, Picture, PictureKind};

use super::Storing;
use super::video::Pictures;
use crate::accept::{GIF, PNG, media_type};

/// The kind of a picture that no transfer syntax has; it is stored as native pixels.
pub(super) fn picture(content_type: &str) -> Option<PictureKind> {
    match media_type(content_type).0.as_str() {
        PNG => Some(PictureKind::Png),
        GIF => Some(PictureKind::Gif),
        _ => None,
    }
}

/// The pixels of a picture, with the room that they take.
///
/// # Errors
/// `Invalid` for what is no such picture, `TooLarge`, `Exhausted` when others hold too much.
pub(super) async fn decode(
    storing: &Storing,
    bytes: Bytes,
    kind: PictureKind,
) -> Result<(Picture, OwnedSemaphorePermit)> {
    let room = storing.holding.take(MAX_PICTURE)?;
    let work = move || Picture::read(&bytes, kind);
    let picture = storing
        .pool
        .run(work)
        .await
        .map_err(|cause| Error::internal("a picture was not decoded").with_source(cause))?;
    match picture {
        Ok(picture) => Ok((picture, room)),
        Err(error) if error.kind == worker::pixel::ErrorKind::TooLarge => {
            Err(Error::new(ErrorKind::TooLarge, error.what))
        }
        Err(error) => Err(Error::invalid(error.what)),
    }
}

/// An image as its stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamHeader {
    rows: u16,
    columns: u16,
    samples: u16,
    bits_stored: u16,
    is_signed: bool,
    photometric: &'static str,
    /// Pictures one after the other; 1 where the stream is of one.
    frames: u32,
    /// Lossy Image Compression Method (0028,2114), where the pixels have lost something.
    lossy_method: Option<&'static str>,
}

/// Lossy Image Compression Method of MPEG-2 (PS3.3 §C.7.6.1.1.5.1).
const MPEG_2: &str = "ISO_13818_2";

/// The same of whatever video.
fn video_method(syntax: &TransferSyntaxUid) -> &'static str {
    match syntax.as_str().strip_prefix("1.2.840.10008.1.2.4.") {
        Some(own) if own.starts_with("100") || own.starts_with("101") => MPEG_2,
        Some("107" | "108") => "ISO_23008_2",
        _ => "ISO_14496_10",
    }
}

/// Whether streams of this transfer syntax have a header that is read here.
pub(super) fn has_header(syntax: &TransferSyntaxUid) -> bool {
    matches!(
        syntax.facts().codec,
        Codec::JpegBaseline
            | Codec::JpegExtended
            | Codec::JpegLossless
            | Codec::JpegLs
            | Codec::Jpeg2000
            | Codec::HtJ2k
            | Codec::Video
    )
}

/// Whether a JPEG 2000 code stream loses something; `None` before its coding style has come.
pub(super) fn is_irreversible(stream: &[u8]) -> Option<bool> {
    StreamHeader::of_jpeg_2000(stream).map(|header| header.lossy_method.is_some())
}

/// The same of a JPEG-LS stream, by its first scan.
pub(super) fn is_near_lossless(stream: &[u8]) -> Option<bool> {
    StreamHeader::of_jpeg(stream).map(|header| header.lossy_method.is_some())
}

impl StreamHeader {
    /// `None` when it has not come whole, or the stream is of a kind without.
    pub(super) fn read(syntax: &TransferSyntaxUid, stream: &[u8]) -> Option<Self> {
        let facts = syntax.facts();
        match facts.codec {
            Codec::JpegBaseline | Codec::JpegExtended | Codec::JpegLossless | Codec::JpegLs => {
                Self::of_jpeg(stream)
            }
            Codec::Jpeg2000 | Codec::HtJ2k => Self::of_jpeg_2000(stream),
            Codec::Video => {
                let method = video_method(syntax);
                let pictures = Pictures::read(stream, method == MPEG_2)?;
                Some(Self::of_video(syntax, method, pictures))
            }
            _ => None,
        }
    }

    pub(super) fn of_picture(picture: &Picture) -> Self {
        Self {
            rows: picture.rows,
            columns: picture.columns,
            samples: picture.samples,
            bits_stored: picture.bits,
            is_signed: false,
            photometric: if picture.samples == 1 { "MONOCHROME2" } else { "RGB" },
            frames: picture.frames,
            lossy_method: None,
        }
    }

    /// All video that transfer syntaxes have is alike but for its size (PS3.5 §8.2.5 to §8.2.8).
    fn of_video(syntax: &TransferSyntaxUid, method: &'static str, pictures: Pictures) -> Self {
        Self {
            rows: pictures.rows,
            columns: pictures.columns,
            samples: 3,
            bits_stored: if syntax.is("1.2.840.10008.1.2.4.108") { 10 } else { 8 },
            is_signed: false,
            photometric: "YBR_PARTIAL_420",
            frames: pictures.count.unwrap_or(1),
            lossy_method: Some(method),
        }
    }

    /// The frame header of JPEG (ITU-T T.81 §B.2.2) and of JPEG-LS (ITU-T T.87 §C.2.2); of the latter the first scan
    /// tells whether something is lost (§C.2.3).
    fn of_jpeg(stream: &[u8]) -> Option<Self> {
        let (mut rest, mut adobe) = (stream.strip_prefix(&[0xFF, 0xD8])?, None);
        let mut near: Option<Self> = None;
        loop {
            let (marker, segment, behind) = segment(rest)?;
            rest = behind;
            match (marker, segment) {
                (0xEE, [b'A', b'd', b'o', b'b', b'e', .., transform]) => adobe = Some(*transform),
                (0xC0..=0xC3 | 0xF7, [precision, r1, r0, c1, c0, count, components @ ..]) => {
                    let (components, _) = components.as_chunks::<3>();
                    let samples = u16::from(*count);
                    let is_halved = components.iter().any(|[_, factors, _]| {
                        Some(factors) != components.first().map(|[_, first, _]| first)
                    });
                    let is_rgb = components.iter().map(|[id, ..]| *id).eq(*b"RGB") || adobe == Some(0);
                    let is_cosine = matches!(marker, 0xC0..=0xC2);
                    let is_transformed = is_cosine && !is_rgb;
                    let header = Self {
                        rows: u16::from_be_bytes([*r1, *r0]),
                        columns: u16::from_be_bytes([*c1, *c0]),
                        samples,
                        bits_stored: u16::from(*precision),
                        is_signed: false,
                        photometric: match (samples, is_transformed, is_halved) {
                            (1, ..) => "MONOCHROME2",
                            (_, true, true) => "YBR_FULL_422",
                            (_, true, false) => "YBR_FULL",
                            (_, false, _) => "RGB",
                        },
                        frames: 1,
                        lossy_method: is_cosine.then_some("ISO_10918_1"),
                    };
                    if marker != 0xF7 {
                        return Some(header);
                    }
                    near = Some(header);
                }
                (0xDA, [count, scan @ ..]) => {
                    let is_lossy = *scan.get(2 * usize::from(*count))? > 0;
                    return near
                        .map(|header| Self { lossy_method: is_lossy.then_some("ISO_14495_1"), ..header });
                }
                _ => {}
            }
        }
    }

    /// SIZ and COD of a code stream (ITU-T T.800 §A.5.1, §A.6.1), alone or in the boxes of a JP2 file.
    fn of_jpeg_2000(stream: &[u8]) -> Option<Self> {
        let start = memchr::memmem::find(stream, &[0xFF, 0x4F, 0xFF, 0x51])?;
        let (mut rest, mut header) = (stream.get(start + 2..)?, None);
        loop {
            let (marker, segment, behind) = segment(rest)?;
            rest = behind;
            match marker {
                0x51 => header = Some(Self::of_size(segment)?),
                0x52 => {
                    // Behind style and progression: the transform over colours; in the parameters that of the wavelet.
                    let (transform, wavelet) = (segment.get(4)?, segment.get(9)?);
                    let header = header.as_mut()?;
                    let is_lossless = *wavelet == 1;
                    header.photometric = match (header.samples, transform, is_lossless) {
                        (1, ..) => "MONOCHROME2",
                        (_, 0, _) => "RGB",
                        (_, _, true) => "YBR_RCT",
                        (_, _, false) => "YBR_ICT",
                    };
                    header.lossy_method = (!is_lossless).then_some("ISO_15444_1");
                    return Some(header.clone());
                }
                _ => {}
            }
        }
    }

    fn of_size(segment: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(segment.get(at..at + 4)?.try_into().ok()?));
        let side = |end: usize, start: usize| u16::try_from(number(end)?.checked_sub(number(start)?)?).ok();
        let depth = *segment.get(36)?;
        Some(Self {
            columns: side(2, 10)?,
            rows: side(6, 14)?,
            samples: u16::from_be_bytes([*segment.get(34)?, *segment.get(35)?]),
            bits_stored: u16::from(depth & 0x7F) + 1,
            is_signed: depth & 0x80 != 0,
            photometric: "RGB",
            frames: 1,
            lossy_method: None,
        })
    }

    /// Refuses a stream of another number of components than images in these transfer syntaxes have.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn check_components(&self) -> Result<()> {
        match self.samples {
            1 | 3 => Ok(()),
            count => Err(Error::invalid(format!("no image has {count} components, as this code stream has"))),
        }
    }

    /// Refuses a stream that loses something in a transfer syntax whose name says that it does not.
    ///
    /// # Errors
    /// `Conflict`.
    pub(super) fn check_loss(&self, syntax: &TransferSyntaxUid) -> Result<()> {
        if self.lossy_method.is_some() && !syntax.facts().lossy {
            return Err(Error::conflict(format!("the code stream is lossy, {syntax} is lossless only")));
        }
        Ok(())
    }

    /// Puts in what the metadata leave out.
    ///
    /// # Errors
    /// `Conflict` when they say another image than the stream.
    pub(super) fn complete(&self, metadata: &mut Attributes) -> Result<()> {
        for (tag, name, value) in [
            (tags::ROWS, "Rows", self.rows),
            (tags::COLUMNS, "Columns", self.columns),
            (tags::SAMPLES_PER_PIXEL, "Samples per Pixel", self.samples),
        ] {
            match metadata.int(tag) {
                Some(said) if said != i64::from(value) => {
                    let what = format!("{name} is {said} in the metadata and {value} in the pixel data");
                    return Err(Error::conflict(what));
                }
                _ => put(metadata, tag, value),
            }
        }
        let allocated = if self.bits_stored > 8 { 16 } else { 8 };
        put(metadata, tags::BITS_ALLOCATED, allocated);
        put(metadata, tags::BITS_STORED, self.bits_stored);
        let stored = metadata.int(tags::BITS_STORED).and_then(|bits| u16::try_from(bits).ok());
        put(metadata, tags::HIGH_BIT, stored.unwrap_or(self.bits_stored).saturating_sub(1));
        put(metadata, tags::PIXEL_REPRESENTATION, u16::from(self.is_signed));
        if metadata.text(tags::PHOTOMETRIC_INTERPRETATION).is_none() {
            metadata.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, self.photometric);
        }
        if self.samples > 1 {
            put(metadata, tags::PLANAR_CONFIGURATION, 0);
        }
        if self.frames > 1 && metadata.int(tags::NUMBER_OF_FRAMES).is_none() {
            metadata.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &self.frames.to_string());
        }
        if let (Some(method), None) = (self.lossy_method, metadata.text(tags::LOSSY_IMAGE_COMPRESSION)) {
            metadata.put_text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
            metadata.put_text(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, method);
        }
        Ok(())
    }
}

/// Refuses compressed pixel data of which neither the metadata nor the stream said how large the image is.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_described(metadata: &Attributes, syntax: &TransferSyntaxUid) -> Result<()> {
    let is_video = syntax.facts().codec == Codec::Video;
    let frames = is_video.then_some((tags::NUMBER_OF_FRAMES, "Number of Frames"));
    let needed = [Some((tags::ROWS, "Rows")), Some((tags::COLUMNS, "Columns")), frames];
    let missing = needed.into_iter().flatten().find(|(tag, _)| metadata.int(*tag).is_none());
    match missing {
        Some((_, name)) if is_video => Err(Error::invalid(format!(
            "metadata lack {name}; it is read of MP4 files whose movie box ends within 32 MiB, and the size of pictures of MPEG-2"
        ))),
        Some((_, name)) => {
            Err(Error::invalid(format!("{name} is neither in the metadata nor in the stream")))
        }
        None => Ok(()),
    }
}

fn put(metadata: &mut Attributes, tag: Tag, value: u16) {
    if metadata.int(tag).is_none() {
        metadata.put_u16(tag, value);
    }
}

/// Marker, contents and what follows; `None` when it has not come whole.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let fill = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let (marker, rest) = bytes.get(fill.max(1)..)?.split_first()?;
    let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    let (segment, behind) = rest.split_at_checked(length.max(2))?;
    Some((*marker, segment.get(2..)?, behind))
}

#[cfg(test)]
mod tests {
    use dicom_store::model::transfer_syntax;
    use rstest::rstest;

    use super::*;

    const APPLICATION: &[u8] = b"\xFF\xD8\xFF\xE2\0\x06ABCD";
    const GREY: &[u8] = b"\xFF\xC0\0\x0B\x08\0\x04\0\x06\x01\x01\x11\0";
    const HALVED: &[u8] = b"\xFF\xC0\0\x11\x08\0\x04\0\x06\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    const NAMED: &[u8] = b"\xFF\xC0\0\x11\x08\0\x04\0\x06\x03R\x11\0G\x11\0B\x11\0";
    const ADOBE: &[u8] = b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0";
    const LOSSLESS_16: &[u8] = b"\xFF\xC3\0\x0B\x10\0\x04\0\x06\x01\x01\x11\0";
    const LS: &[u8] = b"\xFF\xF7\0\x11\x08\0\x04\0\x06\x03\x01\x11\0\x02\x11\0\x03\x11\0";

    #[rstest]
    #[case::grey(transfer_syntax::JPEG_BASELINE, &[GREY], (1, 8, "MONOCHROME2", true))]
    #[case::halved(transfer_syntax::JPEG_BASELINE, &[HALVED], (3, 8, "YBR_FULL_422", true))]
    #[case::named(transfer_syntax::JPEG_BASELINE, &[NAMED], (3, 8, "RGB", true))]
    #[case::adobe(transfer_syntax::JPEG_BASELINE, &[ADOBE, HALVED], (3, 8, "RGB", true))]
    #[case::lossless(transfer_syntax::JPEG_LOSSLESS_SV1, &[LOSSLESS_16], (1, 16, "MONOCHROME2", false))]
    #[case::jpeg_ls(transfer_syntax::JPEG_LS, &[LS], (3, 8, "RGB", false))]
    fn a_jpeg_stream_describes_its_image(
        #[case] syntax: &str,
        #[case] segments: &[&[u8]],
        #[case] (samples, bits, photometric, is_lossy): (u16, u16, &str, bool),
    ) {
        let syntax = TransferSyntaxUid::parse(syntax).unwrap();
        let stream = [APPLICATION, segments.concat().as_slice(), b"\xFF\xDA\0\x08\x01\x01\0\0\0\0"].concat();
        let header = StreamHeader::read(&syntax, &stream).unwrap();
        assert_eq!((header.rows, header.columns, header.samples), (4, 6, samples));
        assert_eq!((header.bits_stored, header.photometric), (bits, photometric));
        assert_eq!(header.lossy_method.is_some(), is_lossy);
        assert_eq!(StreamHeader::read(&syntax, &stream[..12]), None);
    }

    #[test]
    fn the_scan_of_jpeg_ls_tells_whether_something_is_lost() {
        let of =
            |near: u8| [APPLICATION, LS, b"\xFF\xDA\0\x0C\x03\x01\0\x02\0\x03\0", &[near, 0, 0]].concat();
        assert_eq!([of(0), of(2)].map(|stream| is_near_lossless(&stream)), [Some(false), Some(true)]);
        assert_eq!(is_near_lossless(&of(2)[..30]), None);
        let header = StreamHeader::of_jpeg(&of(2)).unwrap();
        let [lossless, near] = [transfer_syntax::JPEG_LS, transfer_syntax::JPEG_LS_NEAR];
        let check = |uid| header.check_loss(&TransferSyntaxUid::parse(uid).unwrap());
        assert_eq!(check(lossless).unwrap_err().kind, ErrorKind::Conflict);
        assert!(check(near).is_ok());
    }

    #[test]
    fn a_jpeg_2000_stream_describes_its_image() {
        let mut size = vec![0xFF, 0x51, 0, 47, 0, 0];
        for number in [16_u32, 9, 10, 5, 6, 4, 0, 0] {
            size.extend(number.to_be_bytes());
        }
        size.extend([0, 3, 0x8B, 1, 1, 0x8B, 1, 1, 0x8B, 1, 1]);
        let coding = |wavelet| [0xFF, 0x52, 0, 12, 0, 0, 0, 1, 1, 5, 4, 4, 0, wavelet];
        let syntax = TransferSyntaxUid::parse(transfer_syntax::JPEG_2000_LOSSLESS).unwrap();
        for (wavelet, photometric, method) in [(1, "YBR_RCT", None), (0, "YBR_ICT", Some("ISO_15444_1"))] {
            let stream = [b"boxes\xFF\x4F", size.as_slice(), &coding(wavelet)].concat();
            let header = StreamHeader::read(&syntax, &stream).unwrap();
            let expected = StreamHeader {
                rows: 4,
                columns: 6,
                samples: 3,
                bits_stored: 12,
                is_signed: true,
                photometric,
                frames: 1,
                lossy_method: method,
            };
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn the_metadata_hold_and_a_contradiction_is_told() {
        let syntax = TransferSyntaxUid::parse(transfer_syntax::JPEG_BASELINE).unwrap();
        let header = StreamHeader::read(&syntax, &[APPLICATION, HALVED].concat()).unwrap();
        let mut metadata = Attributes::new();
        metadata.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL");
        header.complete(&mut metadata).unwrap();
        assert_eq!(metadata.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref(), Some("YBR_FULL"));
        let numbers =
            [tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED, tags::HIGH_BIT, tags::PLANAR_CONFIGURATION];
        assert_eq!(numbers.map(|tag| metadata.int(tag)), [Some(4), Some(6), Some(8), Some(7), Some(0)]);
        assert_eq!(metadata.text(tags::LOSSY_IMAGE_COMPRESSION).as_deref(), Some("01"));
        metadata.put_u16(tags::ROWS, 5);
        assert_eq!(header.complete(&mut metadata).unwrap_err().kind, ErrorKind::Conflict);
    }
}
