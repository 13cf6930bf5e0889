//! Directories and files on a real file system.

use super::*;
use std::io::IoSlice;
use std::os::unix::fs::symlink;

fn dir() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

fn create(dir: &Dir, path: &str, bytes: &[u8]) -> File {
    let file = dir.file(Path::new(path), Access::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

#[test]
fn no_path_leads_out_of_a_directory() {
    let (temp, _) = dir();
    std::fs::create_dir_all(temp.path().join("root/sub")).unwrap();
    std::fs::write(temp.path().join("secret"), b"x").unwrap();
    let root = Dir::open(&temp.path().join("root")).unwrap();
    symlink("../secret", temp.path().join("root/link")).unwrap();
    symlink("..", temp.path().join("root/up")).unwrap();
    symlink("/proc/self/root", temp.path().join("root/magic")).unwrap();
    let paths =
        ["../secret", "sub/../../secret", "link", "up/secret", "magic/etc/passwd", "/etc/passwd", ".", ""];
    for path in paths.map(Path::new) {
        for access in [Access::Read, Access::Write, Access::Create] {
            assert!(root.file(path, access).is_err(), "{path:?} {access:?}");
        }
        let names: Vec<_> = path.iter().collect();
        if let Ok(names_checked) = plain_names(path) {
            assert_eq!(names, names_checked);
            assert!(root.open_by_steps(&names, OFlags::RDONLY, Mode::empty()).is_err(), "{path:?} by steps");
        }
    }
    assert!(root.make_dirs(Path::new("up/new")).is_err());
    assert!(root.make_dirs(Path::new("../new")).is_err());
    assert!(!temp.path().join("new").exists());
    assert_eq!(root.stat(Path::new("link")).unwrap().kind, Kind::Link);
}

#[test]
fn opening_by_steps_finds_what_openat2_finds() {
    let (_temp, dir) = dir();
    dir.make_dirs(Path::new("a/b")).unwrap();
    create(&dir, "a/b/c", b"hello");
    let names: Vec<_> = Path::new("a/b/c").iter().collect();
    let file = File::from(dir.open_by_steps(&names, OFlags::RDONLY, Mode::empty()).unwrap());
    assert_eq!(file.stat().unwrap(), dir.stat(Path::new("a/b/c")).unwrap());
}

#[test]
fn only_a_regular_file_is_opened() {
    let (temp, dir) = dir();
    std::fs::create_dir(temp.path().join("d")).unwrap();
    rustix::fs::mkfifoat(&dir.fd, "pipe", Mode::from_raw_mode(0o600)).unwrap();
    for name in ["d", "pipe"] {
        for access in [Access::Read, Access::Write, Access::Create] {
            assert!(dir.file(Path::new(name), access).is_err(), "{name} {access:?}");
        }
    }
}

#[test]
fn directories_are_made_once_and_those_that_changed_are_told() {
    let (_temp, dir) = dir();
    assert_eq!(dir.make_dirs(Path::new("a/b/c")).unwrap().len(), 3);
    assert_eq!(dir.make_dirs(Path::new("a/b/d")).unwrap().len(), 1);
    assert!(dir.make_dirs(Path::new("a/b/d")).unwrap().is_empty());
    create(&dir, "file", b"");
    assert!(dir.make_dirs(Path::new("file/sub")).is_err());
}

#[test]
fn a_rename_never_replaces() {
    let (temp, dir) = dir();
    create(&dir, "a", b"a");
    create(&dir, "b", b"b");
    let taken = dir.rename_without_replacing(Path::new("a"), Path::new("b")).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(temp.path().join("b")).unwrap(), b"b");
    dir.rename_without_replacing(Path::new("a"), Path::new("c")).unwrap();
    assert_eq!(std::fs::read(temp.path().join("c")).unwrap(), b"a");
    assert!(dir.stat(Path::new("a")).is_err());
}

#[test]
fn more_slices_than_the_kernel_takes_at_once_are_all_written() {
    let (_temp, dir) = dir();
    let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    let mut slices: Vec<IoSlice<'_>> = vec![IoSlice::new(&[])];
    slices.extend(bytes.chunks(2).map(IoSlice::new));
    slices.push(IoSlice::new(&[]));
    let file = create(&dir, "f", b"");
    file.write_slices_at(&mut slices, 7).unwrap();
    file.write_slices_at(&mut [], 0).unwrap();
    let mut back = vec![0; 5000];
    file.read_exact_at(&mut back, 7).unwrap();
    assert_eq!(back, bytes);
    assert_eq!(file.read_exact_at(&mut back, 8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(file.read_at(&mut back, 5000).unwrap(), 7);
    assert_eq!(file.read_at(&mut back, 9000).unwrap(), 0);
}

#[test]
fn holes_are_told_from_data_and_can_be_made() {
    let (_temp, dir) = dir();
    let file = create(&dir, "f", b"");
    file.set_len(1 << 20).unwrap();
    assert_eq!(file.data_from(0).unwrap(), Data::None);
    file.write_all_at(&[1; 4096], 1 << 19).unwrap();
    assert!(matches!(file.data_from(0).unwrap(), Data::At(at) if at <= 1 << 19));
    if file.punch_hole(1 << 19, 4096).is_ok() {
        assert_eq!(file.data_from(0).unwrap(), Data::None);
    }
    assert_eq!(file.stat().unwrap().size, 1 << 20);
}

#[test]
fn a_lock_is_held_by_one_handle_and_given_back_with_it() {
    let (_temp, dir) = dir();
    let first = create(&dir, "lock", b"");
    let second = dir.file(Path::new("lock"), Access::Write).unwrap();
    assert!(first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn the_limit_of_open_files_is_raised_to_what_is_allowed() {
    let raised = crate::limits::raise_open_files();
    assert!(raised >= 256, "{raised}");
    assert_eq!(crate::limits::raise_open_files(), raised);
}
