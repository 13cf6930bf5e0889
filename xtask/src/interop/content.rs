//! What is shared in a test: files made from a seed, and the comparison of two folders.

use crate::lab::process::output;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to share.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// One file of so many bytes.
    OneFile(u64),
    /// So many files in nested folders: most are small, some empty, some span pieces.
    Files(u32),
    /// So many small files, each under a path of almost 3,000 bytes: much to say about little content.
    LongPaths(u32),
}

/// A content on disk with its torrent.
pub(crate) struct Shared {
    /// The folder that holds the content: what clients call the download folder.
    pub(crate) dir: PathBuf,
    /// The content's own name inside `dir`.
    pub(crate) name: String,
    /// The torrent file.
    pub(crate) torrent: PathBuf,
    /// Bytes in all.
    pub(crate) size: u64,
    /// Bytes of a piece.
    pub(crate) piece_len: u32,
}

impl Content {
    /// Makes the files and, with `gannet create`, their torrent.
    pub(crate) fn share(self, dir: &Path, piece_len: u32, trackers: &[String]) -> Result<Shared> {
        self.share_with(dir, piece_len, trackers, &[])
    }

    /// The same, with web seeds.
    pub(crate) fn share_with(
        self,
        dir: &Path,
        piece_len: u32,
        trackers: &[String],
        web_seeds: &[String],
    ) -> Result<Shared> {
        let shared = self.make_in(dir, piece_len)?;
        let mut create = Command::new(gannet());
        create.arg("create").arg(shared.dir.join(&shared.name)).arg("--output").arg(&shared.torrent);
        create.args(["--piece-length", &piece_len.to_string()]);
        for tracker in trackers {
            create.args(["--tracker", tracker]);
        }
        for web_seed in web_seeds {
            create.args(["--web-seed", web_seed]);
        }
        output(&mut create)?;
        Ok(shared)
    }

    /// Makes the files alone; the torrent is the caller's to make.
    pub(crate) fn make_in(self, dir: &Path, piece_len: u32) -> Result<Shared> {
        let seed_dir = dir.join("origin");
        fs::create_dir_all(&seed_dir)?;
        let name = match self {
            Content::OneFile(_) => "content.bin",
            Content::Files(_) | Content::LongPaths(_) => "content",
        };
        let size = self.make(&seed_dir.join(name))?;
        let torrent = dir.join("content.torrent");
        Ok(Shared { dir: seed_dir, name: name.into(), torrent, size, piece_len })
    }

    fn make(self, path: &Path) -> Result<u64> {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        match self {
            Content::OneFile(size) => {
                fs::write(path, noise.bytes(size as usize))?;
                Ok(size)
            }
            Content::Files(count) => {
                let mut size = 0;
                for index in 0..count {
                    let folder = path.join(format!("folder {}", index % 7)).join(format!("ü{}", index % 3));
                    fs::create_dir_all(&folder)?;
                    let len = match index % 10 {
                        0 => 0,
                        1 => 70_000 + u64::from(index),
                        _ => noise.next() % 30_000,
                    };
                    fs::write(folder.join(format!("{index:05}.dat")), noise.bytes(len as usize))?;
                    size += len;
                }
                Ok(size)
            }
            Content::LongPaths(count) => {
                let folders = (0..14).map(|depth| format!("{depth:02}{}", "long-".repeat(39)));
                let folder = folders.fold(path.to_owned(), |path, folder| path.join(folder));
                fs::create_dir_all(&folder)?;
                let mut size = 0;
                for index in 0..count {
                    let len = noise.next() % 3_000;
                    fs::write(folder.join(format!("{index:05}.dat")), noise.bytes(len as usize))?;
                    size += len;
                }
                Ok(size)
            }
        }
    }
}

impl Shared {
    /// Whether another download folder holds the very same files.
    pub(crate) fn same_in(&self, dir: &Path) -> Result<()> {
        compare(&self.dir.join(&self.name), &dir.join(&self.name), Empty::MustBeThere)
    }

    /// The same for a copy that another client made: Transmission 3.00 does not create empty files.
    pub(crate) fn same_in_copy_of(&self, kind: super::Kind, dir: &Path) -> Result<()> {
        let empty = if kind == super::Kind::Transmission { Empty::MayBeAbsent } else { Empty::MustBeThere };
        compare(&self.dir.join(&self.name), &dir.join(&self.name), empty)
    }

    /// Whether another download folder holds files of the same names and bytes, in whatever folders: Gannet shortens paths that some
    /// systems would not take.
    pub(crate) fn same_by_name_in(&self, dir: &Path) -> Result<()> {
        let (mut want, mut got) = (BTreeMap::new(), BTreeMap::new());
        files_beneath(&self.dir.join(&self.name), &mut want)?;
        files_beneath(&dir.join(&self.name), &mut got)?;
        ensure!(want.keys().eq(got.keys()), "{} files, should be {}", got.len(), want.len());
        for (name, path) in want {
            ensure!(fs::read(&path)? == fs::read(&got[&name])?, "{name:?} differs from its origin");
        }
        Ok(())
    }

    /// The info-hash in hex, as trackers' lists want it.
    pub(crate) fn info_hash(&self) -> Result<String> {
        info_hash_of(&self.torrent)
    }

    /// Another torrent of the same content, with the same pieces: with these arguments of `gannet create`.
    pub(crate) fn variant(&self, path: &Path, args: &[&str]) -> Result<PathBuf> {
        let mut create = Command::new(gannet());
        create.arg("create").arg(self.dir.join(&self.name)).arg("--output").arg(path).args(args);
        create.args(["--piece-length", &self.piece_len.to_string()]);
        output(&mut create)?;
        Ok(path.to_owned())
    }
}

/// The info-hash of a torrent in hex.
pub(crate) fn info_hash_of(torrent: &Path) -> Result<String> {
    let text = output(Command::new(gannet()).args(["inspect", "--json"]).arg(torrent))?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    Ok(value["info_hash"].as_str().context("info_hash")?.into())
}

/// The program under test: the release build, as users run it.
pub(crate) fn gannet() -> PathBuf {
    crate::root().join("target/release/gannet")
}

/// What is asked of files without content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    MustBeThere,
    MayBeAbsent,
}

fn compare(want: &Path, got: &Path, empty: Empty) -> Result<()> {
    if want.is_dir() {
        for entry in fs::read_dir(want)? {
            let name = entry?.file_name();
            compare(&want.join(&name), &got.join(&name), empty)?;
        }
        return Ok(());
    }
    if empty == Empty::MayBeAbsent && fs::metadata(want)?.len() == 0 && !got.exists() {
        return Ok(());
    }
    let got_bytes = fs::read(got).with_context(|| got.display().to_string())?;
    ensure!(fs::read(want)? == got_bytes, "{} differs from its origin", got.display());
    Ok(())
}

/// Every file by its own name, which must be the only one of that name.
fn files_beneath(dir: &Path, files: &mut BTreeMap<OsString, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_beneath(&entry.path(), files)?;
        } else if let Some(twin) = files.insert(entry.file_name(), entry.path()) {
            bail!("{} and {} have one name", twin.display(), entry.path().display());
        }
    }
    Ok(())
}

/// SplitMix64: content that does not compress and is the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
