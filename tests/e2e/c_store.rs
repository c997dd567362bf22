//! Storage (PS3.4 Annex B).

use anyhow::{Context, Result};
use tests::{
    Pacs,
    by_hand::{Association, CT_IMAGE, Proposal},
    corpus::{MUELLER, NGUYEN, Real, Synthetic, ct, pydicom_files, report, us_multiframe, write_all},
    modality::meta_of,
    pacs::{data_set_of, stored_file},
    peers::pynetdicom,
};

/// What is kept is what was sent, whatever meta information the archive puts in front.
async fn assert_kept(pacs: &Pacs, instances: &[Synthetic]) -> Result<()> {
    for instance in instances {
        let kept = data_set_of(&pacs.file_of(instance).await?)?;
        assert!(kept == instance.data_set, "{} is not kept byte for byte", instance.sop_instance);
    }
    Ok(())
}

#[tokio::test]
async fn keeps_what_dcmtk_sends_byte_for_byte() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut instances = ct(NGUYEN, 4);
    instances.push(us_multiframe(MUELLER, 3));
    instances.push(report(MUELLER));
    let files = write_all(&instances, &pacs.scratch("sent")?)?;
    pacs.modality("CT_1").store(&["-xe"], &files).await?.well()?;
    assert_kept(&pacs, &instances).await
}

/// Its sender can compress nothing; what has pixels is asked for as a compressed object would come.
#[tokio::test]
async fn takes_a_report_from_a_sender_that_offers_compressed_syntaxes_beside_native_ones() -> Result<()> {
    for offered in ["-xs", "-xv", "-xy", "-xr"] {
        let pacs = Pacs::start().await?;
        let reports = [report(MUELLER)];
        let files = write_all(&reports, &pacs.scratch("sent")?)?;
        pacs.modality("WS_1").store(&[offered, "+C"], &files).await?.well()?;
        assert_kept(&pacs, &reports).await?;
    }
    Ok(())
}

#[tokio::test]
async fn keeps_what_pynetdicom_sends_byte_for_byte() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct(MUELLER, 3);
    let files = write_all(&instances, &pacs.scratch("sent")?)?;
    let statuses = pynetdicom(pacs.dimse(), "store", &files).await?;
    for file in &files {
        let name = file.file_name().and_then(|name| name.to_str()).context("a name in ASCII")?;
        assert_eq!(statuses[name], 0, "{statuses}");
    }
    assert_kept(&pacs, &instances).await
}

/// Compressed files of pydicom: RLE, JPEG 2000, JPEG-LS, JPEG.
const COMPRESSED: [&str; 4] = [
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
];

async fn compressed() -> Result<Vec<Real>> {
    let mut files = pydicom_files().await?;
    files.retain(|real| COMPRESSED.iter().any(|name| real.file.ends_with(name)));
    assert_eq!(files.len(), COMPRESSED.len(), "pydicom's own files are missing");
    Ok(files)
}

#[tokio::test]
async fn keeps_compressed_images_byte_for_byte() -> Result<()> {
    for real in compressed().await? {
        // Three of them share their UIDs, so each has a server of its own.
        let pacs = Pacs::start().await?;
        let sent = data_set_of(&std::fs::read(&real.file)?.into())?;
        let syntaxes = [real.transfer_syntax.as_str()];
        let proposal = Proposal { id: 1, abstract_syntax: &real.sop_class, transfer_syntaxes: &syntaxes };
        let mut association = Association::request(pacs.dimse(), "MR_1", &[proposal]).await?;
        assert_eq!(association.store(1, &real.sop_class, &real.instance, &sent).await?, 0, "{real:?}");
        association.release().await?;
        let kept = stored_file(&pacs.web(), &real.study, &real.series, &real.instance).await?;
        assert!(data_set_of(&kept)? == sent, "{} is not kept byte for byte", real.file.display());
    }
    Ok(())
}

#[tokio::test]
async fn takes_compressed_images_from_dcmsend_as_they_are() -> Result<()> {
    for real in compressed().await? {
        let pacs = Pacs::start().await?;
        pacs.modality("MR_1").send(std::slice::from_ref(&real.file)).await?;
        let kept = stored_file(&pacs.web(), &real.study, &real.series, &real.instance).await?;
        let file = pacs.scratch("kept")?.join("kept.dcm");
        std::fs::write(&file, kept)?;
        let dump = meta_of(&file).await?;
        assert!(dump.contains(&format!("[{}]", real.transfer_syntax)), "{}: {dump}", real.file.display());
    }
    Ok(())
}

#[tokio::test]
async fn says_success_again_to_what_it_has_and_keeps_one() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct(NGUYEN, 1);
    let slice = instances.first().context("one slice")?;
    let mut association = Association::for_ct(pacs.dimse(), "CT_1").await?;
    for _ in 0..2 {
        assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    }
    association.release().await?;
    let path = format!("/dicom-web/studies/{}/instances", slice.study);
    assert_eq!(pacs.web().json(&path).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn keeps_the_first_of_two_that_claim_one_uid() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct(NGUYEN, 1);
    let slice = instances.first().context("one slice")?;
    let mut other = slice.data_set.to_vec();
    *other.last_mut().context("a data set")? ^= 0xFF;
    let mut association = Association::for_ct(pacs.dimse(), "CT_1").await?;
    assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    let status = association.store(1, CT_IMAGE, &slice.sop_instance, &other).await?;
    assert_ne!(status, 0, "the second is not what is served from now on: success would be a lie");
    association.release().await?;
    assert_kept(&pacs, &instances).await
}

#[tokio::test]
async fn is_found_and_can_be_fetched_as_soon_as_success_is_said() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut association = Association::for_ct(pacs.dimse(), "CT_1").await?;
    for slice in ct(NGUYEN, 5) {
        assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
        let path =
            format!("/dicom-web/studies/{}/instances?SOPInstanceUID={}", slice.study, slice.sop_instance);
        assert_eq!(pacs.web().json(&path).await?.len(), 1, "{}", slice.sop_instance);
        assert_kept(&pacs, &[slice]).await?;
    }
    association.release().await
}
