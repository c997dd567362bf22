//! `filmless scrub`: everything that is kept, compared with the digests of what came.

use anyhow::Context;
use dicom_store::{AllVerified, Archive, DamagedStretch};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) packs: u64,
    pub(crate) instances: u64,
    pub(crate) damaged: u64,
    /// Packs that could not be read, of which nobody knows whether they are damaged.
    pub(crate) unread: u64,
    pub(crate) bytes: u64,
}

/// Reads every pack, at most so many MiB a second, and tells of each that is damaged. What is damaged is not given out
/// any more, until it is sent again.
///
/// # Errors
/// When index or objects cannot be read.
pub(crate) async fn scrub(
    archive: &Archive,
    pace_mib: Option<u64>,
    say: impl Fn(&str),
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let pace = pace_mib.map(|mib| mib.saturating_mul(1 << 20));
    let upkeep = archive.upkeep();
    // What was met when the archive was opened, of packs that the index does not know.
    let at_open = archive.damaged();
    for stretch in &at_open.stretches {
        say(&stretch.to_string());
    }
    found.damaged += at_open.stretches.len() as u64;
    let read = upkeep.verify_all(pace, |_, verified| {
        found.packs += u64::from(!verified.is_unread);
        found.unread += u64::from(verified.is_unread);
        found.instances += verified.instances;
        let is_told = |stretch: &DamagedStretch| {
            at_open.stretches.iter().any(|told| told.pack == stretch.pack && told.range == stretch.range)
        };
        for stretch in verified.stretches.iter().filter(|stretch| !is_told(stretch)) {
            found.damaged += u64::from(!verified.is_unread);
            say(&stretch.to_string());
        }
    });
    let AllVerified { bytes, lost_acts } = read.await.context("reading the packs")?;
    for act in &lost_acts {
        say(&format!("{act}; the index has it, and one that is made anew would not"));
    }
    found.damaged += lost_acts.len() as u64;
    Ok(Found { bytes, ..found })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use dicom_store::fixture::{self, ct};

    use super::*;

    #[tokio::test]
    async fn what_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = fixture::config(&folder);
        let archive = Archive::open(&config).await.unwrap();
        let session = fixture::system(&archive);
        let (good, bad) = (ct(), ct());
        for sample in [&good, &bad] {
            fixture::store(&session, sample).await.unwrap();
        }
        archive.close().await;
        let pack = std::fs::read_dir(config.log_folder()).unwrap().map(|file| file.unwrap().path());
        let pack = pack.into_iter().find(|path| path.extension().is_some_and(|e| e == "tar")).unwrap();
        let bytes = std::fs::read(&pack).unwrap();
        let data = bad.data_set();
        let place = bytes.windows(data.len()).position(|window| window == data).unwrap() + data.len() - 1;
        let file = std::fs::OpenOptions::new().write(true).open(&pack).unwrap();
        file.write_all_at(&[!bytes[place]], u64::try_from(place).unwrap()).unwrap();

        let archive = Archive::open(&config).await.unwrap();
        let said = std::cell::RefCell::new(Vec::new());
        let found =
            scrub(&archive, Some(1000), |text| said.borrow_mut().push(text.to_owned())).await.unwrap();
        assert_eq!((found.instances, found.damaged), (2, 1));
        assert!(said.borrow()[0].contains(bad.sop_instance().as_str()));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let config = fixture::config(&folder);
        let archive = Archive::open(&config).await.unwrap();
        let session = fixture::system(&archive);
        let (kept, gone) = (ct(), ct());
        for sample in [&kept, &gone] {
            fixture::store(&session, sample).await.unwrap();
        }
        archive.upkeep().destroy(&[gone.sop_instance()]).await.unwrap();
        let packs = std::fs::read_dir(config.data.join("objects/packs")).unwrap();
        let [pack] = packs.map(|file| file.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
        std::fs::remove_file(&pack).unwrap();
        std::os::unix::fs::symlink(&pack, &pack).unwrap();
        let said = std::cell::RefCell::new(Vec::new());
        let found = scrub(&archive, None, |text| said.borrow_mut().push(text.to_owned())).await.unwrap();
        assert_eq!(found, Found { unread: 1, ..Found::default() });
        assert!(said.borrow()[0].contains("cannot be read"), "{said:?}");
    }
}
