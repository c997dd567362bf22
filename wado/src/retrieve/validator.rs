//! Validators of answers and what requests make conditional on them (RFC 9110 §8.8.3, §13).

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, IF_RANGE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::accept::{Offer, Wrap};
use crate::router::is_compressed;

/// What an answer depends on, as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    /// With its quotation marks.
    opaque: String,
    is_weak: bool,
    /// Whether the answer comes compressed to who takes that.
    is_encoded: bool,
    rule: &'static str,
}

/// Kept by the browser, not by proxies, and checked before use.
const CHECKED: &str = "private, no-cache";
/// Used for a day without asking: what a stored instance has changes only where an operator puts another one under
/// its UID, which is why it is not `immutable`.
const LASTING: &str = "private, max-age=86400";

impl Validator {
    /// Of the answer in this form, from everything else that its bytes depend on: strong where it is one item, weak where
    /// it has a boundary or may come compressed (RFC 9110 §8.8.3.3). No two forms of a resource share one (§8.8.3).
    pub(crate) fn of(offer: Offer, cause: &impl Hash) -> Self {
        let is_encoded = is_compressed(offer.media);
        let is_weak = is_encoded || offer.wrap == Wrap::Multipart;
        Self { is_encoded, is_weak, ..Self::strong(&(offer, cause)) }
    }

    /// From everything that the bytes of the answer depend on. Stored instances do not change.
    pub(crate) fn strong(cause: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        cause.hash(&mut hasher);
        Self {
            opaque: format!("\"{:016x}\"", hasher.finish()),
            is_weak: false,
            is_encoded: false,
            rule: CHECKED,
        }
    }

    /// Of an answer that means the same and may have other bytes: another boundary each time, or compressed.
    pub(crate) fn weak(cause: &impl Hash) -> Self {
        Self { is_weak: true, ..Self::strong(cause) }
    }

    /// 304 when the client has this very answer (RFC 9110 §13.1.2).
    pub(crate) fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let is_same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == self.opaque;
        let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if !fields.flat_map(|value| value.split(',')).any(|tag| is_same(tag.trim())) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        if self.is_encoded {
            // As the answer itself has it (RFC 9110 §15.4.5).
            response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        Some(self.mark(response))
    }

    /// Whether a range is still one of the answer that the client has a part of: no `If-Range`, or this very validator
    /// (RFC 9110 §13.1.5). There are no dates to compare.
    pub(super) fn is_range_valid(&self, headers: &HeaderMap) -> bool {
        match headers.get(IF_RANGE) {
            Some(tag) => !self.is_weak && tag.as_bytes() == self.opaque.as_bytes(),
            None => true,
        }
    }

    /// Of what is the same as long as the instance is.
    pub(crate) fn lasting(self) -> Self {
        Self { rule: LASTING, ..self }
    }

    /// Adds validator and cache rule to an answer.
    pub(crate) fn mark(&self, mut response: Response) -> Response {
        let text = format!("{}{}", if self.is_weak { "W/" } else { "" }, self.opaque);
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(ETAG, value);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(self.rule));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::same(|own: &Validator| own.opaque.clone(), true)]
    #[case::weak(|own: &Validator| format!("W/{}", own.opaque), true)]
    #[case::in_a_list(|own: &Validator| format!("\"x\", {}", own.opaque), true)]
    #[case::any(|_: &Validator| "*".into(), true)]
    #[case::other(|_: &Validator| "\"x\"".into(), false)]
    fn the_client_may_have_the_answer_already(
        #[case] field: fn(&Validator) -> String,
        #[case] expected: bool,
    ) {
        for validator in [Validator::strong(&("1.2.3", 4)), Validator::weak(&("1.2.3", 4))] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&field(&validator)).unwrap());
            assert_eq!(validator.not_modified(&headers).is_some(), expected);
        }
    }

    #[test]
    fn no_two_forms_of_a_resource_share_one() {
        let forms = [Offer::single("a/b"), Offer::multipart("a/b"), Offer::single("a/c")];
        let of = forms.map(|form| Validator::of(form, &"1.2.3").opaque);
        assert!(of[0] != of[1] && of[0] != of[2] && of[1] != of[2], "{of:?}");
    }

    #[test]
    fn text_that_may_be_compressed_has_a_weak_one() {
        let text = Validator::of(Offer::single("text/xml"), &"1.2.3");
        assert!(text.is_weak && !Validator::of(Offer::single("image/jpeg"), &"1.2.3").is_weak);
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let varies = |validator: &Validator| {
            let response = validator.not_modified(&headers).unwrap();
            response.headers().get_all(VARY).iter().any(|field| field == "accept-encoding")
        };
        assert!(varies(&text) && !varies(&Validator::strong(&"1.2.3")));
    }

    #[test]
    fn a_range_goes_on_with_a_strong_validator_only() {
        let strong = Validator::strong(&1);
        let weak = Validator { is_weak: true, ..strong.clone() };
        let with = |tag: &str| HeaderMap::from_iter([(IF_RANGE, HeaderValue::from_str(tag).unwrap())]);
        assert!(strong.is_range_valid(&HeaderMap::new()) && strong.is_range_valid(&with(&strong.opaque)));
        assert!(!weak.is_range_valid(&with(&format!("W/{}", weak.opaque))));
        assert!(!strong.is_range_valid(&with("\"x\"")));
        assert!(!strong.is_range_valid(&with("Tue, 15 Nov 1994 08:12:31 GMT")));
    }
}
