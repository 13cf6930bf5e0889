//! Browsers at a tracker: what one says means the same when it is written again, and whatever several say in turn, nobody hears of a
//! torrent in which he takes no part, or of his own offer. Lines are messages; the first byte of each says whose.

use proto::tracker::Signalling;
use proto::tracker::signalling::{Rules, VisitorId};
use proto::{Duration, Instant, Rng, Seed};
use std::collections::BTreeSet;
use wire::announce::AnnounceEvent;
use wire::tracker_ws::{Reply, Request};
use wire::{InfoHash, PeerId};

/// One input.
pub fn run(data: &[u8]) {
    let rules = Rules { members_max: 6, memberships_max: 3, offers_max: 4, ..Rules::default() };
    let mut signalling = Signalling::new(rules);
    let mut rng = Rng::new(Seed(1));
    let mut now = Instant::from_micros(1);
    let mut names: BTreeSet<(VisitorId, InfoHash, PeerId)> = BTreeSet::new();
    for line in data.split(|&byte| byte == b'\n').take(64) {
        let Some((&whose, text)) = line.split_first() else { continue };
        let visitor = VisitorId(u64::from(whose % 4));
        if whose >= 0xf0 {
            signalling.on_closed(visitor);
            names.retain(|(theirs, ..)| *theirs != visitor);
            continue;
        }
        now += Duration::from_secs(u64::from(whose / 4));
        let Ok(request) = core::str::from_utf8(text).map(Request::decode) else { continue };
        let Ok(request) = request else { continue };
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
        let (mut says, asker) = (Vec::new(), visitor);
        match request {
            Request::Announce(announce) => {
                let name = (visitor, announce.info_hash, announce.peer_id);
                if announce.event != AnnounceEvent::Stopped {
                    names.insert(name);
                }
                signalling.on_announce(now, visitor, announce, &mut rng, &mut says);
            }
            Request::Answer(answer) => signalling.on_answer(now, visitor, answer, &mut says),
            Request::Scrape(torrents) => torrents.iter().for_each(|torrent| _ = signalling.scrape(*torrent)),
        }
        for (to, said) in says {
            let _ = said.encode();
            match said {
                Reply::Offered { info_hash, from, .. } => {
                    let others = |(visitor, theirs, name): &(VisitorId, InfoHash, PeerId)| {
                        *visitor == to && *theirs == info_hash && *name != from
                    };
                    assert!(names.iter().any(others), "an offer to who takes no part");
                }
                Reply::Answered(answer) => {
                    assert!(
                        names.contains(&(to, answer.info_hash, answer.to)),
                        "an answer to who made no offer"
                    );
                    assert!(names.contains(&(asker, answer.info_hash, answer.peer_id)), "by another's name");
                }
                Reply::Announced { .. } | Reply::Scraped(_) | Reply::Refused { .. } => assert_eq!(to, asker),
            }
        }
        assert!(signalling.members() <= rules.members_max && signalling.swarms() <= signalling.members());
    }
}
