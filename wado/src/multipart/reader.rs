//! Reads `multipart/related` part by part from a stream of chunks, without ever holding a part.
//!
//! Strict where it must be (a body that ends before its closing delimiter is malformed), tolerant where senders err:
//! text before the first and after the last delimiter, blanks after a delimiter, lines that end with LF alone, no
//! line end before the closing delimiter, parts without header fields.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use memchr::memmem::Finder;

use crate::accept::media_type;

/// Longest header of one part, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// RFC 2046 allows 70 characters, and Orthanc's client sends 73.
const LONGEST_BOUNDARY: usize = 256;

/// The body breaks the rules of multipart, or ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

/// Header fields of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Value of a field; the name in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Preamble,
    Part,
    /// Before the header of a part whose delimiter line was read.
    Header,
    End,
}

/// Reader over the chunks of a body.
pub(crate) struct Reader<S> {
    body: S,
    /// Delimiter without the line end before it: `--boundary`.
    finder: Finder<'static>,
    buffer: BytesMut,
    at: At,
    /// No bytes of the body precede the buffer, or only a delimiter's line does: a delimiter may stand at its very start.
    at_line_start: bool,
    is_exhausted: bool,
    ends_lines_with_lf: bool,
}

/// What a look at the buffer tells.
enum Look {
    /// These many bytes are data for sure.
    Data(usize),
    /// Data up to here, then a delimiter line which ends there.
    Delimiter { data: usize, end: usize, closes: bool },
    /// Cannot be told without more bytes.
    Unclear,
}

impl<S, E> Reader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// `boundary` as the `Content-Type` gives it, without quotation marks.
    ///
    /// # Errors
    /// When the boundary is empty or longer than is let through.
    pub(crate) fn new(body: S, boundary: &str) -> Result<Self, Malformed> {
        if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
            let what =
                format!("boundary of {} characters, 1 to {LONGEST_BOUNDARY} are taken", boundary.len());
            return Err(Malformed(what));
        }
        Ok(Self {
            body,
            finder: Finder::new(format!("--{boundary}").as_bytes()).into_owned(),
            buffer: BytesMut::new(),
            at: At::Preamble,
            at_line_start: true,
            is_exhausted: false,
            ends_lines_with_lf: false,
        })
    }

    /// Goes to the next part, skipping what is left of this one; `None` after the closing delimiter.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Fields>, Malformed> {
        while matches!(self.at, At::Preamble | At::Part) {
            self.advance().await?;
        }
        if self.at == At::End {
            return Ok(None);
        }
        let fields = self.header().await?;
        self.at = At::Part;
        self.at_line_start = true;
        Ok(Some(fields))
    }

    /// The next bytes of this part; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        while self.at == At::Part {
            let chunk = self.advance().await?;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Takes data off the buffer, up to a delimiter if there is one, and fills the buffer when it says too little.
    async fn advance(&mut self) -> Result<Bytes, Malformed> {
        match self.look() {
            Look::Data(length) => {
                self.at_line_start = false;
                Ok(self.buffer.split_to(length).freeze())
            }
            Look::Delimiter { data, end, closes } => {
                let chunk = self.buffer.split_to(data).freeze();
                self.buffer.advance(end - data);
                self.at = if closes { At::End } else { At::Header };
                Ok(chunk)
            }
            Look::Unclear if self.is_exhausted => {
                Err(Malformed("the body ends before its closing delimiter".into()))
            }
            Look::Unclear => self.fill().await.map(|()| Bytes::new()),
        }
    }

    fn look(&self) -> Look {
        let mut from = 0;
        while let Some(found) = self.buffer.get(from..).and_then(|rest| self.finder.find(rest)) {
            let start = from + found;
            let after = start + self.finder.needle().len();
            let data = self.without_line_end(start);
            let is_at_line_start = data < start || (start == 0 && self.at_line_start);
            match self.delimiter_line(after) {
                Some(DelimiterLine::Closing(end)) => return Look::Delimiter { data, end, closes: true },
                Some(DelimiterLine::Plain(end)) if is_at_line_start => {
                    return Look::Delimiter { data, end, closes: false };
                }
                None if !self.is_exhausted => return if data > 0 { Look::Data(data) } else { Look::Unclear },
                _ => from = after,
            }
        }
        let sure = self.buffer.len() - self.held_back();
        if sure > 0 { Look::Data(sure) } else { Look::Unclear }
    }

    /// Where the data before a delimiter end: the line end belongs to the delimiter.
    fn without_line_end(&self, start: usize) -> usize {
        let before = self.buffer.get(..start).unwrap_or_default();
        if before.ends_with(b"\r\n") {
            start - 2
        } else if before.ends_with(b"\n") && (self.ends_lines_with_lf || self.at == At::Preamble) {
            start - 1
        } else {
            start
        }
    }

    /// What follows `--boundary`: `--`, or blanks and a line end. `None` when more bytes are needed to tell.
    fn delimiter_line(&self, after: usize) -> Option<DelimiterLine> {
        let rest = self.buffer.get(after..).unwrap_or_default();
        match rest {
            [b'-', b'-', ..] => return Some(DelimiterLine::Closing(after + 2)),
            [] | [b'-'] => return None,
            _ => {}
        }
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match rest.get(blanks..).unwrap_or_default() {
            [] | [b'\r'] => None,
            [b'\r', b'\n', ..] => Some(DelimiterLine::Plain(after + blanks + 2)),
            [b'\n', ..] => Some(DelimiterLine::Plain(after + blanks + 1)),
            _ => Some(DelimiterLine::Neither),
        }
    }

    /// How many of the last bytes may be the beginning of a delimiter.
    fn held_back(&self) -> usize {
        let needle = self.finder.needle();
        let longest = needle.len() + 1;
        let tail = self.buffer.get(self.buffer.len().saturating_sub(longest)..).unwrap_or_default();
        let begins = |rest: &[u8]| {
            let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
            let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            needle.starts_with(rest)
        };
        (0..tail.len()).find(|&skip| tail.get(skip..).is_some_and(begins)).map_or(0, |skip| tail.len() - skip)
    }

    /// Reads header fields up to and with the empty line.
    async fn header(&mut self) -> Result<Fields, Malformed> {
        let mut fields = Fields::default();
        let mut used = 0;
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                if self.is_exhausted {
                    return Err(Malformed("the body ends in a part's header".into()));
                }
                if self.buffer.len() > MAX_HEADER {
                    return Err(Malformed(format!("a part's header is longer than {MAX_HEADER} bytes")));
                }
                self.fill().await?;
                continue;
            };
            let line = self.buffer.split_to(end + 1);
            used += line.len();
            if used > MAX_HEADER {
                return Err(Malformed(format!("a part's header is longer than {MAX_HEADER} bytes")));
            }
            self.ends_lines_with_lf = !line.ends_with(b"\r\n");
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                return Ok(fields);
            }
            if let Some((name, value)) = text.split_once(':') {
                fields.0.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Malformed> {
        match self.body.next().await {
            None => self.is_exhausted = true,
            Some(Err(source)) => return Err(Malformed(format!("the body broke off: {source}"))),
            // A chunk that nobody else holds becomes the buffer without a copy.
            Some(Ok(chunk)) if self.buffer.is_empty() => self.buffer = BytesMut::from(chunk),
            Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
        }
        Ok(())
    }
}

enum DelimiterLine {
    Closing(usize),
    Plain(usize),
    Neither,
}

/// The boundary parameter of a `Content-Type`.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    media_type(content_type).1.into_iter().find(|(name, _)| name == "boundary").map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    type Parts = Vec<(Fields, Vec<u8>)>;

    async fn read(chunks: Vec<Bytes>, boundary: &str) -> Result<Parts, Malformed> {
        let body = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        let mut reader = Reader::new(body, boundary)?;
        let mut parts = Vec::new();
        while let Some(fields) = reader.next_part().await? {
            let mut data = Vec::new();
            while let Some(chunk) = reader.chunk().await? {
                data.extend_from_slice(&chunk);
            }
            parts.push((fields, data));
        }
        Ok(parts)
    }

    fn data(parts: &Parts) -> Vec<&[u8]> {
        parts.iter().map(|(_, data)| data.as_slice()).collect()
    }

    const BODY: &[u8] = b"preamble\r\n--b-b\r\nContent-Type: application/dicom\r\n\r\n\r\n--b-\r\n--b-bX\0\r\n\r\n--b-b  \r\n\r\nsecond\r\r\n--b-b--\r\nepilogue --b-b";

    fn check(parts: &Parts) {
        assert_eq!(data(parts), [b"\r\n--b-\r\n--b-bX\0\r\n".as_slice(), b"second\r"]);
        assert_eq!(parts[0].0.get("content-type"), Some("application/dicom"));
        assert_eq!(parts[1].0, Fields::default());
    }

    #[tokio::test]
    async fn finds_the_delimiter_wherever_the_chunks_are_cut() {
        for cut in 0..=BODY.len() {
            let chunks = vec![Bytes::from_static(&BODY[..cut]), Bytes::from_static(&BODY[cut..])];
            check(&read(chunks, "b-b").await.unwrap());
        }
    }

    #[tokio::test]
    async fn takes_a_boundary_that_is_a_bit_too_long_and_none_without_end() {
        let body = |boundary: &str| Bytes::from(format!("--{boundary}\r\n\r\na\r\n--{boundary}--"));
        let (orthanc, endless) = ("b".repeat(73), "b".repeat(LONGEST_BOUNDARY + 1));
        assert_eq!(data(&read(vec![body(&orthanc)], &orthanc).await.unwrap()), [b"a"]);
        assert!(read(vec![body(&endless)], &endless).await.is_err());
    }

    #[tokio::test]
    async fn finds_the_delimiter_in_chunks_of_one_byte() {
        let chunks = BODY.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        check(&read(chunks, "b-b").await.unwrap());
    }

    #[rstest]
    #[case::no_line_end_before_the_close(b"--b\r\n\r\ndata--b--", &["data"])]
    #[case::line_feeds_only(b"--b\nA: 1\n\ndata\n--b\n\nmore\n--b--", &["data", "more"])]
    #[case::line_feed_belongs_to_the_data(b"--b\r\n\r\ndata\n\r\n--b--", &["data\n"])]
    #[case::preamble_of_a_line_end(b"\r\n--b\r\n\r\ndata\r\n--b--\r\n", &["data"])]
    #[case::empty_parts(b"--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b--", &["", ""])]
    #[case::empty_part_without_line(b"--b\r\n\r\n--b\r\n\r\nx\r\n--b--", &["", "x"])]
    #[case::no_part(b"--b--", &[])]
    #[tokio::test]
    async fn tolerates(#[case] body: &'static [u8], #[case] expected: &[&str]) {
        let parts = read(vec![Bytes::from_static(body)], "b").await.unwrap();
        let expected: Vec<_> = expected.iter().map(|part| part.as_bytes()).collect();
        assert_eq!(data(&parts), expected);
    }

    #[rstest]
    #[case::empty(b"")]
    #[case::no_delimiter(b"some text")]
    #[case::unclosed(b"--b\r\n\r\ndata\r\n")]
    #[case::unclosed_after_a_delimiter(b"--b\r\n\r\ndata\r\n--b\r\n")]
    #[case::unclosed_in_the_delimiter(b"--b\r\n\r\ndata\r\n--b")]
    #[case::unclosed_header(b"--b\r\nContent-Type: a")]
    #[tokio::test]
    async fn refuses(#[case] body: &'static [u8]) {
        assert!(read(vec![Bytes::from_static(body)], "b").await.is_err());
    }

    #[tokio::test]
    async fn refuses_a_header_without_end() {
        let body = [b"--b\r\nA: ".as_slice(), &[b'a'; 2 * MAX_HEADER]].concat();
        assert!(read(vec![body.into()], "b").await.is_err());
    }

    #[rstest]
    #[case(r#"multipart/related; type="application/dicom"; boundary="a;b,c'(d)+e""#, Some("a;b,c'(d)+e"))]
    #[case("multipart/related; Boundary=abc; type=application/dicom", Some("abc"))]
    #[case("multipart/related; type=application/dicom", None)]
    fn reads_the_boundary(#[case] content_type: &str, #[case] expected: Option<&str>) {
        assert_eq!(boundary(content_type).as_deref(), expected);
    }

    proptest! {
        #[test]
        fn gives_back_whatever_was_written(
            parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-bx".to_vec()), 0..40), 0..4),
            sizes in prop::collection::vec(1_usize..9, 1..80),
        ) {
            // A writer must choose a boundary that is not in its data.
            prop_assume!(parts.iter().all(|part| memchr::memmem::find(part, b"--bxb").is_none()));
            let mut body = Vec::new();
            for part in &parts {
                body.extend_from_slice(b"--bxb\r\n\r\n");
                body.extend_from_slice(part);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--bxb--");
            let mut chunks = Vec::new();
            let mut rest = Bytes::from(body);
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                chunks.push(rest.split_to((*size).min(rest.len())));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(read(chunks, "bxb")).unwrap();
            prop_assert_eq!(data(&found), parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
