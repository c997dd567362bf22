//! Parameters of a search → the archive's [`Query`].

use dicom::dictionary_std::tags;
use dicom_store::model::{Level, Tag, VR};
use dicom_store::query::{Key, Matching, Options, Query, can_match};

use super::result::Include;
use crate::attribute::AttributePath;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;

/// Kinds of matching that may be asked for. The archive always matches `""` with no value, and several values of a
/// list with any of them (PS3.4 §C.2.2.2), so that asking for these changes nothing. Names are always matched word by
/// word, without regard to case and accents; with `fuzzymatching` each word of the key may be the beginning of one even
/// where the key has components.
const FLAGS: &[&str] = &["fuzzymatching", "emptyvaluematching", "multiplevaluematching"];

const FARTHEST: u64 = u32::MAX as u64;

/// Parameters that are no attributes and handled elsewhere.
const OTHERS: &[&str] = &["accept", "charset"];

/// What tells of the answer, or of another request, and is no attribute of what is stored: whatever is asked of it, all
/// results have it.
const OF_THE_ANSWER: &[Tag] =
    &[tags::QUERY_RETRIEVE_LEVEL, tags::QUERY_RETRIEVE_VIEW, tags::RETRIEVE_AE_TITLE, tags::RETRIEVE_URL];

/// The availability of everything that is found.
pub(super) const AVAILABILITY: &str = "ONLINE";

/// A search as the request puts it.
pub(crate) struct Search {
    pub(crate) query: Query,
    /// Whether something is asked for that no result has.
    pub(crate) is_in_vain: bool,
    pub(super) include: Include,
    pub(crate) limit: Option<u64>,
    /// Texts for the `Warning` header field.
    pub(crate) warnings: Vec<String>,
}

impl Search {
    /// Reads parameters and path. Parameters that are not known are ignored (PS3.18 §8.3).
    ///
    /// # Errors
    /// 400 for an invalid value of a known parameter, for an attribute that is given twice, and for `all` beside
    /// other fields in `includefield`.
    pub(crate) fn read(level: Level, target: &Target, parameters: &Parameters) -> Result<Self, Problem> {
        let fuzzy_names = parameters.get("fuzzymatching").is_some_and(|value| value.trim() == "true");
        let options = Options { combined_date_time: true, fuzzy_names, ..Options::default() };
        let mut search = Self {
            query: Query { options, ..Query::new(level) },
            is_in_vain: false,
            include: Include::default(),
            limit: None,
            warnings: Vec::new(),
        };
        let mut seen: Vec<Vec<Tag>> = Vec::new();
        search.add_path(target)?;
        for (name, value) in parameters.iter() {
            match name {
                "includefield" => search.include.add(value)?,
                "limit" => search.limit = Some(number(name, value)?),
                // No archive has more.
                "offset" => search.query.page.offset = number(name, value)?.min(FARTHEST),
                name if FLAGS.contains(&name) => flag(name, value)?,
                name if OTHERS.contains(&name) => {}
                name => {
                    let Some(path) = AttributePath::parse(name) else { continue };
                    if seen.contains(&path.tags) {
                        return Err(Problem::invalid(format!("attribute {name} is given twice")));
                    }
                    seen.push(path.tags.clone());
                    search.add_key(name, &path, value)?;
                }
            }
        }
        search.include.check()?;
        for tag in search.query.name_creators() {
            let text = format!("No creator is given for the private attribute {tag}: it was not matched.");
            search.warnings.push(text);
        }
        search.query.with_patient_counts = search.include.asks_patient_counts();
        Ok(search)
    }

    /// The study and series of the path are keys like others.
    fn add_path(&mut self, target: &Target) -> Result<(), Problem> {
        let study = target.study.as_ref().map(|uid| (tags::STUDY_INSTANCE_UID, uid.as_str()));
        let series = target.series.as_ref().map(|uid| (tags::SERIES_INSTANCE_UID, uid.as_str()));
        for (tag, uid) in study.into_iter().chain(series) {
            self.query.keys.push(Key::parse(&[tag], VR::UI, uid)?);
        }
        Ok(())
    }

    fn add_key(&mut self, name: &str, path: &AttributePath, value: &str) -> Result<(), Problem> {
        let Some(tag) = path.outermost() else { return Ok(()) };
        check_text(name, value)?;
        // A list is separated by commas in a URL (PS3.18 §8.3.4.1) and by backslashes in DICOM.
        let is_list = path.vr == VR::UI || tag == tags::MODALITIES_IN_STUDY;
        let value = if is_list { value.replace(',', "\\") } else { value.to_owned() };
        let key = Key::parse_with(&path.tags, path.vr, &value, self.query.options)?;
        if path.tags.len() == 1 && self.is_of_the_answer(name, &key) {
            return Ok(());
        }
        self.include.matched(tag);
        if path.tags.len() == 1 {
            self.include.creator(tag, &value);
        }
        self.push(name, key);
        Ok(())
    }

    /// Takes a key that is about the answer and not about what is stored.
    fn is_of_the_answer(&mut self, name: &str, key: &Key) -> bool {
        if key.tag() == tags::INSTANCE_AVAILABILITY {
            self.is_in_vain |= match &key.matching {
                Matching::Universal => false,
                Matching::Values(values) => values.iter().all(|value| value != AVAILABILITY),
                Matching::Wildcard(pattern) => !pattern.matches(AVAILABILITY),
                _ => true,
            };
            return true;
        }
        if !OF_THE_ANSWER.contains(&key.tag()) {
            return false;
        }
        if key.matching != Matching::Universal {
            self.warnings.push(format!("The attribute {name} tells of the answer and was not matched."));
        }
        true
    }

    fn push(&mut self, name: &str, key: Key) {
        if can_match(self.query.level, &key) {
            self.query.keys.push(key);
        } else if key.matching != Matching::Universal {
            self.warnings
                .push(format!("The attribute {name} is counted at a lower level and was not matched."));
        }
    }
}

/// What is no UTF-8 has become U+FFFD by now. A value with either would match nothing and nobody would know why.
fn check_text(name: &str, value: &str) -> Result<(), Problem> {
    let is_wrong = |c: char| c == '\u{FFFD}' || c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if value.trim_matches([' ', '\0']).contains(is_wrong) {
        return Err(Problem::invalid(format!(
            "the value of {name} is not percent-encoded UTF-8, or has control characters"
        )));
    }
    Ok(())
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.trim().parse().map_err(|_| Problem::invalid(format!("{name} is not an unsigned integer")))
}

fn flag(name: &str, value: &str) -> Result<(), Problem> {
    match value.trim() {
        "true" | "false" => Ok(()),
        _ => Err(Problem::invalid(format!("{name} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use rstest::rstest;

    use super::*;

    fn read(level: Level, query: &str) -> Result<Search, Problem> {
        Search::read(level, &Target::default(), &Parameters::of(&format!("/x?{query}").parse().unwrap()))
    }

    #[rstest]
    #[case("limit=-1")]
    #[case("limit=NaN")]
    #[case("offset=x")]
    #[case("StudyDate=yesterday")]
    #[case("StudyDate=99999999")]
    #[case("StudyDate=99999999-")]
    #[case("StudyDate=20260101-20261301")]
    #[case("StudyTime=2560-")]
    #[case("SeriesNumber=first")]
    #[case("SeriesNumber=1*")]
    #[case("00201002=1-2")]
    #[case("KVP=inf")]
    #[case("PatientName=%FF%FE")]
    #[case("PatientID=a%1Bb")]
    #[case("RequestAttributesSequence.00400001=%00x%07")]
    #[case("StudyInstanceUID=abc")]
    #[case("fuzzymatching=perhaps")]
    #[case("PatientID=1&00100020=2")]
    #[case("includefield=all&includefield=PatientName")]
    fn refuses(#[case] query: &str) {
        assert_eq!(read(Level::Study, query).err().unwrap().status, StatusCode::BAD_REQUEST);
    }

    #[rstest]
    #[case("nosuchparameter=1", 0)]
    #[case("PatientID=1&limit=5&offset=2&includefield=00081030,PatientSex", 1)]
    #[case("PatientID=", 0)]
    #[case("PatientName=dang%20hoa&fuzzymatching=true", 1)]
    #[case("PatientName=dang%20hoa", 1)]
    #[case("StudyInstanceUID=1.2,1.3", 1)]
    #[case("Modality=CT&KVP=120", 2)]
    #[case("00090010=ACME&00091001=x", 1)]
    fn reads_keys(#[case] query: &str, #[case] keys: usize) {
        let search = read(Level::Study, query).ok().unwrap();
        assert_eq!((search.query.keys.len(), search.warnings.len()), (keys, 0));
    }

    #[rstest]
    #[case("InstanceAvailability=ONLINE", false)]
    #[case("InstanceAvailability=", false)]
    #[case("InstanceAvailability=NEARLINE%5CONLINE", false)]
    #[case("00080056=O*", false)]
    #[case("InstanceAvailability=NEARLINE", true)]
    #[case("InstanceAvailability=%22%22", true)]
    fn everything_that_is_found_is_online(#[case] query: &str, #[case] is_in_vain: bool) {
        let search = read(Level::Study, query).ok().unwrap();
        assert_eq!((search.is_in_vain, search.query.keys.len(), search.warnings.len()), (is_in_vain, 0, 0));
    }

    #[rstest]
    #[case("RetrieveURL=http://pacs/dicom-web/studies/1.2")]
    #[case("RetrieveAETitle=FILMLESS")]
    #[case("QueryRetrieveLevel=STUDY")]
    #[case("QueryRetrieveView=CLASSIC")]
    fn what_tells_of_the_answer_matches_whatever_is_asked(#[case] query: &str) {
        let search = read(Level::Series, query).ok().unwrap();
        assert_eq!((search.is_in_vain, search.query.keys.len(), search.warnings.len()), (false, 0, 1));
        let (name, _) = query.split_once('=').unwrap();
        let empty = read(Level::Series, &format!("{name}=")).ok().unwrap();
        assert_eq!((empty.query.keys.len(), empty.warnings.len()), (0, 0));
    }

    #[test]
    fn says_so_when_an_attribute_is_not_matched() {
        let search = read(Level::Study, "NumberOfSeriesRelatedInstances=2").ok().unwrap();
        assert_eq!((search.query.keys.len(), search.warnings.len()), (0, 1));
        let search = read(Level::Study, "00091001=x").ok().unwrap();
        assert_eq!((search.query.keys.len(), search.warnings.len()), (0, 1));
    }
}
