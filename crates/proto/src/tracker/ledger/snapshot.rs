//! Where counting stands, as bytes and back, so that after a restart what clients sent meanwhile is credited. Slices are written while
//! nobody announces, after the end; each means the same without the others.
//!
//! ```text
//! slice  = version:u8 client*
//! client = user:u64 info_hash:[20] peer_id:[20] flags:u8 ip:[16] port:u16 age:u32 uploaded:u64 downloaded:u64
//! ```
//! Numbers are big-endian; an IPv4 address is mapped; flags: 1 a seed, 2 IPv4; age: seconds since it was here last.
//!
//! Invariants: whatever is read, nothing panics and a ledger's bounds hold; nothing becomes due by it, and who is known already stays as
//! known. What was counted behind a slice must not be counted again: who restores one makes sure that it is the last, and does so once.

use super::{Account, CLIENTS_MAX, Client, Key, Ledger, UserId};
use crate::{Duration, Instant};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::Bound;
use wire::{InfoHash, PeerId};

const VERSION: u8 = 1;
const CLIENT_LEN: usize = 87;
const SEEDS: u8 = 1;
const IS_V4: u8 = 2;

/// How far a walk through a ledger has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk(Option<Key>);

/// Bytes that are no slice of a ledger of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoLedger;

impl fmt::Display for NoLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not as this version of the program writes accounts")
    }
}

impl core::error::Error for NoLedger {}

impl Ledger {
    /// Appends a slice with the next so many accounts. Says where the next one goes on; nothing at the end.
    pub fn snapshot(&self, now: Instant, walk: Walk, accounts_max: usize, out: &mut Vec<u8>) -> Option<Walk> {
        out.push(VERSION);
        let from = walk.0.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (key, account) in self.accounts.range((from, Bound::Unbounded)).take(accounts_max) {
            for client in account.clients.iter().filter(|client| !client.is_stale(now, self.rules.life)) {
                put(key, client, now, out);
            }
            last = Some(*key);
        }
        last.map(|key| Walk(Some(key)))
    }

    /// Takes in what is in one slice of those torrents that are ours, which was written so long ago. Says how many clients they are.
    /// `now` must be later in the ledger's life than its clients may stay away, else they are as old as it is.
    ///
    /// # Errors
    /// When it is none, or not to its end. What came before was taken in.
    pub fn restore(
        &mut self,
        now: Instant,
        slice: &[u8],
        since: Duration,
        is_ours: impl Fn(&InfoHash) -> bool,
    ) -> Result<u64, NoLedger> {
        let Some((&VERSION, clients)) = slice.split_first() else { return Err(NoLedger) };
        let (clients, []) = clients.as_chunks::<CLIENT_LEN>() else { return Err(NoLedger) };
        let mut restored = 0;
        for bytes in clients {
            let (key, client) = read(bytes, now, since).ok_or(NoLedger)?;
            if is_ours(&key.1) && !client.is_stale(now, self.rules.life) && self.take_in(key, client) {
                restored += 1;
            }
        }
        Ok(restored)
    }

    fn take_in(&mut self, key: Key, client: Client) -> bool {
        let weight = self.accounts.get(&key).map_or(0, Account::weight);
        if !self.has_room(key.0) {
            return false;
        }
        let account = self.accounts.entry(key).or_default();
        let is_new =
            account.clients.len() < CLIENTS_MAX && account.clients.iter().all(|known| known.id != client.id);
        if is_new {
            account.clients.reserve_exact(1);
            account.clients.push(client);
        }
        let becomes = account.weight();
        self.weigh(key.0, weight, becomes);
        is_new
    }
}

fn put((user, info_hash): &Key, client: &Client, now: Instant, out: &mut Vec<u8>) {
    let (ip, flag) = match client.peer.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), IS_V4),
        IpAddr::V6(ip) => (ip, 0),
    };
    let age = u32::try_from(now.since(client.at).as_secs()).unwrap_or(u32::MAX);
    out.extend_from_slice(&user.0.to_be_bytes());
    out.extend_from_slice(&info_hash.0);
    out.extend_from_slice(&client.id.0);
    out.push(flag | if client.seeds { SEEDS } else { 0 });
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&client.peer.port().to_be_bytes());
    out.extend_from_slice(&age.to_be_bytes());
    out.extend_from_slice(&client.uploaded.to_be_bytes());
    out.extend_from_slice(&client.downloaded.to_be_bytes());
}

fn read(bytes: &[u8; CLIENT_LEN], now: Instant, since: Duration) -> Option<(Key, Client)> {
    let mut rest = &bytes[..];
    let user = UserId(u64::from_be_bytes(*take(&mut rest)?));
    let info_hash = InfoHash(*take(&mut rest)?);
    let id = PeerId(*take(&mut rest)?);
    let [flags] = *take(&mut rest)?;
    let ip = Ipv6Addr::from(*take::<16>(&mut rest)?);
    let port = u16::from_be_bytes(*take(&mut rest)?);
    let age = Duration::from_secs(u32::from_be_bytes(*take(&mut rest)?).into());
    let [uploaded, downloaded] =
        [u64::from_be_bytes(*take(&mut rest)?), u64::from_be_bytes(*take(&mut rest)?)];
    let ip = if flags & IS_V4 == 0 { IpAddr::V6(ip) } else { IpAddr::V4(ip.to_ipv4_mapped()?) };
    let at = Instant::from_micros(now.as_micros().saturating_sub(micros(age.saturating_add(since))));
    let (peer, seeds) = (SocketAddr::new(ip, port), flags & SEEDS != 0);
    Some(((user, info_hash), Client { id, peer, at, uploaded, downloaded, seeds }))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(taken)
}
