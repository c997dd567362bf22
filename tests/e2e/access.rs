//! Who is let in without a setting: an unknown AE may verify and store, and nobody may look.

use anyhow::Result;
use tests::{
    Pacs,
    by_hand::{Association, CT_IMAGE},
    corpus::{MUELLER, NGUYEN, ct},
    peers::pynetdicom,
    program::{filmless, free_address},
};

/// Refused: not authorized (PS3.7 §C.5.19, PS3.4 Table C.4-1).
const NOT_AUTHORIZED: u64 = 0x0124;

#[tokio::test]
async fn an_unknown_modality_verifies_and_stores_but_cannot_look() -> Result<()> {
    let pacs = Pacs::closed(&[]).await?;
    pacs.modality("NEW_CT").echo().await?.well()?;
    let slice = ct(NGUYEN, 1).remove(0);
    let mut association = Association::for_ct(pacs.dimse(), "NEW_CT").await?;
    assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    association.release().await?;
    let answers = pynetdicom(pacs.dimse(), "find", &["study", "STUDY", "PatientName=*"]).await?;
    assert_eq!(answers, serde_json::json!([[NOT_AUTHORIZED, null]]));
    let into = pacs.scratch("got")?.to_string_lossy().into_owned();
    let answer = pynetdicom(pacs.dimse(), "get", &["study", &slice.study, &into]).await?;
    assert_eq!(answer["final"]["status"], NOT_AUTHORIZED, "{answer}");
    assert_eq!(answer["received"], serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_known_peer_may_look() -> Result<()> {
    let pacs = Pacs::closed(&["--peer", &format!("PYNETDICOM={}", free_address()?)]).await?;
    let slice = ct(MUELLER, 1).remove(0);
    let mut association = Association::for_ct(pacs.dimse(), "NEW_CT").await?;
    assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    association.release().await?;
    let answers = pynetdicom(pacs.dimse(), "find", &["study", "STUDY", "PatientName=*"]).await?;
    assert_eq!(answers[0][1]["00100010"]["Value"][0]["Alphabetic"], "Müller^Jörg", "{answers}");
    Ok(())
}

#[tokio::test]
async fn the_web_answers_nobody_but_whoever_asks_for_its_health() -> Result<()> {
    let pacs = Pacs::closed(&[]).await?;
    for path in [
        "/",
        "/dicom-web/studies",
        "/dicom-web/studies/2.25.1/metadata",
        "/viewer?StudyInstanceUIDs=2.25.1",
        "/wado",
        "/api/v1/status",
        "/api/v1/window-presets",
        "/api/openapi.json",
        "/api/nothing",
        "/nothing",
    ] {
        let answer = pacs.web().get(path, "*/*").await?;
        assert_eq!(answer.status.as_u16(), 401, "{path}");
    }
    let slice = ct(NGUYEN, 1).remove(0);
    let answer = pacs.web().store("/dicom-web/studies", &[slice.file()]).await?;
    assert_eq!(answer.status.as_u16(), 401);
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(pacs.web().get(path, "*/*").await?.status.as_u16(), 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trial_is_refused_on_an_address_that_others_reach() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().to_string_lossy().into_owned();
    for (web, dimse) in [("0.0.0.0:0", "127.0.0.1:0"), ("127.0.0.1:0", "0.0.0.0:0")] {
        let options = ["serve", "--open", "--data", &data, "--http", web, "--dimse", dimse];
        let finished = filmless(&options).await?;
        assert!(!finished.success, "a trial on {web} and {dimse}");
        assert!(finished.stderr.contains("--open"), "the reason: {}", finished.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_log_holds_no_patient() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    pynetdicom(pacs.dimse(), "find", &["study", "STUDY", "PatientName=nguyen*", "PatientID=BN-0001"]).await?;
    pacs.web()
        .json("/dicom-web/studies?PatientName=nguyen*&PatientID=BN-0001&PatientBirthDate=19701231")
        .await?;
    pacs.web().get("/dicom-web/studies?PatientBirthDate=NGUYEN", "application/dicom+json").await?;
    pacs.web().get("/dicom-web/studies/BN-0001/metadata", "application/dicom+json").await?;
    let log = pacs.log();
    assert!(!log.is_empty(), "nothing is logged at all");
    for secret in ["NGUY", "nguyen", "BN-0001", "19701231", "ACC1"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn users_are_known_by_name_and_passcode_where_that_is_required_and_no_passcode_is_logged() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let (settings, passcode) = (folder.path().join("filmless.toml"), folder.path().join("passcode"));
    std::fs::write(&passcode, "Sesame-4711\n")?;
    std::fs::write(
        &settings,
        format!(
            "[dimse]\nuser-identity = \"required\"\nusers = [{{ name = \"ct1\", passcode-file = {:?} }}]\n\
             [log]\nlevel = \"debug\"\n",
            passcode.to_string_lossy()
        ),
    )?;
    let pacs = Pacs::with(&["--config", &settings.to_string_lossy()]).await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let file = slice.write_to(folder.path())?;
    let modality = pacs.modality("CT1");
    let file = [file];
    let said = async |options: &[&str]| Ok::<_, anyhow::Error>(modality.store(options, &file).await?.success);
    assert!(!said(&[]).await?, "nobody was named");
    assert!(!said(&["-usr", "ct1"]).await?, "a name alone");
    assert!(!said(&["-usr", "ct1", "-pwd", "Sesame-4712"]).await?, "another passcode");
    assert!(!said(&["-usr", "mr1", "-pwd", "Sesame-4711"]).await?, "another name");
    // It wants the positive response.
    assert!(said(&["-usr", "ct1", "-pwd", "Sesame-4711", "-rsp"]).await?);
    let log = pacs.log();
    assert!(!log.contains("Sesame"), "{log}");
    Ok(())
}
