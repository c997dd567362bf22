//! Media type and transfer syntax negotiation (PS3.18 §8.7).
//!
//! A resource lists its [`Offer`]s, its default first; the request's `Accept` says which of them are welcome.
//! [`Accepts::choices`] gives them in the order of the client's wishes, so that a resource which cannot serve the
//! first (a transfer syntax that it would have to encode) goes on with the next.
//!
//! Rules: the most specific range decides an offer's weight; `q=0` excludes; what cannot be parsed is ignored; the
//! `accept` query parameter takes precedence over the header field (PS3.18 §8.3.3.1); `type="…"` works with and
//! without quotation marks; a range with two transfer syntaxes is invalid. A request without any `Accept` is answered
//! 406 as PS3.18 §8.7.7 says, unless `web.require-accept` is off.

use axum::extract::FromRequestParts;
use dicom_store::model::TransferSyntaxUid;
use http::HeaderMap;
use http::header::ACCEPT;
use http::request::Parts;

use crate::error::Problem;
use crate::parameters::Parameters;
use crate::state::Web;

pub(crate) const DICOM: &str = "application/dicom";
pub(crate) const DICOM_JSON: &str = "application/dicom+json";
pub(crate) const DICOM_XML: &str = "application/dicom+xml";
pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";
pub(crate) const JPEG: &str = "image/jpeg";
pub(crate) const PNG: &str = "image/png";
pub(crate) const GIF: &str = "image/gif";
pub(crate) const PDF: &str = "application/pdf";

/// Whether the items of an answer come bare or as parts of `multipart/related`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    Single,
    Multipart,
}

/// One representation that a resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) wrap: Wrap,
    pub(crate) media: &'static str,
}

impl Offer {
    pub(crate) const fn single(media: &'static str) -> Self {
        Self { wrap: Wrap::Single, media }
    }

    pub(crate) const fn multipart(media: &'static str) -> Self {
        Self { wrap: Wrap::Multipart, media }
    }
}

/// The `transfer-syntax` parameter of a media range (PS3.18 §8.7.3.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// None given: the default of the media type.
    Default,
    /// `*`: the origin server's choice, which is the stored one.
    Any,
    Uid(String),
}

/// An offer that the client takes, in the transfer syntax that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) offer: Offer,
    pub(crate) syntax: Syntax,
}

/// What the client accepts.
#[derive(Debug, Clone)]
pub(crate) struct Accepts {
    ranges: Vec<Range>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    /// `None`: either way (`*/*`).
    wrap: Option<Wrap>,
    /// Lower case; `*/*` and `image/*` included.
    media: String,
    syntax: Syntax,
    /// In thousandths.
    quality: u16,
}

impl Accepts {
    /// Reads the `accept` query parameter or else the header field. `None` when there is neither.
    pub(crate) fn read(headers: &HeaderMap, parameters: &Parameters) -> Option<Self> {
        if let Some(text) = parameters.get("accept") {
            // An unescaped plus sign of `dicom+json` arrives as a space.
            return Some(Self::parse(&text.replace("dicom ", "dicom+")));
        }
        let mut fields = headers.get_all(ACCEPT).iter().peekable();
        fields.peek()?;
        let text: Vec<_> = fields.filter_map(|field| field.to_str().ok()).collect();
        Some(Self::parse(&text.join(",")))
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self { ranges: split_outside_quotes(text, ',').filter_map(Range::parse).collect() }
    }

    /// Whether nothing at all is accepted, or nothing that could be understood.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a range names this media type itself, not by a wildcard.
    pub(crate) fn names(&self, media: &str) -> bool {
        self.ranges.iter().any(|range| range.quality > 0 && range.media == media)
    }

    /// Those of the offers that the client takes, in the order of its wishes.
    pub(crate) fn choices(&self, offers: &[Offer]) -> Vec<Choice> {
        let mut found = Vec::new();
        for (place, range) in self.ranges.iter().enumerate().filter(|(_, range)| range.quality > 0) {
            for (rank, offer) in offers.iter().enumerate() {
                let Some(weight) = range.specificity(offer) else { continue };
                let overruled = self
                    .ranges
                    .iter()
                    .filter_map(|other| other.specificity(offer))
                    .any(|other| other > weight);
                if !overruled {
                    found.push((range.quality, weight, place, rank, offer));
                }
            }
        }
        found.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
        let syntax =
            |place: usize| self.ranges.get(place).map_or(Syntax::Default, |range| range.syntax.clone());
        found
            .into_iter()
            .map(|(_, _, place, _, offer)| Choice { offer: *offer, syntax: syntax(place) })
            .collect()
    }

    /// The best offer where transfer syntaxes do not matter.
    ///
    /// # Errors
    /// 406 when the client takes none of the offers.
    pub(crate) fn best(&self, offers: &[Offer]) -> Result<Offer, Problem> {
        match self.choices(offers).first() {
            Some(choice) => Ok(choice.offer),
            None => Err(not_acceptable(offers)),
        }
    }

    /// The best offer among rendered media types, which take no transfer syntax (PS3.18 §8.7.4): a range with one is ignored.
    ///
    /// # Errors
    /// 406 when the client takes none of the offers.
    pub(crate) fn best_rendered(&self, offers: &[Offer]) -> Result<Offer, Problem> {
        let found = self.choices(offers).into_iter().find(|choice| choice.syntax == Syntax::Default);
        found.map(|choice| choice.offer).ok_or_else(|| not_acceptable(offers))
    }
}

impl FromRequestParts<Web> for Accepts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let parameters = Parameters::of(&parts.uri);
        match Self::read(&parts.headers, &parameters) {
            Some(accepts) => Ok(accepts),
            None if web.config.require_accept => {
                Err(Problem::not_acceptable("the request has no Accept header field (PS3.18 §8.7.5)"))
            }
            None => Ok(Self::parse("*/*")),
        }
    }
}

/// 406 for what is stored in a transfer syntax that cannot be made into the one asked for.
pub(crate) fn not_convertible(offers: &[Offer], stored: &TransferSyntaxUid) -> Problem {
    let mut problem = not_acceptable(offers);
    problem.what.push_str(&format!("; stored in transfer syntax {stored}, which transfer-syntax=* asks for"));
    problem
}

/// 406 that names what there is.
pub(crate) fn not_acceptable(offers: &[Offer]) -> Problem {
    let names: Vec<_> = offers
        .iter()
        .map(|offer| match offer.wrap {
            Wrap::Single => offer.media.to_owned(),
            Wrap::Multipart => format!("multipart/related; type=\"{}\"", offer.media),
        })
        .collect();
    Problem::not_acceptable(format!(
        "none of the accepted media types can be given; there are {}",
        names.join(", ")
    ))
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut pieces = split_outside_quotes(text, ';');
        let media = canonical(pieces.next()?.trim());
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
    fn specificity(&self, offer: &Offer) -> Option<u8> {
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

/// The media type of a `Content-Type` or part header and one of its parameters, both lower case but for the value.
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

/// A weight of RFC 9110 §12.4.2 in thousandths; `None` when it is none.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const METADATA: &[Offer] = &[Offer::single(DICOM_JSON), Offer::single(JSON), Offer::multipart(DICOM_XML)];
    const INSTANCE: &[Offer] =
        &[Offer::multipart(DICOM), Offer::single(DICOM), Offer::multipart(OCTET_STREAM)];
    const RENDERED: &[Offer] = &[Offer::single(JPEG), Offer::single(PNG), Offer::multipart(JPEG)];

    #[rstest]
    #[case::any(METADATA, "*/*", Some(Offer::single(DICOM_JSON)))]
    #[case::any_application(METADATA, "application/*", Some(Offer::single(DICOM_JSON)))]
    #[case::xml_quoted(
        METADATA,
        r#"multipart/related; type="application/dicom+xml""#,
        Some(Offer::multipart(DICOM_XML))
    )]
    #[case::xml_bare(
        METADATA,
        "multipart/related;type=application/dicom+xml",
        Some(Offer::multipart(DICOM_XML))
    )]
    #[case::xml_single_part(METADATA, "application/dicom+xml", None)]
    #[case::weights(
        METADATA,
        r#"multipart/related; type="application/dicom+xml"; q=0.1, application/dicom+json; q=0.9"#,
        Some(Offer::single(DICOM_JSON))
    )]
    #[case::weights_other_way(
        METADATA,
        r#"application/dicom+json; q=0.1, multipart/related; type="application/dicom+xml"; q=0.9"#,
        Some(Offer::multipart(DICOM_XML))
    )]
    #[case::nonsense_beside(
        METADATA,
        "text/x-nonsense, application/dicom+json",
        Some(Offer::single(DICOM_JSON))
    )]
    #[case::broken_beside(
        METADATA,
        ";;=, application, /, application/dicom+json",
        Some(Offer::single(DICOM_JSON))
    )]
    #[case::other(METADATA, "image/jpeg", None)]
    #[case::text(METADATA, "text/html;q=0.9", None)]
    #[case::ohif(
        METADATA,
        "application/dicom+json, multipart/related; type=application/octet-stream",
        Some(Offer::single(DICOM_JSON))
    )]
    #[case::excluded(METADATA, "application/dicom+json;q=0, application/*", Some(Offer::single(JSON)))]
    #[case::specific_wins(
        METADATA,
        "*/*, application/dicom+json;q=0.1, application/json;q=0.1",
        Some(Offer::multipart(DICOM_XML))
    )]
    #[case::bad_weight(METADATA, "application/dicom+json;q=2", None)]
    #[case::upper_case(METADATA, "APPLICATION/DICOM+JSON", Some(Offer::single(DICOM_JSON)))]
    #[case::instance_any(INSTANCE, "*/*", Some(Offer::multipart(DICOM)))]
    #[case::instance_single(INSTANCE, "application/dicom", Some(Offer::single(DICOM)))]
    #[case::instance_untyped(INSTANCE, "multipart/related", Some(Offer::multipart(DICOM)))]
    #[case::instance_octets(
        INSTANCE,
        "multipart/related; type=application/octet-stream",
        Some(Offer::multipart(OCTET_STREAM))
    )]
    #[case::comma_in_quotes(
        INSTANCE,
        r#"multipart/related; x="a,b"; type="application/dicom""#,
        Some(Offer::multipart(DICOM))
    )]
    #[case::browser_image(
        RENDERED,
        "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
        Some(Offer::single(JPEG))
    )]
    #[case::png(RENDERED, "image/png", Some(Offer::single(PNG)))]
    #[case::png_first(RENDERED, "image/png, image/jpeg;q=0.5", Some(Offer::single(PNG)))]
    #[case::gif(RENDERED, "image/gif", None)]
    #[case::empty(RENDERED, "", None)]
    fn chooses_as_the_client_wishes(
        #[case] offers: &[Offer],
        #[case] accept: &str,
        #[case] expected: Option<Offer>,
    ) {
        let choices = Accepts::parse(accept).choices(offers);
        assert_eq!(choices.first().map(|choice| choice.offer), expected);
    }

    #[rstest]
    #[case("multipart/related; type=application/octet-stream; transfer-syntax=*", Syntax::Any)]
    #[case(r#"multipart/related; type="application/octet-stream"; Transfer-Syntax="1.2.840.10008.1.2.5""#, Syntax::Uid("1.2.840.10008.1.2.5".into()))]
    #[case("multipart/related; type=application/octet-stream", Syntax::Default)]
    fn reads_the_transfer_syntax(#[case] accept: &str, #[case] expected: Syntax) {
        let choices = Accepts::parse(accept).choices(&[Offer::multipart(OCTET_STREAM)]);
        assert_eq!(choices.into_iter().map(|choice| choice.syntax).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn keeps_every_transfer_syntax_in_the_order_of_its_weight() {
        let accept = "multipart/related; type=application/dicom; transfer-syntax=1.2.3; q=0.5, \
                      multipart/related; type=application/dicom; transfer-syntax=*; q=0.7";
        let choices = Accepts::parse(accept).choices(INSTANCE);
        let syntaxes: Vec<_> = choices.into_iter().map(|choice| choice.syntax).collect();
        assert_eq!(syntaxes, [Syntax::Any, Syntax::Uid("1.2.3".into())]);
    }

    #[test]
    fn ignores_a_range_with_two_transfer_syntaxes() {
        let accept = "application/dicom; transfer-syntax=1.2; transfer-syntax=1.3";
        assert!(Accepts::parse(accept).choices(INSTANCE).is_empty());
    }

    #[test]
    fn a_rendered_media_type_with_a_transfer_syntax_is_ignored() {
        assert!(Accepts::parse("image/jpeg; transfer-syntax=1.2").best_rendered(RENDERED).is_err());
        assert!(Accepts::parse("image/jpeg; transfer-syntax=1.2, image/png").best_rendered(RENDERED).is_ok());
    }

    #[test]
    fn the_query_parameter_wins_over_the_header_field() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, http::HeaderValue::from_static("image/jpeg"));
        let parameters = Parameters::of(&"/x?accept=application/dicom+json".parse().unwrap());
        let accepts = Accepts::read(&headers, &parameters).unwrap();
        assert_eq!(accepts.best(METADATA).unwrap(), Offer::single(DICOM_JSON));
    }

    #[test]
    fn an_absent_header_field_is_told_from_an_empty_one() {
        let none = Parameters::of(&"/x".parse().unwrap());
        assert!(Accepts::read(&HeaderMap::new(), &none).is_none());
    }
}
