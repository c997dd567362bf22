//! The words that studies are found by: those of the patient's name, the modalities, and the identifiers backwards.
//!
//! A row of `words` is a word, when the study was, and the study: the studies of a word lie together, in
//! the order of time. A study's own row has the words of the name once more, between spaces, to be looked at
//! where something else led to it. A name's word is letters and digits; a modality stands behind `=`, and behind
//! `#` and `@` the accession number and the Patient ID from their last character to the first, so that an
//! end of one is a beginning here.
//!
//! Each row has a signature of all words of the name: who follows one word passes over the studies that
//! have not the others without looking for them.

use super::{Connection, Statement};
use crate::Result;

/// Rows of one statement, so that few shapes of it are prepared.
const ROWS: usize = 8;
/// Characters of an identifier that its end is looked for in, from the last: as long as one may be (PS3.5 Table 6.2-1).
const LONGEST_END: usize = 64;

/// What a study is found by.
pub(super) struct Found<'a> {
    /// The words of the patient's name.
    pub(super) names: &'a [String],
    pub(super) accession: &'a str,
    pub(super) patient_id: &'a str,
}

impl Found<'_> {
    fn words(&self) -> Vec<String> {
        let ends = [of_accession_end(self.accession), of_patient_id_end(self.patient_id)];
        let ends = ends.into_iter().filter(|word| word.len() > 1);
        self.names.iter().cloned().chain(ends).collect()
    }
}

/// What `studies.words` holds: each word with a space before and behind it.
pub(super) fn joined(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" {} ", words.join(" ")) }
}

fn parted(joined: &str) -> impl Iterator<Item = &str> {
    joined.split(' ').filter(|word| !word.is_empty())
}

/// The word of a modality.
pub(super) fn of_modality(modality: &str) -> String {
    format!("={modality}")
}

/// The words of several modalities, joined by `\`.
fn of_modalities(joined: &str) -> impl Iterator<Item = String> {
    joined.split('\\').filter(|modality| !modality.is_empty()).map(of_modality)
}

/// Whether a word is one of a name, which a signature tells.
pub(super) fn is_of_name(word: &str) -> bool {
    !word.starts_with(['=', '#', '@'])
}

/// How the words of accession numbers begin that end so.
pub(super) fn of_accession_end(end: &str) -> String {
    backwards('#', end)
}

/// How the words of Patient IDs begin that end so.
pub(super) fn of_patient_id_end(end: &str) -> String {
    backwards('@', end)
}

fn backwards(kind: char, text: &str) -> String {
    std::iter::once(kind).chain(text.chars().rev().take(LONGEST_END)).collect()
}

/// The signature of all these words.
pub(super) fn signature_of(words: &[String]) -> i64 {
    words.iter().fold(0, |all, word| all | signature(word))
}

/// The signature of the words that `studies.words` holds.
pub(super) fn signature_of_joined(joined: &str) -> i64 {
    parted(joined).fold(0, |all, word| all | signature(word))
}

/// Three bits of 64, which a study with the word has in its signature; others may have them too.
///
/// Stored: it stays what it is, as long as there are indexes with it.
pub(super) fn signature(word: &str) -> i64 {
    // FNV-1a, whose higher bits are the better mixed ones.
    let hash = word.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let hash = hash ^ (hash >> 32);
    let bits = [0, 6, 12].map(|shift| 1_u64 << ((hash >> shift) & 63));
    bits.into_iter().fold(0, |all, bit| all | bit).cast_signed()
}

/// Makes a new study found.
pub(super) async fn insert_study<C: Connection>(
    connection: &mut C,
    study: i64,
    moment: i64,
    found: &Found<'_>,
) -> Result<()> {
    insert(connection, (study, moment, signature_of(found.names)), &found.words()).await
}

/// Makes a study found by these words; those that it has are left. A study is its row, its moment and its signature.
pub(super) async fn insert<C: Connection>(
    connection: &mut C,
    (study, moment, signature): (i64, i64, i64),
    words: &[String],
) -> Result<()> {
    for some in words.chunks(ROWS) {
        let mut statement = Statement::new("INSERT INTO words (word, at, study, signature) VALUES ");
        for (n, word) in some.iter().enumerate() {
            statement.push(if n == 0 { "" } else { ", " });
            statement.push_list([
                word.as_str().into(),
                moment.into(),
                study.into(),
                super::SqlValue::Int(signature),
            ]);
        }
        statement.push(" ON CONFLICT DO NOTHING");
        connection.post(statement).await?;
    }
    Ok(())
}

/// Done at once: what is inserted next may be the same again.
async fn remove<C: Connection>(connection: &mut C, study: i64, moment: i64, words: &[String]) -> Result<()> {
    for some in words.chunks(ROWS) {
        let mut statement = Statement::new("DELETE FROM words WHERE word IN ");
        statement.push_list(some.iter().map(String::as_str));
        statement.push(" AND at = ").push_bind(moment).push(" AND study = ").push_bind(study);
        connection.execute(statement).await?;
    }
    Ok(())
}

/// Takes away all that a study is found by, by its row; gives what it is found by of its modalities.
pub(super) async fn forget<C: Connection>(connection: &mut C, study: i64) -> Result<Vec<String>> {
    let select = Statement::new(
        "SELECT s.at, s.words, s.modalities, s.accession, p.patient_id FROM studies s \
         JOIN patients p ON p.id = s.patient WHERE s.id = ?",
    );
    let row = connection.fetch_one(select.bind(study)).await?;
    let modalities: Vec<String> = of_modalities(row.text(2)?).collect();
    let names: Vec<String> = parted(row.text(1)?).map(str::to_owned).collect();
    let old = Found { names: &names, accession: row.text(3)?, patient_id: row.text(4)? };
    remove(connection, study, row.int(0)?, &[&old.words()[..], &modalities].concat()).await?;
    Ok(modalities)
}

/// When a study was and what it is found by, as it is now: what it was found by before, by its row, is
/// taken away. The rest of its row is the caller's.
pub(super) async fn replace<C: Connection>(
    connection: &mut C,
    study: i64,
    moment: i64,
    found: &Found<'_>,
) -> Result<()> {
    let modalities = forget(connection, study).await?;
    let update = Statement::new("UPDATE studies SET at = ?, words = ? WHERE id = ?");
    connection.execute(update.bind(moment).bind(joined(found.names)).bind(study)).await?;
    insert_study(connection, study, moment, found).await?;
    insert(connection, (study, moment, signature_of(found.names)), &modalities).await
}

/// The modalities of a study, joined by `\`, as they are now.
pub(super) async fn set_modalities<C: Connection>(
    connection: &mut C,
    study: i64,
    modalities: &str,
) -> Result<()> {
    let select = Statement::new("SELECT at, modalities, words FROM studies WHERE id = ?").bind(study);
    let row = connection.fetch_one(select).await?;
    let (moment, now): (i64, Vec<String>) = (row.int(0)?, of_modalities(modalities).collect());
    let gone: Vec<String> = of_modalities(row.text(1)?).filter(|word| !now.contains(word)).collect();
    remove(connection, study, moment, &gone).await?;
    let update = Statement::new("UPDATE studies SET modalities = ? WHERE id = ?");
    connection.execute(update.bind(modalities).bind(study)).await?;
    insert(connection, (study, moment, signature_of_joined(row.text(2)?)), &now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_found_by_the_ends_of_its_identifiers_where_it_has_any() {
        let found = Found { names: &["hoa".to_owned()], accession: "A12Đ", patient_id: "" };
        assert_eq!(found.words(), ["hoa", "#Đ21A"]);
        assert!(found.words()[1].starts_with(&of_accession_end("2Đ")));
    }

    /// They are stored.
    #[test]
    fn signatures_stay_what_they_are() {
        assert_eq!(signature("nguyen"), 17_592_202_821_634);
        assert_eq!(signature_of_joined(" hoa nguyen "), signature("hoa") | signature("nguyen"));
        assert_eq!(signature_of_joined(""), 0);
    }
}
