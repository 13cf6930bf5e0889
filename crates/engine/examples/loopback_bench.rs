//! How fast one client seeds to another over loopback, and what it costs: two processes, one file in `/dev/shm`.
//!
//! `cargo run --release -p gannet --example loopback_bench -- [MiB] [piece KiB] [buffer MiB] [encryption,...]` prints megabytes per second, CPU seconds per
//! GiB of each side and their peak memory. Compare with floors measured on the same machine in the same hour, not with
//! other machines' figures. `off,require,private,off,require,private` as encryption sets plaintext beside RC4 and private links
//! in one run.

use gannet::{AddOptions, Client, ClientConfig, Encryption, Event, Policy, StageName, SwarmKey};
use proto::{Rng, Seed};
use sha1::{Digest, Sha1};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wire::metainfo::MetainfoBuilder;

const MIB: u64 = 1024 * 1024;
const CONTENT_NAME: &str = "content";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("seed") => seed(Path::new(&args[1]), &args[2]),
        Some("leech") => leech(Path::new(&args[1]), args[2].parse()?, args[3].parse()?, &args[4]),
        mib => {
            let mib = mib.map_or(Ok(1024), str::parse)?;
            let piece_kib = args.get(1).map_or(Ok(1024), |arg| arg.parse())?;
            let buffer_mib = args.get(2).map_or("64", |arg| arg);
            let mut encryptions = args.get(3).map_or("allow", |arg| arg).split(',');
            encryptions.try_for_each(|encryption| bench(mib, piece_kib, buffer_mib, encryption))
        }
    }
}

/// Makes the content, runs both sides as processes of their own, prints what they cost.
fn bench(mib: u64, piece_kib: u32, buffer_mib: &str, encryption: &str) -> Outcome<()> {
    let home = tempfile::Builder::new().prefix("gannet-bench").tempdir_in("/dev/shm")?;
    make_content(home.path(), mib * MIB, piece_kib * 1024)?;
    let program = std::env::current_exe()?;
    let mut seed = Command::new(&program)
        .arg("seed")
        .arg(home.path())
        .arg(encryption)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut seed_says = BufReader::new(seed.stdout.take().ok_or("no stdout")?).lines();
    let address = seed_says.next().ok_or("the seed ended")??;
    let leech = Command::new(&program)
        .arg("leech")
        .arg(home.path())
        .arg(address)
        .arg(buffer_mib)
        .arg(encryption)
        .output()?;
    drop(seed.stdin.take());
    let seed_cost = seed_says.next().ok_or("the seed ended")??;
    seed.wait()?;
    if !leech.status.success() {
        return Err(String::from_utf8_lossy(&leech.stderr).into_owned().into());
    }
    let same = std::fs::read(home.path().join("seed").join(CONTENT_NAME))?
        == std::fs::read(home.path().join("leech").join(CONTENT_NAME))?;
    let same = if same { "equal" } else { "DIFFERENT" };
    println!("{mib} MiB in pieces of {piece_kib} KiB, encryption {encryption}, content {same}");
    println!("seed:  {seed_cost}");
    print!("{}", String::from_utf8_lossy(&leech.stdout));
    Ok(())
}

fn make_content(home: &Path, len: u64, piece_len: u32) -> Outcome<()> {
    std::fs::create_dir(home.join("seed"))?;
    let mut file = std::fs::File::create(home.join("seed").join(CONTENT_NAME))?;
    let (mut rng, mut hashes, mut left) = (Rng::new(Seed(1)), Vec::new(), len);
    while left > 0 {
        let piece_len = left.min(piece_len.into());
        let piece: Vec<u8> = (0..piece_len / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        hashes.push(Sha1::digest(&piece).into());
        file.write_all(&piece)?;
        left -= piece_len;
    }
    let (torrent, _) = MetainfoBuilder::single(CONTENT_NAME, len, piece_len).build(&hashes)?;
    Ok(std::fs::write(home.join("torrent"), torrent)?)
}

fn policy(name: &str) -> Outcome<Encryption> {
    let policies = [Policy::Off, Policy::Allow, Policy::Prefer, Policy::Require];
    let named = policies.into_iter().find(|policy| format!("{policy:?}").eq_ignore_ascii_case(name));
    Ok(Encryption::both(named.ok_or_else(|| format!("no encryption is called {name}"))?))
}

fn client(home: &Path, name: &str, buffer_mib: u64, encryption: &str) -> Outcome<Client> {
    let mut config = ClientConfig::new(home.join(format!("{name}-state")), home.join(name));
    config.listen.ports = 0..=0;
    config.listen.ipv4 = Some(Ipv4Addr::LOCALHOST);
    config.listen.ipv6 = None;
    config.local_discovery = false;
    config.dht = None;
    config.limits.buffer = buffer_mib * MIB;
    match encryption {
        "private" => config.swarm_key = Some(SwarmKey([7; 32])),
        other => config.encryption = policy(other)?,
    }
    Ok(Client::start(config)?)
}

/// Checks the content, says where it listens, and seeds until its standard input ends; then says what that cost.
fn seed(home: &Path, encryption: &str) -> Outcome<()> {
    let client = client(home, "seed", 64, encryption)?;
    let events = client.events();
    client.add(&std::fs::read(home.join("torrent"))?, AddOptions::default())?;
    while !matches!(events.recv()?, Event::Stage(_, StageName::Seeding)) {}
    let before = cpu_time()?;
    println!("{}", client.local_addrs()[0]);
    std::io::stdin().lines().for_each(drop);
    println!("{}", cost(home, before)?);
    client.shutdown().wait()?;
    Ok(())
}

fn leech(home: &Path, address: SocketAddr, buffer_mib: u64, encryption: &str) -> Outcome<()> {
    let client = client(home, "leech", buffer_mib, encryption)?;
    let events = client.events();
    let (began, before) = (Instant::now(), cpu_time()?);
    let options = AddOptions { peers: vec![address], ..AddOptions::default() };
    client.add(&std::fs::read(home.join("torrent"))?, options)?;
    let mut finished = None;
    loop {
        match events.recv_timeout(Duration::from_secs(120))? {
            Event::Finished(_) => finished = Some(began.elapsed()),
            Event::Durable(_) => break,
            _ => {}
        }
    }
    let durable = began.elapsed();
    let megabytes = content_len(home)? as f64 / 1e6;
    let rate = |time: Duration| megabytes / time.as_secs_f64();
    println!("leech: {}", cost(home, before)?);
    println!(
        "{:.0} MB/s until verified, {:.0} MB/s until durable",
        finished.map_or(f64::NAN, rate),
        rate(durable)
    );
    client.shutdown().wait()?;
    Ok(())
}

fn content_len(home: &Path) -> Outcome<u64> {
    Ok(std::fs::metadata(home.join("seed").join(CONTENT_NAME))?.len())
}

fn cost(home: &Path, before: Duration) -> Outcome<String> {
    let gib = content_len(home)? as f64 / (1024.0 * MIB as f64);
    let cpu = (cpu_time()? - before).as_secs_f64() / gib;
    Ok(format!("{cpu:.2} CPU s/GiB, peak {} MiB", peak_memory_mib()?))
}

/// User and system time of this process so far.
fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields after the name, which may hold spaces; utime and stime are the 14th and 15th of all, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 =
        fields.get(11).ok_or("stat")?.parse::<u64>()? + fields.get(12).ok_or("stat")?.parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn peak_memory_mib() -> Outcome<u64> {
    let status = std::fs::read_to_string(PathBuf::from("/proc/self/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("VmHWM")?.parse::<u64>()? / 1024)
}
