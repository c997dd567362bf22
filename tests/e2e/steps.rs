//! Modality performed procedure steps (PS3.4 Annex F): told by N-CREATE and N-SET, read by N-GET, and what follows from one
//! that is completed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    Pacs, Program, Web,
    corpus::{NGUYEN, ct},
    peers::steps,
    receivers::Listener,
};

use crate::webhook::{STUDY, evidence, send, start};

const STEP: &str = "2.25.7400";
const COMPLETED: &str = "COMPLETED";
const DISCONTINUED: &str = "DISCONTINUED";

/// The operation that begins a step of the study, with all that it has to say.
pub(crate) fn begun(step: &str) -> Value {
    json!({"do": "create", "uid": step, "data": {
        "Modality": "CT", "PerformedStationAETitle": "CT1", "PerformedProcedureStepID": "77",
        "PerformedProcedureStepStartDate": "20260301", "PerformedProcedureStepStartTime": "1015",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "ScheduledStepAttributesSequence": [{"StudyInstanceUID": STUDY, "AccessionNumber": "A-1"}],
    }})
}

/// The operation that ends it; it has made so many slices.
fn ended(step: &str, status: &str, slices: u16) -> Value {
    let slices = ct(NGUYEN, slices);
    let references: Vec<Value> = slices
        .iter()
        .map(|slice| {
            json!({"ReferencedSOPClassUID": slice.sop_class, "ReferencedSOPInstanceUID": slice.sop_instance})
        })
        .collect();
    let series = slices.first().map_or("2.25.1", |slice| slice.series.as_str());
    json!({"do": "set", "uid": step, "data": {
        "PerformedProcedureStepStatus": status,
        "PerformedProcedureStepEndDate": "20260301", "PerformedProcedureStepEndTime": "1030",
        "PerformedSeriesSequence": [{
            "SeriesInstanceUID": series, "ProtocolName": "Thorax", "ReferencedImageSequence": references,
        }],
    }})
}

fn asked_for(step: &str, attributes: &[&str]) -> Value {
    json!({"do": "get", "uid": step, "attributes": attributes})
}

/// The same operation with another value, or without one where it is null.
fn with(mut operation: Value, keyword: &str, value: Value) -> Value {
    if value.is_null() {
        operation["data"].as_object_mut().and_then(|data| data.remove(keyword));
    } else {
        operation["data"][keyword] = value;
    }
    operation
}

fn statuses(answers: &[Value]) -> Vec<&Value> {
    answers.iter().map(|answer| &answer["status"]).collect()
}

#[tokio::test]
async fn a_step_goes_to_its_end_over_a_restart_with_its_text_in_two_character_sets() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await?;
    let latin = with(begun(STEP), "PatientName", json!("Müller^Jörg"));
    let latin = with(latin, "SpecificCharacterSet", json!("ISO_IR 100"));
    let cyrillic = json!({"do": "set", "uid": STEP, "data": {
        "SpecificCharacterSet": "ISO_IR 144", "PerformedProcedureStepDescription": "Снимок",
    }});
    let answers = steps(program.dimse, &[latin, cyrillic]).await?;
    assert_eq!(answers[0], json!({"status": 0, "uid": STEP}));
    assert_eq!(answers[1], json!({"status": 0, "uid": STEP}));
    program.terminate()?;
    program.exit().await?;

    let program = Program::start(&data, &[]).await?;
    let texts = [
        "SpecificCharacterSet",
        "PatientName",
        "PerformedProcedureStepDescription",
        "PerformedProcedureStepStatus",
    ];
    let end = ended(STEP, COMPLETED, 2);
    let answers =
        steps(program.dimse, &[asked_for(STEP, &texts), end.clone(), asked_for(STEP, &texts[3..]), end])
            .await?;
    let told = json!({
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jörg",
        "PerformedProcedureStepDescription": "Снимок", "PerformedProcedureStepStatus": "IN PROGRESS",
    });
    assert_eq!(answers[0]["data"], told);
    assert_eq!(answers[1]["status"], 0);
    assert_eq!(answers[2]["data"], json!({"PerformedProcedureStepStatus": COMPLETED}));
    let comment = "Performed Procedure Step Object may no longer be updated";
    let refused = json!({"status": 0x0110, "uid": STEP, "error_id": 0xA710, "comment": comment});
    assert_eq!(answers[3], refused);
    Ok(())
}

/// PS3.4 §F.7.2, PS3.7 Annex C.
#[tokio::test]
async fn a_creation_that_says_too_little_is_refused_and_told_what_is_wrong() -> Result<()> {
    let pacs = Pacs::start().await?;
    for (keyword, value, status) in [
        ("PerformedProcedureStepStatus", json!(COMPLETED), 0x0106),
        ("Modality", Value::Null, 0x0120),
        ("ScheduledStepAttributesSequence", Value::Null, 0x0120),
        ("PerformedStationAETitle", json!(""), 0x0121),
        ("ScheduledStepAttributesSequence", json!([]), 0x0121),
    ] {
        let answers = steps(pacs.dimse(), &[with(begun(STEP), keyword, value)]).await?;
        assert_eq!((&answers[0]["status"], &answers[0]["about"]), (&json!(status), &json!([keyword])));
    }
    let answers = steps(pacs.dimse(), &[begun(STEP)]).await?;
    assert_eq!(answers[0]["status"], 0, "nothing was kept of the others");
    Ok(())
}

#[tokio::test]
async fn each_change_has_its_status() -> Result<()> {
    let pacs = Pacs::start().await?;
    let unnamed = with(begun(STEP), "PerformedProcedureStepID", json!("78"));
    let mut unnamed = with(unnamed, "PatientID", json!("BN-0001"));
    unnamed["uid"] = Value::Null;
    let other_patient = json!({"do": "set", "uid": STEP, "data": {"PatientID": "BN-0002"}});
    let answers = steps(
        pacs.dimse(),
        &[
            begun(STEP),
            begun(STEP),
            unnamed,
            ended("2.25.404", COMPLETED, 1),
            with(ended(STEP, COMPLETED, 1), "PerformedSeriesSequence", json!([])),
            with(ended(STEP, COMPLETED, 1), "PerformedProcedureStepStatus", json!("DONE")),
            other_patient,
            ended(STEP, DISCONTINUED, 0),
            ended(STEP, COMPLETED, 1),
        ],
    )
    .await?;
    let expected = [0, 0x0111, 0, 0x0112, 0x0121, 0x0106, 0x0107, 0, 0x0110].map(|status| json!(status));
    assert_eq!(statuses(&answers), expected.iter().collect::<Vec<_>>(), "{answers:?}");
    let uid = answers[2]["uid"].as_str().context("no UID of a step that was left to the server")?;
    ensure!(uid.starts_with("2.25.") && uid != STEP, "{uid}");
    assert_eq!(answers[4]["about"], json!(["PerformedSeriesSequence"]));
    assert_eq!(answers[6]["about"], json!(["PatientID"]));
    let got = steps(pacs.dimse(), &[asked_for(uid, &["PatientID"]), asked_for(STEP, &["PatientID"])]).await?;
    assert_eq!(got[0]["data"], json!({"PatientID": "BN-0001"}));
    assert_eq!(got[1]["data"], json!({"PatientID": ""}), "no N-SET makes a patient");
    Ok(())
}

#[tokio::test]
async fn whoever_is_unknown_makes_steps_and_does_not_read_them() -> Result<()> {
    let pacs = Pacs::closed(&[]).await?;
    let answers = steps(pacs.dimse(), &[begun(STEP), asked_for(STEP, &["Modality"])]).await?;
    assert_eq!(statuses(&answers), [&json!(0), &json!(0x0124)], "{answers:?}");
    let pacs = Pacs::closed(&["--peer", "PYNETDICOM=127.0.0.1:1"]).await?;
    let answers = steps(pacs.dimse(), &[begun(STEP), asked_for(STEP, &["Modality"])]).await?;
    assert_eq!(answers[1]["data"], json!({"Modality": "CT"}));
    Ok(())
}

/// What a rule that waits for a step tells of the study.
fn told(body: &[u8]) -> Result<Value> {
    let heard: Value = serde_json::from_slice(body)?;
    Ok(heard["data"].clone())
}

fn said_by(step: &str) -> Value {
    json!({"mpps": {"calling": "PYNETDICOM", "step": step}})
}

const RULE: &str = "{ evidence = [\"mpps\"] }";

#[tokio::test]
async fn a_step_that_is_completed_behind_its_images_completes_their_study() -> Result<()> {
    let folder = TempDir::new()?;
    let mut listener = Listener::start(&["204 No Content"]).await?;
    let program = start(&folder, &listener, RULE, &[]).await?;
    let web = Web::new(program.http);
    steps(program.dimse, &[begun(STEP)]).await?;
    send(&folder, &program, 3).await?;
    evidence(&web, "quiet").await?;
    ensure!(listener.heard.try_recv().is_err(), "the step is not completed yet");
    steps(program.dimse, &[ended(STEP, COMPLETED, 3)]).await?;
    let told = told(&listener.next().await?.body)?;
    let last = told["evidence"].as_array().and_then(|pieces| pieces.last()).context("no evidence")?;
    assert_eq!((last, &told["instances"]), (&said_by(STEP), &json!(3)), "{told}");
    ensure!(evidence(&web, "mpps").await?.contains(&said_by(STEP)));
    Ok(())
}

#[tokio::test]
async fn the_last_image_of_a_completed_step_completes_its_study_and_a_discontinued_one_does_not() -> Result<()>
{
    let folder = TempDir::new()?;
    let mut listener = Listener::start(&["204 No Content"]).await?;
    let program = start(&folder, &listener, RULE, &[]).await?;
    let web = Web::new(program.http);
    let other = "2.25.7402";
    let answers = [begun(STEP), ended(STEP, COMPLETED, 3), begun(other), ended(other, DISCONTINUED, 2)];
    let answers = steps(program.dimse, &answers).await?;
    assert_eq!(statuses(&answers), [&json!(0); 4], "{answers:?}");
    send(&folder, &program, 2).await?;
    evidence(&web, "quiet").await?;
    ensure!(listener.heard.try_recv().is_err(), "one is missing, and the other step was discontinued");
    // By another door: no association ends that has brought it.
    let slice = ct(NGUYEN, 3).pop().context("three slices")?;
    let answer = web.store("/dicom-web/studies", &[slice.file()]).await?;
    ensure!(answer.status.as_u16() == 200, "store: {answer:?}");
    let told = told(&listener.next().await?.body)?;
    assert_eq!((&told["study"], &told["instances"]), (&json!(STUDY), &json!(3)), "{told}");
    ensure!(evidence(&web, "mpps").await?.contains(&said_by(STEP)));
    Ok(())
}

#[tokio::test]
async fn no_other_evidence_is_as_quick_where_no_association_ends() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    steps(pacs.dimse(), &[begun(STEP), ended(STEP, COMPLETED, 2)]).await?;
    assert_eq!(evidence(&pacs.web(), "mpps").await?, [said_by(STEP)]);
    Ok(())
}
