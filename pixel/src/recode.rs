//! A stored frame → the same frame in another transfer syntax.

use bytes::Bytes;
use dicom_store::model::{Codec, Encoding, TransferSyntaxUid, transfer_syntax};

use super::jpeg::{Chrominance, Colours, Samples8, encode_baseline};
use super::jpeg2000::BlockCoder;
use super::source::Source;
use super::{Decoded, Error, ErrorKind, ImageInfo, NativeFrame, Photometric, Result, SampleKind};
use super::{decode, deflate, jpeg, jpeg_ls, jpeg2000, rle, to_native_le};

/// A frame in the transfer syntax that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RecodedFrame {
    /// One code stream or native frame, without padding.
    pub bytes: Bytes,
    /// What the samples are from now on.
    pub photometric: Photometric,
    /// Whether Planar Configuration is 1 from now on.
    pub is_planar: bool,
    /// How many times larger the frame was before it lost something; none where nothing is lost by this.
    pub lossy_ratio: Option<f64>,
}

/// Whether frames can be put into that transfer syntax, as far as what they hold allows. Explicit VR Big Endian is retired:
/// it is read, and nothing is made of it.
pub fn can_encode(syntax: &TransferSyntaxUid) -> bool {
    let facts = syntax.facts();
    let is_native = facts.codec == Codec::Native && facts.encoding != Encoding::ExplicitBig;
    !facts.deflated && (is_native || encoder(syntax).is_some())
}

/// Whether a frame of the first transfer syntax is one of the second as it is: a syntax that allows more than another
/// has all of its frames.
pub fn is_within(stored: &TransferSyntaxUid, wanted: &TransferSyntaxUid) -> bool {
    use transfer_syntax as ts;
    let of = |uid: &TransferSyntaxUid, all: &[&str]| all.contains(&uid.as_str());
    stored == wanted
        || match wanted.as_str() {
            ts::HTJ2K => of(stored, &[ts::HTJ2K_LOSSLESS, ts::HTJ2K_RPCL]),
            ts::HTJ2K_LOSSLESS => of(stored, &[ts::HTJ2K_RPCL]),
            ts::JPEG_2000 => of(stored, &[ts::JPEG_2000_LOSSLESS]),
            ts::JPEG_LS_NEAR => of(stored, &[ts::JPEG_LS]),
            ts::JPEG_LOSSLESS => of(stored, &[ts::JPEG_LOSSLESS_SV1]),
            ts::JPEG_XL => of(stored, &[ts::JPEG_XL_LOSSLESS, ts::JPEG_XL_JPEG]),
            _ => false,
        }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encode {
    Rle,
    Deflate,
    JpegBaseline,
    JpegLossless,
    JpegLs,
    Jpeg2000(BlockCoder),
}

fn encoder(syntax: &TransferSyntaxUid) -> Option<Encode> {
    use transfer_syntax as ts;
    Some(match syntax.as_str() {
        ts::RLE => Encode::Rle,
        ts::DEFLATED_FRAMES => Encode::Deflate,
        ts::JPEG_BASELINE => Encode::JpegBaseline,
        ts::JPEG_LOSSLESS | ts::JPEG_LOSSLESS_SV1 => Encode::JpegLossless,
        ts::JPEG_LS | ts::JPEG_LS_NEAR => Encode::JpegLs,
        ts::JPEG_2000_LOSSLESS | ts::JPEG_2000 => Encode::Jpeg2000(BlockCoder::Arithmetic),
        ts::HTJ2K_LOSSLESS | ts::HTJ2K_RPCL | ts::HTJ2K => Encode::Jpeg2000(BlockCoder::HighThroughput),
        _ => return None,
    })
}

/// The frame in another transfer syntax. Where that is without loss, what was encoded has been decoded again and
/// compared; nothing else is given out.
///
/// `quality`, 1 … 100, is for JPEG baseline alone.
///
/// # Errors
/// As [`decode`]; `Unsupported` for a syntax that is not encoded here, or that cannot hold such samples; `Internal`
/// when what was encoded is not what went in.
pub fn recode(
    frame: &Bytes,
    info: &ImageInfo,
    stored: &TransferSyntaxUid,
    wanted: &TransferSyntaxUid,
    quality: u8,
) -> Result<RecodedFrame> {
    if is_within(stored, wanted) && stored.facts().encapsulated {
        let (photometric, is_planar) = (info.photometric, info.is_planar);
        return Ok(RecodedFrame { bytes: frame.clone(), photometric, is_planar, lossy_ratio: None });
    }
    if !can_encode(wanted) {
        return Err(Error::unsupported(format!("frames are not put into {wanted} here")));
    }
    let Some(encode) = encoder(wanted) else { return to_native(frame, info, stored) };
    match encode {
        Encode::Rle | Encode::Deflate => by_bytes(frame, info, stored, encode),
        Encode::JpegBaseline => to_baseline(decode(frame, info, stored)?, quality),
        encode => without_loss(decode(frame, info, stored)?, encode, wanted),
    }
}

fn to_native(frame: &Bytes, info: &ImageInfo, stored: &TransferSyntaxUid) -> Result<RecodedFrame> {
    let NativeFrame { bytes, photometric } = to_native_le(frame, info, stored)?;
    Ok(RecodedFrame { bytes, photometric, is_planar: info.is_planar, lossy_ratio: None })
}

/// What packs bytes, whatever they are.
fn by_bytes(
    frame: &Bytes,
    info: &ImageInfo,
    stored: &TransferSyntaxUid,
    encode: Encode,
) -> Result<RecodedFrame> {
    if encode == Encode::Rle && info.kind != SampleKind::Integer {
        // PS3.5 §A.4.2 is about Pixel Data, which floats are not.
        return Err(Error::unsupported(format!("{:?} samples are not compressed", info.kind)));
    }
    let native = to_native_le(frame, info, stored)?;
    let info = ImageInfo { photometric: native.photometric, ..info.clone() };
    let (bytes, again) = if encode == Encode::Rle {
        let bytes = rle::encode(&native.bytes, &info)?;
        let again = rle::decode(&bytes, &info, info.is_planar)?;
        (bytes, again)
    } else {
        let bytes = deflate::deflate(&native.bytes)?;
        let again = deflate::inflate(&bytes, &info)?;
        (bytes, again)
    };
    if again != native.bytes {
        return Err(not_the_same());
    }
    Ok(RecodedFrame {
        bytes: bytes.into(),
        photometric: info.photometric,
        is_planar: info.is_planar,
        lossy_ratio: None,
    })
}

fn not_the_same() -> Error {
    Error::new(ErrorKind::Internal, "what was encoded is not what went in")
}

fn without_loss(decoded: Decoded<'_>, encode: Encode, wanted: &TransferSyntaxUid) -> Result<RecodedFrame> {
    let source = Source::of(&decoded)?;
    let mut photometric = decoded.info.photometric;
    let bytes = match encode {
        Encode::Jpeg2000(coder) => {
            let transforms = photometric == Photometric::Rgb;
            if transforms {
                photometric = Photometric::YbrRct;
            }
            jpeg2000::encode(&source, coder, transforms)?
        }
        Encode::JpegLs => jpeg_ls::encode(&source)?,
        _ => jpeg::encode_lossless(&source)?,
    };
    let coded = ImageInfo { photometric, ..decoded.info.clone() };
    let again = decode(&bytes, &coded, wanted)?;
    if again.samples != decoded.samples {
        return Err(not_the_same());
    }
    Ok(RecodedFrame { bytes: bytes.into(), photometric, is_planar: false, lossy_ratio: None })
}

/// Baseline has 8 bits; colours become YBR_FULL_422, as PS3.5 §8.2.1 wants them.
fn to_baseline(decoded: Decoded<'_>, quality: u8) -> Result<RecodedFrame> {
    let Decoded { samples, info } = decoded;
    if info.sample_bytes() != 1 || info.bits_stored < 2 || info.is_signed {
        return Err(Error::unsupported("JPEG baseline of other than unsigned samples of 8 bits"));
    }
    let (colours, photometric) = match (info.samples_per_pixel, info.photometric) {
        (1, Photometric::Monochrome1 | Photometric::Monochrome2) => (Colours::Grey, info.photometric),
        (3, Photometric::Rgb) => (Colours::Rgb, Photometric::YbrFull422),
        (3, Photometric::YbrFull) => (Colours::Ybr, Photometric::YbrFull422),
        (_, other) => return Err(Error::unsupported(format!("JPEG baseline of {other:?}"))),
    };
    let picture = Samples8 { bytes: &samples, columns: info.columns, rows: info.rows, colours };
    let bytes = encode_baseline(&picture, quality, Chrominance::Halved, None)?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = samples.len() as f64 / bytes.len().max(1) as f64;
    Ok(RecodedFrame { bytes: bytes.into(), photometric, is_planar: false, lossy_ratio: Some(ratio) })
}

#[cfg(test)]
#[path = "recode_tests.rs"]
mod tests;
