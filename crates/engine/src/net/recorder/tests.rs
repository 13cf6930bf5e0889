//! Recordings on disks that are slow, full, or not there.

use super::*;
use proto::trace::{Record, TraceReader};
use proto::{Config, Input, Outbox, Seed};
use std::sync::{Mutex, PoisonError};
use wire::PeerId;

const START: Instant = Instant::from_micros(1_000_000);

/// A disk that takes nothing while somebody holds its gate, and no more than so many bytes.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Mutex<()>>,
    room: usize,
}

impl Disk {
    fn with_room(room: usize) -> Disk {
        Disk { bytes: Arc::default(), gate: Arc::default(), room }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _open = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.bytes.lock().unwrap();
        if all.len() + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorder(disk: &Disk, limits: Limits) -> Recorder {
    let head = Head { config: Config::new(PeerId([1; 20])), seed: Seed(3), start: START };
    Recorder::start(&head, disk.clone(), limits).unwrap()
}

/// A second in which something happens a thousand times; whether the recording goes on after it.
fn second(recorder: &mut Recorder, number: u64) -> bool {
    let now = START + Duration::from_secs(number);
    for _ in 0..1000 {
        recorder.trace.record(now, &Input::Wake);
        recorder.trace.said(now, &Outbox::new());
    }
    recorder.save(now)
}

/// How many inputs a trace has, and how it ends.
fn read(trace: &[u8]) -> (usize, Option<End>) {
    let records: Vec<Record> = TraceReader::new(trace).unwrap().1.map(Result::unwrap).collect();
    let inputs = records.iter().filter(|record| matches!(record, Record::Input(..))).count();
    let end = records.last().and_then(|record| match record {
        Record::End(why, _) => Some(*why),
        Record::Input(..) | Record::Mark(_) => None,
    });
    (inputs, end)
}

/// Until something is so that another thread brings about.
fn wait_until(mut so: impl FnMut() -> bool) {
    while !so() {
        std::thread::yield_now();
    }
}

const PLENTY: Limits = Limits { waiting: 1 << 30, file: 1 << 30 };

#[test]
fn a_recording_is_whole_when_its_session_has_ended() {
    let disk = Disk::with_room(1 << 30);
    let mut recorder = recorder(&disk, PLENTY);
    assert!((1..=5).all(|number| second(&mut recorder, number)));
    drop(recorder);
    assert_eq!(read(&disk.bytes()), (5_000, Some(End::Closed)));
}

#[test]
fn what_is_older_than_a_second_is_in_the_file_before_the_end() {
    let disk = Disk::with_room(1 << 30);
    let mut recorder = recorder(&disk, PLENTY);
    assert!(second(&mut recorder, 1) && second(&mut recorder, 2));
    wait_until(|| recorder.progress.waiting.load(Ordering::Relaxed) == 0);
    assert_eq!(read(&disk.bytes()), (2_000, None));
}

#[test]
fn a_disk_that_does_not_keep_up_ends_the_recording_and_not_the_session() {
    let disk = Disk::with_room(1 << 30);
    let mut recorder = recorder(&disk, Limits { waiting: 10_000, file: 1 << 30 });
    let shut = disk.gate.lock().unwrap();
    let ended = (1..100).find(|&number| !second(&mut recorder, number)).expect("it ends");
    let waiting = recorder.progress.waiting.load(Ordering::Relaxed);
    assert!(waiting < 10_000 + 4_000, "{waiting} bytes wait");
    // The session does not wait for the disk here, nor with the gate shut for ever.
    drop(recorder);
    drop(shut);
    wait_until(|| Arc::strong_count(&disk.bytes) == 1);
    assert_eq!(read(&disk.bytes()), (ended as usize * 1000, Some(End::Behind)), "and what there is is good");
}

#[test]
fn a_recording_does_not_grow_for_ever() {
    let disk = Disk::with_room(1 << 30);
    let mut recorder = recorder(&disk, Limits { waiting: 1 << 30, file: 20_000 });
    let ended = (1..100).find(|&number| !second(&mut recorder, number)).expect("it ends");
    drop(recorder);
    wait_until(|| Arc::strong_count(&disk.bytes) == 1);
    assert_eq!(read(&disk.bytes()), (ended as usize * 1000, Some(End::Full)));
    assert!(disk.bytes().len() < 20_000 + 4_000);
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_session() {
    let disk = Disk::with_room(10_000);
    let mut recorder = recorder(&disk, PLENTY);
    let mut number = 0;
    wait_until(|| {
        number += 1;
        !second(&mut recorder, number)
    });
    drop(recorder);
    assert!(disk.bytes().len() <= 10_000);
    assert!(read(&disk.bytes()).1.is_none());
}

#[test]
fn a_recording_is_for_its_owner_alone_even_where_one_was() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("recording");
    for _ in 0..2 {
        create(&path).unwrap().write_all(&[&MAGIC[..], b"names"].concat()).unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o600, 13));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_file_that_is_no_recording_is_not_written_over() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("film.mkv");
    for content in [&b"a film"[..], b"another film, longer than that"] {
        std::fs::write(&path, content).unwrap();
        let error = create(&path).err().unwrap().to_string();
        assert!(error.contains("no recording"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    assert!(create(temp.path()).is_err(), "a folder");
}
