//! What the keys of a query say in SQL.
//!
//! A condition is fulfilled by every row that matches, and perhaps by others; where the conditions
//! say all that the keys do, matching has nothing to add and is not asked.

use dicom::dictionary_std::tags;

use super::super::{Dialect, Statement, words};
use crate::model::{Level, Tag};
use crate::query::{Key, Matching, Part, Pattern, Query, Rank, Term, is_kept};

/// The conditions of a query, by the tables they are about.
#[derive(Clone, Default)]
pub(super) struct Narrowing {
    /// On `studies s` and `patients p`.
    pub(super) studies: Vec<Condition>,
    /// On `series e`.
    pub(super) series: Vec<Condition>,
    /// On `instances i` and their SOP class `terms k`.
    pub(super) instances: Vec<Condition>,
    /// Identifiers of which few studies have one, the fewest first.
    pub(super) sources: Vec<Source>,
    /// The conditions say all there is to say.
    pub(super) is_exact: bool,
    /// Headers have to be looked at.
    pub(super) needs_headers: bool,
}

/// A condition on one row.
#[derive(Clone)]
pub(super) enum Condition {
    In(Column, Vec<String>),
    Begins(Column, String),
    Ends(Column, String),
    /// The column has this somewhere.
    Has(Column, String),
    /// The study was at or after, at or before.
    Moments(Option<i64>, Option<i64>),
    /// The study has one of these modalities.
    Modalities(Vec<String>),
    /// The study has instances of one of these classes.
    SopClasses(Vec<String>),
    /// The words of the name fulfil all of these.
    Words(Vec<Term>),
    /// The words of the name do not fulfil all of these.
    NotWords(Vec<Term>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    PatientId,
    Study,
    Accession,
    Series,
    Modality,
    Instance,
    SopClass,
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PatientId => "p.patient_id",
            Self::Study => "s.uid",
            Self::Accession => "s.accession",
            Self::Series => "e.uid",
            Self::Modality => "e.modality",
            Self::Instance => "i.uid",
            Self::SopClass => "k.term",
        }
    }

    /// Where a key is kept in a column of its own, exactly as it is compared.
    fn of(tag: Tag) -> Option<Self> {
        match tag {
            tags::PATIENT_ID => Some(Self::PatientId),
            tags::STUDY_INSTANCE_UID => Some(Self::Study),
            tags::ACCESSION_NUMBER => Some(Self::Accession),
            tags::SERIES_INSTANCE_UID => Some(Self::Series),
            tags::MODALITY => Some(Self::Modality),
            tags::SOP_INSTANCE_UID => Some(Self::Instance),
            tags::SOP_CLASS_UID => Some(Self::SopClass),
            _ => None,
        }
    }

    /// How the words begin of what ends so in a column.
    pub(super) fn word_of_end(self, end: &str) -> Option<String> {
        match self {
            Self::PatientId => Some(words::of_patient_id_end(end)),
            Self::Accession => Some(words::of_accession_end(end)),
            _ => None,
        }
    }

    fn level(self) -> Level {
        match self {
            Self::PatientId => Level::Patient,
            Self::Study | Self::Accession => Level::Study,
            Self::Series | Self::Modality => Level::Series,
            Self::Instance | Self::SopClass => Level::Instance,
        }
    }
}

/// Where studies are found by something that few of them have.
#[derive(Clone)]
pub(super) enum Source {
    /// By a column of theirs, of their patient, series or instances.
    By(Condition, Column),
    /// By words; where these were counted, how many rows they are at the most.
    Term(Term, Option<i64>),
}

impl Narrowing {
    /// Of the names that match only those of a rank, where one is given.
    pub(super) fn of(query: &Query, rank: Option<Rank>) -> Self {
        let mut narrowing = Self { is_exact: true, ..Self::default() };
        for key in &query.keys {
            if key.matching != Matching::Universal {
                narrowing.add(query, key, rank);
            }
        }
        narrowing.needs_headers &= !is_told_by_modalities(query);
        narrowing.is_exact &= !narrowing.needs_headers;
        narrowing
    }

    /// Whether studies may be passed over without an end in sight when they are looked at one after another: something
    /// is asked of them that is not when they were.
    pub(super) fn is_asking(&self) -> bool {
        self.studies.iter().any(|condition| !matches!(condition, Condition::Moments(..)))
    }

    /// ` AND` the study was when it is asked for; `moment` is the column that tells.
    pub(super) fn push_moments(&self, statement: &mut Statement, moment: &str) {
        for condition in &self.studies {
            if let Condition::Moments(from, to) = condition {
                push_moments(statement, moment, *from, *to);
            }
        }
    }

    fn add(&mut self, query: &Query, key: &Key, rank: Option<Rank>) {
        let is_kept = query.level == Level::Instance || is_kept(query.level, key);
        let of = Column::of(key.tag());
        if query.lets_unknown_pass(key) {
            self.add_or_unknown(key, of.filter(|column| column.level() <= Level::Study), is_kept);
        } else if let Some(column) = of {
            self.add_column(query.level, key, column, is_kept);
        } else {
            let is_exact = self.add_other(query, key, rank);
            self.is_exact &= is_exact;
            self.needs_headers |= !is_kept;
        }
    }

    fn add_column(&mut self, level: Level, key: &Key, column: Column, is_kept: bool) {
        let (condition, is_exact) = match &key.matching {
            Matching::Values(values) => (Condition::In(column, values.clone()), true),
            Matching::Wildcard(pattern) => match by_pattern(column, pattern) {
                Some(condition) => (condition, pattern.is_prefix() || pattern.is_suffix()),
                None => return self.leave(is_kept),
            },
            _ => return self.leave(is_kept),
        };
        self.is_exact &= is_exact;
        match (column, &key.matching) {
            (Column::Modality, Matching::Values(values)) => {
                self.studies.push(Condition::Modalities(values.clone()));
            }
            (Column::SopClass, Matching::Values(values)) => {
                self.studies.push(Condition::SopClasses(values.clone()));
            }
            (_, Matching::Values(_)) => {
                self.sources.push(Source::By(condition.clone(), column));
                self.sources.sort_by_key(|source| std::cmp::Reverse(source.level()));
            }
            _ => {}
        }
        self.needs_headers |= !is_kept;
        match column.level() {
            of if of > level => {}
            Level::Patient | Level::Study => self.studies.push(condition),
            Level::Series => self.series.push(condition),
            Level::Instance => self.instances.push(condition),
        }
    }

    /// A key that is fulfilled without a value, too. `column`: where it is told of every study.
    fn add_or_unknown(&mut self, key: &Key, column: Option<Column>, is_kept: bool) {
        let (Some(column), Matching::Values(values)) = (column, &key.matching) else {
            return self.leave(is_kept);
        };
        let values = values.iter().cloned().chain([String::new()]).collect();
        self.studies.push(Condition::In(column, values));
    }

    /// A key that only matching decides.
    fn leave(&mut self, is_kept: bool) {
        self.is_exact = false;
        self.needs_headers |= !is_kept;
    }

    /// Gives whether the condition says all that the key does.
    fn add_other(&mut self, query: &Query, key: &Key, rank: Option<Rank>) -> bool {
        match (key.tag(), &key.matching) {
            (tags::PATIENT_NAME, Matching::Name(name)) => {
                let terms = |rank| name.terms(rank).into_iter().cloned().collect::<Vec<_>>();
                self.studies.push(Condition::Words(terms(rank)));
                if rank == Some(Rank::Folded) {
                    self.studies.push(Condition::NotWords(terms(Some(Rank::Marked))));
                }
                name.is_exact()
            }
            (tags::STUDY_DATE, Matching::Range(_, range)) => {
                let (from, to) = range.moments();
                self.studies.push(Condition::Moments(from, to));
                !query.options.combined_date_time
                    || !query.keys.iter().any(|key| key.tag() == tags::STUDY_TIME)
            }
            (tags::MODALITIES_IN_STUDY, Matching::Values(modalities)) => {
                self.studies.push(Condition::Modalities(modalities.clone()));
                true
            }
            (tags::SOP_CLASSES_IN_STUDY, Matching::Values(classes)) => {
                self.studies.push(Condition::SopClasses(classes.clone()));
                true
            }
            _ => false,
        }
    }
}

/// Whether Modality is all that is asked of the instances below a study: the study's own row tells.
fn is_told_by_modalities(query: &Query) -> bool {
    query.level == Level::Study
        && query.keys_of_headers().all(|key| {
            key.tag() == tags::MODALITY
                && matches!(key.matching, Matching::Values(_))
                && !query.lets_unknown_pass(key)
        })
}

/// By what a match begins with, or ends with where an index leads to that, or else by what it holds.
fn by_pattern(column: Column, pattern: &Pattern) -> Option<Condition> {
    let (prefix, suffix, run) = (pattern.prefix(), pattern.suffix(), pattern.longest_literal());
    if !prefix.is_empty() {
        return Some(Condition::Begins(column, prefix));
    }
    if !suffix.is_empty() && (pattern.is_suffix() || column.word_of_end(&suffix).is_some()) {
        return Some(Condition::Ends(column, suffix));
    }
    (!run.is_empty()).then_some(Condition::Has(column, run))
}

impl Source {
    fn level(&self) -> Level {
        match self {
            Self::By(_, column) => column.level(),
            Self::Term(..) => Level::Patient,
        }
    }

    /// A query for the column `study`, each once.
    pub(super) fn push(&self, statement: &mut Statement, dialect: Dialect) {
        if let Self::Term(_, most) = self {
            statement.push("SELECT DISTINCT l.study AS study FROM (");
            self.push_led(statement, dialect);
            if let Some(most) = most {
                // In the text, where a planner reads it: it takes a beginning for a share of all words otherwise, and
                // all studies for what is read sooner.
                statement.push(&format!(" LIMIT {most}"));
            }
            statement.push(") l");
        } else {
            self.push_led(statement, dialect);
        }
    }

    /// The same, a study as often as the words lead to it: PostgreSQL would look at all of them to tell which are
    /// different before it gives the first.
    pub(super) fn push_led(&self, statement: &mut Statement, dialect: Dialect) {
        match self {
            Self::By(condition, column) => {
                statement.push(match column.level() {
                    Level::Patient => {
                        "SELECT s.id AS study FROM patients p JOIN studies s ON s.patient = p.id WHERE 1 = 1"
                    }
                    Level::Study => "SELECT s.id AS study FROM studies s WHERE 1 = 1",
                    Level::Series => "SELECT DISTINCT e.study AS study FROM series e WHERE 1 = 1",
                    Level::Instance => {
                        "SELECT DISTINCT e.study AS study FROM instances i JOIN series e ON e.id = i.series \
                         JOIN terms k ON k.id = i.sop_class WHERE 1 = 1"
                    }
                });
                condition.push_plain(statement, dialect);
            }
            Self::Term(term, _) => {
                statement.push("SELECT w.study AS study FROM words w WHERE 1 = 1");
                push_term(statement, term);
            }
        }
    }
}

/// ` AND` the word is this one, or begins with it.
pub(super) fn push_term(statement: &mut Statement, term: &Term) {
    match term.part {
        Part::Whole => {
            statement.push(" AND w.word = ").push_bind(term.text.as_str());
        }
        Part::Beginning => push_begins(statement, "w.word", &term.text),
        // No index leads to it.
        Part::Anywhere => {}
    }
}

fn push_begins(statement: &mut Statement, column: &str, prefix: &str) {
    statement.push(" AND ").push(column).push(" >= ").push_bind(prefix);
    statement.push(" AND ").push(column).push(" < ").push_bind(after_prefix(prefix));
}

/// Greater than every text with this prefix (by bytes of UTF-8, as the back ends compare).
pub(super) fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

impl Condition {
    /// Whether it is about a column of patients.
    pub(super) fn is_of_patients(&self) -> bool {
        matches!(
            self,
            Self::In(column, _) | Self::Begins(column, _) | Self::Ends(column, _) | Self::Has(column, _)
                if column.level() == Level::Patient
        )
    }

    /// ` AND` what can be said of columns alone.
    pub(super) fn push_plain(&self, statement: &mut Statement, dialect: Dialect) {
        match self {
            Self::In(column, values) => {
                statement.push(" AND ").push(column.name()).push(" IN ");
                statement.push_list(values.iter().map(String::as_str));
            }
            Self::Begins(column, prefix) => push_begins(statement, column.name(), prefix),
            Self::Ends(column, end) => {
                let (column, length) =
                    (column.name(), i64::try_from(end.chars().count()).unwrap_or(i64::MAX));
                // Of a shorter one it gives something shorter, or all of it.
                statement
                    .push(&format!(" AND substr({column}, CAST(length({column}) + 1 - "))
                    .push_bind(length);
                statement.push(" AS INTEGER)) = ").push_bind(end.as_str());
            }
            Self::Has(column, run) => {
                statement.push(" AND ").push(dialect.position()).push("(").push(column.name()).push(", ");
                statement.push_bind(run.as_str()).push(") > 0");
            }
            _ => {}
        }
    }

    /// ` AND` the condition. `moment` is the column that tells when the study was.
    pub(super) fn push(&self, statement: &mut Statement, dialect: Dialect, moment: &str) {
        match self {
            Self::In(..) | Self::Ends(..) | Self::Has(..) => self.push_plain(statement, dialect),
            // An expression, so that no index of the column is taken for the order of the answer.
            Self::Begins(column, prefix) => {
                push_begins(statement, &format!("({} || '')", column.name()), prefix);
            }
            Self::Moments(from, to) => push_moments(statement, moment, *from, *to),
            Self::Modalities(modalities) => push_listed(statement, dialect, "s.modalities", modalities),
            Self::SopClasses(classes) => push_listed(statement, dialect, "s.sop_classes", classes),
            Self::Words(terms) => push_words(statement, dialect, " AND (", terms),
            Self::NotWords(terms) => push_words(statement, dialect, " AND NOT (", terms),
        }
    }
}

fn push_moments(statement: &mut Statement, moment: &str, from: Option<i64>, to: Option<i64>) {
    for (end, compares) in [(from, " >= "), (to, " <= ")] {
        if let Some(end) = end {
            statement.push(" AND ").push(moment).push(compares).push_bind(end);
        }
    }
}

/// One of these is among the values of a column that holds several, joined by `\`.
fn push_listed(statement: &mut Statement, dialect: Dialect, column: &str, values: &[String]) {
    statement.push(" AND (1 = 0");
    for value in values {
        statement.push(" OR ").push(dialect.position());
        statement.push("('\\' || ").push(column).push(" || '\\', ");
        statement.push_bind(format!("\\{value}\\")).push(") > 0");
    }
    statement.push(")");
}

fn push_words(statement: &mut Statement, dialect: Dialect, before: &str, terms: &[Term]) {
    statement.push(before).push("1 = 1");
    for term in terms {
        let text = match term.part {
            Part::Whole => format!(" {} ", term.text),
            Part::Beginning => format!(" {}", term.text),
            Part::Anywhere => term.text.clone(),
        };
        statement.push(" AND ").push(dialect.position()).push("(s.words, ");
        statement.push_bind(text).push(") > 0");
    }
    statement.push(")");
}

/// The words of modalities, as terms are.
pub(super) fn modality_words(modalities: &[String]) -> Vec<String> {
    modalities.iter().map(|modality| words::of_modality(modality)).collect()
}
