//! B2: a folder that turns into a link to the outside and back while the storage writes: whoever looks first and writes then is
//! caught here sooner or later.
//!
//! How often it turns is bounded, and more with the environment variable `GANNET_SWAP_ROUNDS`.

use super::links::{Precious, lay_outside, outside_of};
use super::*;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicU32;

const ROUNDS: u32 = 2_000;
/// After so many a new place is begun, so that files are created, and not only written to, while it turns.
const ROUNDS_A_PLACE: u32 = 50;
/// How often all pieces are written to a place.
const PASSES_A_PLACE: u32 = 3;

/// Turns the folder into a link and back, so many times, and on until the storage has been through its pieces often enough.
/// How many times it was.
fn swap([folder, aside, outside]: [&Path; 3], rounds: u32, passes: &AtomicU32) -> u32 {
    let mut turns = 0;
    while turns < rounds || passes.load(Ordering::Relaxed) < PASSES_A_PLACE {
        turns += 1;
        // It may not be there yet: then the link is there first.
        let moved = std::fs::rename(folder, aside).is_ok();
        let linked = symlink(outside, folder).is_ok();
        std::thread::yield_now();
        if linked {
            std::fs::remove_file(folder).unwrap();
        }
        if moved {
            // Meanwhile the storage may have made a new one; what is in it is its own.
            let _ = std::fs::rename(aside, folder);
        }
    }
    turns
}

#[test]
fn a_folder_that_turns_into_a_link_while_we_write_leads_nowhere() {
    let rounds = std::env::var("GANNET_SWAP_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS);
    let names: Vec<String> = (0..24).map(|number| format!("f/{number}")).collect();
    let mut files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 20_000)).collect();
    // What the outside is filled with.
    files.extend([("a", 100), ("f/b", 100), ("f/g/c", 100)]);
    let content = Content::of(&files, 16_384);
    let (mut turned, mut done, mut refused) = (0, 0_u32, 0_u32);
    while turned < rounds {
        let place = Place::new(&content);
        lay_outside(&place, Precious::Garbage);
        let outside = place.temp.path().join("outside/f");
        for (name, bytes) in names.iter().zip([&b"precious"[..], b""].into_iter().cycle()) {
            std::fs::write(place.temp.path().join("outside").join(name), bytes).unwrap();
        }
        let before = outside_of(&place);
        let run = place.open();
        let now = ROUNDS_A_PLACE.min(rounds - turned);
        let (folder, aside) = (place.path("t/f"), place.path("t/aside"));
        std::fs::create_dir_all(place.path("t")).unwrap();
        let passes = AtomicU32::new(0);
        let turns = std::thread::scope(|scope| {
            let swapper = scope.spawn(|| swap([&folder, &aside, &outside], now, &passes));
            while !swapper.is_finished() {
                for piece in content.pieces() {
                    let said = [run.spill(piece, &[0]), run.write(piece)];
                    done += said.iter().filter(|said| said.is_ok()).count() as u32;
                    refused += said.iter().filter(|said| said.is_err()).count() as u32;
                }
                refused += u32::from(run.sync().is_err());
                passes.fetch_add(1, Ordering::Relaxed);
            }
            swapper.join().unwrap()
        });
        let _ = run.storage.close();
        assert_eq!(outside_of(&place), before, "after {turned} turns");
        turned += turns;
    }
    println!("{turned} turns, {done} writes done, {refused} refused");
    assert!(turned >= rounds && done > 0);
}
