//! The metadata of one instance, taken apart when they are needed.

use std::collections::HashMap;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, SopClassUid, SopInstanceUid, Tag};
use dicom_store::{Error, ErrorKind};

use super::holding::Holding;
use super::outcome::Named;
use crate::dicom_json::read::{self, Object, Reference};
use crate::dicom_xml;

/// Bytes of memory that the metadata of one instance may need when they are taken apart: of long lists of numbers some
/// twenty times their text, and of many small attributes a hundred times.
const MAX_APART: usize = 256 << 20;

/// The metadata of one instance, as they came.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) bytes: Bytes,
    pub(super) is_xml: bool,
}

/// A value that is told by a URL.
pub(super) struct Told {
    pub(super) tag: Tag,
    pub(super) is_outermost: bool,
    pub(super) url: String,
}

/// Metadata taken apart.
pub(super) struct Read {
    pub(super) attributes: Attributes,
    pub(super) told: Vec<Told>,
}

impl Text {
    /// Takes it apart, with the values that are there; one at a time, for it takes many times the memory of the text.
    pub(super) async fn read(
        &self,
        holding: &Holding,
        held: HashMap<String, Bytes>,
    ) -> (Named, dicom_store::Result<Read>) {
        if self.apart() > MAX_APART {
            let what = format!("metadata of an instance need more than {} MiB taken apart", MAX_APART >> 20);
            return (Named::default(), Err(Error::new(ErrorKind::TooLarge, what)));
        }
        let _turn = holding.turn.acquire().await;
        let Self { bytes, is_xml } = self.clone();
        let read = move || {
            let object = if is_xml { dicom_xml::read::object(&bytes) } else { read::object(&bytes) };
            match object {
                Ok(object) => (named(&object), data_set(&object, &held)),
                Err(error) => (Named::default(), Err(error)),
            }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|cause| {
            (Named::default(), Err(Error::internal("metadata were not read").with_source(cause)))
        })
    }
}

impl Text {
    /// Bytes that it needs when it is taken apart, at the most, by what opens, parts and ends values in it: an object is a
    /// tree with room for eleven attributes, an element of XML keeps its name, its attributes and its text.
    fn apart(&self) -> usize {
        let weight = |byte: u8| match (self.is_xml, byte) {
            (false, b'{') => 640,
            (false, b':') => 110,
            (false, b',' | b'[') => 64,
            (false, b'"') => 16,
            (true, b'<') => 225,
            (true, b'=') => 100,
            _ => 1,
        };
        self.bytes.iter().map(|byte| weight(*byte)).sum()
    }
}

fn data_set(object: &Object, held: &HashMap<String, Bytes>) -> dicom_store::Result<Read> {
    let mut told = Vec::new();
    let attributes = read::data_set(object, &mut |reference| {
        let Reference { tag, is_outermost, url } = *reference;
        told.push(Told { tag, is_outermost, url: url.to_owned() });
        Ok(held.get(url).cloned())
    })?;
    Ok(Read { attributes, told })
}

fn named(object: &Object) -> Named {
    Named {
        sop_class: read::text(object, tags::SOP_CLASS_UID).and_then(|uid| SopClassUid::parse(uid).ok()),
        sop_instance: read::text(object, tags::SOP_INSTANCE_UID)
            .and_then(|uid| SopInstanceUid::parse(uid).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(text: String, is_xml: bool) -> usize {
        Text { bytes: text.into(), is_xml }.apart()
    }

    #[test]
    fn numbers_take_little_and_what_is_almost_nothing_much() {
        let numbers = "-123.45,".repeat(2 << 20);
        assert_eq!(numbers.len(), 16 << 20);
        assert!(apart(numbers, false) < MAX_APART);
        let empty = r#"{"":0},"#.repeat(512 << 10);
        assert!(empty.len() < 4 << 20 && apart(empty, false) > MAX_APART);
        let values = "<Value number=\"1\">-123.45</Value>".repeat(256 << 10);
        assert!(values.len() > 8 << 20 && apart(values, true) < MAX_APART);
        let empty = "<a/>".repeat(2 << 20);
        assert!(empty.len() == 8 << 20 && apart(empty, true) > MAX_APART);
    }
}
