//! C-GET (PS3.4 §C.4.3).

use std::fs;

use anyhow::Result;
use tests::{
    Pacs,
    corpus::{NGUYEN, ct, ct_of_size, report, us_multiframe},
    modality::dump,
    pacs::data_set_of,
    peers::{pydicom_data, pynetdicom},
};

#[tokio::test]
async fn gives_dcmtk_a_study_byte_for_byte() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct_of_size(NGUYEN, 5, 400);
    pacs.hold(&instances).await?;
    // Of short PDUs each is copied, long ones are sent from where the object lies.
    for max_pdu in [4096, 16384, 131_072] {
        let modality = pacs.modality("WS_1").with_max_pdu(max_pdu);
        let files = modality.get("2.25.7001", &pacs.scratch(&max_pdu.to_string())?).await?;
        assert_eq!(files.len(), 5);
        for file in files {
            let got = data_set_of(&fs::read(&file)?.into())?;
            let is_sent = instances.iter().any(|instance| instance.data_set == got);
            assert!(is_sent, "{} was never sent", file.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn gives_pynetdicom_a_study_and_counts_it() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut instances = ct(NGUYEN, 3);
    instances.push(us_multiframe(NGUYEN, 4));
    instances.push(report(NGUYEN));
    pacs.hold(&instances).await?;
    let folder = pacs.scratch("got")?;
    let into = folder.to_string_lossy();
    let answer = pynetdicom(pacs.dimse(), "get", &["study", "2.25.7001", &into]).await?;
    assert_eq!(answer["final"]["status"], 0, "{answer}");
    assert_eq!(answer["final"]["completed"], 5, "{answer}");
    assert_eq!(answer["final"]["failed"], 0, "{answer}");
    for instance in &instances {
        // pynetdicom proposes Implicit VR too, so the bytes may differ; that it came is what counts here.
        let path = folder.join(format!("{}.dcm", instance.sop_instance));
        assert!(path.is_file(), "{} did not come", instance.sop_instance);
    }
    Ok(())
}

/// PS3.3 §C.12.1.1.9, as DCMTK reads it.
#[tokio::test]
async fn what_was_corrected_says_when_by_whom_and_what_it_was() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct(NGUYEN, 2);
    pacs.hold(&instances).await?;
    let order = serde_json::json!({
        "act": { "kind": "correct-patient", "patient": { "id": "BN-0001" }, "values": { "PatientName": "TRẦN^BÌNH" } },
        "reason": "typed wrongly",
    });
    let done = pacs.web().post_json("/api/v1/acts", &order).await?;
    assert_eq!(done.status.as_u16(), 200, "{done:?}");
    let entry: serde_json::Value = serde_json::from_slice(&done.body)?;
    let at = entry[0]["at"].as_u64().expect("when the act was, in milliseconds");
    let files = pacs.modality("WS_1").get("2.25.7001", &pacs.scratch("got")?).await?;
    assert_eq!(files.len(), 2);
    for file in files {
        let read = dump(&file).await?;
        let value = |element: &str| {
            let line = read.lines().find(|line| line.trim_start().starts_with(element)).unwrap_or_default();
            line.split(['[', ']']).nth(1).unwrap_or_default().to_owned()
        };
        assert!(read.contains("(0400,0561) SQ") && read.contains("(0400,0550) SQ"), "{read}");
        assert_eq!(value("(0010,0010)"), "TRẦN^BÌNH", "{read}");
        assert_eq!(value("(0400,0563)"), "FILMLESS", "{read}");
        assert_eq!(value("(0400,0565)"), "CORRECT", "{read}");
        // Type 2, and nobody is known who had it otherwise.
        assert!(read.contains("(0400,0564)"), "{read}");
        let (second, zone) = (value("(0400,0562)"), "+0000");
        let seconds_of_the_hour = at / 1000 % 3600;
        let (minute, second_of_it) = (seconds_of_the_hour / 60, seconds_of_the_hour % 60);
        assert_eq!(second.get(10..14), Some(&*format!("{minute:02}{second_of_it:02}")), "{read}");
        assert!(second.len() == 26 && second.ends_with(zone), "{second}");
        let original = read.split("(0400,0550)").nth(1).unwrap_or_default();
        let original = original.split("(fffe,e0dd)").next().unwrap_or_default();
        assert!(original.contains("(0010,0010) PN [NGUYỄN^VĂN ĐỨC"), "{read}");
        assert_eq!(original.matches(" PN ").count(), 1, "nothing else was changed: {original}");
    }
    Ok(())
}

/// A client that offers several transfer syntaxes in one context can be sent all objects in one of them only.
#[tokio::test]
async fn loses_nothing_to_a_client_that_would_take_it_compressed_too() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut instances = ct(NGUYEN, 2);
    instances.push(report(NGUYEN));
    pacs.hold(&instances).await?;
    for preferred in ["+xs", "+xv", "+xt", "+xr", "+xy", "+xd", "+xn"] {
        let into = pacs.scratch(preferred)?;
        let files = pacs.modality("WS_1").get_with(&[preferred], "2.25.7001", &into).await?;
        assert_eq!(files.len(), 3, "{preferred}");
        for file in files {
            let got = data_set_of(&fs::read(&file)?.into())?;
            let is_sent = instances.iter().any(|instance| instance.data_set == got);
            assert!(is_sent, "{preferred}: {} was never sent", file.display());
        }
    }
    let (explicit, baseline) = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50");
    for (name, syntaxes) in [("behind", [explicit, baseline]), ("before", [baseline, explicit])] {
        let into = pacs.scratch(name)?.to_string_lossy().into_owned();
        let asked = [&["study", "2.25.7001", &into][..], &syntaxes].concat();
        let answer = pynetdicom(pacs.dimse(), "get", &asked).await?;
        assert_eq!(answer["final"]["completed"], 3, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn says_success_to_a_study_that_is_not_there_and_sends_nothing() -> Result<()> {
    let pacs = Pacs::start().await?;
    let into = pacs.scratch("got")?.to_string_lossy().into_owned();
    let answer = pynetdicom(pacs.dimse(), "get", &["study", "2.25.404", &into]).await?;
    assert_eq!(answer["final"]["status"], 0, "{answer}");
    assert_eq!(answer["received"], serde_json::json!([]));
    Ok(())
}

/// What leaves compressed is decoded by others: OpenJPEG for HTJ2K, GDCM and pydicom for the rest.
#[tokio::test]
async fn gives_a_peer_that_takes_one_compressed_syntax_alone_the_same_pixels() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut instances = ct_of_size(NGUYEN, 2, 129);
    instances.push(us_multiframe(NGUYEN, 3));
    pacs.hold(&instances).await?;
    let pixels = async |syntax: &str| {
        let answer = pynetdicom(pacs.dimse(), "pixels", &["study", "2.25.7001", syntax]).await?;
        assert_eq!(answer["final"]["completed"], 3, "{syntax}: {answer}");
        anyhow::Ok(answer["pixels"].clone())
    };
    let expected = pixels("1.2.840.10008.1.2.1").await?;
    assert_eq!(expected.as_object().map(|found| found.len()), Some(3));
    for number in ["4.201", "4.202", "4.90", "4.80", "4.70", "5"] {
        let syntax = format!("1.2.840.10008.1.2.{number}");
        assert_eq!(pixels(&syntax).await?, expected, "{syntax}");
    }
    Ok(())
}

/// Compressed here, and asked for by a peer that takes nothing compressed; pydicom decodes the files for comparison.
#[tokio::test]
async fn gives_a_peer_that_decodes_nothing_the_pixels_that_were_compressed() -> Result<()> {
    let pacs = Pacs::start().await?;
    let folder = std::path::PathBuf::from(pydicom_data().await?).join("test_files");
    // With the largest difference of a sample that decoders of what is lossy may have, and what the samples are then: those
    // of YBR_RCT and YBR_FULL_422 cannot stay so.
    let cases = [
        ("MR_small_RLE.dcm", 0, "MONOCHROME2"),
        ("SC_rgb_jpeg_gdcm.dcm", 0, "RGB"),
        ("examples_jpeg2k.dcm", 0, "RGB"),
        ("JPEG2000.dcm", 1, "MONOCHROME2"),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", 3, "YBR_FULL"),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", 3, "RGB"),
    ];
    let files: Vec<_> = cases.iter().map(|(name, _, _)| folder.join(name)).collect();
    pacs.modality("CT1").send(&files).await?;
    let found = pynetdicom(pacs.dimse(), "unpacked", &files).await?;
    for (name, most, photometric) in cases {
        let one = &found[name];
        assert!(one["differs"].as_i64().is_some_and(|differs| differs <= most), "{name}: {found}");
        assert_eq!(one["photometric"], photometric, "{name}: {found}");
        assert_eq!(one["lossy"][0], one["lossy"][1], "{name}: {found}");
    }
    Ok(())
}
