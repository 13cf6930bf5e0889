//! `gannet-eavesdrop`: what somebody learns who recorded every frame of a network on which something was shared by a code.
//!
//! No part of what ships: a tool for tests, which is told what it looks for. It looks for info-hashes, names and content in the
//! recording, for anything that follows from words alone, and tries all words on the exchanges that were recorded. It also takes
//! part in one exchange with chance that it knows, so that a test can show that the same trial finds the words where it should.

mod dictionary;
mod leaks;
mod recording;

use anyhow::{Context, Result, bail, ensure};
use dictionary::Dictionary;
use recording::Recording;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wire::code::Code;
use wire::pairing::{PAIRING_CHANCE_LEN, Receiver};

const HELP: &str = "\
What a recording of a share tells, for tests.

Usage: gannet-eavesdrop --pair CODE --at IP:PORT --chance HEX
       gannet-eavesdrop --recording FILE --code CODE [options]

  --pair CODE       prove oneself to a share, with this chance (64 bytes), and leave
  --recording FILE  frames of Ethernet, as pcap
  --code CODE       the true one: its number is public, its words are what is looked for
  --chance HEX      the chance of one receiver: an attacker who is allowed that
  --candidates N    try so many pairs of words, among them the true one (all 4,194,304)
  --content FILE    no 16 bytes of it may be there; noise, for what repeats itself is everywhere. Several times
  --hash HEX        an info-hash. Several times
  --name TEXT       a name, of 8 bytes or more. Several times
";

/// So many of the recorded exchanges are tried by ear.
const EXCHANGES_TRIED: usize = 2;

/// A silent share would make a test wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        None | Some("--help") => {
            print!("{HELP}");
            Ok(())
        }
        Some("--pair") => pair(&Words(&words)),
        Some(_) => eavesdrop(&Words(&words)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command line.
struct Words<'a>(&'a [String]);

impl<'a> Words<'a> {
    fn all(&self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1].as_str())
    }

    fn one(&self, flag: &'a str) -> Result<&'a str> {
        self.all(flag).next().with_context(|| format!("{flag} is missing"))
    }

    fn code(&self, flag: &'a str) -> Result<Code> {
        self.one(flag)?.parse().map_err(|error| anyhow::anyhow!("{flag}: {error}"))
    }

    fn chance(&self) -> Result<Option<[u8; PAIRING_CHANCE_LEN]>> {
        let Some(text) = self.all("--chance").next() else { return Ok(None) };
        let bytes = unhex(text)?.try_into();
        bytes.map(Some).map_err(|_| anyhow::anyhow!("--chance: not {PAIRING_CHANCE_LEN} bytes"))
    }
}

/// One exchange as a receiver with chance that somebody knows; the line ends as soon as both are proved.
fn pair(words: &Words<'_>) -> Result<()> {
    let at: SocketAddr = words.one("--at")?.parse()?;
    ensure!(is_ours(at), "{at}: only machines of a private network are visited");
    let mut line = TcpStream::connect_timeout(&at, PATIENCE)?;
    line.set_read_timeout(Some(PATIENCE))?;
    let (mut out, mut unread) = (Vec::new(), Vec::new());
    let mut receiver =
        Receiver::new(&words.code("--pair")?, words.chance()?.context("--chance is missing")?, &mut out);
    loop {
        line.write_all(&out)?;
        out.clear();
        let mut chunk = [0; 256];
        let len = line.read(&mut chunk)?;
        ensure!(len > 0, "the share hung up");
        unread.extend_from_slice(&chunk[..len]);
        let (taken, paired) = receiver.read(&unread, &mut out)?;
        unread.drain(..taken);
        if paired.is_some() {
            println!("{{\"paired\":true}}");
            return Ok(());
        }
    }
}

fn is_ours(at: SocketAddr) -> bool {
    match at {
        SocketAddr::V4(at) => at.ip().is_private() || at.ip().is_loopback() || at.ip().is_link_local(),
        SocketAddr::V6(at) => at.ip().is_loopback() || at.ip().is_unicast_link_local(),
    }
}

fn eavesdrop(words: &Words<'_>) -> Result<()> {
    let path = words.one("--recording")?;
    let recording = Recording::read(path.as_ref()).with_context(|| path.to_owned())?;
    let code = words.code("--code")?;
    let count = words.all("--candidates").next().map(str::parse).transpose()?.unwrap_or(usize::MAX);
    let dictionary = Dictionary::among(&code, count);
    let began = Instant::now();
    let mut sought = leaks::Sought::default();
    for hash in words.all("--hash") {
        sought.info_hash(&unhex(hash)?)?;
    }
    for name in words.all("--name") {
        sought.name(name)?;
    }
    for content in words.all("--content") {
        sought.content(&std::fs::read(content).with_context(|| content.to_owned())?);
    }
    sought.code(&code);
    dictionary.everything_that_follows(|word| sought.digest(word));
    let found = sought.look(&recording);
    let exchanges = recording.exchanges();
    let searched = began.elapsed();
    let began = Instant::now();
    // One would do; nothing is gained by those of who guessed wrong.
    let tried = &exchanges[..exchanges.len().min(EXCHANGES_TRIED)];
    let passive = dictionary.listen(tried)?;
    let (left, fits) = (passive.left, passive.fit.len());
    let listened = began.elapsed();
    let secret = match words.chance()? {
        Some(chance) => dictionary.listen_knowing(&exchanges, &chance)?,
        None => Vec::new(),
    };
    let secret_right = secret.len() == 1 && dictionary.is_true(secret[0]);
    println!(
        "{{\"frames\":{},\"bytes\":{},\"info_hashes\":{},\"names\":{},\"blocks\":{},\"codes\":{},\"digests\":{},\"exchanges\":{},\"exchanges_tried\":{},\
         \"candidates\":{},\"left\":{left},\"fits\":{fits},\"found_with_secret\":{},\"secret_is_right\":{secret_right},\
         \"searched_seconds\":{:.1},\"dictionary_seconds\":{:.1}}}",
        recording.frames,
        recording.bytes(),
        found.info_hashes,
        found.names,
        found.blocks,
        found.codes,
        found.digests,
        exchanges.len(),
        tried.len(),
        dictionary.len(),
        secret.len(),
        searched.as_secs_f64(),
        listened.as_secs_f64(),
    );
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        bail!("{text}: no hex");
    }
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
