//! Shares and receivers whole, over real sockets of this machine; torrents are cut small, so that little content makes many.

mod coming;
mod content;

use super::{Code, Offered, Receive, ReceiveConfig, ReceiveEvent, Share, ShareConfig, ShareEvent};
use crate::{Listen, RecvError};
use proto::{Rng, Seed};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// So long anything may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lengths of torrents: 256 KiB, 512 KiB, 1 MiB, then 2 MiB each.
const SMALL: [u64; 4] = [256 << 10, 512 << 10, 1 << 20, 2 << 20];

fn here() -> Listen {
    Listen { ports: 0..=0, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: None }
}

/// A directory of a test: what is shared in `source`, what is received in folders beside.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir(home.source()).unwrap();
        home
    }

    fn source(&self) -> PathBuf {
        self.0.path().join("source")
    }

    /// Writes chance of this length.
    fn write(&self, path: &str, len: usize) -> PathBuf {
        let whole = self.source().join(path);
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        let mut rng = Rng::new(Seed(len as u64 ^ path.bytes().map(u64::from).sum::<u64>()));
        let bytes: Vec<u8> =
            (0..len.div_ceil(4)).flat_map(|_| rng.next_u32().to_le_bytes()).take(len).collect();
        fs::write(&whole, bytes).unwrap();
        whole
    }

    fn share(&self, path: &Path) -> Share {
        self.share_with(path, |_| {})
    }

    fn share_with(&self, path: &Path, set: impl FnOnce(&mut ShareConfig)) -> Share {
        let mut config = ShareConfig {
            listen: here(),
            announce: false,
            ..ShareConfig::new(self.0.path().join("scratch"))
        };
        set(&mut config);
        Share::begin_cut(vec![path.into()], config, SMALL).unwrap()
    }

    fn receive(&self, share: &Share, name: &str) -> Receiver {
        self.receive_with(share, name, |_| {})
    }

    fn receive_with(&self, share: &Share, name: &str, set: impl FnOnce(&mut ReceiveConfig)) -> Receiver {
        let code = share.code().to_string().parse().unwrap();
        let peers = share.addresses();
        self.receive_by(code, name, |config| {
            config.peers = peers;
            set(config);
        })
    }

    fn receive_by(&self, code: Code, name: &str, set: impl FnOnce(&mut ReceiveConfig)) -> Receiver {
        let (output, state) = (self.output(name), self.state(name));
        let mut config = ReceiveConfig { listen: here(), look: false, ..ReceiveConfig::new(output, state) };
        set(&mut config);
        Receiver(Receive::begin(code, config).unwrap())
    }

    fn output(&self, name: &str) -> PathBuf {
        self.0.path().join(name).join("output")
    }

    fn state(&self, name: &str) -> PathBuf {
        self.0.path().join(name).join("state")
    }
}

/// Somebody who receives.
struct Receiver(Receive);

impl Receiver {
    /// What happens until it is what is wanted; that one last.
    fn until(&self, what: &str, wanted: impl Fn(&ReceiveEvent) -> bool) -> Vec<ReceiveEvent> {
        let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            match self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => seen.push(event),
                Err(error) => panic!("no {what}: {error}; {seen:?}; {:?}", self.0.status()),
            }
            if wanted(&seen[seen.len() - 1]) {
                return seen;
            }
            if let ReceiveEvent::Failed(error) = &seen[seen.len() - 1] {
                panic!("no {what}: {error}; {seen:?}");
            }
        }
    }

    fn offered(&self) -> Offered {
        match self.until("offer", |event| matches!(event, ReceiveEvent::Offered(_))).pop() {
            Some(ReceiveEvent::Offered(offered)) => offered,
            other => panic!("{other:?}"),
        }
    }

    fn finish(&self) -> Vec<ReceiveEvent> {
        self.until("end", |event| matches!(event, ReceiveEvent::Finished { .. }))
    }

    /// Takes everything.
    fn take(&self) -> Vec<ReceiveEvent> {
        self.offered();
        self.0.accept();
        self.finish()
    }

    fn end(self) {
        self.0.end().wait_for(PATIENCE).expect("an end");
    }
}

/// What happens to a share until it is what is wanted; that one last.
fn until(share: &Share, what: &str, wanted: impl Fn(&ShareEvent) -> bool) -> Vec<ShareEvent> {
    let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        match share.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => seen.push(event),
            Err(error) => panic!("no {what}: {error}; {seen:?}"),
        }
        if wanted(&seen[seen.len() - 1]) {
            return seen;
        }
    }
}

fn end(share: Share) {
    share.end().wait_for(PATIENCE).expect("an end");
    assert!(matches!(share.recv_timeout(PATIENCE), Ok(_) | Err(RecvError::Stopped)));
}

/// Everything below a folder, or a file: by path, content and whether it may be executed; of folders nothing.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<(Vec<u8>, bool)>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if metadata.is_dir() {
            found.insert(name, None);
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            found.insert(name, Some((fs::read(&path).unwrap(), executable)));
        }
    }
    found
}

#[track_caller]
fn assert_same(source: &Path, copy: &Path) {
    let (source, copy) = (tree(source), tree(copy));
    let names = |tree: &BTreeMap<PathBuf, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&source), names(&copy));
    assert!(source == copy, "content or marks differ");
}
