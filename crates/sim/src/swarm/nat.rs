//! What stands between a member and the world, and whom it lets in. Knows kinds, not packets. BEP: 55

/// What stands between a member and the world (the kinds of RFC 3489, and the ones without a gate).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nat {
    /// Nothing: its address is its own.
    None,
    /// A router that maps its port, because it was asked or told to.
    Mapped,
    /// A router that lets in whoever writes to a port that was ever used from inside: datagrams only.
    FullCone,
    /// A router that lets in those addresses that were written to from inside.
    Restricted,
    /// A router that lets in those addresses and ports that were written to from inside.
    PortRestricted,
    /// The same, with another port outside for each partner: who heard of one knows none for itself.
    Symmetric,
    /// A filter that lets in answers alone.
    Firewalled,
}

/// Who knocks, as the one inside knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Caller {
    /// Nobody it ever wrote to.
    Stranger,
    /// Somebody whose address it wrote to, at another port.
    Address,
    /// Somebody whose very address and port it wrote to, through the port that is knocked at.
    Partner,
}

impl Nat {
    /// All kinds.
    pub const ALL: [Nat; 7] = [
        Nat::None,
        Nat::Mapped,
        Nat::FullCone,
        Nat::Restricted,
        Nat::PortRestricted,
        Nat::Symmetric,
        Nat::Firewalled,
    ];

    /// Whether a TCP connection from somebody it never wrote to gets through: a dial in this world.
    pub const fn lets_strangers_in(self) -> bool {
        matches!(self, Nat::None | Nat::Mapped)
    }

    /// Whether a datagram gets through.
    pub const fn lets_datagrams_in(self, from: Caller) -> bool {
        match self {
            Nat::None | Nat::Mapped | Nat::FullCone => true,
            Nat::Restricted => !matches!(from, Caller::Stranger),
            Nat::PortRestricted | Nat::Symmetric | Nat::Firewalled => matches!(from, Caller::Partner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_better_is_let_in_at_least_as_readily_and_a_partner_always() {
        for nat in Nat::ALL {
            let [stranger, address, partner] =
                [Caller::Stranger, Caller::Address, Caller::Partner].map(|from| nat.lets_datagrams_in(from));
            assert!(stranger <= address && address <= partner && partner, "{nat:?}");
            // No gate is harder for datagrams than for connections.
            assert!(nat.lets_strangers_in() <= stranger, "{nat:?}");
        }
        let open = Nat::ALL.into_iter().filter(|nat| nat.lets_strangers_in());
        assert_eq!(open.collect::<Vec<_>>(), [Nat::None, Nat::Mapped]);
    }
}
