//! Finding the sharer and coming to a line with it: everywhere where somebody says to share the number, and where the user says.
//!
//! Ends with a line, or when nobody is left to be tried. What always holds: an address that has another code is not tried again, lest
//! it use up the share's patience; one that could not be reached is, after ever longer pauses of at most [`PAUSE_MAX`]; and a new one
//! gets a head start of [`STAGGER`] before the next, so that one machine with several addresses is paired with once.

use crate::net::beacon::{BeaconNews, EVERYWHERE, LocalBeacon};
use crate::sharing::{PairError, PairedLine, Pairer};
use crate::{Listen, Silence};
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Between the beginnings of two attempts while one is under way.
const STAGGER: Duration = Duration::from_millis(300);

/// The first pause after an attempt that came to nothing; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Addresses that are remembered beside the user's: as many as a beacon finds.
const PLACES_MAX: usize = 64;

/// What comes of it.
#[derive(Debug)]
pub(super) enum Sought {
    /// Somebody says to share the number.
    Found(SocketAddr),
    /// Nobody does.
    Silence(Silence),
    /// Not there.
    NotPaired(SocketAddr, PairError),
    /// There. This is the last.
    Paired(PairedLine),
    /// Nobody is left to be tried. This is the last.
    Hopeless(PairError),
}

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Where {
    pub(super) nameplate: u16,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) look: bool,
    pub(super) listen: Listen,
}

/// Looks until there is a line.
pub(super) async fn seek(pairer: Arc<Pairer>, at: Where, sought: mpsc::Sender<Sought>) {
    let mut beacon = match at.look {
        true => LocalBeacon::look(at.nameplate, networks(&at.listen))
            .inspect_err(|error| tracing::warn!(%error, "the local network cannot be asked"))
            .ok(),
        false => None,
    };
    let began = Instant::now();
    let mut places = Places::new(&at.peers, beacon.is_some());
    let mut attempts = JoinSet::new();
    loop {
        while let Some(address) = places.due(began.elapsed()) {
            let pairer = Arc::clone(&pairer);
            attempts.spawn(async move { (address, pairer.pair(address).await) });
        }
        if let Some(why) = places.hopeless() {
            let _ = sought.send(Sought::Hopeless(why)).await;
            return;
        }
        let news = async {
            match &beacon {
                Some(beacon) => beacon.next().await,
                None => pending().await,
            }
        };
        let next = places.next_due(began.elapsed());
        let due = async {
            match next {
                Some(next) => sleep_until(began + next).await,
                None => pending().await,
            }
        };
        let what = tokio::select! {
            news = news => match news {
                Some(BeaconNews::Found(sharer)) => {
                    places.found(began.elapsed(), sharer.address);
                    Sought::Found(sharer.address)
                }
                Some(BeaconNews::Silence(silence)) => Sought::Silence(silence),
                None => {
                    // Nobody else is found; those who are known may still be reached.
                    beacon = None;
                    places.open = false;
                    continue;
                }
            },
            Some(Ok((address, paired))) = attempts.join_next(), if !attempts.is_empty() => match paired {
                Ok(Ok(line)) => {
                    let _ = sought.send(Sought::Paired(line)).await;
                    return;
                }
                Ok(Err(why)) if places.failed(began.elapsed(), address, why) => Sought::NotPaired(address, why),
                Ok(Err(_)) => continue,
                Err(_) => return,
            },
            () = due => continue,
        };
        if sought.send(what).await.is_err() {
            return;
        }
    }
}

/// On which networks somebody is looked for: those where we may be reached ourselves.
fn networks(listen: &Listen) -> Vec<IpAddr> {
    let ours = listen.ipv4.map(IpAddr::V4).into_iter().chain(listen.ipv6.map(IpAddr::V6));
    match ours.collect::<Vec<_>>() {
        none if none.is_empty() => EVERYWHERE.to_vec(),
        some => some,
    }
}

/// Where somebody may be who shares. Time is counted from the beginning of the search. Pure.
#[derive(Debug)]
struct Places {
    all: Vec<Place>,
    /// Others may still be found.
    open: bool,
    last_begun: Option<Duration>,
}

#[derive(Debug)]
struct Place {
    address: SocketAddr,
    state: PlaceState,
    fails: u32,
    /// Why it came to nothing last.
    why: Option<PairError>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PlaceState {
    /// Not before then.
    Waiting(Duration),
    Trying,
    /// Not again.
    Over,
}

impl Places {
    fn new(peers: &[SocketAddr], open: bool) -> Places {
        let mut places = Places { all: Vec::new(), open, last_begun: None };
        peers.iter().for_each(|&peer| places.found(Duration::ZERO, peer));
        places
    }

    /// Somebody says to share there; if that was over, it is somebody else now.
    fn found(&mut self, now: Duration, address: SocketAddr) {
        let known = self.all.iter().any(|place| place.address == address);
        if !known
            && self.all.len() >= PLACES_MAX
            && let Some(over) = self.all.iter().position(|place| place.state == PlaceState::Over)
        {
            // Those who turned out to be somebody else must not keep out whom we look for.
            self.all.swap_remove(over);
        }
        let room = self.all.len() < PLACES_MAX;
        match self.all.iter_mut().find(|place| place.address == address) {
            Some(place) if place.state != PlaceState::Trying => {
                (place.state, place.fails) = (PlaceState::Waiting(now), 0);
            }
            Some(_) => {}
            None if room => {
                let state = PlaceState::Waiting(now);
                self.all.push(Place { address, state, fails: 0, why: None });
            }
            None => {}
        }
    }

    /// Whom to try now.
    fn due(&mut self, now: Duration) -> Option<SocketAddr> {
        let not_before = self.not_before();
        let due = |place: &&mut Place| matches!(place.state, PlaceState::Waiting(until) if until <= now);
        let place = self.all.iter_mut().find(due).filter(|_| not_before <= now)?;
        place.state = PlaceState::Trying;
        self.last_begun = Some(now);
        Some(place.address)
    }

    /// When to ask again whom to try.
    fn next_due(&self, now: Duration) -> Option<Duration> {
        let waiting = self.all.iter().filter_map(|place| match place.state {
            PlaceState::Waiting(until) => Some(until),
            PlaceState::Trying | PlaceState::Over => None,
        });
        waiting.min().map(|next| next.max(self.not_before()).max(now))
    }

    fn not_before(&self) -> Duration {
        let trying = self.all.iter().any(|place| place.state == PlaceState::Trying);
        self.last_begun.filter(|_| trying).map_or(Duration::ZERO, |begun| begun + STAGGER)
    }

    /// It came to nothing there. Whether that is news.
    fn failed(&mut self, now: Duration, address: SocketAddr, why: PairError) -> bool {
        let Some(place) = self.all.iter_mut().find(|place| place.address == address) else { return true };
        let pause = PAUSE_MIN.saturating_mul(1 << place.fails.min(10)).min(PAUSE_MAX);
        place.fails += 1;
        place.state = match why {
            PairError::WrongCode | PairError::NotAShare | PairError::GivenUp => PlaceState::Over,
            PairError::Unreachable(_)
            | PairError::MustConfirm
            | PairError::Busy
            | PairError::Cut
            | PairError::TimedOut
            | PairError::NoChance => PlaceState::Waiting(now + pause),
        };
        place.why.replace(why) != Some(why)
    }

    /// Why nobody is left to be tried, if so.
    fn hopeless(&self) -> Option<PairError> {
        let over = self.all.iter().all(|place| place.state == PlaceState::Over);
        if self.open || !over {
            return None;
        }
        let whys = || self.all.iter().filter_map(|place| place.why);
        // A wrong code is what a person can do something about.
        let wrong = whys().find(|&why| why == PairError::WrongCode);
        Some(wrong.or(whys().next()).unwrap_or(PairError::Unreachable(std::io::ErrorKind::NotFound)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn addresses() -> [SocketAddr; 3] {
        ["10.0.0.1:1", "10.0.0.2:1", "[fe80::1%2]:1"].map(|address| address.parse().unwrap())
    }

    #[test]
    fn each_address_gets_a_head_start_and_the_next_comes_when_it_failed() {
        let [a, b, c] = addresses();
        let mut places = Places::new(&[a, b, c], false);
        assert_eq!((places.due(at(0)), places.due(at(0))), (Some(a), None));
        assert_eq!(places.next_due(at(0)), Some(at(300)));
        assert_eq!((places.due(at(300)), places.due(at(300))), (Some(b), None));
        assert!(places.failed(at(310), a, PairError::TimedOut) && places.failed(at(310), b, PairError::Cut));
        assert_eq!(places.due(at(310)), Some(c), "nobody is being tried any more");
    }

    #[test]
    fn pauses_grow_up_to_their_bound_and_the_same_reason_is_no_news() {
        let [a, ..] = addresses();
        let mut places = Places::new(&[a], true);
        let (mut now, mut pauses) = (at(0), Vec::new());
        for round in 0..8 {
            assert_eq!(places.due(now), Some(a));
            let news = places.failed(now, a, PairError::Unreachable(ErrorKind::ConnectionRefused));
            assert_eq!(news, round == 0);
            let next = places.next_due(now).unwrap();
            pauses.push((next - now).as_millis());
            assert_eq!(places.due(next - at(1)), None);
            now = next;
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
        assert_eq!(places.due(now), Some(a));
        assert!(places.failed(now, a, PairError::Busy), "another reason is");
    }

    #[test]
    fn who_has_another_code_is_not_tried_again_until_somebody_else_is_there() {
        let [a, b, _] = addresses();
        for open in [false, true] {
            let mut places = Places::new(&[a, b], open);
            for address in [a, b] {
                assert_eq!((places.due(at(0)), places.hopeless()), (Some(address), None));
                places.failed(at(0), address, PairError::WrongCode);
            }
            assert_eq!((places.due(at(100_000)), places.next_due(at(0))), (None, None));
            assert_eq!(places.hopeless(), (!open).then_some(PairError::WrongCode));
            places.found(at(5), a);
            assert_eq!((places.hopeless(), places.due(at(5))), (None, Some(a)));
        }
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let mut places = Places::new(&[], true);
        (1..500).for_each(|port| places.found(at(0), SocketAddr::from(([10, 0, 0, 1], port))));
        assert_eq!(places.all.len(), PLACES_MAX);
        let [a, ..] = addresses();
        let impostor = places.due(at(0)).unwrap();
        places.failed(at(0), impostor, PairError::WrongCode);
        places.found(at(0), a);
        assert_eq!(places.all.len(), PLACES_MAX);
        assert!(places.all.iter().any(|place| place.address == a), "there is room again");
    }
}
