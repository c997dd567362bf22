//! C-MOVE (PS3.4 §C.4.2).

use std::fs;

use anyhow::Result;
use tests::{
    Pacs,
    corpus::{NGUYEN, ct, ct_of_size},
    pacs::data_set_of,
    peers::pynetdicom,
    program::free_address,
};

#[tokio::test]
async fn moves_a_study_to_dcmtk_byte_for_byte() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::with(&["--peer", &format!("WS_1={receiver}")]).await?;
    let instances = ct_of_size(NGUYEN, 5, 400);
    pacs.hold(&instances).await?;
    // Of short PDUs each is copied, long ones are sent from where the object lies.
    for max_pdu in [4096, 16384, 131_072] {
        let (modality, into) =
            (pacs.modality("WS_1").with_max_pdu(max_pdu), pacs.scratch(&max_pdu.to_string())?);
        let files = modality.fetch_by_move("2.25.7001", receiver.port(), &into).await?;
        assert_eq!(files.len(), 5);
        for file in files {
            let moved = data_set_of(&fs::read(&file)?.into())?;
            let is_sent = instances.iter().any(|instance| instance.data_set == moved);
            assert!(is_sent, "{} was never sent", file.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn moves_a_study_to_pynetdicom_and_counts_it() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::with(&["--peer", &format!("PYNETDICOM={receiver}")]).await?;
    pacs.hold(&ct(NGUYEN, 7)).await?;
    let port = receiver.port().to_string();
    let answer = pynetdicom(pacs.dimse(), "move", &["study", "2.25.7001", "PYNETDICOM", &port]).await?;
    assert_eq!(answer["final"]["status"], 0, "{answer}");
    assert_eq!(answer["final"]["completed"], 7, "{answer}");
    assert_eq!(answer["received"].as_array().map(Vec::len), Some(7), "{answer}");
    Ok(())
}

#[tokio::test]
async fn refuses_a_destination_that_it_does_not_know() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 1)).await?;
    let port = free_address()?.port().to_string();
    let answer = pynetdicom(pacs.dimse(), "move", &["study", "2.25.7001", "STRANGER", &port]).await?;
    assert_eq!(answer["final"]["status"], 0xA801, "{answer}");
    Ok(())
}

#[tokio::test]
async fn says_so_when_nobody_listens_at_the_destination() -> Result<()> {
    let pacs = Pacs::with(&["--peer", &format!("GONE={}", free_address()?)]).await?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    let answer = pacs.modality("WS_1").move_to("GONE", "2.25.7001").await?;
    let said = format!("{}{}", answer.stdout, answer.stderr);
    // DCMTK's words for A702 (PS3.4 Table C.4-2).
    assert!(said.contains("OutOfResourcesSubOperations"), "{said}");
    Ok(())
}
