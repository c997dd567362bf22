//! What a resource can give: media types, bare or in parts.

pub(crate) const DICOM: &str = "application/dicom";
pub(crate) const DICOM_JSON: &str = "application/dicom+json";
pub(crate) const DICOM_XML: &str = "application/dicom+xml";
pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";
pub(crate) const JPEG: &str = "image/jpeg";
pub(crate) const PNG: &str = "image/png";
pub(crate) const WEBP: &str = "image/webp";
pub(crate) const GIF: &str = "image/gif";
pub(crate) const ZIP: &str = "application/zip";
pub(crate) const HTML: &str = "text/html";
pub(crate) const TEXT: &str = "text/plain";
pub(crate) const XML: &str = "text/xml";
pub(crate) const PDF: &str = "application/pdf";

/// Whether the items of an answer come bare or as parts of `multipart/related`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrap {
    Single,
    Multipart,
}

/// One representation that a resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl std::fmt::Display for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.wrap {
            Wrap::Single => f.write_str(self.media),
            Wrap::Multipart => write!(f, "multipart/related; type=\"{}\"", self.media),
        }
    }
}

/// Kinds of resources, by the media types that they have (PS3.18 §8.7.3, §8.7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    /// Data sets, metadata, bulk data.
    Dicom,
    /// What is made for people.
    Rendered,
    /// Either, as `contentType` of WADO-URI; or neither, as Capabilities.
    Any,
}

impl Category {
    /// Whether a media type can only be of this category. Images and videos that are code streams of transfer
    /// syntaxes as well are of both; so is what DICOM does not know, such as `application/json`.
    pub(super) fn has_alone(self, media: &str) -> bool {
        match self {
            Self::Dicom => matches!(media, DICOM | DICOM_JSON | DICOM_XML | OCTET_STREAM | ZIP),
            Self::Rendered => matches!(media, PNG | GIF | WEBP | PDF | HTML | TEXT | XML | "text/rtf"),
            Self::Any => false,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Dicom => Self::Rendered,
            Self::Rendered => Self::Dicom,
            Self::Any => Self::Any,
        }
    }
}
