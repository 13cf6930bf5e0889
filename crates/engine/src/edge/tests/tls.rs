//! Certificates that must not be believed, for every kind of visit over HTTPS. Threats: E3

use super::super::guard::Errand;
use super::super::http::{Bounds, Http, VisitError};
use super::{gzip, http};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use url::Url;

/// Who signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority::with(params)
    }

    fn with(params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

/// A chain to present, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn signed(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_string(), "127.0.0.1".to_string()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
    (vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn self_signed() -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_string(), "127.0.0.1".to_string()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A chain whose middle is no authority.
fn signed_by_a_leaf(authority: &Authority) -> Identity {
    let mut params = CertificateParams::new(vec!["middle.example".to_string()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate().unwrap();
    let middle = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
    let (mut chain, key) =
        signed(&Authority { issuer: Issuer::new(params, key), certificate: middle.clone() }, |_| {});
    chain.push(middle);
    (chain, key)
}

/// A server with this identity that answers every request in the same way.
fn serve(identity: Identity, answer: Vec<u8>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(identity.0, identity.1).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            // A client that does not believe us says so and leaves.
            if stream.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {
                let _ = stream.write_all(&answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

fn get(roots: RootCertStore, url: &str, errand: Errand) -> Result<Vec<u8>, VisitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounds = Bounds { errand, family: None, body_len_max: 1_000 };
    let http = Http::with_roots(roots).unwrap();
    runtime.block_on(http.get(&Url::parse(url).unwrap(), bounds)).map(|answered| answered.body)
}

#[test]
fn only_a_certificate_for_this_host_from_a_known_authority_and_in_its_time_is_believed() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    let mut no_authority = CertificateParams::new(Vec::new()).unwrap();
    no_authority.is_ca = IsCa::ExplicitNoCa;
    let no_authority = Authority::with(no_authority);
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let table: Vec<(&str, Identity, bool)> = vec![
        ("good", signed(&ours, |_| {}), true),
        ("expired", signed(&ours, |cert| cert.not_after = date_time_ymd(2020, 1, 1)), false),
        ("of the future", signed(&ours, |cert| cert.not_before = date_time_ymd(4000, 1, 1)), false),
        (
            "of another host",
            signed(&ours, |cert| {
                cert.subject_alt_names =
                    CertificateParams::new(names(&["other.example"])).unwrap().subject_alt_names;
            }),
            false,
        ),
        ("of nobody", signed(&ours, |cert| cert.subject_alt_names.clear()), false),
        (
            "for clients",
            signed(&ours, |cert| cert.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            false,
        ),
        ("of a stranger", signed(&stranger, |_| {}), false),
        ("of itself", self_signed(), false),
        ("of a leaf", signed_by_a_leaf(&ours), false),
        ("of no authority", signed(&no_authority, |_| {}), false),
    ];
    let mut cases = 0;
    for (name, (chain, key), good) in table {
        let identity = || (chain.clone(), key.clone_key());
        let plain = serve(identity(), http("200 OK", b"body"));
        let packed = serve(identity(), http("200 OK\r\nContent-Encoding: gzip", &gzip(b"body")));
        let moved = serve(identity(), http(&format!("302 Found\r\nLocation: https://{plain}/announce"), b""));
        for (host, errand) in [
            (format!("localhost:{}", plain.port()), Errand::Tracker),
            (plain.to_string(), Errand::Tracker),
            (packed.to_string(), Errand::TorrentFile),
            (moved.to_string(), Errand::TorrentFile),
        ] {
            let got = get(ours.roots(), &format!("https://{host}/announce"), errand);
            match got {
                Ok(body) => assert!(good && body == b"body", "{name} at {host} was believed"),
                Err(error) => {
                    assert!(!good && error.to_string().contains("certificate"), "{name} at {host}: {error}")
                }
            }
            cases += 1;
        }
    }
    println!("certificates times visits: {cases} cases");
    assert_eq!(cases, 40);
}

#[test]
fn what_tls_protected_is_not_asked_for_again_without_it() {
    let ours = Authority::new();
    let server =
        serve(signed(&ours, |_| {}), http("302 Found\r\nLocation: http://127.0.0.1:1/announce", b""));
    let got = get(ours.roots(), &format!("https://{server}/announce"), Errand::Tracker);
    assert!(matches!(got, Err(VisitError::Failed(why)) if why.contains("weaker")));
}
