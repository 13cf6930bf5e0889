//! Certificates that must not be believed, for every kind of visit over HTTPS. Threats: E3

use super::super::guard::Errand;
use super::super::http::{Bounds, Http, VisitError};
use super::{gzip, http};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use url::Url;

/// Kinds of certificates that must not be believed, times ways in which a visit meets them.
const BAD_CASES: usize = 64;

/// Who signs.
pub(in crate::edge) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(in crate::edge) fn new(name: &str) -> Authority {
        Authority::with(name, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn with(name: &str, is_ca: IsCa) -> Authority {
        let mut params = named(name);
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    pub(in crate::edge) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

/// Nobody may share a name: a chain is put together by names, and one that does not fit is refused before anything else
/// about it is looked at.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A chain to present, and its key.
pub(in crate::edge) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub(in crate::edge) fn signed(
    authority: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> Identity {
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

/// An authority that another one vouches for; `change` makes it a doubtful one.
fn middle(name: &str, authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
    Authority { issuer: Issuer::new(params, key), certificate }
}

/// A good certificate below these authorities, the nearest first, all of which are presented.
fn chained(authorities: &[&Authority]) -> Identity {
    let (mut chain, key) = signed(authorities[0], |_| {});
    chain.extend(authorities.iter().map(|authority| authority.certificate.clone()));
    (chain, key)
}

/// An authority that may speak for all hosts but ours.
fn forbidden_to_speak_for_us(authority: &Authority) -> Authority {
    let here: IpAddr = [127, 0, 0, 0].into();
    let subnet = GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(here, 8));
    let excluded_subtrees = vec![GeneralSubtree::DnsName("localhost".into()), subnet];
    let constraints = NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees };
    middle("excluded", authority, |params| params.name_constraints = Some(constraints))
}

/// An authority that may speak for a stranger alone.
fn speaking_for_another(authority: &Authority) -> Authority {
    let permitted_subtrees = vec![GeneralSubtree::DnsName("other.example".into())];
    let constraints = NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() };
    middle("permitted", authority, |params| params.name_constraints = Some(constraints))
}

/// Says that it must not be believed by whoever does not understand this, which is everybody.
fn with_a_riddle(params: &mut CertificateParams) {
    let mut riddle = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    riddle.set_criticality(true);
    params.custom_extensions.push(riddle);
}

/// A server with this identity that answers every request in the same way.
fn serve(identity: Identity, answer: Vec<u8>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    // Our server would refuse to show some of these certificates, if it looked at them.
    let key = rustls::crypto::ring::sign::any_supported_type(&identity.1).unwrap();
    let identity = SingleCertAndKey::from(CertifiedKey::new(identity.0, key));
    let config = Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(identity)));
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

/// A name, what is presented, and why it is not believed; nothing if it is.
type Case = (&'static str, Identity, Option<&'static str>);

fn single_certificates(ours: &Authority) -> Vec<Case> {
    let no_authority = Authority::with("nobody", IsCa::ExplicitNoCa);
    let elsewhere = CertificateParams::new(vec!["other.example".to_string()]).unwrap().subject_alt_names;
    let expired = signed(ours, |cert| cert.not_after = date_time_ymd(2020, 1, 1));
    let early = signed(ours, |cert| cert.not_before = date_time_ymd(4000, 1, 1));
    let for_clients =
        signed(ours, |cert| cert.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    vec![
        ("good", signed(ours, |_| {}), None),
        ("expired", expired, Some("certificate expired")),
        ("of the future", early, Some("not valid yet")),
        (
            "of another host",
            signed(ours, |cert| cert.subject_alt_names = elsewhere),
            Some("not valid for name"),
        ),
        ("of nobody", signed(ours, |cert| cert.subject_alt_names.clear()), Some("not valid for name")),
        ("for clients", for_clients, Some("key usage")),
        ("of a stranger", signed(&Authority::new("stranger"), |_| {}), Some("UnknownIssuer")),
        ("of a namesake", signed(&Authority::new("ours"), |_| {}), Some("BadSignature")),
        ("of itself", self_signed(), Some("UnknownIssuer")),
        ("of no authority", signed(&no_authority, |_| {}), Some("UnknownIssuer")),
        ("with a riddle", signed(ours, with_a_riddle), Some("UnsupportedCriticalExtension")),
    ]
}

fn chains(ours: &Authority) -> Vec<Case> {
    let between = middle("between", ours, |_| {});
    let leaf = middle("leaf", ours, |params| params.is_ca = IsCa::ExplicitNoCa);
    let last = middle("last", ours, |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let beyond = middle("beyond", &last, |_| {});
    let expired = middle("expired", ours, |params| params.not_after = date_time_ymd(2020, 1, 1));
    let (excluded, permitted) = (forbidden_to_speak_for_us(ours), speaking_for_another(ours));
    vec![
        ("good, with one between", chained(&[&between]), None),
        ("good, at the end of a line", chained(&[&last]), None),
        ("with none of those between", signed(&between, |_| {}), Some("UnknownIssuer")),
        ("of a leaf", chained(&[&leaf]), Some("EndEntityUsedAsCa")),
        ("of one who expired", chained(&[&expired]), Some("certificate expired")),
        ("beyond the end of a line", chained(&[&beyond, &last]), Some("PathLenConstraintViolated")),
        ("of one who may not speak for us", chained(&[&excluded]), Some("NameConstraintViolation")),
        ("of one who may speak for another", chained(&[&permitted]), Some("NameConstraintViolation")),
    ]
}

#[test]
fn only_a_certificate_for_this_host_from_a_known_authority_and_in_its_time_is_believed() {
    let ours = Authority::new("ours");
    let (mut cases, mut bad) = (0, 0);
    for (name, (chain, key), flaw) in single_certificates(&ours).into_iter().chain(chains(&ours)) {
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
            match (get(ours.roots(), &format!("https://{host}/announce"), errand), flaw) {
                (Ok(body), None) => assert_eq!(body, b"body", "{name} at {host}"),
                (Ok(_), Some(flaw)) => panic!("{name} at {host} was believed despite {flaw}"),
                (Err(error), flaw) => {
                    let told = error.to_string();
                    let fits = flaw.is_some_and(|flaw| told.contains("certificate") && told.contains(flaw));
                    assert!(fits, "{name} at {host}, {flaw:?}: {told}");
                }
            }
            cases += 1;
            bad += usize::from(flaw.is_some());
        }
    }
    println!("E3, certificates times visits: {cases} cases, {bad} of them bad");
    assert_eq!((cases, bad), (BAD_CASES + 12, BAD_CASES));
}

#[test]
fn what_tls_protected_is_not_asked_for_again_without_it() {
    let ours = Authority::new("ours");
    let server =
        serve(signed(&ours, |_| {}), http("302 Found\r\nLocation: http://127.0.0.1:1/announce", b""));
    let got = get(ours.roots(), &format!("https://{server}/announce"), Errand::Tracker);
    assert!(matches!(got, Err(VisitError::Failed(why)) if why.contains("weaker")));
}
