//! What each transfer syntax means for reading a data set (PS3.5 §10, Annex A).

use super::TransferSyntaxUid;

/// How elements and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

/// How pixel data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Native,
    Rle,
    JpegBaseline,
    JpegExtended,
    JpegLossless,
    JpegLs,
    Jpeg2000,
    HtJ2k,
    JpegXl,
    Video,
    /// Each frame deflated by itself (PS3.5 §A.4.14).
    Deflate,
    /// Pixel data lies elsewhere, or the syntax is not known here.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferSyntax {
    pub encoding: Encoding,
    pub encapsulated: bool,
    /// The whole data set is a deflate stream (PS3.5 §A.5).
    pub deflated: bool,
    pub codec: Codec,
    /// The codec may lose information.
    pub lossy: bool,
}

pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
pub const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
pub const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
pub const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
pub const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.57";
pub const JPEG_LOSSLESS_SV1: &str = "1.2.840.10008.1.2.4.70";
pub const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
pub const JPEG_LS_NEAR: &str = "1.2.840.10008.1.2.4.81";
pub const JPEG_2000_LOSSLESS: &str = "1.2.840.10008.1.2.4.90";
pub const JPEG_2000: &str = "1.2.840.10008.1.2.4.91";
pub const JPEG_2000_MC_LOSSLESS: &str = "1.2.840.10008.1.2.4.92";
pub const JPEG_2000_MC: &str = "1.2.840.10008.1.2.4.93";
pub const JPEG_XL_LOSSLESS: &str = "1.2.840.10008.1.2.4.110";
pub const JPEG_XL_JPEG: &str = "1.2.840.10008.1.2.4.111";
pub const JPEG_XL: &str = "1.2.840.10008.1.2.4.112";
pub const HTJ2K_LOSSLESS: &str = "1.2.840.10008.1.2.4.201";
pub const HTJ2K_RPCL: &str = "1.2.840.10008.1.2.4.202";
pub const HTJ2K: &str = "1.2.840.10008.1.2.4.203";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const DEFLATED_FRAMES: &str = "1.2.840.10008.1.2.8.1";

const fn native(encoding: Encoding) -> TransferSyntax {
    TransferSyntax { encoding, encapsulated: false, deflated: false, codec: Codec::Native, lossy: false }
}

const fn deflated(codec: Codec) -> TransferSyntax {
    TransferSyntax {
        encoding: Encoding::ExplicitLittle,
        encapsulated: false,
        deflated: true,
        codec,
        lossy: false,
    }
}

const fn exact(codec: Codec) -> TransferSyntax {
    TransferSyntax {
        encoding: Encoding::ExplicitLittle,
        encapsulated: true,
        deflated: false,
        codec,
        lossy: false,
    }
}

const fn lossy(codec: Codec) -> TransferSyntax {
    TransferSyntax {
        encoding: Encoding::ExplicitLittle,
        encapsulated: true,
        deflated: false,
        codec,
        lossy: true,
    }
}

/// UID, name in PS3.6 Table A-1, facts.
const KNOWN: &[(&str, &str, TransferSyntax)] = &[
    (IMPLICIT_LITTLE, "Implicit VR Little Endian", native(Encoding::ImplicitLittle)),
    (EXPLICIT_LITTLE, "Explicit VR Little Endian", native(Encoding::ExplicitLittle)),
    (ENCAPSULATED_UNCOMPRESSED, "Encapsulated Uncompressed Explicit VR Little Endian", exact(Codec::Native)),
    (DEFLATED, "Deflated Explicit VR Little Endian", deflated(Codec::Native)),
    (EXPLICIT_BIG, "Explicit VR Big Endian", native(Encoding::ExplicitBig)),
    (JPEG_BASELINE, "JPEG Baseline (Process 1)", lossy(Codec::JpegBaseline)),
    (JPEG_EXTENDED, "JPEG Extended (Process 2 & 4)", lossy(Codec::JpegExtended)),
    (
        "1.2.840.10008.1.2.4.53",
        "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8) (Retired)",
        lossy(Codec::JpegExtended),
    ),
    (
        "1.2.840.10008.1.2.4.55",
        "JPEG Full Progression, Non-Hierarchical (Process 10 & 12) (Retired)",
        lossy(Codec::JpegExtended),
    ),
    (JPEG_LOSSLESS, "JPEG Lossless, Non-Hierarchical (Process 14)", exact(Codec::JpegLossless)),
    (
        JPEG_LOSSLESS_SV1,
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        exact(Codec::JpegLossless),
    ),
    (JPEG_LS, "JPEG-LS Lossless Image Compression", exact(Codec::JpegLs)),
    (JPEG_LS_NEAR, "JPEG-LS Lossy (Near-Lossless) Image Compression", lossy(Codec::JpegLs)),
    (JPEG_2000_LOSSLESS, "JPEG 2000 Image Compression (Lossless Only)", exact(Codec::Jpeg2000)),
    (JPEG_2000, "JPEG 2000 Image Compression", lossy(Codec::Jpeg2000)),
    (
        JPEG_2000_MC_LOSSLESS,
        "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
        exact(Codec::Jpeg2000),
    ),
    (JPEG_2000_MC, "JPEG 2000 Part 2 Multi-component Image Compression", lossy(Codec::Jpeg2000)),
    ("1.2.840.10008.1.2.4.94", "JPIP Referenced", native_reference()),
    ("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", deflated(Codec::Other)),
    ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", lossy(Codec::Video)),
    ("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", lossy(Codec::Video)),
    ("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", lossy(Codec::Video)),
    ("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", lossy(Codec::Video)),
    ("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", lossy(Codec::Video)),
    (
        "1.2.840.10008.1.2.4.102.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.103",
        "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.103.1",
        "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.104",
        "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.104.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.105",
        "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
        lossy(Codec::Video),
    ),
    (
        "1.2.840.10008.1.2.4.105.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
        lossy(Codec::Video),
    ),
    ("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", lossy(Codec::Video)),
    (
        "1.2.840.10008.1.2.4.106.1",
        "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
        lossy(Codec::Video),
    ),
    ("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", lossy(Codec::Video)),
    ("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", lossy(Codec::Video)),
    (JPEG_XL_LOSSLESS, "JPEG XL Lossless", exact(Codec::JpegXl)),
    (JPEG_XL_JPEG, "JPEG XL JPEG Recompression", lossy(Codec::JpegXl)),
    (JPEG_XL, "JPEG XL", lossy(Codec::JpegXl)),
    (HTJ2K_LOSSLESS, "High-Throughput JPEG 2000 Image Compression (Lossless Only)", exact(Codec::HtJ2k)),
    (
        HTJ2K_RPCL,
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        exact(Codec::HtJ2k),
    ),
    (HTJ2K, "High-Throughput JPEG 2000 Image Compression", lossy(Codec::HtJ2k)),
    ("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", native_reference()),
    ("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", deflated(Codec::Other)),
    (RLE, "RLE Lossless", exact(Codec::Rle)),
    ("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", native_reference()),
    ("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", native_reference()),
    ("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", native_reference()),
    (DEFLATED_FRAMES, "Deflated Image Frame Compression", exact(Codec::Deflate)),
];

/// Explicit VR, no pixel data of its own.
const fn native_reference() -> TransferSyntax {
    TransferSyntax {
        encoding: Encoding::ExplicitLittle,
        encapsulated: false,
        deflated: false,
        codec: Codec::Other,
        lossy: false,
    }
}

/// Every transfer syntax with facts of its own: UID, name, facts.
pub fn known() -> &'static [(&'static str, &'static str, TransferSyntax)] {
    KNOWN
}

impl TransferSyntaxUid {
    /// The facts; a private or newer syntax counts as explicit VR little endian with pixel data of
    /// an unknown kind, as every syntax since 1996 has been.
    pub fn facts(&self) -> TransferSyntax {
        KNOWN
            .iter()
            .find(|(uid, _, _)| *uid == self.as_str())
            .map_or_else(|| lossy(Codec::Other), |(_, _, facts)| *facts)
    }

    pub fn is(&self, uid: &str) -> bool {
        self.as_str() == uid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_stands_once() {
        for (index, (uid, ..)) in KNOWN.iter().enumerate() {
            assert!(KNOWN[index + 1..].iter().all(|(other, ..)| other != uid), "{uid}");
            assert!(TransferSyntaxUid::parse(uid).is_ok());
        }
    }

    #[test]
    fn a_private_syntax_is_explicit_little_endian_with_opaque_pixels() {
        let facts = TransferSyntaxUid::parse("1.2.840.113619.5.2").unwrap().facts();
        assert_eq!((facts.encoding, facts.codec), (Encoding::ExplicitLittle, Codec::Other));
    }
}
