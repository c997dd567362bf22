//! Encapsulated documents: PDF, CDA, STL and others, wrapped by the metadata that come with them (PS3.3 §C.24.2).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, VR};

use crate::accept::{OCTET_STREAM, media_type};

/// Completes what the metadata leave out: the media type of the document, as its part says it, and its length, for the
/// value is padded to an even one.
pub(super) fn complete(metadata: &mut Attributes, content_type: Option<&str>) {
    let Some(length) = metadata.bytes(tags::ENCAPSULATED_DOCUMENT).map(bytes::Bytes::len) else { return };
    let media = content_type.map(|text| media_type(text).0).filter(|media| media != OCTET_STREAM);
    if let (None, Some(media)) = (metadata.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT), media) {
        metadata.put_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, &media);
    }
    if let (None, Ok(length)) = (metadata.int(tags::ENCAPSULATED_DOCUMENT_LENGTH), u32::try_from(length)) {
        metadata.put_u32(tags::ENCAPSULATED_DOCUMENT_LENGTH, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_by_the_part() {
        let mut metadata = Attributes::new();
        metadata.put_bytes(tags::ENCAPSULATED_DOCUMENT, VR::OB, &b"%PDF-1.4 "[..]);
        complete(&mut metadata, Some("application/pdf; charset=x"));
        let media = metadata.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT);
        assert_eq!(media.as_deref(), Some("application/pdf"));
        assert_eq!(metadata.int(tags::ENCAPSULATED_DOCUMENT_LENGTH), Some(9));
        complete(&mut metadata, Some("text/xml"));
        let media = metadata.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT);
        assert_eq!(media.as_deref(), Some("application/pdf"), "what the metadata say holds");
        let mut none = Attributes::new();
        complete(&mut none, Some("application/pdf"));
        assert!(none.is_empty());
    }
}
