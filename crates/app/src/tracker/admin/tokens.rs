//! Who may ask for what over a loopback address: a file of secrets, each with a role and a name.
//!
//! Invariants: a file that others can read is refused; how long a comparison takes says nothing of a secret; no secret is ever shown.

use super::command::Role;
use crate::failure::Failure;
use crate::words::why;
use std::fmt;
use std::fs;
use std::path::Path;

/// Shorter secrets can be guessed.
const LEN_MIN: usize = 20;

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
}

/// Everybody who may ask.
#[derive(Default)]
pub(super) struct Tokens(Vec<(Vec<u8>, Caller)>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, caller)| caller)).finish()
    }
}

impl Tokens {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Tokens, Failure> {
        let named = |what: &str| Failure::plain(format!("the tokens {}: {what}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| named(&why(&error)))?;
        for_its_owner_alone(path).map_err(|error| named(&error))?;
        Tokens::parse(&text).map_err(|error| named(&error))
    }

    /// `token role name` a line; empty lines and those that begin with `#` are passed over.
    fn parse(text: &str) -> Result<Tokens, String> {
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(token), Some(role), Some(name), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(format!("line {number}: a line is `token role name`"));
            };
            let role = match role {
                "viewer" => Role::Viewer,
                "operator" => Role::Operator,
                "admin" => Role::Admin,
                _ => return Err(format!("line {number}: a role is `viewer`, `operator` or `admin`")),
            };
            if token.len() < LEN_MIN {
                return Err(format!(
                    "line {number}: a token has at least {LEN_MIN} characters, as `openssl rand -hex 20` makes them"
                ));
            }
            tokens.push((token.as_bytes().to_vec(), Caller { name: name.into(), role }));
        }
        Ok(Tokens(tokens))
    }

    /// Whose this token is. Compares with all of them, each to its end.
    pub(super) fn caller(&self, token: &[u8]) -> Option<&Caller> {
        let same = |ours: &[u8]| {
            let differ = ours.iter().zip(token).fold(0, |differ, (ours, theirs)| differ | (ours ^ theirs));
            ours.len() == token.len() && differ == 0
        };
        self.0.iter().fold(None, |found, (ours, caller)| if same(ours) { Some(caller) } else { found })
    }
}

#[cfg(unix)]
fn for_its_owner_alone(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|error| why(&error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!("others can read them; `chmod 600 {}`", path.display()))
}

#[cfg(not(unix))]
fn for_its_owner_alone(_path: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knows_a_token_is_who_its_line_says() {
        let (one, two) = ("a".repeat(20), "b".repeat(40));
        let text = format!("# ours\n\n{one} viewer grafana\n  {two}\tadmin  me\n");
        let tokens = Tokens::parse(&text).unwrap();
        let who = |token: &str| tokens.caller(token.as_bytes()).map(|caller| (&*caller.name, caller.role));
        assert_eq!(who(&one), Some(("grafana", Role::Viewer)));
        assert_eq!(who(&two), Some(("me", Role::Admin)));
        for wrong in ["", &one[1..], &two[1..], &one.replace('a', "b"), &format!("{one}a")] {
            assert_eq!(who(wrong), None, "{wrong}");
        }
        assert!(!format!("{tokens:?}").contains(&one));
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for (bad, wanted) in [
            (format!("{one} viewer"), "line 1: a line is"),
            (format!("\n{one} viewer two names"), "line 2: a line is"),
            (format!("{one} root me"), "line 1: a role is"),
            ("short admin me".into(), "at least 20 characters"),
        ] {
            let error = Tokens::parse(&bad).unwrap_err();
            assert!(error.contains(wanted), "{error}");
            assert!(!error.contains(&one), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn tokens_that_others_can_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, format!("{} admin me\n", "x".repeat(20))).unwrap();
        for (mode, wanted) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Tokens::read(&path).is_ok(), wanted, "{mode:o}");
        }
    }
}
