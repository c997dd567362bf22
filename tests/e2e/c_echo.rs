//! Verification (PS3.4 Annex A).

use anyhow::Result;
use tests::{
    Pacs,
    by_hand::{Association, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Proposal, VERIFICATION},
    peers::pynetdicom,
};

#[tokio::test]
async fn answers_dcmtk_and_pynetdicom() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.modality("NEW_CT").echo().await?.well()?;
    assert_eq!(pynetdicom::<&str>(pacs.dimse(), "echo", &[]).await?, 0);
    Ok(())
}

/// Basic Grayscale Print Management Meta SOP Class: no archive prints.
const BASIC_GRAYSCALE_PRINT: &str = "1.2.840.10008.5.1.1.9";

#[tokio::test]
async fn accepts_each_context_on_its_own_and_answers_on_the_one_that_was_used() -> Result<()> {
    let pacs = Pacs::start().await?;
    let of = |id, abstract_syntax, transfer_syntaxes| Proposal { id, abstract_syntax, transfer_syntaxes };
    let proposals = [
        of(1, VERIFICATION, &[IMPLICIT_LITTLE] as &[&str]),
        of(3, BASIC_GRAYSCALE_PRINT, &[IMPLICIT_LITTLE]),
        of(5, VERIFICATION, &["1.2.3.4.5"]),
        of(7, VERIFICATION, &[EXPLICIT_LITTLE]),
    ];
    let mut association = Association::request(pacs.dimse(), "BY_HAND", &proposals).await?;
    assert_eq!(association.transfer_syntax(1), Some(IMPLICIT_LITTLE));
    assert_eq!(association.transfer_syntax(3), None, "no archive prints");
    assert_eq!(association.transfer_syntax(5), None, "no such transfer syntax");
    assert_eq!(association.transfer_syntax(7), Some(EXPLICIT_LITTLE));
    assert_eq!(association.echo(7).await?, 0);
    association.release().await
}
