//! Whether a word could be Vietnamese: every syllable is an initial, a rime and a tone, of closed lists.

use unicode_normalization::UnicodeNormalization;

const INITIALS: &str = "ngh ng nh gh gi kh ph th tr ch qu b c d đ g h k l m n p r s t v x";

const RIMES: &str = "a ac ach ai am an ang anh ao ap at au ay e ec em en eng eo ep et i ia ich im in inh ip it iu iêc iêm \
    iên iêng iêp iêt iêu o oa oac oach oai oam oan oang oanh oao oap oat oay oc oe oen oeo oet oi om on \
    ong ooc oong op ot oăc oăm oăn oăng oăt u ua uc ui um un ung uơ up ut uy uya uych uynh uyt uyu uyên \
    uyêt uân uâng uât uây uê uêch uênh uôc uôi uôm uôn uông uôt y ynh yt yêm yên yêng yêt yêu âc âm ân \
    âng âp ât âu ây ê êch êm ên ênh êp êt êu ô ôc ôi ôm ôn ông ôp ôt ăc ăm ăn ăng ăp ăt ơ ơi ơm ơn ơp ơt \
    ư ưa ưc ưi ưng ươc ươi ươm ươn ương ươp ươt ươu ưt ưu";

/// Grave, acute, tilde, hook above, dot below.
const TONES: [char; 5] = ['\u{300}', '\u{301}', '\u{303}', '\u{309}', '\u{323}'];

/// Whether a word in small letters is a syllable of Vietnamese.
pub(super) fn is_syllable(word: &str) -> bool {
    let mut tones = word.nfd().filter(|c| TONES.contains(c));
    let (tone, second) = (tones.next(), tones.next());
    let plain: String = word.nfd().filter(|c| !TONES.contains(c)).nfc().collect();
    let is_word = std::iter::once("")
        .chain(INITIALS.split(' '))
        .filter_map(|initial| plain.strip_prefix(initial))
        .any(|rime| RIMES.split(' ').any(|known| known == rime) && carries(rime, tone));
    second.is_none() && is_word
}

/// A syllable that is stopped short has the acute tone or the dot.
fn carries(rime: &str, tone: Option<char>) -> bool {
    !rime.ends_with(['c', 'p', 't']) && !rime.ends_with("ch") || matches!(tone, Some('\u{301}' | '\u{323}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_syllables_from_other_words() {
        for word in "nguyễn thị đặng hòa hoà văn quốc gì trưởng khuyển nghiêng ý ở yến quỳnh đức".split(' ')
        {
            assert!(is_syllable(word), "{word}");
        }
        for word in "müller josé nguyôn joăo săo lópez văt đwng hoầng sépt nguyễñ øre".split(' ')
        {
            assert!(!is_syllable(word), "{word}");
        }
    }
}
