//! Whether links are encrypted: a policy for each direction, and what follows from it. Pure: policy in, verdict out.
//!
//! Message Stream Encryption hides what kind of traffic a link carries; it keeps no secret and proves nobody's identity. A
//! private link does both, among those who hold the swarm's key; there is nothing between the two.
//! Invariants: `Require` never leads to a plaintext stream, `Off` never to an encrypted handshake, `Private` to nothing but
//! private links. Threats: C11

use super::Crypto;
use core::fmt;
use wire::mse::Method;
use wire::private::HAIL_LEN;

/// What we want of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Plaintext only.
    Off,
    /// Plaintext where it works, encryption where it must be: every peer is reached, and no time is spent on a cipher that
    /// nobody asked for.
    #[default]
    Allow,
    /// Encryption where it works, else plaintext.
    Prefer,
    /// RC4 from the first byte to the last, or no link.
    Require,
    /// A private link with who holds the swarm's key, or none: nothing else is ever said or answered.
    Private,
}

/// The policies of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Encryption {
    /// For peers that come to us.
    pub incoming: Policy,
    /// For peers that we dial.
    pub outgoing: Policy,
}

/// How a peer that came to us began, as its first bytes tell: 20, or 48 on a client of a private swarm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Greeting {
    /// With the protocol's name.
    Plaintext,
    /// With anything else: a key, if it is a peer.
    Encrypted,
    /// As who holds the key of our private swarm, or repeats who did: with this that is drawn anew for each link.
    Member(Hail),
}

/// See [`Greeting::Member`].
pub type Hail = [u8; HAIL_LEN];

/// Why a peer's greeting is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It came in plaintext, and encryption is required.
    NotEncrypted,
    /// It came encrypted, and encryption is off.
    Encrypted,
    /// It came in plaintext, and only private links are wanted.
    NotPrivate,
    /// It does not hold the key of our private swarm.
    OtherKey,
    /// It says what somebody else said before.
    Replayed,
}

/// Every method that there is, the one that hides more first.
const BOTH: &[Method] = &[Method::Rc4, Method::Plaintext];

impl Encryption {
    /// The same policy in both directions.
    pub fn both(policy: Policy) -> Encryption {
        Encryption { incoming: policy, outgoing: policy }
    }
}

impl Policy {
    /// The ways to a peer, in the order in which they are tried.
    pub(super) fn plan(self) -> &'static [Crypto] {
        match self {
            Policy::Off => &[Crypto::Plaintext],
            Policy::Allow => &[Crypto::Plaintext, Crypto::Mse(BOTH)],
            Policy::Prefer => &[Crypto::Mse(BOTH), Crypto::Plaintext],
            Policy::Require => &[Crypto::Mse(&[Method::Rc4])],
            Policy::Private => &[Crypto::Private],
        }
    }

    /// How a peer that came to us is answered: which methods are taken if it is encrypted, the dearest first. Whether a member of a
    /// private swarm was here before is not asked here.
    pub(super) fn answer(self, greeting: Greeting) -> Result<Crypto, Refusal> {
        // Only who has a swarm key knows members, and he has the policy for them.
        let greeting = match greeting {
            Greeting::Member(_) if self != Policy::Private => Greeting::Encrypted,
            other => other,
        };
        match (self, greeting) {
            (Policy::Off | Policy::Allow | Policy::Prefer, Greeting::Plaintext) => Ok(Crypto::Plaintext),
            (Policy::Require, Greeting::Plaintext) => Err(Refusal::NotEncrypted),
            (Policy::Off, Greeting::Encrypted) => Err(Refusal::Encrypted),
            (Policy::Allow, Greeting::Encrypted) => Ok(Crypto::Mse(&[Method::Plaintext, Method::Rc4])),
            (Policy::Prefer, Greeting::Encrypted) => Ok(Crypto::Mse(BOTH)),
            (Policy::Require, Greeting::Encrypted) => Ok(Crypto::Mse(&[Method::Rc4])),
            (Policy::Private, Greeting::Plaintext) => Err(Refusal::NotPrivate),
            (Policy::Private, Greeting::Encrypted) => Err(Refusal::OtherKey),
            (_, Greeting::Member(_)) => Ok(Crypto::Private),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotEncrypted => "the peer does not encrypt, and encryption is required",
            Refusal::Encrypted => "the peer encrypts, and encryption is off",
            Refusal::NotPrivate => {
                "the peer does not hold the key of this private swarm: it speaks plaintext"
            }
            Refusal::OtherKey => "the peer does not hold the key of this private swarm",
            Refusal::Replayed => "somebody repeats how a member of this private swarm began",
        })
    }
}
