//! How the pictures of a video are coded, as its own stream says it, and with it its transfer syntax (PS3.5 §8.2.5 to
//! §8.2.11): MP4 files (ISO/IEC 14496-12, -15), transport and program streams (ITU-T H.222.0), and video streams alone.

use dicom_store::model::{Codec, TransferSyntaxUid};

use super::boxes::boxes;
use super::video::{SampleEntry, is_mp4, movie};

/// The highest level of the first transfer syntax of H.264, times ten (ITU-T H.264 Annex A).
const LEVEL_4_1: u8 = 41;
/// What packets of a transport stream begin with.
const SYNC: u8 = 0x47;
/// Bytes of a packet of a transport stream, alone and with the time before it, as discs have it.
const PACKETS: [usize; 2] = [188, 192];
/// Packets in which a transport stream is known again.
const KNOWN_BY: usize = 3;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Mpeg2,
    H264 { is_above_level_4_1: bool },
    Hevc { has_more_than_8_bits: bool },
}

/// What the beginning of a stream says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Coded(Coding),
    /// Pictures that no transfer syntax has, by the name of their sample entry.
    Other([u8; 4]),
    /// It is a video, and does not say where it was looked at how it is coded.
    Nothing,
    NoVideo,
}

impl Coding {
    const H264: Self = Self::H264 { is_above_level_4_1: false };
    const HEVC: Self = Self::Hevc { has_more_than_8_bits: false };

    pub(super) fn transfer_syntax(self) -> &'static str {
        match self {
            Self::Mpeg2 => "1.2.840.10008.1.2.4.101",
            Self::H264 { is_above_level_4_1: false } => "1.2.840.10008.1.2.4.102",
            Self::H264 { is_above_level_4_1: true } => "1.2.840.10008.1.2.4.104",
            Self::Hevc { has_more_than_8_bits: false } => "1.2.840.10008.1.2.4.107",
            Self::Hevc { has_more_than_8_bits: true } => "1.2.840.10008.1.2.4.108",
        }
    }

    /// Whether pictures that are coded so may be in a transfer syntax.
    pub(super) fn may_be(self, syntax: &TransferSyntaxUid) -> bool {
        let own = syntax.as_str().strip_prefix("1.2.840.10008.1.2.4.").unwrap_or_default();
        // That a stream may come in pieces says nothing of its pictures.
        let own = own.strip_suffix(".1").unwrap_or(own);
        match self {
            Self::Mpeg2 => matches!(own, "100" | "101"),
            Self::H264 { .. } => matches!(own, "102" | "103" | "104" | "105" | "106"),
            Self::Hevc { has_more_than_8_bits } => own == "108" || own == "107" && !has_more_than_8_bits,
        }
    }

    /// The coding of samples of an MP4 file (ISO/IEC 14496-15 §5.3, §8.3).
    fn of_samples(SampleEntry { kind, body }: SampleEntry<'_>) -> Said {
        // Behind what every entry of pictures has.
        let inner = |name: &[u8; 4]| {
            let mut inner = boxes(body.get(78..).unwrap_or_default());
            inner.find(|(found, _)| found == name).map(|(_, body)| body)
        };
        Said::Coded(match &kind {
            b"avc1" | b"avc2" | b"avc3" | b"avc4" => {
                let level = inner(b"avcC").and_then(|said| said.get(3));
                Self::H264 { is_above_level_4_1: level.is_some_and(|level| *level > LEVEL_4_1) }
            }
            b"hvc1" | b"hev1" => {
                let above_8 = inner(b"hvcC").and_then(|said| said.get(17));
                Self::Hevc { has_more_than_8_bits: above_8.is_some_and(|bits| bits & 7 > 0) }
            }
            _ => return Said::Other(kind),
        })
    }

    /// By the type of a stream within a transport stream (ITU-T H.222.0 Table 2-34).
    fn of_stream_type(number: u8) -> Option<Self> {
        match number {
            0x01 | 0x02 => Some(Self::Mpeg2),
            0x1B => Some(Self::H264),
            0x24 => Some(Self::HEVC),
            _ => None,
        }
    }
}

/// Whether this is a transfer syntax of video.
pub(super) fn is_video(syntax: &TransferSyntaxUid) -> bool {
    syntax.facts().codec == Codec::Video
}

/// What a stream says of which these are the first bytes; `None` when more of them have to be seen, `is_all` when there
/// are none.
pub(super) fn look(first: &[u8], is_all: bool) -> Option<Said> {
    let (is_video, said) = if is_mp4(first) {
        (true, movie(first).map(|movie| SampleEntry::of(movie).map_or(Said::NoVideo, Coding::of_samples)))
    } else if let Some(packets) = Packets::find(first) {
        (true, packets.coding().map(Said::Coded))
    } else if let Some(code) = behind_start_code(first) {
        (true, of_start_code(first, code).map(Said::Coded))
    } else {
        let may_become_one = first.len() < KNOWN_BY * PACKETS[1] || first.iter().all(|byte| *byte == 0);
        (false, (!may_become_one).then_some(Said::NoVideo))
    };
    said.or_else(|| is_all.then_some(if is_video { Said::Nothing } else { Said::NoVideo }))
}

/// What follows the start code that a stream begins with (ITU-T H.262 §5.2.3, H.264 §B.1), zeros before it or not.
fn behind_start_code(stream: &[u8]) -> Option<&[u8]> {
    let zeros = stream.iter().take_while(|byte| **byte == 0).count();
    stream.get(zeros..)?.strip_prefix(&[1]).filter(|_| zeros >= 2)
}

fn of_start_code(stream: &[u8], behind: &[u8]) -> Option<Coding> {
    match *behind {
        // A sequence header, or a program stream that has one.
        [0xB3, ..] => Some(Coding::Mpeg2),
        [0xBA, ..] => memchr::memmem::find(stream, &[0, 0, 1, 0xB3]).map(|_| Coding::Mpeg2),
        // Parameters of video, sequence; delimiter; supplements (ITU-T H.265 Table 7-1), all of the base layer.
        [0x40 | 0x42 | 0x46 | 0x4E, 0x01, ..] => Some(Coding::HEVC),
        // Parameters of a sequence: behind profile and constraints the level (ITU-T H.264 §7.3.2.1.1).
        [0x27 | 0x47 | 0x67, _, _, level, ..] => Some(Coding::H264 { is_above_level_4_1: level > LEVEL_4_1 }),
        // Supplements, and a delimiter (ITU-T H.264 Table 7-1).
        [0x06 | 0x09, ..] => Some(Coding::H264),
        _ => None,
    }
}

/// The packets of a transport stream.
struct Packets<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Packets<'a> {
    /// Wherever the first of them begins.
    fn find(stream: &'a [u8]) -> Option<Self> {
        let is_packet = |at: usize| stream.get(at) == Some(&SYNC);
        PACKETS.into_iter().find_map(|size| {
            let start = (0..size).find(|at| (0..KNOWN_BY).all(|number| is_packet(at + number * size)))?;
            Some(Self { bytes: stream.get(start..)?, size })
        })
    }

    /// The first video that the table of the program has.
    fn coding(&self) -> Option<Coding> {
        let programs = self.section(0, 0)?;
        // Behind identifier, version and numbers: programs with the packets of their tables. Number 0 is of the network.
        let (programs, _) = programs.as_chunks::<4>();
        let [.., high, low] = programs.iter().find(|[a, b, ..]| [*a, *b] != [0, 0])?;
        let table = self.section(identifier([*high, *low]), 2)?;
        // Behind the packets with the clock: descriptors, then the streams, each with its own.
        let length =
            |at: usize| Some(usize::from(u16::from_be_bytes([*table.get(at)?, *table.get(at + 1)?]) & 0xFFF));
        let mut at = 4 + length(2)?;
        loop {
            if let Some(coding) = Coding::of_stream_type(*table.get(at)?) {
                return Some(coding);
            }
            at += 5 + length(at + 3)?;
        }
    }

    /// What a table has that begins in one of the packets with this identifier (ITU-T H.222.0 §2.4.4), without head and sum.
    fn section(&self, of: u16, kind: u8) -> Option<&'a [u8]> {
        self.bytes.chunks_exact(self.size).find_map(|packet| {
            let [SYNC, high, low, control, payload @ ..] = packet.get(..PACKETS[0])? else { return None };
            let is_start = high & 0x40 != 0 && control & 0x10 != 0;
            if !is_start || identifier([*high, *low]) != of {
                return None;
            }
            let has_more_before = control & 0x20 != 0;
            let before = if has_more_before { 1 + usize::from(*payload.first()?) } else { 0 };
            let (pointer, rest) = payload.get(before..)?.split_first()?;
            let section = rest.get(usize::from(*pointer)..)?;
            let [found, a, b, ..] = section else { return None };
            let length = usize::from(u16::from_be_bytes([*a, *b]) & 0xFFF);
            (*found == kind).then(|| section.get(8..(3 + length).checked_sub(4)?)).flatten()
        })
    }
}

/// The 13 bits that tell what a packet belongs to.
fn identifier(bytes: [u8; 2]) -> u16 {
    u16::from_be_bytes(bytes) & 0x1FFF
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::video::tests::file;
    use super::*;

    const H264: Coding = Coding::H264;
    const HEVC: Coding = Coding::HEVC;

    fn packet(of: u16, payload: &[u8]) -> Vec<u8> {
        let [high, low] = (of | 0x4000).to_be_bytes();
        // Filled up before the payload, as packets are.
        let fill = 188 - 5 - payload.len();
        let mut packet = vec![SYNC, high, low, 0x30, u8::try_from(fill).unwrap()];
        packet.resize(5 + fill, 0xFF);
        packet.extend(payload);
        packet
    }

    fn section(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(5 + body.len() + 4).unwrap();
        [&[0, kind, 0xB0, length, 0, 1, 0xC1, 0, 0][..], body, &[0; 4]].concat()
    }

    /// A transport stream with sound and a video.
    fn transport(kind: u8) -> Vec<u8> {
        let programs = section(0, &[0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x00]);
        let sound = [0x0F, 0xE1, 0x01, 0xF0, 2, 7, 7];
        let table = [&[0xE1, 0x00, 0xF0, 3, 9, 9, 9], &sound[..], &[kind, 0xE1, 0x00, 0xF0, 0]].concat();
        [packet(0, &programs), packet(0x1000, &section(2, &table)), packet(0x100, &[0, 0, 1, 0xE0])].concat()
    }

    #[rstest]
    #[case::mpeg_2(0x02, Said::Coded(Coding::Mpeg2))]
    #[case::h_264(0x1B, Said::Coded(H264))]
    #[case::hevc(0x24, Said::Coded(HEVC))]
    #[case::other(0x10, Said::Nothing)]
    fn a_transport_stream_says_what_it_carries(#[case] kind: u8, #[case] expected: Said) {
        let stream = transport(kind);
        assert_eq!(look(&stream, true), Some(expected));
        assert_eq!(look(&stream[..300], false), None, "more has to be seen");
        assert_eq!(
            look(&[&[1, 2, 3][..], &stream, &[SYNC; 188]].concat(), true),
            Some(expected),
            "cut anywhere"
        );
        let timed: Vec<u8> =
            stream.chunks(188).flat_map(|packet| [&[0, 0, 0, 9][..], packet].concat()).collect();
        assert_eq!(look(&timed, true), Some(expected), "as on discs");
    }

    #[rstest]
    #[case::sequence(b"\0\0\x01\xB3\x2D\x02\x40", Said::Coded(Coding::Mpeg2))]
    #[case::program(b"\0\0\x01\xBA pack \0\0\x01\xB3", Said::Coded(Coding::Mpeg2))]
    #[case::program_of_something(b"\0\0\x01\xBA pack ", Said::Nothing)]
    #[case::parameters(b"\0\0\0\x01\x67\x64\0\x28", Said::Coded(H264))]
    #[case::level(b"\0\0\0\x01\x67\x64\0\x2A", Said::Coded(Coding::H264 { is_above_level_4_1: true }))]
    #[case::delimiter(b"\0\0\0\x01\x09\xF0", Said::Coded(H264))]
    #[case::hevc(b"\0\0\0\x01\x40\x01\x0C\x01", Said::Coded(HEVC))]
    #[case::hevc_delimiter(b"\0\0\0\x01\x46\x01\x50", Said::Coded(HEVC))]
    #[case::text(b"xxxxxxxx", Said::NoVideo)]
    #[case::picture(b"GIF89a", Said::NoVideo)]
    #[case::zeros(&[0; 64], Said::NoVideo)]
    #[case::none(b"", Said::NoVideo)]
    fn a_stream_says_by_its_start_codes_what_it_is(#[case] stream: &[u8], #[case] expected: Said) {
        assert_eq!(look(stream, true), Some(expected));
        assert!(look(&stream[..stream.len().min(3)], false).is_none(), "more has to be seen");
    }

    #[test]
    fn what_is_no_video_is_known_before_its_end() {
        assert_eq!(look(&b"pictures".repeat(70), false), None);
        assert_eq!(look(&b"pictures".repeat(100), false), Some(Said::NoVideo));
    }

    #[rstest]
    #[case(b"avc1", &[], Said::Coded(H264))]
    #[case(b"avc3", &[], Said::Coded(H264))]
    #[case(b"avc1", b"\0\0\0\x0CavcC\x01\x64\0\x29", Said::Coded(H264))]
    #[case(b"avc1", b"\0\0\0\x0CavcC\x01\x64\0\x2A", Said::Coded(Coding::H264 { is_above_level_4_1: true }))]
    #[case(b"hvc1", &[], Said::Coded(HEVC))]
    #[case(b"hev1", b"\0\0\0\x1AhvcC\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xF8", Said::Coded(HEVC))]
    #[case(
        b"hvc1",
        b"\0\0\0\x1AhvcC\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xFA",
        Said::Coded(Coding::Hevc { has_more_than_8_bits: true })
    )]
    #[case(b"av01", &[], Said::Other(*b"av01"))]
    fn an_mp4_file_says_it_by_its_sample_entry(
        #[case] kind: &[u8; 4],
        #[case] configuration: &[u8],
        #[case] expected: Said,
    ) {
        let file = file(*kind, configuration);
        assert_eq!(look(&file, false), Some(expected));
        assert_eq!(look(&file[..40], false), None, "more has to be seen");
        assert_eq!(look(&file[..40], true), Some(Said::Nothing));
    }

    #[test]
    fn a_transfer_syntax_has_pictures_of_its_coding() {
        let may_be = |coding: Coding| {
            let all = ["100.1", "101", "102", "102.1", "104", "106", "107", "108"];
            all.map(|own| {
                coding.may_be(&TransferSyntaxUid::parse(&format!("1.2.840.10008.1.2.4.{own}")).unwrap())
            })
        };
        assert_eq!(may_be(Coding::Mpeg2), [true, true, false, false, false, false, false, false]);
        assert_eq!(may_be(H264), [false, false, true, true, true, true, false, false]);
        assert_eq!(may_be(HEVC), [false, false, false, false, false, false, true, true]);
        let deep = Coding::Hevc { has_more_than_8_bits: true };
        assert_eq!(may_be(deep), [false, false, false, false, false, false, false, true]);
        for coding in [Coding::Mpeg2, H264, Coding::H264 { is_above_level_4_1: true }, HEVC, deep] {
            assert!(coding.may_be(&TransferSyntaxUid::parse(coding.transfer_syntax()).unwrap()));
        }
    }
}
