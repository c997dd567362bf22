//! All that the index has of one instance, found in one question.

use super::sql::levels::reference;
use crate::Result;
use crate::model::{FrameMap, Header, Instance};

/// An instance with where its frames lie; what its header says is read when somebody wants to know it.
#[derive(Debug, Clone)]
pub struct Described {
    pub instance: Instance,
    pub frames: FrameMap,
    /// As it is kept, and what it is told apart from.
    pub(super) header: Vec<u8>,
    pub(super) reference: Vec<u8>,
}

impl Described {
    /// What holds of the instance, corrections included.
    ///
    /// # Errors
    /// `Corrupt` when the index has no header there.
    pub fn header(&self) -> Result<Header> {
        let header = Header::from_bytes(&self.header, &reference(&self.reference)?)?;
        Ok(header.corrected(self.instance.correction.clone()))
    }
}
