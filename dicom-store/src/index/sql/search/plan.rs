//! From where the studies of a query are reached.
//!
//! A word is followed from the newest study that has it back, and the rest of the query is looked at on the way; of
//! several, the one that lies furthest back is the rarest. A beginning is followed by all words that have it. What
//! is found by an identifier, or by a beginning of too many words that few have, is gathered and put in order.
//! Without any, all studies are passed from the newest back; where that comes to nothing soon and there is a
//! beginning that many have, they are gathered after all.

use super::super::{Connection, Statement};
use super::narrowing::{Condition, Narrowing, Source, after_prefix, modality_words};
use crate::Result;
use crate::model::Level;
use crate::query::{Part, Term};

/// So many are gathered, at the most.
const FEW: i64 = 1200;
/// So many words are followed together, at the most.
const MAX_WORDS: usize = 32;
/// Words of which a study that was found by another is looked for, at the most.
const MAX_OTHERS: usize = 8;
/// How far a word is looked back to tell how rare it is.
const DEPTH: i64 = 200;

/// The way to the studies of a query.
#[derive(Clone)]
pub(super) enum Driver {
    Gather(Source),
    Follow(Followed),
    Walk {
        /// What leads to more than a few.
        otherwise: Option<Source>,
    },
}

/// Studies by words, from the newest back.
#[derive(Clone, Default)]
pub(super) struct Followed {
    /// Those that have one of these.
    pub(super) words: Vec<String>,
    /// Of them, those that have one of each of these, too: told by `words` alone, without a look at a study's row,
    /// each of which lies on another page.
    pub(super) others: Vec<Vec<String>>,
}

/// What could lead to the studies.
enum Candidate {
    /// A beginning of a column.
    Column(Source),
    Term(Term),
    /// One of these words.
    Words(Vec<String>),
}

/// The words of a candidate, and when the study was that lies so far back in one of them; 0 when there are not so
/// many.
type Depth = (i64, Vec<String>);

pub(super) async fn plan<C: Connection>(
    connection: &mut C,
    level: Level,
    narrowing: &Narrowing,
) -> Result<Driver> {
    if let Some(source) = narrowing.sources.first() {
        return Ok(Driver::Gather(source.clone()));
    }
    let candidates: Vec<Candidate> = narrowing.studies.iter().flat_map(Candidate::of).collect();
    // A few patients are given in the order of their names.
    if level == Level::Patient
        && let Some(source) = few(connection, candidates.iter()).await?
    {
        return Ok(Driver::Gather(source));
    }
    if let [one] = candidates.as_slice()
        && let Some(words) = one.words()
    {
        return Ok(Driver::Follow(Followed { words, others: Vec::new() }));
    }
    let columns = candidates.iter().filter(|candidate| matches!(candidate, Candidate::Column(_)));
    if let Some(source) = few(connection, columns).await? {
        return Ok(Driver::Gather(source));
    }
    let mut depths = depths(connection, narrowing, &candidates).await?;
    depths.sort_by_key(|(depth, words)| (*depth, words.len()));
    let mut lists = depths.into_iter().map(|(_, words)| words);
    if let Some(words) = lists.next() {
        let others = lists.filter(|words| words.len() <= MAX_OTHERS).collect();
        return Ok(Driver::Follow(Followed { words, others }));
    }
    if let Some(source) = few(connection, candidates.iter()).await? {
        return Ok(Driver::Gather(source));
    }
    Ok(Driver::Walk { otherwise: candidates.iter().find_map(Candidate::source) })
}

impl Candidate {
    fn of(condition: &Condition) -> Vec<Self> {
        match condition {
            Condition::Begins(column, _) => vec![Self::Column(Source::By(condition.clone(), *column))],
            Condition::Ends(column, end) => {
                let word = column.word_of_end(end);
                word.map(|text| Self::Term(Term { text, part: Part::Beginning })).into_iter().collect()
            }
            Condition::Words(terms) => {
                let leading = terms.iter().filter(|term| term.part != Part::Anywhere);
                leading.cloned().map(Self::Term).collect()
            }
            Condition::Modalities(modalities) => vec![Self::Words(modality_words(modalities))],
            _ => Vec::new(),
        }
    }

    /// Its words, where they need not be looked for and are not too many.
    fn words(&self) -> Option<Vec<String>> {
        match self {
            Self::Term(Term { text, part: Part::Whole }) => Some(vec![text.clone()]),
            Self::Words(words) if words.len() <= MAX_WORDS => Some(words.clone()),
            _ => None,
        }
    }

    fn source(&self) -> Option<Source> {
        match self {
            Self::Column(source) => Some(source.clone()),
            Self::Term(term) => Some(Source::Term(term.clone(), None)),
            Self::Words(words) => match words.as_slice() {
                [word] => Some(Source::Term(Term { text: word.clone(), part: Part::Whole }, None)),
                _ => None,
            },
        }
    }
}

/// What fewer than [`FEW`] studies are found by, the fewest.
async fn few<C: Connection>(
    connection: &mut C,
    candidates: impl Iterator<Item = &Candidate>,
) -> Result<Option<Source>> {
    let sources: Vec<Source> = candidates.filter_map(Candidate::source).collect();
    if sources.is_empty() {
        return Ok(None);
    }
    let mut statement = Statement::new("SELECT ");
    for (n, source) in sources.iter().enumerate() {
        statement.push(if n == 0 { "" } else { ", " }).push("(SELECT count(*) FROM (");
        source.push_led(&mut statement, C::DIALECT);
        statement.push(" LIMIT ").push_bind(FEW).push(") c)");
    }
    let row = connection.fetch_one(statement).await?;
    let counts = (0..sources.len()).map(|column| row.int(column)).collect::<Result<Vec<_>>>()?;
    let fewest = sources.into_iter().zip(counts).min_by_key(|(_, count)| *count);
    Ok(fewest.filter(|(_, count)| *count < FEW).map(|(source, _)| match source {
        // Others may come while pages are read.
        Source::Term(term, _) => Source::Term(term, Some(2 * FEW)),
        source => source,
    }))
}

/// The words of each candidate that does not have too many of them.
async fn depths<C: Connection>(
    connection: &mut C,
    narrowing: &Narrowing,
    candidates: &[Candidate],
) -> Result<Vec<Depth>> {
    let Some(statement) = select_depths(narrowing, candidates) else { return Ok(Vec::new()) };
    let rows = connection.fetch(statement).await?;
    let mut depths = Vec::new();
    for (place, candidate) in (0..).zip(candidates) {
        if matches!(candidate, Candidate::Column(_)) {
            continue;
        }
        let (mut words, mut depth) = (Vec::new(), 0);
        for row in rows.iter().filter(|row| row.int(0).is_ok_and(|of| of == place)) {
            words.push(row.text(1)?.to_owned());
            depth = depth.max(row.optional_int(2)?.unwrap_or(0));
        }
        if words.len() <= MAX_WORDS {
            depths.push((depth, words));
        }
    }
    Ok(depths)
}

/// For each candidate its words, and when the study was that lies so far back in each.
fn select_depths(narrowing: &Narrowing, candidates: &[Candidate]) -> Option<Statement> {
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
        narrowing.push_moments(statement, "w.at");
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
