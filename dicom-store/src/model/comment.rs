//! A sentence in the 64 characters of an Error Comment (0000,0902), an LO (PS3.5 §6.2).

/// Characters of a value.
const LONGEST: usize = 64;
/// Says that there was more.
const MORE: &str = "...";

/// A sentence as an Error Comment has room for it: shortened between two words, as half of a UID is another UID.
pub fn error_comment(sentence: &str) -> String {
    if sentence.chars().count() <= LONGEST {
        return sentence.to_owned();
    }
    let room = LONGEST - MORE.len();
    // One more: a word may end with the room.
    let start: String = sentence.chars().take(room + 1).collect();
    let words = match start.rfind(' ') {
        Some(end) => {
            start.get(..end).unwrap_or_default().trim_end_matches([' ', ',', ';', ':', '(']).to_owned()
        }
        None => start.chars().take(room).collect(),
    };
    format!("{words}{MORE}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const UID: &str = "1.2.840.113619.2.55.3.604688119.971.1378461386.700";

    #[rstest]
    #[case::short("no SOP Instance UID".to_owned(), "no SOP Instance UID".to_owned())]
    #[case::as_long(format!("data set has {UID}"), format!("data set has {UID}"))]
    #[case::within_a_uid(format!("study {UID} has no series {UID}"), format!("study {UID} has..."))]
    #[case::before_a_uid(format!("the series and the instance {UID}"), "the series and the instance...".to_owned())]
    #[case::behind_a_word(format!("{} of it all", "a".repeat(61)), format!("{}...", "a".repeat(61)))]
    #[case::one_word("đ".repeat(100), format!("{}...", "đ".repeat(61)))]
    #[case::comma(format!("of two, {UID}.1234567890"), "of two...".to_owned())]
    fn is_shortened_between_words(#[case] sentence: String, #[case] expected: String) {
        let comment = error_comment(&sentence);
        assert!(comment.chars().count() <= LONGEST);
        assert_eq!(comment, expected);
    }
}
