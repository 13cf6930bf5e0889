//! Where progress is remembered on file systems that lack what SQLite likes to have: network file systems, those of FUSE.
//!
//! A small library between the program and the system refuses what such a file system refuses.

use crate::program::{Ended, Place, Running, noise};
use std::process::Command;

/// Refuses shared memory on files (as FUSE does with direct I/O) or record locks (as NFS does without its lock service).
const REFUSING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int refuses(const char *what) {
    const char *refused = getenv("GANNET_TEST_REFUSED");
    return refused && strstr(refused, what);
}

static void *map(const char *name, void *at, size_t len, int prot, int flags, int fd, off_t from) {
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    if ((flags & MAP_SHARED) && fd >= 0 && refuses("memory")) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return real(at, len, prot, flags, fd, from);
}

static int control(const char *name, int fd, int what, void *with) {
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    if ((what == F_SETLK || what == F_SETLKW || what == F_GETLK) && refuses("locks")) {
        errno = ENOLCK;
        return -1;
    }
    return real(fd, what, with);
}

#define CONTROL(name) int name(int fd, int what, ...) { \
    va_list more; va_start(more, what); void *with = va_arg(more, void *); va_end(more); \
    return control(#name, fd, what, with); }

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t from) {
    return map("mmap", at, len, prot, flags, fd, from);
}
void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t from) {
    return map("mmap64", at, len, prot, flags, fd, from);
}
CONTROL(fcntl)
CONTROL(fcntl64)
"#;

/// Two films and their torrents, both seeded, and the library.
fn films() -> (Place, Running, String) {
    let place = Place::new();
    for (name, seed) in [("one.bin", 1), ("two.bin", 2)] {
        place.write(&format!("films/{name}"), &noise(400_000, seed));
        place.create(&[&format!("films/{name}")]);
    }
    place.write("refusing.c", REFUSING.as_bytes());
    let words = ["-shared", "-fPIC", "-o", "refusing.so", "refusing.c", "-ldl"];
    assert!(Command::new("cc").args(words).current_dir(place.path(".")).status().unwrap().success());
    let seed = ["seed", "one.bin.torrent", "two.bin.torrent", "--data", "films", "--port", "0"];
    let mut seed = place.start(&[&seed[..], &["--state", "state-of-the-seed"]].concat());
    let port = seed.wait_for("listening on port ");
    let peer = format!("127.0.0.1:{}", port.rsplit(' ').next().unwrap());
    seed.wait_for("complete, ");
    seed.wait_for("complete, ");
    (place, seed, peer)
}

/// The program on a file system that refuses this.
fn command(place: &Place, words: &[&str], refused: &str) -> Command {
    let mut command = place.command(words);
    command.env("LD_PRELOAD", place.path("refusing.so")).env("GANNET_TEST_REFUSED", refused);
    command
}

fn get<'a>(torrent: &'a str, peer: &'a str) -> Vec<&'a str> {
    vec!["get", torrent, "-o", "got", "--json", "--port", "0", "--peer", peer]
}

/// All of it was remembered as verified, and nothing had to be hashed to know.
fn assert_remembered(got: &Ended) {
    assert!(got.code == Some(0) && got.err.is_empty(), "{got:?}");
    let resumed = got.json_of("resumed");
    assert_eq!((&resumed["have"], &resumed["checked"]), (&400_000.into(), &0.into()), "{got:?}");
}

#[test]
fn without_shared_memory_progress_is_remembered_by_several_processes_and_can_move_to_and_fro() {
    let (place, _seed, peer) = films();
    let run = |torrent, refused| Running::start(&mut command(&place, &get(torrent, &peer), refused)).end();
    let one = run("one.bin.torrent", "memory");
    assert!(one.code == Some(0) && one.err.is_empty(), "{one:?}");
    // While one process works there, another does.
    let slow = [&get("two.bin.torrent", &peer)[..], &["--max-down", "20kB/s"]].concat();
    let mut two = Running::start(&mut command(&place, &slow, "memory"));
    two.wait_for_type("piece_done");
    assert_remembered(&run("one.bin.torrent", "memory"));
    two.wait_for_type("piece_done");
    two.signal("INT");
    let two = two.end();
    assert!(two.code == Some(130) && two.err.is_empty(), "{two:?}");
    // The same state where there is shared memory, and then again where there is none.
    for refused in ["", "memory", ""] {
        assert_remembered(&run("one.bin.torrent", refused));
        assert!(!place.exists("state/gannet/trial.db"), "what was tried is gone");
    }
}

#[test]
fn without_locks_nothing_is_begun_and_it_is_said_why() {
    let (place, _seed, peer) = films();
    let run = |refused| Running::start(&mut command(&place, &get("one.bin.torrent", &peer), refused)).end();
    for refused in ["locks", "locks and memory"] {
        let got = run(refused);
        assert_eq!(got.code, Some(1), "{got:?}");
        let why = "lies on a file system without file locks, which the state needs: name a folder on a disk of this machine (--state)";
        assert!(got.last_word().ends_with(why), "{refused}: {got:?}");
        assert!(!place.exists("got"));
    }
    // One that was made elsewhere is as it was.
    assert_eq!(run("").code, Some(0));
    assert_eq!(run("locks").code, Some(1));
    assert_remembered(&run(""));
}
