//! Media type and transfer syntax negotiation (PS3.18 §8.7). Texts in, choices out; nothing of HTTP's machinery.
//!
//! A resource lists its [`Offer`]s, its default first; the request's `Accept` says which of them are welcome.
//! [`Accepts::choices`] gives them in the order of the client's wishes, so that a resource which cannot serve the
//! first (a transfer syntax that it would have to encode) goes on with the next.
//!
//! Rules: the most specific range decides an offer's weight; `q=0` excludes, `q=.2` is 0.2 and `*` is `*/*`; what cannot
//! be parsed otherwise is ignored; the `accept` query parameter takes precedence over the header field (PS3.18
//! §8.3.3.1), wildcards in it included; `type="…"` works with and without quotation marks; a range with two transfer
//! syntaxes is invalid.
//!
//! Where servers read the text differently, this one does as follows. [`Negotiation`] tells the two apart that break
//! clients which are otherwise right.
//!
//! | question | strict | lenient, the default |
//! |---|---|---|
//! | no `Accept` (§8.7.7) | 406 | the resource's default |
//! | DICOM beside rendered media types (§8.7.5) | 400 | those that the resource does not have are passed over |
//! | `image/jpeg` without a transfer syntax | JPEG Lossless, 1.2.840.10008.1.2.4.70 (Table 8.7.3-5) | the same |
//! | instances and octet streams without a transfer syntax | Explicit VR Little Endian, made where it can be (§8.7.3.4) | the same |
//! | a bare media type for a study or series | 406, also where it has one instance (Table 10.4.4-1, note 3) | the same |
//! | a rendered media type with a transfer syntax | ignored (§8.7.4) | the same |
//!
//! The four that are not about `Accept`: nothing found is 204 (`search`); all six search resources, all rendered ones
//! and `application/dicom+xml` are there (`router`); date and time match combined (`search::request`); metadata with
//! bulk data beside them are stored (`store::metadata`). How zero-length keys match is the archive's (`query`).

mod media_range;
mod offer;

use serde::{Deserialize, Serialize};

pub(crate) use media_range::{Syntax, media_type};
pub(crate) use offer::{
    Category, DICOM, DICOM_JSON, DICOM_XML, GIF, HTML, JPEG, JSON, OCTET_STREAM, Offer, PDF, PNG, TEXT, WEBP,
    Wrap, XML, ZIP,
};

use media_range::{MediaRange, split_outside_quotes};

/// How closely requests have to keep to PS3.18 §8.7.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negotiation {
    /// A request without `Accept` gets the default; of mixed media types those that there are count.
    #[default]
    Lenient,
    /// A request without `Accept` is answered 406, one that mixes DICOM and rendered media types 400.
    Strict,
}

/// Why there is no choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the request has no Accept header field (PS3.18 §8.7.5), which this server is set to ask for (web.negotiation = \"strict\"): Accept: */* takes what there is"
    )]
    Absent,
    #[error("Accept mixes DICOM and rendered media types: {0} beside {1} (PS3.18 §8.7.5)")]
    Mixed(String, String),
    #[error("none of the accepted media types can be given; there are {}", listed(.0))]
    NotAcceptable(Vec<Offer>),
}

fn listed(offers: &[Offer]) -> String {
    offers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
    ranges: Vec<MediaRange>,
    negotiation: Negotiation,
}

impl Accepts {
    /// Reads the `accept` query parameter or else the header field, all its lines joined by commas.
    ///
    /// # Errors
    /// `Absent` when there is neither and there has to be one.
    pub(crate) fn read(
        parameter: Option<&str>,
        field: Option<&str>,
        negotiation: Negotiation,
    ) -> Result<Self, Refusal> {
        // An unescaped plus sign of `dicom+json` arrives as a space.
        let parameter = parameter.map(|text| text.replace("dicom ", "dicom+"));
        match parameter.as_deref().or(field) {
            Some(text) => Ok(Self { negotiation, ..Self::parse(text) }),
            None if negotiation == Negotiation::Lenient => Ok(Self::anything()),
            None => Err(Refusal::Absent),
        }
    }

    /// Of requests where nothing has to be said.
    pub(crate) fn anything() -> Self {
        Self::parse("*/*")
    }

    /// Leniently.
    pub(crate) fn parse(text: &str) -> Self {
        let ranges = split_outside_quotes(text, ',').filter_map(MediaRange::parse).collect();
        Self { ranges, negotiation: Negotiation::Lenient }
    }

    /// Whether nothing at all is accepted, or nothing that could be understood.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a range names this media type itself, not by a wildcard.
    pub(crate) fn names(&self, media: &str) -> bool {
        self.named().any(|named| named == media)
    }

    fn named(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().filter(|range| range.quality > 0).map(|range| range.media.as_str())
    }

    /// Those of the offers of a resource that the client takes, in the order of its wishes.
    ///
    /// # Errors
    /// `Mixed` when it asks for media types of both categories, none of which the resource has besides its own.
    pub(crate) fn choices(&self, category: Category, offers: &[Offer]) -> Result<Vec<Choice>, Refusal> {
        self.check_category(category, offers)?;
        let mut found = Vec::new();
        for (place, range) in self.ranges.iter().enumerate().filter(|(_, range)| range.quality > 0) {
            for (rank, offer) in offers.iter().enumerate() {
                let Some(weight) = range.specificity(offer) else { continue };
                let others = self.ranges.iter().filter_map(|other| other.specificity(offer));
                if others.max().is_none_or(|closest| closest <= weight) {
                    found.push((range.quality, weight, place, rank, offer));
                }
            }
        }
        found.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
        let syntax =
            |place: usize| self.ranges.get(place).map_or(Syntax::Default, |range| range.syntax.clone());
        let choice = |(_, _, place, _, offer): (_, _, usize, _, &Offer)| Choice {
            offer: *offer,
            syntax: syntax(place),
        };
        Ok(found.into_iter().map(choice).collect())
    }

    fn check_category(&self, category: Category, offers: &[Offer]) -> Result<(), Refusal> {
        if self.negotiation == Negotiation::Lenient {
            return Ok(());
        }
        let is_offered = |media: &str| offers.iter().any(|offer| offer.media == media);
        let own = self.named().find(|media| category.has_alone(media) || is_offered(media) && *media != JSON);
        let other = self.named().find(|media| category.other().has_alone(media) && !is_offered(media));
        match (own, other) {
            (Some(own), Some(other)) => Err(Refusal::Mixed(own.to_owned(), other.to_owned())),
            _ => Ok(()),
        }
    }

    /// Whether it likes the one at least as well as the other, by their weights alone.
    pub(crate) fn likes_as_well(&self, one: &Offer, other: &Offer) -> bool {
        self.weight(one) >= self.weight(other)
    }

    /// In thousandths; 0 for what is not accepted.
    fn weight(&self, offer: &Offer) -> u16 {
        let closest = self.ranges.iter().filter_map(|range| Some((range.specificity(offer)?, range.quality)));
        closest.max().map_or(0, |(_, quality)| quality)
    }

    /// The best offer where transfer syntaxes do not matter.
    ///
    /// # Errors
    /// `NotAcceptable` when the client takes none of the offers; `Mixed`.
    pub(crate) fn best(&self, category: Category, offers: &[Offer]) -> Result<Offer, Refusal> {
        let choices = self.choices(category, offers)?;
        choices.first().map(|choice| choice.offer).ok_or_else(|| Refusal::NotAcceptable(offers.to_vec()))
    }

    /// The best offer among rendered media types, which take no transfer syntax (PS3.18 §8.7.4): a range with one is ignored.
    ///
    /// # Errors
    /// `NotAcceptable` when the client takes none of the offers; `Mixed`.
    pub(crate) fn best_rendered(&self, offers: &[Offer]) -> Result<Offer, Refusal> {
        let mut choices = self.choices(Category::Rendered, offers)?.into_iter();
        let found = choices.find(|choice| choice.syntax == Syntax::Default);
        found.map(|choice| choice.offer).ok_or_else(|| Refusal::NotAcceptable(offers.to_vec()))
    }
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
    #[case::java(
        METADATA,
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        Some(Offer::single(DICOM_JSON))
    )]
    #[case::weight_without_its_zero(
        METADATA,
        "application/dicom+json;q=.1, application/json;q=.25",
        Some(Offer::single(JSON))
    )]
    #[case::no_weight(METADATA, "application/dicom+json;q=.", None)]
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
        let choices = Accepts::parse(accept).choices(Category::Any, offers).unwrap();
        assert_eq!(choices.first().map(|choice| choice.offer), expected);
    }

    #[rstest]
    #[case("multipart/related; type=application/octet-stream; transfer-syntax=*", Syntax::Any)]
    #[case(r#"multipart/related; type="application/octet-stream"; Transfer-Syntax="1.2.840.10008.1.2.5""#, Syntax::Uid("1.2.840.10008.1.2.5".into()))]
    #[case("multipart/related; type=application/octet-stream", Syntax::Default)]
    fn reads_the_transfer_syntax(#[case] accept: &str, #[case] expected: Syntax) {
        let choices =
            Accepts::parse(accept).choices(Category::Any, &[Offer::multipart(OCTET_STREAM)]).unwrap();
        assert_eq!(choices.into_iter().map(|choice| choice.syntax).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn keeps_every_transfer_syntax_in_the_order_of_its_weight() {
        let accept = "multipart/related; type=application/dicom; transfer-syntax=1.2.3; q=0.5, \
                      multipart/related; type=application/dicom; transfer-syntax=*; q=0.7";
        let choices = Accepts::parse(accept).choices(Category::Any, INSTANCE).unwrap();
        let syntaxes: Vec<_> = choices.into_iter().map(|choice| choice.syntax).collect();
        assert_eq!(syntaxes, [Syntax::Any, Syntax::Uid("1.2.3".into())]);
    }

    #[test]
    fn ignores_a_range_with_two_transfer_syntaxes() {
        let accept = "application/dicom; transfer-syntax=1.2; transfer-syntax=1.3";
        assert!(Accepts::parse(accept).choices(Category::Any, INSTANCE).unwrap().is_empty());
    }

    #[test]
    fn a_rendered_media_type_with_a_transfer_syntax_is_ignored() {
        assert!(Accepts::parse("image/jpeg; transfer-syntax=1.2").best_rendered(RENDERED).is_err());
        assert!(Accepts::parse("image/jpeg; transfer-syntax=1.2, image/png").best_rendered(RENDERED).is_ok());
    }

    #[test]
    fn the_query_parameter_wins_over_the_header_field() {
        let read = |parameter, field| {
            Accepts::read(parameter, field, Negotiation::Strict).unwrap().best(Category::Dicom, METADATA)
        };
        assert_eq!(read(Some("application/dicom json"), Some("image/jpeg")), Ok(Offer::single(DICOM_JSON)));
        assert_eq!(read(None, Some("application/dicom+json")), Ok(Offer::single(DICOM_JSON)));
    }

    #[test]
    fn an_absent_header_field_is_told_from_an_empty_one() {
        assert_eq!(Accepts::read(None, None, Negotiation::Strict).err(), Some(Refusal::Absent));
        let refused = |accepts: Accepts| accepts.best(Category::Dicom, METADATA);
        let empty = Accepts::read(None, Some(""), Negotiation::Strict).unwrap();
        assert_eq!(refused(empty), Err(Refusal::NotAcceptable(METADATA.to_vec())));
        let absent = Accepts::read(None, None, Negotiation::Lenient).unwrap();
        assert_eq!(refused(absent), Ok(Offer::single(DICOM_JSON)));
    }

    #[rstest]
    #[case::rendered_of_data(Category::Dicom, METADATA, "application/dicom+json, image/png", false)]
    #[case::data_of_rendered(Category::Rendered, RENDERED, "image/jpeg, application/dicom", false)]
    #[case::page_of_rendered(Category::Rendered, RENDERED, "image/jpeg, text/html", true)]
    #[case::code_streams_are_data(Category::Dicom, INSTANCE, "application/dicom, image/jpeg", true)]
    #[case::navigation(
        Category::Dicom,
        METADATA,
        "text/html,application/xml;q=0.9,image/avif,*/*;q=0.8",
        true
    )]
    #[case::scripts(Category::Dicom, METADATA, "application/json, text/plain, */*", true)]
    #[case::excluded(Category::Dicom, METADATA, "application/dicom+json, image/png;q=0", true)]
    #[case::either(Category::Any, METADATA, "application/dicom+json, image/png", true)]
    fn strictly_media_types_of_both_categories_are_invalid(
        #[case] category: Category,
        #[case] offers: &[Offer],
        #[case] accept: &str,
        #[case] is_valid: bool,
    ) {
        let strict = Accepts::read(None, Some(accept), Negotiation::Strict).unwrap();
        assert_eq!(strict.choices(category, offers).is_ok(), is_valid);
        let lenient = Accepts::read(None, Some(accept), Negotiation::Lenient).unwrap();
        assert!(!lenient.choices(category, offers).unwrap().is_empty());
    }
}
