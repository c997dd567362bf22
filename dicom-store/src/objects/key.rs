//! Names of objects: the only code that knows where they lie.

use object_store::path::Path;

use crate::model::{PackId, SeriesInstanceUid, StudyInstanceUid};

pub(crate) fn pack(id: PackId) -> Path {
    Path::from(format!("packs/{id}.tar"))
}

/// All that was made of a series.
pub(crate) fn made_of(study: &StudyInstanceUid, series: &SeriesInstanceUid) -> Path {
    Path::from(format!("derived/{study}/{series}"))
}

/// The same pack compressed.
pub(crate) fn compressed(id: PackId) -> Path {
    Path::from(format!("packs/{id}.tar.zst"))
}

pub(crate) fn packs() -> Path {
    Path::from("packs")
}

/// The number in the name of a pack's file.
pub(crate) fn pack_id(file_name: &str) -> Option<PackId> {
    let number = file_name.strip_suffix(".tar")?;
    (number.len() == 12).then(|| number.parse().ok().map(PackId)).flatten()
}

/// The number in the name of a compressed pack's file.
pub(crate) fn compressed_id(file_name: &str) -> Option<PackId> {
    pack_id(file_name.strip_suffix(".zst")?)
}

/// Something made from images that can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DerivedKey(String);

impl DerivedKey {
    /// The thumbnail that stands for a series.
    pub fn thumbnail(study: &StudyInstanceUid, series: &SeriesInstanceUid) -> Self {
        Self(format!("derived/{study}/{series}/thumbnail.jpg"))
    }

    /// Where the frames of the rendition of a series lie.
    pub(crate) fn rendition_map(study: &StudyInstanceUid, series: &SeriesInstanceUid) -> Self {
        Self(format!("derived/{study}/{series}/web.json"))
    }

    /// Frames of the rendition of a series.
    pub(crate) fn rendition_part(study: &StudyInstanceUid, series: &SeriesInstanceUid, name: &str) -> Self {
        Self(format!("derived/{study}/{series}/web-{name}.jphc"))
    }

    pub(crate) fn path(&self) -> Path {
        Path::from(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_found_by_its_name_again() {
        let path = pack(PackId(42));
        assert_eq!(path.filename().and_then(pack_id), Some(PackId(42)));
        assert_eq!(pack_id("notes.tar"), None);
        let path = compressed(PackId(42));
        assert_eq!(path.filename().and_then(compressed_id), Some(PackId(42)));
        assert_eq!((path.filename().and_then(pack_id), compressed_id("000000000042.tar")), (None, None));
    }
}
