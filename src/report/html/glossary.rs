//! The words of the page that not everybody knows, told where they stand and once more at its end.

/// A word, where it is told, and what it means.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) term: &'static str,
    pub(super) id: &'static str,
    pub(super) meaning: &'static str,
    /// What a figure's name has in it that needs this word; nothing where none does.
    named: &'static [&'static str],
}

const fn word(
    id: &'static str,
    term: &'static str,
    named: &'static [&'static str],
    meaning: &'static str,
) -> Word {
    Word {
        term,
        id,
        meaning,
        named,
    }
}

/// All of them; where a name has several, the first counts.
pub(super) const WORDS: [Word; 19] = [
    word(
        "word-proved",
        "proved",
        &[],
        "by wait-for edges: who was seen waiting for whom, with calls counted and an interval clear of zero.",
    ),
    word(
        "word-supported",
        "supported",
        &[],
        "by statistics over the samples, without an edge for each step.",
    ),
    word(
        "word-inconclusive",
        "inconclusive",
        &[],
        "not enough data yet. Nobody is accused.",
    ),
    word(
        "word-no-effect",
        "no effect",
        &[],
        "enough data, and nothing to see.",
    ),
    word(
        "word-interaction",
        "interaction",
        &["Interaction"],
        "marginal less direct: the others got slower for each other.",
    ),
    word(
        "word-marginal",
        "marginal",
        &["Marginal"],
        "all growth since an arrival, less the victim's own work and the drift of the unaffected.",
    ),
    word(
        "word-direct",
        "direct",
        &["Direct"],
        "what an arrival cost others through waits whose root it was.",
    ),
    word(
        "word-slowest",
        "the slowest 5 %",
        &["slowest"],
        "of what the slowest calls' time was made, as far as they were seen. It says nothing of milliseconds: a p99 is no sum.",
    ),
    word(
        "word-p95",
        "p95",
        &["p95"],
        "one call in twenty takes longer.",
    ),
    word(
        "word-p99",
        "p99",
        &["p99"],
        "one call in a hundred takes longer.",
    ),
    word(
        "word-mean",
        "mean latency",
        &["Mean latency"],
        "the sampled time in a statement divided by its calls.",
    ),
    word(
        "word-interval",
        "95 % interval",
        &["Through this cause"],
        "had the same watch been made again and again, the true value would lie within in 95 of 100.",
    ),
    word(
        "word-without",
        "without …",
        &["Without "],
        "what the victim would take if this cause were gone, and nothing else changed.",
    ),
    word(
        "word-rank",
        "keeps its rank",
        &["rank"],
        "how often this finding stays in its place when the blocks of time are drawn anew.",
    ),
    word(
        "word-db-time",
        "DB time",
        &["DB time"],
        "time that sessions spend in the database, working or waiting; its average per second is the number of active sessions.",
    ),
    word(
        "word-charged",
        "charged to nobody",
        &["charged"],
        "time in which a session waited for a lock and whoever held it was gone before it was seen.",
    ),
    word(
        "word-episode",
        "episode",
        &[],
        "one situation from its start to its end; its signature is the same when it happens again.",
    ),
    word(
        "word-root",
        "root",
        &[],
        "who is waited for and waits for no lock: blame ends there.",
    ),
    word(
        "word-gate",
        "gate",
        &[],
        "who waits itself and makes others queue behind it, as an ALTER TABLE does; it can be cancelled.",
    ),
];

/// Finds the word that explains a figure's name.
pub(super) fn of_name(name: &str) -> Option<&'static Word> {
    let explains = |word: &&Word| word.named.iter().any(|part| name.contains(part));
    WORDS.iter().find(explains)
}

/// Finds a word by the page's name for it.
pub(super) fn of_term(term: &str) -> &'static Word {
    let found = WORDS.iter().find(|word| word.term == term);
    found.unwrap_or(&WORDS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_told_once_and_explains_what_it_is_asked_for() {
        let mut ids: Vec<&str> = WORDS.iter().map(|word| word.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), WORDS.len());
        let explained = |name: &str| of_name(name).map(|word| word.term);
        assert_eq!(explained("Interaction in its group"), Some("interaction"));
        assert_eq!(explained("The p99 lies within"), Some("p99"));
        assert_eq!(
            explained("Share of the slowest 5 %'s time"),
            Some("the slowest 5 %")
        );
        assert_eq!(explained("Needs about"), None);
        assert_eq!(of_term("no effect").id, "word-no-effect");
    }
}
