//! `gannet-hostile`: the simulator's attackers over real sockets, thousands of links from one process onto one victim.
//!
//! No part of what ships: a tool for tests, and not one to point at machines of others, which is why it refuses every victim that
//! is not on this machine or in a private network. Which attackers there are is `sim::hostile`'s; here are the sockets, the clock and
//! the bytes. One thread, one loop; what it holds is bounded per link.

mod crowd;
mod link;

use anyhow::{Context, Result, bail, ensure};
use crowd::{Crowd, Orders};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
Attackers of every kind on one victim, for tests.

Usage: gannet-hostile --torrent FILE --victim IP:PORT [options]

  --content FILE    the torrent's one file, for those who serve some blocks rightly
  --links N         attackers, each with one link at a time (2000)
  --kind NAME       all of this kind, instead of all kinds in turn
  --vigour N        floods are so many times what they are in simulated swarms (20)
  --from IP         the first attacker's address, each next one in the next /24; the system must have them
  --seconds N       how long (60)
  --seed N          all chance comes from here (1)
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() || words.iter().any(|word| word == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match orders(&words).and_then(|(orders, span)| Crowd::new(orders)?.run(span)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn orders(words: &[String]) -> Result<(Orders, Duration)> {
    let word = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let number = |flag: &str, default: u64| match word(flag) {
        Some(word) => word.parse().with_context(|| format!("{flag}: {word} is no number")),
        None => Ok(default),
    };
    let torrent = word("--torrent").context("--torrent FILE is missing")?;
    let bytes = std::fs::read(torrent).with_context(|| torrent.clone())?;
    let metainfo = wire::Metainfo::parse_stored(&bytes).map_err(|why| anyhow::anyhow!("{torrent}: {why}"))?;
    let victim: SocketAddr = word("--victim").context("--victim IP:PORT is missing")?.parse()?;
    ensure!(
        is_ours(victim.ip()),
        "{victim}: only victims on this machine or in a private network are attacked"
    );
    let habits = match word("--kind") {
        None => sim::hostile::cast::CAST.iter().collect(),
        Some(name) => match sim::hostile::cast::by_name(name) {
            Some(habit) => vec![habit],
            None => bail!("--kind {name}: no such kind; sim::hostile::cast has the list"),
        },
    };
    let from: Option<Ipv4Addr> = word("--from").map(|word| word.parse()).transpose().context("--from")?;
    let orders = Orders {
        metainfo: Arc::new(metainfo),
        content: word("--content").map(PathBuf::from),
        victim,
        links: usize::try_from(number("--links", 2000)?)?,
        habits,
        vigour: u32::try_from(number("--vigour", 20)?)?,
        from,
        seed: number("--seed", 1)?,
    };
    Ok((orders, Duration::from_secs(number("--seconds", 60)?)))
}

fn is_ours(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_victims_of_our_own_are_attacked() {
        for (ip, ours) in [("127.0.0.1", true), ("10.1.2.3", true), ("8.8.8.8", false), ("::1", true)] {
            assert_eq!(is_ours(ip.parse().unwrap()), ours, "{ip}");
        }
    }
}
