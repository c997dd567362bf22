//! What a video says of its pictures, for metadata that leave it out: MP4 files (ISO/IEC 14496-12) and streams of MPEG-2
//! (ITU-T H.262 §6.2.2.1).

use super::boxes::boxes;

/// Pictures of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pictures {
    pub(super) rows: u16,
    pub(super) columns: u16,
    /// None where only the whole stream could tell.
    pub(super) count: Option<u32>,
}

impl Pictures {
    /// `None` before enough has come, and for what does not say it. Only in `is_mpeg_2` its start codes mean something.
    pub(super) fn read(stream: &[u8], is_mpeg_2: bool) -> Option<Self> {
        Self::of_mp4(stream).or_else(|| if is_mpeg_2 { Self::of_mpeg_2(stream) } else { None })
    }

    /// The first track that is a video: what its samples are (§8.5.2), and how many there are (§8.7.3).
    fn of_mp4(file: &[u8]) -> Option<Self> {
        let movie = within(file, *b"moov")?;
        boxes(movie).filter(|(kind, _)| kind == b"trak").find_map(|(_, track)| {
            let media = within(track, *b"mdia")?;
            within(media, *b"hdlr").filter(|handler| handler.get(8..12) == Some(b"vide"))?;
            let samples = within(within(media, *b"minf")?, *b"stbl")?;
            let sizes = within(samples, *b"stsz").or_else(|| within(samples, *b"stz2"))?;
            // Behind version and number of entries: the first of them, with its own head.
            let (_, entry) = boxes(within(samples, *b"stsd")?.get(8..)?).next()?;
            let side = |at: usize| Some(u16::from_be_bytes(entry.get(at..at + 2)?.try_into().ok()?));
            let count = u32::from_be_bytes(sizes.get(8..12)?.try_into().ok()?);
            // Of a file in fragments the track itself has no samples.
            let count = Some(count).filter(|count| *count > 0);
            Some(Self { columns: side(24)?, rows: side(26)?, count })
        })
    }

    /// The first sequence header, wherever a program or transport stream has it.
    fn of_mpeg_2(stream: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(stream, &[0, 0, 1, 0xB3])?;
        let [a, b, c] = *stream.get(at + 4..)?.first_chunk::<3>()?;
        let [columns, rows] = [u16::from(a) << 4 | u16::from(b) >> 4, u16::from(b & 0xF) << 8 | u16::from(c)];
        (rows > 0 && columns > 0).then_some(Self { rows, columns, count: None })
    }
}

fn within(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes).find(|(found, _)| *found == kind).map(|(_, body)| body)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn boxed(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let size = u32::try_from(8 + body.len()).unwrap();
        [&size.to_be_bytes(), kind.as_bytes(), &body].concat()
    }

    fn track(handler: &[u8; 4], (columns, rows): (u16, u16), count: u32) -> Vec<u8> {
        let entry = [&[0; 24][..], &columns.to_be_bytes(), &rows.to_be_bytes(), &[0; 50]].concat();
        let description = boxed("stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &boxed("avc1", &[&entry])]);
        let sizes = boxed("stsz", &[&[0; 8], &count.to_be_bytes()]);
        let table = boxed("stbl", &[&description, &sizes]);
        let media = [boxed("hdlr", &[&[0; 8], handler, &[0; 13]]), boxed("minf", &[&table])].concat();
        boxed("trak", &[&boxed("tkhd", &[&[0; 84]]), &boxed("mdia", &[&media])])
    }

    #[test]
    fn an_mp4_file_tells_of_its_video_track() {
        let sound = track(b"soun", (0, 0), 900);
        let movie = boxed("moov", &[&boxed("mvhd", &[&[0; 100]]), &sound, &track(b"vide", (640, 480), 25)]);
        let kind = boxed("ftyp", &[b"isom\0\0\0\0"]);
        let file = [&kind[..], &movie, &boxed("mdat", &[b"pictures"])].concat();
        let told = Pictures { rows: 480, columns: 640, count: Some(25) };
        assert_eq!(Pictures::read(&file, false), Some(told));
        let is_whole = kind.len() + movie.len();
        assert!((0..is_whole).all(|end| Pictures::read(&file[..end], true).is_none()));
        let in_fragments = boxed("moov", &[&track(b"vide", (640, 480), 0)]);
        assert_eq!(Pictures::read(&in_fragments, false), Some(Pictures { count: None, ..told }));
    }

    #[test]
    fn a_stream_of_mpeg_2_tells_the_size_of_its_pictures() {
        let stream = [&b"\0\0\x01\xBA pack \0\0\x01\xB3"[..], &[0x2D, 0x02, 0x40, 0x33]].concat();
        let told = Pictures { rows: 576, columns: 720, count: None };
        assert_eq!(Pictures::read(&stream, true), Some(told));
        assert_eq!(Pictures::read(&stream, false), None);
        assert_eq!(Pictures::read(b"\0\0\x01\xB3\0\0", true), None);
    }
}
