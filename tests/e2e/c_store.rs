//! Storage (PS3.4 Annex B).

use anyhow::{Context, Result};
use tests::{
    Pacs,
    by_hand::{Association, CT_IMAGE},
    corpus::{MUELLER, NGUYEN, Synthetic, ct, real_files, report, us_multiframe, write_all},
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

/// pydicom's file of that name, sent by `dcmsend` in its own transfer syntax and fetched as it is stored.
async fn assert_kept_compressed(name: &str) -> Result<()> {
    let pacs = Pacs::start().await?;
    let real = real_files().await?.into_iter().find(|real| real.file.ends_with(name));
    let real = real.with_context(|| format!("{name} is not among pydicom's files"))?;
    let report = pacs.modality("MR_1").send(std::slice::from_ref(&real.file)).await?;
    let sent = data_set_of(&std::fs::read(&real.file)?.into())?;
    let kept = stored_file(&pacs.web(), &real.study, &real.series, &real.instance).await?;
    assert!(data_set_of(&kept)? == sent, "{name} is not kept byte for byte: {report}");
    Ok(())
}

#[tokio::test]
async fn keeps_rle_byte_for_byte() -> Result<()> {
    assert_kept_compressed("MR_small_RLE.dcm").await
}

#[tokio::test]
async fn keeps_jpeg_2000_byte_for_byte() -> Result<()> {
    assert_kept_compressed("MR_small_jp2klossless.dcm").await
}

#[tokio::test]
async fn keeps_jpeg_ls_byte_for_byte() -> Result<()> {
    assert_kept_compressed("MR_small_jpeg_ls_lossless.dcm").await
}

#[tokio::test]
async fn keeps_jpeg_byte_for_byte() -> Result<()> {
    assert_kept_compressed("SC_rgb_small_odd_jpeg.dcm").await
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
