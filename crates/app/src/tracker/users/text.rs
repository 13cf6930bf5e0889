//! Users in a text file, for few of them: one a line, `PASSKEY NAME [no-download] [disabled] [clients=N]`. What stands behind a `#` is
//! a remark. Totals are in a second file beside it, which this writes alone.
//!
//! Invariants: the users' file is only replaced as a whole, by one at a time, and lines that are not touched stay as they were; the totals
//! of whoever is no longer there are kept.

use super::{Change, Record, Totals, check_distinct, failed, nobody};
use crate::failure::Failure;
use crate::tracker::whole::{self, Changing};
use crate::words::why;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use tracker::User;
use tracker::ledger::{Row, UserId};
use wire::Passkey;

/// The mode of files that hold passkeys or names: their owner's alone.
const SECRET: u32 = 0o600;

const TOTALS_HEAD: &str = "# name uploaded downloaded completed seed_time excesses last_seen
# bytes, bytes, downloads, seconds, announces that claimed too much, seconds since 1970; written by `gannet tracker`\n";

/// Such a file, and its totals once they are needed.
pub(crate) struct TextFile {
    path: PathBuf,
    /// What each name is called as a number, for as long as this lives.
    numbers: BTreeMap<String, UserId>,
    totals: Option<BTreeMap<String, Totals>>,
}

impl TextFile {
    /// A file that exists, or, if that is wanted, a new one.
    pub(super) fn open(path: &Path, create: bool) -> Result<TextFile, Failure> {
        let file = TextFile { path: path.into(), numbers: BTreeMap::new(), totals: None };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && create => {
                let made =
                    whole::create(path, "# passkey name [no-download] [disabled] [clients=N]\n", SECRET);
                made.map_err(|error| not_written(path, &error))?;
            }
            Err(error) => return Err(failed(path, &why(&error))),
            Ok(_) => {}
        }
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn text(&self) -> Result<String, Failure> {
        std::fs::read_to_string(&self.path).map_err(|error| failed(&self.path, &why(&error)))
    }

    fn records(&self) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        for (number, line) in self.text()?.lines().enumerate() {
            let read = read_line(line).map_err(|what| format!("line {}: {what}", number + 1));
            records.extend(read.map_err(|what| failed(&self.path, &what))?);
        }
        check_distinct(records.iter()).map_err(|what| failed(&self.path, &what))?;
        Ok(records)
    }

    /// All users, under numbers that stay theirs.
    pub(super) fn users(&mut self) -> Result<Vec<User>, Failure> {
        let records = self.records()?;
        let users = records.iter().map(|record| {
            let next = UserId(self.numbers.len() as u64);
            record.user(*self.numbers.entry(record.name.clone()).or_insert(next))
        });
        Ok(users.collect())
    }

    pub(super) fn list(&mut self) -> Result<Vec<(Record, Totals)>, Failure> {
        let mut records = self.records()?;
        records.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let totals = read_totals(&self.totals_path())?;
        let of = |record: Record| {
            let totals = totals.get(&record.name).copied().unwrap_or_default();
            (record, totals)
        };
        Ok(records.into_iter().map(of).collect())
    }

    pub(super) fn add(&mut self, record: Record) -> Result<(), Failure> {
        let file = self.begin_change()?;
        let records = self.records()?;
        check_distinct(records.iter().chain([&record])).map_err(|what| failed(&self.path, &what))?;
        let mut text = self.text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        put_line(&record, &mut text);
        file.replace(&text).map_err(|error| not_written(&self.path, &error))
    }

    pub(super) fn change(&mut self, name: &str, change: Change) -> Result<(), Failure> {
        let file = self.begin_change()?;
        let records = self.records()?;
        if !records.iter().any(|record| record.name == name) {
            return Err(nobody(&self.path, name));
        }
        let mut text = String::new();
        for line in self.text()?.lines() {
            match read_line(line).ok().flatten().filter(|record| record.name == name) {
                None => text.extend([line, "\n"]),
                Some(mut record) => {
                    match change {
                        Change::Enabled(enabled) => record.enabled = enabled,
                        Change::MayDownload(may) => record.may_download = may,
                        Change::Passkey(passkey) => record.passkey = passkey,
                        Change::Removed => continue,
                    }
                    put_line(&record, &mut text);
                }
            }
        }
        file.replace(&text).map_err(|error| not_written(&self.path, &error))
    }

    /// Nobody else changes what is read from now on.
    fn begin_change(&self) -> Result<Changing, Failure> {
        Changing::begin(&self.path).map_err(|error| not_written(&self.path, &error))
    }

    /// Reads the totals, once for as long as this lives: nobody else writes them meanwhile.
    pub(super) fn read_totals(&mut self) -> Result<(), Failure> {
        if self.totals.is_none() {
            self.totals = Some(read_totals(&self.totals_path())?);
        }
        Ok(())
    }

    /// Adds to the totals and replaces their file.
    pub(super) fn credit(&mut self, rows: &[Row], now: u64) -> Result<(), Failure> {
        self.read_totals()?;
        let mut totals = self.totals.clone().unwrap_or_default();
        let names: BTreeMap<UserId, &String> =
            self.numbers.iter().map(|(name, number)| (*number, name)).collect();
        for row in rows {
            if let Some(name) = names.get(&row.user) {
                totals.entry((*name).clone()).or_default().add(row, now);
            }
        }
        let mut text = TOTALS_HEAD.to_owned();
        for (name, total) in &totals {
            let Totals { uploaded, downloaded, completed, seed_time, excesses, last_seen } = total;
            let _ = writeln!(
                text,
                "{name} {uploaded} {downloaded} {completed} {seed_time} {excesses} {last_seen}"
            );
        }
        let path = self.totals_path();
        whole::replace(&path, &text, SECRET).map_err(|error| not_written(&path, &error))?;
        self.totals = Some(totals);
        Ok(())
    }

    /// `users.txt.totals`.
    fn totals_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".totals");
        name.into()
    }
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    failed(path, &format!("not written: {}", why(error)))
}

/// A line's user; nothing if it is a remark.
fn read_line(line: &str) -> Result<Option<Record>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let Some(passkey) = words.next() else { return Ok(None) };
    // What it is instead is not told: it may be a passkey with a letter too many.
    let passkey = Passkey::read(passkey.as_bytes())
        .ok_or("no passkey stands first: 32 to 64 letters, digits, hyphens and underscores")?;
    let name = words.next().ok_or("a name is missing behind the passkey")?;
    super::check_name(name).map_err(|failure| failure.to_string())?;
    let mut record =
        Record { name: name.into(), passkey, may_download: true, enabled: true, clients_max: None };
    for word in words {
        match word.split_once('=') {
            None if word == "no-download" => record.may_download = false,
            None if word == "disabled" => record.enabled = false,
            Some(("clients", most)) => {
                let most: Result<NonZeroU32, _> = most.parse();
                record.clients_max = Some(most.map_err(|_| "clients=N needs a number above 0")?);
            }
            // Nor is this: a line whose name was forgotten has the passkey of the next here.
            _ => return Err("behind the name may stand no-download, disabled and clients=N".into()),
        }
    }
    Ok(Some(record))
}

fn put_line(record: &Record, text: &mut String) {
    let Record { name, passkey, may_download, enabled, clients_max } = record;
    text.extend([passkey.reveal(), " ", name]);
    text.push_str(if *may_download { "" } else { " no-download" });
    text.push_str(if *enabled { "" } else { " disabled" });
    if let Some(most) = clients_max {
        let _ = write!(text, " clients={most}");
    }
    text.push('\n');
}

fn read_totals(path: &Path) -> Result<BTreeMap<String, Totals>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(path, &why(&error))),
    };
    let mut totals = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = read_total(line)
            .ok_or_else(|| failed(path, &format!("line {}: not a name and six numbers", number + 1)))?;
        totals.insert(read.0, read.1);
    }
    Ok(totals)
}

fn read_total(line: &str) -> Option<(String, Totals)> {
    let (name, numbers) = line.split_once(' ')?;
    let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
    let [uploaded, downloaded, completed, seed_time, excesses, last_seen] = numbers.ok()?.try_into().ok()?;
    Some((name.into(), Totals { uploaded, downloaded, completed, seed_time, excesses, last_seen }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_line_is_a_user_or_a_remark() {
        let other = KEY.to_uppercase();
        for (line, wanted) in [
            (format!("{KEY} anna"), format!("{KEY} anna\n")),
            (format!("  {other}\tbert  disabled # gone"), format!("{other} bert disabled\n")),
            (
                format!("{KEY} Zo\u{eb}@home clients=3 disabled no-download"),
                format!("{KEY} Zo\u{eb}@home no-download disabled clients=3\n"),
            ),
            (String::new(), String::new()),
            (format!("# {KEY} carl"), String::new()),
        ] {
            let mut text = String::new();
            if let Some(record) = read_line(&line).unwrap() {
                put_line(&record, &mut text);
            }
            assert_eq!(text, wanted);
        }
        for line in [
            KEY.to_owned(),
            format!("{} anna", &KEY[1..]),
            format!("anna {KEY}"),
            format!("{KEY} an:na"),
            format!("{KEY} anna bert"),
            format!("{KEY} anna clients=0"),
            format!("{KEY} anna {other}"),
        ] {
            let error = read_line(&line).unwrap_err();
            assert!(!error.contains(&KEY[1..]) && !error.contains(&other), "{error}");
        }
    }

    #[test]
    fn totals_add_up_over_restarts_and_nobody_elses_line_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.txt");
        let other = "f".repeat(32);
        let text = format!("# ours\n{KEY} anna   # first\n{other} bert no-download\n");
        std::fs::write(&path, &text).unwrap();
        let row = |user, uploaded| Row {
            user: UserId(user),
            info_hash: wire::InfoHash([7; 20]),
            uploaded,
            downloaded: 1,
            left: 9,
            completed: 1,
            seeded: std::time::Duration::from_secs(5),
            excesses: 0,
        };
        for round in 1..3 {
            let mut file = TextFile::open(&path, false).unwrap();
            let users = file.users().unwrap();
            assert_eq!(users.iter().map(|user| user.member.user.0).collect::<Vec<_>>(), [0, 1]);
            file.credit(&[row(0, 10), row(1, 20), row(0, 1), row(7, 1)], 1000 * round).unwrap();
            file.credit(&[row(1, 5)], 1001 * round).unwrap();
            let totals = file.list().unwrap().into_iter().map(|(_, totals)| totals).collect::<Vec<_>>();
            let all = |uploaded, last_seen| Totals {
                uploaded: uploaded * round,
                downloaded: 2 * round,
                completed: 2 * round,
                seed_time: 10 * round,
                excesses: 0,
                last_seen,
            };
            assert_eq!(totals, [all(11, 1000 * round), all(25, 1001 * round)]);
        }
        // Lines that are left empty by whoever edits them are none.
        let totals = folder.path().join("users.txt.totals");
        let kept = std::fs::read_to_string(&totals).unwrap();
        std::fs::write(&totals, kept.replace('\n', "\n\n")).unwrap();
        let mut file = TextFile::open(&path, false).unwrap();
        file.change("bert", Change::Enabled(false)).unwrap();
        file.change("nobody", Change::Removed).unwrap_err();
        let changed = text.replace("no-download", "no-download disabled");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
        file.change("anna", Change::Removed).unwrap();
        assert_eq!(file.list().unwrap().len(), 1);
        assert!(kept.contains("\nanna 22 4 4 20 0 2000\n"), "{kept}");
    }

    #[test]
    fn of_those_who_add_users_at_once_none_undoes_what_another_did() {
        const EACH: usize = 16;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.txt");
        std::thread::scope(|scope| {
            for who in ["anna", "bert", "carl", "dora"] {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let name = format!("{who}{number}");
                        let passkey = Passkey::read(format!("{name:x>32}").as_bytes()).unwrap();
                        let record =
                            Record { name, passkey, may_download: true, enabled: true, clients_max: None };
                        let add = || TextFile::open(path, true).unwrap().add(record.clone());
                        // On a slow disk it takes long until it is everybody's turn.
                        while let Err(failure) = add() {
                            assert!(failure.to_string().contains("somebody else has locked"), "{failure}");
                        }
                    }
                });
            }
        });
        assert_eq!(TextFile::open(&path, false).unwrap().list().unwrap().len(), 4 * EACH);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_changed_file_stays_its_owners_and_is_found_by_the_same_link() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["users.txt", "link.txt"].map(|name| folder.path().join(name));
        fs::write(&path, format!("{KEY} anna\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        // Root alone can give it to somebody; everybody else keeps it.
        let _ = std::os::unix::fs::chown(&path, Some(12_345), Some(54_321));
        let of = |meta: fs::Metadata| (meta.uid(), meta.gid(), meta.mode());
        let before = of(fs::metadata(&path).unwrap());
        TextFile::open(&link, false).unwrap().change("anna", Change::Enabled(false)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(of(fs::metadata(&path).unwrap()), before);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{KEY} anna disabled\n"));
    }
}
