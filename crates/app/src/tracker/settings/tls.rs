//! The settings of TLS: where it is spoken, and what is shown there.

use super::{path_line, quoted};
use crate::cli::{HTTPS_PORT, listen_at_or};
use crate::failure::Failure;
use crate::words::why;
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tracker::Certificate;

/// As a file says it.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    listen: Vec<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Where TLS is spoken, nowhere by default, and what is shown there.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tls {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Table {
    pub(super) fn read(self, folder: &Path) -> Result<Tls, String> {
        let listen: Result<_, String> =
            self.listen.iter().map(|text| listen_at_or(text, HTTPS_PORT)).collect();
        Ok(Tls {
            listen: listen.map_err(|error| format!("tls.listen: {error}"))?,
            certificate: self.certificate.map(|path| folder.join(path)),
            key: self.key.map(|path| folder.join(path)),
        })
    }
}

impl Tls {
    /// This, with what the other says going before.
    pub(super) fn under(self, typed: &Tls) -> Tls {
        Tls {
            listen: if typed.listen.is_empty() { self.listen } else { typed.listen.clone() },
            certificate: typed.certificate.clone().or(self.certificate),
            key: typed.key.clone().or(self.key),
        }
    }

    /// What is shown, as the files are now; nothing where TLS is not spoken.
    pub(crate) fn read_certificate(&self) -> Result<Option<Certificate>, Failure> {
        if self.listen.is_empty() {
            return match &self.certificate {
                None => Ok(None),
                Some(_) => Err(Failure::plain(
                    "there is a certificate; where is it shown? Add --tls-listen 0.0.0.0:443, or tls.listen to the configuration",
                )),
            };
        }
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Err(Failure::plain(
                "TLS needs --certificate FILE and --key FILE (PEM), or both under [tls] in the configuration",
            ));
        };
        let read = |what: &str, path: &Path| {
            let cannot = |error| Failure::plain(format!("the {what} {}: {}", path.display(), why(&error)));
            fs::read(path).map_err(cannot)
        };
        let (chain, private) = (read("certificate", certificate)?, read("key", key)?);
        Certificate::read(&chain, &private).map(Some).map_err(|error| {
            Failure::plain(format!("{} with {}: {error}", certificate.display(), key.display()))
        })
    }

    /// As a file says it, with what it means.
    pub(super) fn print(&self) -> String {
        format!(
            "\n\
[tls]
# Where to listen over HTTPS (and wss:// for browsers), beside the addresses above; without a port at {HTTPS_PORT}.
listen = [{listen}]
# The chain of certificates, this tracker's own first, and its key, both PEM. SIGHUP reads them again.
{certificate}
{key}
",
            listen = quoted(&self.listen),
            certificate = path_line("certificate", self.certificate.as_deref(), "fullchain.pem"),
            key = path_line("key", self.key.as_deref(), "privkey.pem"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        let at = Tls { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Tls::default() };
        let absent = Some(PathBuf::from("absent.pem"));
        assert_eq!(Tls::default().read_certificate().unwrap(), None);
        for (tls, wanted) in [
            (Tls { certificate: absent.clone(), ..Tls::default() }, "Add --tls-listen"),
            (at.clone(), "TLS needs --certificate FILE and --key FILE"),
            (
                Tls { certificate: absent.clone(), key: absent, ..at },
                "the certificate absent.pem: No such file",
            ),
        ] {
            let error = tls.read_certificate().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
