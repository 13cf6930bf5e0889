//! Whether a torrent has found anybody who has it; what was tried until then; and when its user has waited enough.
//!
//! Pure: told what happened and what time it is. A peer that was linked once, or a byte from a web seed, is somebody.

use crate::redact;
use gannet::PeerSource;
use std::time::{Duration, Instant};

/// Without anybody for so long, it is said what was tried: trackers that answer do so by then.
const TOLD_AFTER: Duration = Duration::from_secs(12);

/// Trackers that are named one by one.
const TRACKERS_TOLD_MAX: usize = 10;

/// The search of one torrent.
pub(super) struct Sources {
    /// When the search began; `None` while none is on, as when files are checked.
    since: Option<Instant>,
    patience: Option<Duration>,
    found: bool,
    told: bool,
    /// URLs, all tiers in order, and what each said last.
    trackers: Vec<(String, Option<String>)>,
    /// Peers that the user or the link named.
    given: usize,
    /// Peers that trackers named.
    named: u64,
    elsewhere: Elsewhere,
}

/// What else finds peers here, as the user set it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Finders {
    /// Local discovery (BEP 14).
    pub(super) lsd: bool,
    /// The DHT (BEP 5).
    pub(super) dht: bool,
}

/// The search without trackers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Elsewhere {
    /// A private torrent keeps to its trackers (BEP 27).
    Private,
    /// How many each finder found; nothing of those that the user does not want.
    Found {
        /// Local discovery.
        lsd: Option<u32>,
        /// The DHT.
        dht: Option<u32>,
    },
}

impl Finders {
    /// Whatever there is.
    pub(super) const ALL: Finders = Finders { lsd: true, dht: true };
}

impl Elsewhere {
    /// How it begins.
    pub(super) fn of(finders: Finders, private: bool) -> Elsewhere {
        match private {
            true => Elsewhere::Private,
            false => Elsewhere::Found { lsd: finders.lsd.then_some(0), dht: finders.dht.then_some(0) },
        }
    }

    fn add(&mut self, source: PeerSource, peers: u32) {
        let Elsewhere::Found { lsd, dht } = self else { return };
        let count = match source {
            PeerSource::Lsd => lsd,
            PeerSource::Dht => dht,
            PeerSource::User
            | PeerSource::Tracker
            | PeerSource::Incoming
            | PeerSource::Resume
            | PeerSource::Pex => return,
        };
        *count = count.map(|count| count.saturating_add(peers));
    }

    /// `reached` says whether a node of the DHT has answered at all.
    fn tried(self, reached: impl FnOnce() -> bool) -> String {
        let Elsewhere::Found { lsd, dht } = self else {
            return "a private torrent is looked for nowhere else".into();
        };
        let lsd = match lsd {
            None => "local discovery is off (--no-lsd)".into(),
            Some(0) => "nobody on this network has it".into(),
            Some(1) => "the one on this network that has it does not answer".into(),
            Some(found) => format!("none of the {found} on this network that have it answers"),
        };
        let dht = match dht {
            None => "the DHT is off (--no-dht)".into(),
            Some(0) if !reached() => "no node of the DHT was reached".into(),
            Some(0) => "the DHT names nobody".into(),
            Some(1) => "the one that the DHT names does not answer".into(),
            Some(found) => format!("none of the {found} that the DHT names answers"),
        };
        format!("{lsd}; {dht}")
    }
}

impl Sources {
    /// Nobody found yet, and not searched for yet.
    pub(super) fn new(
        trackers: Vec<String>,
        given: usize,
        elsewhere: Elsewhere,
        patience: Option<Duration>,
    ) -> Sources {
        let trackers = trackers.into_iter().map(|url| (url, None)).collect();
        Sources { since: None, patience, found: false, told: false, trackers, given, named: 0, elsewhere }
    }

    /// A tracker's URL as it may be shown, and likewise what it said.
    pub(super) fn shown(&self, tracker: u16, words: &str) -> (String, String) {
        let url = self.trackers.get(usize::from(tracker)).map(|(url, _)| url.as_str()).unwrap_or_default();
        (redact::url(url), redact::words(words, url))
    }

    /// What a tracker said: how many peers it named, or why it failed.
    pub(super) fn heard(&mut self, tracker: u16, said: Result<u32, &str>) {
        self.named += u64::from(said.unwrap_or(0));
        if let Some((url, last)) = self.trackers.get_mut(usize::from(tracker)) {
            *last = Some(match said {
                Ok(0) => "names nobody".into(),
                Ok(peers) => format!("names {peers}, none of whom answered"),
                Err(why) => redact::words(why, url),
            });
        }
    }

    /// Peers were found without a tracker.
    pub(super) fn found_by(&mut self, source: PeerSource, peers: u32) {
        self.elsewhere.add(source, peers);
    }

    /// Peers are looked for, from now on if they were not before.
    pub(super) fn search(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// They are not, for now: what is being checked, paused or whole needs nobody, and its time does not count.
    pub(super) fn rest(&mut self) {
        self.since = None;
    }

    /// Whether it was said that nobody is to be found, and nobody ever was. Who stops a search before that has not waited for it.
    pub(super) fn is_alone(&self) -> bool {
        self.since.is_some() && self.told && !self.found
    }

    /// Somebody is here.
    pub(super) fn found(&mut self) {
        self.found = true;
    }

    /// What was tried, once, when it has been in vain for a while.
    pub(super) fn in_vain(&mut self, now: Instant, reached: impl FnOnce() -> bool) -> Option<String> {
        let due = !self.found && !self.told && self.searched(now)? >= TOLD_AFTER;
        due.then(|| {
            self.told = true;
            format!("no source yet: {}; still trying", self.tried(reached))
        })
    }

    /// Why it is given up, if the user set a limit and it is reached.
    pub(super) fn given_up(&self, now: Instant, reached: impl FnOnce() -> bool) -> Option<String> {
        let patience = self.patience.filter(|_| !self.found)?;
        let over = self.searched(now)? >= patience;
        over.then(|| format!("no source within {} s: {}", patience.as_secs(), self.tried(reached)))
    }

    fn searched(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.duration_since(since))
    }

    /// What was tried, and what to do.
    pub(super) fn tried(&self, reached: impl FnOnce() -> bool) -> String {
        let mut parts = Vec::new();
        for (url, said) in self.trackers.iter().take(TRACKERS_TOLD_MAX) {
            let said = said.as_deref().unwrap_or("no answer yet");
            parts.push(format!("tracker {}: {said}", redact::url(url)));
        }
        match self.trackers.len() {
            0 => parts.push("no tracker is known".into()),
            all if all > TRACKERS_TOLD_MAX => {
                parts.push(format!("and {} trackers more", all - TRACKERS_TOLD_MAX))
            }
            _ => {}
        }
        parts.push(match self.given {
            0 => "no peer was named (--peer)".into(),
            1 => "the one peer that was named does not answer".into(),
            given => format!("none of the {given} peers that were named answers"),
        });
        parts.push(self.elsewhere.tried(reached));
        parts.join("; ")
    }
}

/// A source as `--json` names it.
pub(super) fn word(source: PeerSource) -> &'static str {
    match source {
        PeerSource::User => "user",
        PeerSource::Tracker => "tracker",
        PeerSource::Incoming => "incoming",
        PeerSource::Resume => "resume",
        PeerSource::Lsd => "lsd",
        PeerSource::Dht => "dht",
        PeerSource::Pex => "pex",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Finders = Finders::ALL;
    const NONE: Finders = Finders { lsd: false, dht: false };

    #[test]
    fn the_search_without_trackers_is_told_as_it_went() {
        use PeerSource::{Dht, Lsd, Tracker};
        for (finders, private, found, expected) in [
            (ALL, false, &[][..], "; nobody on this network has it; the DHT names nobody"),
            (
                ALL,
                false,
                &[(Lsd, 1)],
                "; the one on this network that has it does not answer; the DHT names nobody",
            ),
            (
                ALL,
                false,
                &[(Lsd, 1), (Lsd, 2)],
                "; none of the 3 on this network that have it answers; the DHT names",
            ),
            (
                ALL,
                false,
                &[(Dht, 1)],
                "nobody on this network has it; the one that the DHT names does not answer",
            ),
            (ALL, false, &[(Dht, 4), (Tracker, 7)], "; none of the 4 that the DHT names answers"),
            (NONE, false, &[], "; local discovery is off (--no-lsd); the DHT is off (--no-dht)"),
            (NONE, false, &[(Dht, 2)], "the DHT is off (--no-dht)"),
            (ALL, true, &[], "; a private torrent is looked for nowhere else"),
            (NONE, true, &[(Lsd, 3)], "; a private torrent is looked for nowhere else"),
        ] {
            let mut sources = Sources::new(Vec::new(), 0, Elsewhere::of(finders, private), None);
            found.iter().for_each(|&(source, peers)| sources.found_by(source, peers));
            let tried = sources.tried(|| true);
            assert!(tried.contains(expected), "{tried}");
            assert_eq!(tried.contains("DHT"), !private, "{tried}");
        }
    }

    #[test]
    fn what_was_tried_is_said_once_and_within_15_s() {
        let urls = vec!["http://a/announce".to_owned(), "udp://b:1\u{1b}".to_owned()];
        let mut sources = Sources::new(urls, 2, Elsewhere::of(ALL, false), Some(Duration::from_secs(60)));
        sources.heard(0, Err("refused\n"));
        let start = Instant::now();
        assert_eq!(
            sources.in_vain(start + Duration::from_secs(3600), || true),
            None,
            "nobody is looked for yet"
        );
        assert_eq!(
            sources.given_up(start + Duration::from_secs(3600), || true),
            None,
            "what is checked first takes its time"
        );
        sources.search(start);
        sources.search(start + Duration::from_secs(1));
        assert_eq!(sources.in_vain(start + Duration::from_secs(11), || true), None);
        assert!(!sources.is_alone());
        let told = sources.in_vain(start + Duration::from_secs(15), || true).unwrap();
        assert_eq!(
            told,
            "no source yet: tracker http://a/announce: refused\\u{a}; tracker udp://b:1\\u{1b}: no answer yet; \
             none of the 2 peers that were named answers; nobody on this network has it; the DHT names nobody; still trying"
        );
        assert!(sources.is_alone());
        assert_eq!(sources.in_vain(start + Duration::from_secs(20), || true), None);
        assert_eq!(sources.given_up(start + Duration::from_secs(59), || true), None);
        assert!(
            sources
                .given_up(start + Duration::from_secs(60), || true)
                .unwrap()
                .starts_with("no source within 60 s: ")
        );
        sources.rest();
        assert_eq!(sources.given_up(start + Duration::from_secs(60), || true), None, "a pause is no search");
        sources.search(start);
        sources.found();
        assert_eq!(sources.given_up(start + Duration::from_secs(60), || true), None);
        assert!(!sources.is_alone());
    }

    #[test]
    fn a_dht_that_was_not_reached_names_nobody_for_another_reason() {
        let mut sources = Sources::new(Vec::new(), 0, Elsewhere::of(ALL, false), None);
        assert!(sources.tried(|| false).ends_with("; no node of the DHT was reached"));
        sources.found_by(PeerSource::Dht, 1);
        assert!(sources.tried(|| false).ends_with("; the one that the DHT names does not answer"));
    }

    #[test]
    fn a_bare_hash_has_nobody_to_ask_and_that_is_said() {
        let mut sources = Sources::new(Vec::new(), 0, Elsewhere::of(ALL, false), None);
        let start = Instant::now();
        sources.search(start);
        let expected = "no tracker is known; no peer was named (--peer); nobody on this network has it; \
                        the DHT names nobody";
        assert_eq!(sources.tried(|| true), expected);
        assert_eq!(sources.given_up(start + Duration::from_secs(1 << 30), || true), None);
    }
}
