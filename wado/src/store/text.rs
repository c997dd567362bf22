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

/// Metadata of one instance, in bytes: taken apart they need some seventy times the memory.
const MAX_OBJECT: usize = 2 << 20;

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
        if self.bytes.len() > MAX_OBJECT {
            let what = format!("metadata of an instance are longer than {} MiB", MAX_OBJECT >> 20);
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
