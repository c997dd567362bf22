//! `filmless scrub`: everything that is kept, compared with the digests of what came.

use anyhow::Context;
use dicom_store::Archive;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) packs: u64,
    pub(crate) instances: u64,
    pub(crate) damaged: u64,
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
    let read = upkeep.verify_all(pace, |pack, verified| {
        found.packs += 1;
        found.instances += verified.instances;
        found.damaged += verified.damaged.len() as u64 + verified.damaged_records;
        for instance in &verified.damaged {
            say(&format!("pack {pack}: instance {instance} is damaged; send it again"));
        }
        if verified.damaged_records > 0 {
            say(&format!(
                "pack {pack}: {} records are damaged; the index has them",
                verified.damaged_records
            ));
        }
    });
    let bytes = read.await.context("reading the packs")?;
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
}
