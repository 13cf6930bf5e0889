//! Values to bytes. What is built here is canonical: keys sorted and unique, numbers without needless digits.

use super::Value;

/// A value in its bencoded form. Flat bytes, so that dropping and cloning it never recurses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// Bytes that are one value already, as they are: an `info` dictionary must not change.
    pub(crate) fn raw(value: &[u8]) -> Encoded {
        Encoded(value.to_vec())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Value<'_, '_>> for Encoded {
    /// Byte for byte as it was read, canonical or not: an `info` dictionary must not change.
    fn from(value: Value<'_, '_>) -> Encoded {
        Encoded(value.raw().to_vec())
    }
}

/// An integer.
pub fn int(value: i64) -> Encoded {
    Encoded(format!("i{value}e").into_bytes())
}

/// A string.
pub fn bytes(value: impl AsRef<[u8]>) -> Encoded {
    let mut out = Vec::new();
    push_bytes(&mut out, value.as_ref());
    Encoded(out)
}

/// A list.
pub fn list(items: impl IntoIterator<Item = Encoded>) -> Encoded {
    let mut out = vec![b'l'];
    for item in items {
        out.extend_from_slice(&item.0);
    }
    out.push(b'e');
    Encoded(out)
}

/// A dictionary. Entries may come in any order; of equal keys the first is kept, as look-ups do.
pub fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Encoded)>) -> Encoded {
    let mut entries: Vec<(K, Encoded)> = entries.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
    entries.dedup_by(|(later, _), (earlier, _)| later.as_ref() == earlier.as_ref());
    let mut out = vec![b'd'];
    for (key, value) in &entries {
        push_bytes(&mut out, key.as_ref());
        out.extend_from_slice(&value.0);
    }
    out.push(b'e');
    Encoded(out)
}

fn push_bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(value);
}
