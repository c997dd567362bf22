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
        let (samples, entry) = video_track(movie(file)?)?;
        let sizes = within(samples, *b"stsz").or_else(|| within(samples, *b"stz2"))?;
        let side = |at: usize| Some(u16::from_be_bytes(entry.body.get(at..at + 2)?.try_into().ok()?));
        let count = u32::from_be_bytes(sizes.get(8..12)?.try_into().ok()?);
        // Of a file in fragments the track itself has no samples.
        let count = Some(count).filter(|count| *count > 0);
        Some(Self { columns: side(24)?, rows: side(26)?, count })
    }

    /// The first sequence header, wherever a program or transport stream has it.
    fn of_mpeg_2(stream: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(stream, &[0, 0, 1, 0xB3])?;
        let [a, b, c] = *stream.get(at + 4..)?.first_chunk::<3>()?;
        let [columns, rows] = [u16::from(a) << 4 | u16::from(b) >> 4, u16::from(b & 0xF) << 8 | u16::from(c)];
        (rows > 0 && columns > 0).then_some(Self { rows, columns, count: None })
    }
}

/// What the samples of the first video of an MP4 file are (§8.5.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleEntry<'a> {
    pub(super) kind: [u8; 4],
    pub(super) body: &'a [u8],
}

impl<'a> SampleEntry<'a> {
    /// Out of a [`movie`].
    pub(super) fn of(movie: &'a [u8]) -> Option<Self> {
        video_track(movie).map(|(_, entry)| entry)
    }
}

/// The table of samples of the first track that is a video, and what these are.
fn video_track(movie: &[u8]) -> Option<(&[u8], SampleEntry<'_>)> {
    boxes(movie).filter(|(kind, _)| kind == b"trak").find_map(|(_, track)| {
        let media = within(track, *b"mdia")?;
        within(media, *b"hdlr").filter(|handler| handler.get(8..12) == Some(b"vide"))?;
        let samples = within(within(media, *b"minf")?, *b"stbl")?;
        // Behind version and number of entries: the first of them, with its own head.
        let (kind, body) = boxes(within(samples, *b"stsd")?.get(8..)?).next()?;
        Some((samples, SampleEntry { kind, body }))
    })
}

/// What a file has in the box that tells of its tracks, when that has come whole.
pub(super) fn movie(file: &[u8]) -> Option<&[u8]> {
    within(file, *b"moov")
}

/// Whether a file begins as MP4 files do (ISO/IEC 14496-12 §4.3), or as those of QuickTime before them.
pub(super) fn is_mp4(file: &[u8]) -> bool {
    let kind = file.get(4..).and_then(|rest| rest.first_chunk::<4>());
    kind.is_some_and(|kind| [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"].contains(&kind))
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
        track_of(handler, &boxed("avc1", &[&entry]), count)
    }

    fn track_of(handler: &[u8; 4], entry: &[u8], count: u32) -> Vec<u8> {
        let description = boxed("stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], entry]);
        let sizes = boxed("stsz", &[&[0; 8], &count.to_be_bytes()]);
        let table = boxed("stbl", &[&description, &sizes]);
        let media = [boxed("hdlr", &[&[0; 8], handler, &[0; 13]]), boxed("minf", &[&table])].concat();
        boxed("trak", &[&boxed("tkhd", &[&[0; 84]]), &boxed("mdia", &[&media])])
    }

    /// An MP4 file of samples of this kind, with the box that configures their decoder.
    pub(crate) fn file(kind: [u8; 4], configuration: &[u8]) -> Vec<u8> {
        let entry = boxed(std::str::from_utf8(&kind).unwrap(), &[&[0; 78], configuration]);
        let movie =
            boxed("moov", &[&track_of(b"soun", &boxed("mp4a", &[]), 9), &track_of(b"vide", &entry, 25)]);
        [boxed("ftyp", &[b"isom\0\0\0\0"]), movie, boxed("mdat", &[b"pictures"])].concat()
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
