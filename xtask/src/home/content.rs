//! What is shared here: large files with holes, noise alone where holes would say too much, and a folder with everything that may
//! come along; and whether a copy is the same.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A sparse file: in every so many bytes ...
const STRIDE: u64 = 16 << 20;
/// ... so many are noise, no two of them alike; the rest is a hole.
const NOISE: u64 = 1 << 20;

/// Read and compared at once.
const CHUNK: usize = 1 << 20;

/// A file of this size, one sixteenth of it noise and the rest a hole: it takes little of the disk that is to be written to.
pub(super) fn sparse(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    for (number, at) in (0..size).step_by(STRIDE as usize).enumerate() {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&noise(number as u64, NOISE.min(size - at)))?;
    }
    file.set_len(size)?;
    Ok(())
}

/// A file of noise alone.
pub(super) fn noisy(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    for (number, at) in (0..size).step_by(NOISE as usize).enumerate() {
        file.write_all(&noise(1 << 40 | number as u64, NOISE.min(size - at)))?;
    }
    Ok(())
}

/// A small folder with what may come along: nested folders, a name that is not ASCII, a file that can be executed, one without
/// bytes, a folder without files.
pub(super) fn folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path.join("fotos/übersee"))?;
    fs::create_dir_all(path.join("nothing here"))?;
    noisy(&path.join("fotos/übersee/große.raw"), 3 << 20)?;
    noisy(&path.join("fotos/small.raw"), 1234)?;
    fs::write(path.join("empty.txt"), b"")?;
    fs::write(path.join("tool.sh"), b"#!/bin/sh\necho here\n")?;
    fs::set_permissions(path.join("tool.sh"), Permissions::from_mode(0o755))?;
    Ok(())
}

/// Whether a copy is the same: files by length and every byte, folders by their entries, and who can be executed.
///
/// # Errors
/// What differs.
pub(super) fn same(want: &Path, got: &Path) -> Result<()> {
    let told = || format!("{} is not as {}", got.display(), want.display());
    let [a, b] = [fs::metadata(want)?, fs::metadata(got).with_context(told)?];
    ensure!(a.is_dir() == b.is_dir(), "{}: another kind", told());
    if a.is_dir() {
        let [ours, theirs] = [entries(want)?, entries(got)?];
        ensure!(ours == theirs, "{}: {theirs:?} instead of {ours:?}", told());
        return ours.iter().try_for_each(|name| same(&want.join(name), &got.join(name)));
    }
    ensure!(a.len() == b.len(), "{}: {} bytes instead of {}", told(), b.len(), a.len());
    let executable = [&a, &b].map(|stat| stat.permissions().mode() & 0o100 != 0);
    ensure!(executable[0] == executable[1], "{}: executable {executable:?}", told());
    let [mut ours, mut theirs] = [File::open(want)?, File::open(got)?];
    let [mut left, mut right] = [vec![0; CHUNK], vec![0; CHUNK]];
    for at in (0..a.len()).step_by(CHUNK) {
        let len = CHUNK.min((a.len() - at) as usize);
        ours.read_exact(&mut left[..len])?;
        theirs.read_exact(&mut right[..len])?;
        ensure!(left[..len] == right[..len], "{}: from byte {at} on", told());
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut names =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into())).collect::<Result<Vec<PathBuf>>>()?;
    names.sort();
    Ok(names)
}

/// SplitMix64 from a number: bytes that do not compress and do not repeat.
fn noise(number: u64, len: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d;
    let mut bytes = Vec::with_capacity(len as usize + 8);
    while (bytes.len() as u64) < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}
