//! `multipart/related` (PS3.18 §8.6.1.2, RFC 2387) in both directions.

mod reader;

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use http::HeaderValue;

pub(crate) use reader::{Fields, Malformed, Reader, boundary};

/// The boundary of one answer. It is drawn anew each time, 128 bits wide, so that it does not occur in the data.
#[derive(Debug, Clone)]
pub(crate) struct Boundary(String);

/// What stands before a part's bytes.
#[derive(Debug, Clone)]
pub(crate) struct PartHead<'a> {
    pub(crate) content_type: &'a str,
    /// URL of what the part holds (PS3.18 §8.6.1.2.1).
    pub(crate) location: Option<&'a str>,
    /// In bytes; left out when it is not known before the part is sent.
    pub(crate) length: Option<u64>,
}

impl Boundary {
    pub(crate) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self(format!("{:016x}{:016x}", random(), random()))
    }

    /// Value of the answer's `Content-Type`; `root` is the media type of the parts, `parameters` begins with `;` or is empty.
    pub(crate) fn content_type(&self, root: &str) -> HeaderValue {
        let text = format!("multipart/related; type=\"{root}\"; boundary={}", self.0);
        HeaderValue::from_str(&text).expect("media types and hexadecimal digits are valid in a header field")
    }

    /// Delimiter and header fields of a part. The first part of an answer has no line end before its delimiter.
    pub(crate) fn open(&self, head: &PartHead<'_>, is_first: bool) -> Bytes {
        let mut text = String::with_capacity(320);
        if !is_first {
            text.push_str("\r\n");
        }
        text.push_str("--");
        text.push_str(&self.0);
        text.push_str("\r\nContent-Type: ");
        text.push_str(head.content_type);
        if let Some(location) = head.location {
            text.push_str("\r\nContent-Location: ");
            text.push_str(location);
        }
        if let Some(length) = head.length {
            text.push_str("\r\nContent-Length: ");
            text.push_str(&length.to_string());
        }
        text.push_str("\r\n\r\n");
        Bytes::from(text)
    }

    /// The closing delimiter.
    pub(crate) fn close(&self) -> Bytes {
        Bytes::from(format!("\r\n--{}--\r\n", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_parts_that_begin_with_the_delimiter() {
        let boundary = Boundary("b".into());
        let head = PartHead { content_type: "text/plain", location: Some("http://x/1"), length: Some(3) };
        let expected =
            "--b\r\nContent-Type: text/plain\r\nContent-Location: http://x/1\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(boundary.open(&head, true), expected);
        assert_eq!(boundary.open(&head, false), format!("\r\n{expected}"));
        assert_eq!(boundary.close(), "\r\n--b--\r\n");
        assert_eq!(boundary.content_type("text/plain"), "multipart/related; type=\"text/plain\"; boundary=b");
    }

    #[test]
    fn draws_another_boundary_each_time() {
        assert_ne!(Boundary::new().0, Boundary::new().0);
    }
}
