//! One range of an `Accept` field (RFC 9110 §12.5.1), and the names of media types.

use super::offer::{JPEG, Offer, Wrap};

/// The `transfer-syntax` parameter of a media range (PS3.18 §8.7.3.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// None given: the default of the media type.
    Default,
    /// `*`: the origin server's choice, which is the stored one, or that of a rendition for the web.
    Any,
    Uid(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaRange {
    /// `None`: either way (`*/*`).
    wrap: Option<Wrap>,
    /// Lower case; `*/*` and `image/*` included.
    pub(super) media: String,
    pub(super) syntax: Syntax,
    /// In thousandths.
    pub(super) quality: u16,
}

impl MediaRange {
    /// `None` for what is no media range, and for one with two transfer syntaxes or an invalid weight.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut pieces = split_outside_quotes(text, ';');
        // Java's HttpURLConnection says `*; q=.2, */*; q=.2` where it is not told otherwise.
        let media = match canonical(pieces.next()?.trim()).as_str() {
            "*" => "*/*".to_owned(),
            media => media.to_owned(),
        };
        if media.split('/').count() != 2 || media.split('/').any(str::is_empty) {
            return None;
        }
        let mut range = Self { wrap: Some(Wrap::Single), media, syntax: Syntax::Default, quality: 1000 };
        let mut root = None;
        for piece in pieces {
            let Some((name, value)) = parameter(piece) else { continue };
            match name.as_str() {
                "q" => range.quality = quality(&value)?,
                "type" => root = Some(canonical(&value)),
                "transfer-syntax" if range.syntax != Syntax::Default => return None,
                "transfer-syntax" if value == "*" => range.syntax = Syntax::Any,
                "transfer-syntax" => range.syntax = Syntax::Uid(value),
                _ => {}
            }
        }
        match range.media.as_str() {
            "*/*" => range.wrap = None,
            "multipart/related" | "multipart/*" => {
                range.wrap = Some(Wrap::Multipart);
                range.media = root.unwrap_or_else(|| "*/*".into());
            }
            _ => {}
        }
        Some(range)
    }

    /// How closely this range describes the offer: larger is closer, `None` is not at all.
    pub(super) fn specificity(&self, offer: &Offer) -> Option<u8> {
        if self.wrap.is_some_and(|wrap| wrap != offer.wrap) {
            return None;
        }
        let wrapped = u8::from(self.wrap.is_some());
        if self.media == "*/*" {
            return Some(wrapped);
        }
        if let Some(kind) = self.media.strip_suffix("/*") {
            return (offer.media.split('/').next() == Some(kind)).then_some(2 + wrapped);
        }
        (self.media == offer.media).then_some(4 + wrapped)
    }
}

/// The media type of a `Content-Type` or part header and its parameters, all lower case but for the values.
pub(crate) fn media_type(text: &str) -> (String, Vec<(String, String)>) {
    let mut pieces = split_outside_quotes(text, ';');
    let media = canonical(pieces.next().unwrap_or_default().trim());
    (media, pieces.filter_map(parameter).collect())
}

/// Lower case, with the names in use before the registered ones replaced (PS3.18 Table 8.7.3-5, note).
fn canonical(media: &str) -> String {
    let media = media.to_ascii_lowercase();
    match media.as_str() {
        "image/x-dicom-rle" => "image/dicom-rle".into(),
        "image/x-jls" => "image/jls".into(),
        "image/jpg" => JPEG.into(),
        _ => media,
    }
}

fn parameter(piece: &str) -> Option<(String, String)> {
    let (name, value) = piece.split_once('=')?;
    Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    out
}

/// A weight of RFC 9110 §12.4.2 in thousandths, with or without its leading zero; `None` when it is none.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "" if !fraction.is_empty() => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

pub(super) fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        let escapes = quoted && c == '\\' && !escaped;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = escapes;
        c == separator && !quoted
    })
    .filter(|piece| !piece.trim().is_empty())
}
