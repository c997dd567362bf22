//! The words that studies are found by: those of the patient's name, and the modalities.
//!
//! A row of `words` is a word, when the study was, and the study: the studies of a word lie together, in
//! the order of time. A study's own row has the words of the name once more, between spaces, to be looked at
//! where something else led to it. A name's word is letters and digits; a modality stands behind `=`.

use super::{Connection, Statement};
use crate::Result;

/// Rows of one statement, so that few shapes of it are prepared.
const ROWS: usize = 8;

/// What `studies.words` holds: each word with a space before and behind it.
pub(super) fn joined(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" {} ", words.join(" ")) }
}

/// The word of a modality.
pub(super) fn of_modality(modality: &str) -> String {
    format!("={modality}")
}

/// The words of several modalities, joined by `\`.
fn of_modalities(joined: &str) -> impl Iterator<Item = String> {
    joined.split('\\').filter(|modality| !modality.is_empty()).map(of_modality)
}

/// Makes a study found by these words; those that it has are left.
pub(super) async fn insert<C: Connection>(
    connection: &mut C,
    study: i64,
    moment: i64,
    words: &[String],
) -> Result<()> {
    for some in words.chunks(ROWS) {
        let mut statement = Statement::new("INSERT INTO words (word, at, study) VALUES ");
        for (n, word) in some.iter().enumerate() {
            statement.push(if n == 0 { "" } else { ", " });
            statement.push_list([word.as_str().into(), moment.into(), super::SqlValue::Int(study)]);
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

/// When a study was and the words of its patient's name, as they are now: what it was found by before is
/// taken away. The rest of its row is the caller's.
pub(super) async fn replace<C: Connection>(
    connection: &mut C,
    study: i64,
    moment: i64,
    words: &[String],
) -> Result<()> {
    let select = Statement::new("SELECT at, words, modalities FROM studies WHERE id = ?").bind(study);
    let row = connection.fetch_one(select).await?;
    let modalities: Vec<String> = of_modalities(row.text(2)?).collect();
    let old = row.text(1)?.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
    let old: Vec<String> = old.chain(modalities.iter().cloned()).collect();
    remove(connection, study, row.int(0)?, &old).await?;
    let update = Statement::new("UPDATE studies SET at = ?, words = ? WHERE id = ?");
    connection.execute(update.bind(moment).bind(joined(words)).bind(study)).await?;
    insert(connection, study, moment, &[words, &modalities].concat()).await
}

/// The modalities of a study, joined by `\`, as they are now.
pub(super) async fn set_modalities<C: Connection>(
    connection: &mut C,
    study: i64,
    modalities: &str,
) -> Result<()> {
    let select = Statement::new("SELECT at, modalities FROM studies WHERE id = ?").bind(study);
    let row = connection.fetch_one(select).await?;
    let (moment, now): (i64, Vec<String>) = (row.int(0)?, of_modalities(modalities).collect());
    let gone: Vec<String> = of_modalities(row.text(1)?).filter(|word| !now.contains(word)).collect();
    remove(connection, study, moment, &gone).await?;
    let update = Statement::new("UPDATE studies SET modalities = ? WHERE id = ?");
    connection.execute(update.bind(modalities).bind(study)).await?;
    insert(connection, study, moment, &now).await
}
