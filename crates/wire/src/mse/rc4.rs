//! RC4, as MSE uses it: a keystream that hides what is said from those who only look for patterns. It keeps no secret from
//! anybody who tries. Verified by the vectors of RFC 6229.

/// Bytes of a keystream that MSE throws away: RC4's first ones tell of the key.
const DROPPED_LEN: usize = 1024;

/// A keystream, part of the way along.
#[derive(Clone)]
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    /// The keystream of a key of 1 to 256 bytes, from its beginning.
    pub fn new(key: &[u8]) -> Rc4 {
        let mut rc4 = Rc4 { state: std::array::from_fn(|index| index as u8), i: 0, j: 0 };
        let mut j = 0_u8;
        for (i, &byte) in (0..=255_u8).zip(key.iter().cycle()) {
            j = j.wrapping_add(rc4.state[usize::from(i)]).wrapping_add(byte);
            rc4.state.swap(i.into(), j.into());
        }
        rc4
    }

    /// The keystream of a key, as MSE begins it.
    pub(super) fn of_mse(key: &[u8; 20]) -> Rc4 {
        let mut rc4 = Rc4::new(key);
        rc4.apply(&mut [0; DROPPED_LEN]);
        rc4
    }

    /// Turns bytes by the next bytes of the keystream: clear ones into hidden ones, and back.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let Rc4 { state, mut i, mut j } = *self;
        // A copy on the stack: the compiler then knows that `bytes` is nowhere in it.
        let mut state = state;
        for byte in bytes {
            i = i.wrapping_add(1);
            let at_i = state[usize::from(i)];
            j = j.wrapping_add(at_i);
            let at_j = state[usize::from(j)];
            state[usize::from(i)] = at_j;
            state[usize::from(j)] = at_i;
            *byte ^= state[usize::from(at_i.wrapping_add(at_j))];
        }
        *self = Rc4 { state, i, j };
    }

    /// The next bytes of the keystream, which stays where it is.
    pub(super) fn peek<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.clone().apply(&mut bytes);
        bytes
    }
}

/// Without the key.
impl core::fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rc4")
    }
}

#[cfg(test)]
mod tests;
