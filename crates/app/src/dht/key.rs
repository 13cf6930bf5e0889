//! `gannet dht key`, and the file that it makes: one line of 64 hexadecimal digits, the seed of an Ed25519 key (RFC 8032). 128 digits,
//! the expanded form that libtorrent keeps, are read too.

use crate::chance;
use crate::cli::{Exit, MakeKey};
use crate::failure::{Failure, Outcome};
use crate::new_file::{in_the_way, unwritable};
use crate::show;
use crate::words::{shell, why};
use gannet::dht::SecretKey;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A key file is no longer than this.
const FILE_LEN_MAX: u64 = 1024;

/// `gannet dht key`.
pub(super) fn make(args: &MakeKey) -> Outcome {
    let seed: [u8; 32] = chance::bytes()?;
    let path = &args.file;
    // Nobody else on this machine may publish in our name.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => in_the_way(path),
        _ => unwritable(path, &error),
    })?;
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = writeln!(file, "{digits}").and_then(|()| file.sync_all());
    written.map_err(|error| unwritable(path, &error))?;
    show::print(&format!("{}\n", SecretKey::from_seed(seed).public()))?;
    show::message(&format!(
        "{} is the secret: keep it. What others may know is printed above; publish with: gannet dht put --key {} ...",
        path.display(),
        shell(path)
    ));
    Ok(Exit::Done)
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> Result<SecretKey, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::plain(format!(
            "there is no key {}; make one: gannet dht key {}",
            path.display(),
            shell(path)
        )),
        _ => Failure::plain(format!("cannot read the key {}: {}", path.display(), why(&error))),
    })?;
    let digits = text.trim();
    let seed = bytes(digits).map(SecretKey::from_seed);
    seed.or_else(|| bytes(digits).map(SecretKey::from_expanded)).ok_or_else(|| {
        let what = format!(
            "{} is no key: it should hold 64 hexadecimal digits, as `gannet dht key` writes them",
            path.display()
        );
        Failure::plain(what)
    })
}

/// Exactly so many bytes as hexadecimal digits.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_and_nothing_else_is_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.key");
        make(&MakeKey { file: path.clone() }).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let public = read(&path).unwrap().public();
        assert!(make(&MakeKey { file: path.clone() }).is_err(), "a key is never replaced");
        assert_eq!(read(&path).unwrap().public(), public);
        // The test vectors of BEP 44 have the expanded form.
        let expanded = "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d\
                        b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d";
        std::fs::write(&path, expanded).unwrap();
        let known = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
        assert_eq!(read(&path).unwrap().public().to_string(), known);
        for bad in ["", "12", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err(), "{bad:?}");
        }
    }
}
