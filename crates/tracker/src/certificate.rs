//! What a tracker shows to visitors over TLS, and how TLS is spoken with them. No file is read here.
//!
//! Invariants: a chain without its own key is refused as it is read, not when a visitor comes; nothing is remembered of visitors who
//! may resume: their tickets hold it, sealed. Versions 1.2 and 1.3, no early data. RFC 8446, 5077

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{InconsistentKeys, ServerConfig, ServerConnection};
use std::fmt;
use std::sync::Arc;

/// What is sealed and waits for the kernel, in bytes: one record.
const UNSENT_MAX: usize = 16 * 1024;

/// Certificates of one chain: a dozen is more than anybody has.
const CHAIN_LEN_MAX: usize = 16;

/// A chain of certificates with its key, ready to be shown.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    names: Arc<[String]>,
}

/// Why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateError {
    /// The first file has no certificate as PEM, or one that cannot be read.
    Chain(String),
    /// The second has no key as PEM, or of no kind that is known.
    Key(String),
    /// The key is not that of the first certificate.
    Stranger,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::Chain(why) => {
                write!(
                    f,
                    "no certificate ({why}); it begins with `-----BEGIN CERTIFICATE-----`, this server's own first"
                )
            }
            CertificateError::Key(why) => {
                write!(f, "no private key ({why}); it begins with `-----BEGIN PRIVATE KEY-----`")
            }
            CertificateError::Stranger => f.write_str("the key belongs to another certificate"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and the key that belongs to it, both as PEM.
    ///
    /// # Errors
    /// When one of them is none, or they do not belong together.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
        let no_chain = |why: &dyn fmt::Display| CertificateError::Chain(why.to_string());
        let no_key = |why: &dyn fmt::Display| CertificateError::Key(why.to_string());
        let chain = CertificateDer::pem_slice_iter(chain).take(CHAIN_LEN_MAX);
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| no_chain(&error))?;
        Certificate::of(chain, PrivateKeyDer::from_pem_slice(key).map_err(|error| no_key(&error))?)
    }

    /// The same of what stands in those files.
    pub(crate) fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Certificate, CertificateError> {
        let no_chain = |why: &dyn fmt::Display| CertificateError::Chain(why.to_string());
        let no_key = |why: &dyn fmt::Display| CertificateError::Key(why.to_string());
        let own = chain.first().ok_or_else(|| no_chain(&"nothing of the kind is there"))?;
        let names = names(own).map_err(|error| no_chain(&error))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| no_key(&error))?
            .with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Stranger,
            rustls::Error::InvalidCertificate(error) => no_chain(&error),
            error => no_key(&error),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // One is enough for who comes again; without a source of chance nobody resumes.
        config.send_tls13_tickets = 1;
        // What stands there by default holds sessions of version 1.2, behind a lock that all workers would share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Certificate { config: Arc::new(config), names })
    }

    /// The names that it is for, as it says itself.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Begins with a visitor.
    pub(crate) fn begin(&self) -> Result<ServerConnection, rustls::Error> {
        let mut connection = ServerConnection::new(Arc::clone(&self.config))?;
        connection.set_buffer_limit(Some(UNSENT_MAX));
        Ok(connection)
    }
}

fn names(certificate: &CertificateDer<'_>) -> Result<Arc<[String]>, webpki::Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate)?;
    Ok(certificate.valid_dns_names().map(str::to_owned).collect())
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    /// One that was read twice is not the same: what is sealed by the one cannot be opened by the other.
    fn eq(&self, other: &Certificate) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Certificate {}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_kept_for_who_may_resume() {
        let (certificate, _) = crate::http::tests::identity();
        assert!(!certificate.config.session_storage.can_cache());
    }
}
