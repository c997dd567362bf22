//! The conformance statement against what the server does: every SOP class and transfer syntax of its tables is
//! negotiated, and some that are not declared are refused.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::{
    Pacs,
    by_hand::{Association, CT_IMAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Proposal},
    peers::pynetdicom,
};

const DOCUMENT: &str = include_str!("../../docs/conformance.md");

/// Presentation contexts that an association can have.
const MOST_CONTEXTS: usize = 128;

/// The cells of a table, by how its head begins.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What each of these is accepted in, proposed one context each; `None` where it is refused.
async fn negotiated(pacs: &Pacs, asked: &[(&str, &[&str])]) -> Result<Vec<Option<String>>> {
    let mut all = Vec::new();
    for asked in asked.chunks(MOST_CONTEXTS) {
        let ids = (1..=u8::MAX).step_by(2);
        let proposals: Vec<Proposal<'_>> = ids
            .zip(asked)
            .map(|(id, &(abstract_syntax, transfer_syntaxes))| Proposal {
                id,
                abstract_syntax,
                transfer_syntaxes,
            })
            .collect();
        let association = Association::request(pacs.dimse(), "JUDGE", &proposals).await?;
        all.extend(
            proposals.iter().map(|proposal| association.transfer_syntax(proposal.id).map(str::to_owned)),
        );
        association.release().await?;
    }
    Ok(all)
}

fn declared_classes() -> Vec<&'static str> {
    let services = table("| SOP class | UID |");
    let scp = services.iter().filter(|row| row[3] == "yes").map(|row| row[1]);
    scp.chain(table("| Storage SOP class |").iter().map(|row| row[1])).collect()
}

#[tokio::test]
async fn every_declared_sop_class_is_accepted_in_both_little_endians() -> Result<()> {
    let pacs = Pacs::start().await?;
    let classes = declared_classes();
    ensure!(classes.len() > 150, "{} classes are declared", classes.len());
    for (offered, taken) in [
        (&[IMPLICIT_LITTLE, EXPLICIT_LITTLE] as &[&str], EXPLICIT_LITTLE),
        (&[IMPLICIT_LITTLE], IMPLICIT_LITTLE),
    ] {
        let asked: Vec<_> = classes.iter().map(|class| (*class, offered)).collect();
        let answers = negotiated(&pacs, &asked).await?;
        for (class, answer) in classes.iter().zip(answers) {
            assert_eq!(answer.as_deref(), Some(taken), "{class}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_declared_transfer_syntax_is_taken_and_in_the_declared_order() -> Result<()> {
    let pacs = Pacs::start().await?;
    let rows = table("| order | transfer syntax |");
    let syntaxes: Vec<&str> = rows.iter().filter(|row| !row[0].is_empty()).map(|row| row[2]).collect();
    ensure!(syntaxes.len() > 20, "{} transfer syntaxes are declared", syntaxes.len());
    let alone: Vec<Vec<&str>> = syntaxes.iter().map(|syntax| vec![*syntax]).collect();
    let asked: Vec<_> = alone.iter().map(|syntaxes| (CT_IMAGE, syntaxes.as_slice())).collect();
    let answers = negotiated(&pacs, &asked).await?;
    assert!(
        answers.iter().map(|answer| answer.as_deref()).eq(syntaxes.iter().map(|syntax| Some(*syntax))),
        "{answers:?}"
    );
    // Of two neighbours the better one, though it is offered last.
    let pairs: Vec<Vec<&str>> = syntaxes.windows(2).map(|pair| vec![pair[1], pair[0]]).collect();
    let asked: Vec<_> = pairs.iter().map(|pair| (CT_IMAGE, pair.as_slice())).collect();
    for (pair, answer) in pairs.iter().zip(negotiated(&pacs, &asked).await?) {
        assert_eq!(answer.as_deref(), Some(pair[1]), "of {pair:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_declared_is_refused() -> Result<()> {
    let pacs = Pacs::start().await?;
    let declared = declared_classes();
    let others = [
        "1.2.840.10008.1.3.10",
        "1.2.840.10008.1.20.2",
        "1.2.840.10008.5.1.1.9",
        "1.2.840.10008.5.1.1.18",
        "1.2.840.10008.3.1.2.3.5",
        "1.2.840.10008.5.1.4.1.2.3.1",
        "1.2.840.10008.5.1.4.1.2.4.3",
        "1.2.840.10008.5.1.4.1.1.200.4",
        "1.2.840.10008.5.1.4.1.1.200.5",
        "1.2.840.10008.5.1.4.1.1.200.6",
        "1.2.840.10008.5.1.4.1.1.201.2",
        "1.2.840.10008.5.1.4.1.1.201.3",
        "1.2.840.10008.5.1.4.1.1.201.4",
        "1.2.840.10008.5.1.4.1.1.201.5",
        "1.2.840.10008.5.1.4.1.1.201.6",
        "1.2.840.10008.5.1.4.31",
        "1.2.840.10008.5.1.4.33",
        "1.2.840.10008.5.1.4.34.6.1",
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
    ];
    let others: Vec<&str> = others.into_iter().filter(|class| !declared.contains(class)).collect();
    let asked: Vec<(&str, &[&str])> =
        others.iter().map(|class| (*class, &[EXPLICIT_LITTLE, IMPLICIT_LITTLE] as &[&str])).collect();
    let answers = negotiated(&pacs, &asked).await?;
    for (class, answer) in others.iter().zip(answers) {
        assert_eq!(answer, None, "{class} is not declared");
    }
    Ok(())
}

#[tokio::test]
async fn no_storage_class_of_the_standard_is_missing() -> Result<()> {
    let known = pynetdicom::<&str>(([127, 0, 0, 1], 1).into(), "storage-classes", &[]).await?;
    let declared = table("| Storage SOP class |");
    let declared = Value::from_iter(declared.iter().map(|row| Value::from_iter([row[1], row[0]])));
    assert_eq!(declared, known);
    Ok(())
}
