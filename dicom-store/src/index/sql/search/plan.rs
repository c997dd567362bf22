//! From where the studies of a query are reached.
//!
//! What few studies have is gathered and put in order. A word that many have is followed from the newest
//! study back, and the rest of the query is looked at on the way; of several, the one that lies furthest
//! back is the rarest. Without any, all studies are passed from the newest back.

use super::super::{Connection, Statement};
use super::narrowing::{Condition, Narrowing, Source, after_prefix, modality_words, push_term};
use crate::Result;
use crate::query::{Part, Term};

/// So many are gathered, at the most.
const FEW: i64 = 2000;
/// So many words are followed together, at the most.
const MAX_WORDS: i64 = 32;
/// How far a word is looked back to tell how rare it is.
const DEPTH: i64 = 200;

/// The way to the studies of a query.
#[derive(Clone)]
pub(super) enum Driver {
    Gather(Source),
    /// By these words, each from its newest study back.
    Follow(Vec<String>),
    Walk,
}

/// What could lead to the studies.
enum Candidate {
    /// A beginning of a column, or a part of it.
    Column(Source),
    Term(Term),
    /// One of these words.
    Words(Vec<String>),
}

pub(super) async fn plan<C: Connection>(connection: &mut C, narrowing: &Narrowing) -> Result<Driver> {
    if let Some(source) = narrowing.sources.first() {
        return Ok(Driver::Gather(source.clone()));
    }
    let candidates: Vec<Candidate> = narrowing.studies.iter().flat_map(Candidate::of).collect();
    if candidates.is_empty() {
        return Ok(Driver::Walk);
    }
    let counts = bounded_counts(connection, &candidates).await?;
    let (fewest, count) = counts.into_iter().enumerate().min_by_key(|(_, count)| *count).unwrap_or((0, FEW));
    if count < FEW
        && let Some(source) = candidates.get(fewest).and_then(Candidate::source)
    {
        return Ok(Driver::Gather(source));
    }
    Ok(rarest(connection, &candidates).await?.map_or(Driver::Walk, Driver::Follow))
}

impl Candidate {
    fn of(condition: &Condition) -> Vec<Self> {
        match condition {
            Condition::Begins(column, _) | Condition::Has(column, _) => {
                vec![Self::Column(Source::By(condition.clone(), *column))]
            }
            Condition::Words(terms) => {
                let leading = terms.iter().filter(|term| term.part != Part::Anywhere);
                leading.cloned().map(Self::Term).collect()
            }
            Condition::Modalities(modalities) => vec![Self::Words(modality_words(modalities))],
            _ => Vec::new(),
        }
    }

    fn source(&self) -> Option<Source> {
        match self {
            Self::Column(source) => Some(source.clone()),
            Self::Term(term) => Some(Source::Term(term.clone())),
            Self::Words(words) => match words.as_slice() {
                [word] => Some(Source::Term(Term { text: word.clone(), part: Part::Whole })),
                _ => None,
            },
        }
    }
}

/// How many studies each has, up to [`FEW`].
async fn bounded_counts<C: Connection>(connection: &mut C, candidates: &[Candidate]) -> Result<Vec<i64>> {
    let mut statement = Statement::new("SELECT ");
    for (n, candidate) in candidates.iter().enumerate() {
        statement.push(if n == 0 { "" } else { ", " }).push("(SELECT count(*) FROM (");
        match candidate {
            Candidate::Column(source) => source.push(&mut statement, C::DIALECT),
            Candidate::Term(term) => {
                statement.push("SELECT 1 FROM words w WHERE 1 = 1");
                push_term(&mut statement, term);
            }
            Candidate::Words(words) => {
                statement.push("SELECT 1 FROM words w WHERE w.word IN ");
                statement.push_list(words.iter().map(String::as_str));
            }
        }
        statement.push(" LIMIT ").push_bind(FEW).push(") c)");
    }
    let row = connection.fetch_one(statement).await?;
    (0..candidates.len()).map(|column| row.int(column)).collect()
}

/// The words of the candidate whose studies lie furthest apart; `None` when each has too many words.
async fn rarest<C: Connection>(connection: &mut C, candidates: &[Candidate]) -> Result<Option<Vec<String>>> {
    if let [Candidate::Words(words)] = candidates {
        return Ok(Some(words.clone()));
    }
    let Some(statement) = depths(candidates) else { return Ok(None) };
    let rows = connection.fetch(statement).await?;
    let mut best: Option<(i64, Vec<String>)> = None;
    for place in 0..candidates.len() {
        let of_this =
            rows.iter().filter(|row| row.unsigned(0).is_ok_and(|n| usize::try_from(n) == Ok(place)));
        let mut words = Vec::new();
        let mut depth = 0;
        for row in of_this {
            words.push(row.text(1)?.to_owned());
            depth = depth.max(row.optional_int(2)?.unwrap_or(0));
        }
        let is_usable = !words.is_empty() && i64::try_from(words.len()).is_ok_and(|count| count <= MAX_WORDS);
        if is_usable && best.as_ref().is_none_or(|(best, _)| depth < *best) {
            best = Some((depth, words));
        }
    }
    Ok(best.map(|(_, words)| words))
}

/// For each candidate its words, and when the study was that lies so far back in each.
fn depths(candidates: &[Candidate]) -> Option<Statement> {
    let mut statement = Statement::new("");
    let mut lists = 0;
    for (place, candidate) in candidates.iter().enumerate() {
        if let Candidate::Term(Term { text, part: Part::Beginning }) = candidate {
            statement.push(if lists == 0 { "WITH RECURSIVE " } else { ", " });
            push_words_of(&mut statement, place, text);
            lists += 1;
        }
    }
    let mut selects = 0;
    let mut select = |statement: &mut Statement, place: usize, word: Option<&str>| {
        statement.push(if selects == 0 { " " } else { " UNION ALL " });
        statement.push(&format!("SELECT {place}, "));
        match word {
            Some(word) => statement.push("CAST(").push_bind(word).push(" AS TEXT)"),
            None => statement.push("v.word"),
        };
        statement.push(", (SELECT w.at FROM words w WHERE w.word = ");
        match word {
            Some(word) => statement.push_bind(word),
            None => statement.push("v.word"),
        };
        statement.push(&format!(" ORDER BY w.at DESC, w.study DESC LIMIT 1 OFFSET {DEPTH})"));
        if word.is_none() {
            statement.push(&format!(" FROM v{place} v WHERE v.word IS NOT NULL"));
        }
        selects += 1;
    };
    for (place, candidate) in candidates.iter().enumerate() {
        match candidate {
            Candidate::Column(_) => {}
            Candidate::Term(Term { part: Part::Beginning, .. }) => select(&mut statement, place, None),
            Candidate::Term(term) => select(&mut statement, place, Some(&term.text)),
            Candidate::Words(words) => {
                words.iter().for_each(|word| select(&mut statement, place, Some(word)));
            }
        }
    }
    (selects > 0).then_some(statement)
}

/// The different words with a beginning, one more than can be used: each by one look into the index.
fn push_words_of(statement: &mut Statement, place: usize, prefix: &str) {
    let end = after_prefix(prefix);
    statement.push(&format!("v{place}(word, n) AS (SELECT min(w.word), 1 FROM words w WHERE w.word >= "));
    statement.push_bind(prefix).push(" AND w.word < ").push_bind(end.as_str());
    statement.push(" UNION ALL SELECT (SELECT min(w.word) FROM words w WHERE w.word > v.word AND w.word < ");
    statement.push_bind(end);
    statement.push(&format!("), v.n + 1 FROM v{place} v WHERE v.word IS NOT NULL AND v.n <= {MAX_WORDS})"));
}
