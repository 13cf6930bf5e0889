//! How values become bytes and come back: bytes as they are, larger numbers as LEB128 varints, texts and lists with their length before them, a tag
//! before each variant. The macros write both directions from one list, and match in full: a new field or variant of ours
//! does not compile until it is listed.
//!
//! Invariant: nothing is allocated for a length that the remaining bytes cannot hold.

use super::TraceError;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

/// A value that can be written.
pub(super) trait Put {
    fn put(&self, to: &mut Vec<u8>);
}

/// A value that can be read.
pub(super) trait Take: Sized {
    fn take(from: &mut Source<'_>) -> Result<Self, TraceError>;
}

/// Bytes yet to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], TraceError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(TraceError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], TraceError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(TraceError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn tag(&mut self) -> Result<u8, TraceError> {
        self.array().map(|[byte]| byte)
    }

    /// A number of items that follow, each at least one byte long.
    pub(super) fn count(&mut self) -> Result<usize, TraceError> {
        let count = usize::try_from(u64::take(self)?).map_err(|_| TraceError::Truncated)?;
        if count > self.rest.len() { Err(TraceError::Truncated) } else { Ok(count) }
    }
}

impl Put for u64 {
    fn put(&self, to: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            to.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        to.push(rest as u8);
    }
}

impl Take for u64 {
    fn take(from: &mut Source<'_>) -> Result<u64, TraceError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = from.tag()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(TraceError::Invalid("a number"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(TraceError::Invalid("a number"))
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Put for $number {
            fn put(&self, to: &mut Vec<u8>) {
                u64::from(*self).put(to);
            }
        }

        impl Take for $number {
            fn take(from: &mut Source<'_>) -> Result<$number, TraceError> {
                u64::take(from)?.try_into().map_err(|_| TraceError::Invalid("a number"))
            }
        }
    )*};
}
numbers!(u16, u32);

impl Put for u8 {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }
}

impl Take for u8 {
    fn take(from: &mut Source<'_>) -> Result<u8, TraceError> {
        from.tag()
    }
}

impl Put for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push((*self).into());
    }
}

impl Take for bool {
    fn take(from: &mut Source<'_>) -> Result<bool, TraceError> {
        match from.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(TraceError::UnknownTag("bool", tag)),
        }
    }
}

impl<const N: usize> Put for [u8; N] {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }
}

impl<const N: usize> Take for [u8; N] {
    fn take(from: &mut Source<'_>) -> Result<[u8; N], TraceError> {
        from.array()
    }
}

impl Put for str {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u64).put(to);
        to.extend_from_slice(self.as_bytes());
    }
}

impl Put for String {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_str().put(to);
    }
}

impl Take for String {
    fn take(from: &mut Source<'_>) -> Result<String, TraceError> {
        let len = from.count()?;
        let text = core::str::from_utf8(from.bytes(len)?);
        text.map(String::from).map_err(|_| TraceError::Invalid("a text"))
    }
}

impl Take for Box<str> {
    fn take(from: &mut Source<'_>) -> Result<Box<str>, TraceError> {
        String::take(from).map(Into::into)
    }
}

impl Take for Arc<str> {
    fn take(from: &mut Source<'_>) -> Result<Arc<str>, TraceError> {
        String::take(from).map(Into::into)
    }
}

impl<T: Put> Put for [T] {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u64).put(to);
        self.iter().for_each(|item| item.put(to));
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_slice().put(to);
    }
}

impl<T: Take> Take for Vec<T> {
    fn take(from: &mut Source<'_>) -> Result<Vec<T>, TraceError> {
        // Grown as items come: an item in memory may be larger than its bytes here.
        (0..from.count()?).map(|_| T::take(from)).collect()
    }
}

impl<T: Take> Take for Box<[T]> {
    fn take(from: &mut Source<'_>) -> Result<Box<[T]>, TraceError> {
        Vec::take(from).map(Into::into)
    }
}

impl<T: Put + ?Sized> Put for Box<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }
}

impl<T: Take> Take for Box<T> {
    fn take(from: &mut Source<'_>) -> Result<Box<T>, TraceError> {
        T::take(from).map(Box::new)
    }
}

impl<T: Put + ?Sized> Put for Arc<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }
}

impl<T: Take> Take for Arc<T> {
    fn take(from: &mut Source<'_>) -> Result<Arc<T>, TraceError> {
        T::take(from).map(Arc::new)
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(self.is_some().into());
        self.iter().for_each(|value| value.put(to));
    }
}

impl<T: Take> Take for Option<T> {
    fn take(from: &mut Source<'_>) -> Result<Option<T>, TraceError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Put, E: Put> Put for Result<T, E> {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(self.is_ok().into());
        match self {
            Ok(value) => value.put(to),
            Err(error) => error.put(to),
        }
    }
}

impl<T: Take, E: Take> Take for Result<T, E> {
    fn take(from: &mut Source<'_>) -> Result<Result<T, E>, TraceError> {
        Ok(if bool::take(from)? { Ok(T::take(from)?) } else { Err(E::take(from)?) })
    }
}

impl Put for () {
    fn put(&self, _: &mut Vec<u8>) {}
}

impl Take for () {
    fn take(_: &mut Source<'_>) -> Result<(), TraceError> {
        Ok(())
    }
}

impl<A: Put, B: Put> Put for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }
}

impl<A: Take, B: Take> Take for (A, B) {
    fn take(from: &mut Source<'_>) -> Result<(A, B), TraceError> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl Put for IpAddr {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            IpAddr::V4(ip) => {
                to.push(4);
                ip.octets().put(to);
            }
            IpAddr::V6(ip) => {
                to.push(6);
                ip.octets().put(to);
            }
        }
    }
}

impl Take for IpAddr {
    fn take(from: &mut Source<'_>) -> Result<IpAddr, TraceError> {
        match from.tag()? {
            4 => Ok(IpAddr::from(from.array::<4>()?)),
            6 => Ok(IpAddr::from(from.array::<16>()?)),
            tag => Err(TraceError::UnknownTag("IpAddr", tag)),
        }
    }
}

impl Put for SocketAddr {
    fn put(&self, to: &mut Vec<u8>) {
        self.ip().put(to);
        self.port().put(to);
        if let SocketAddr::V6(address) = self {
            address.flowinfo().put(to);
            address.scope_id().put(to);
        }
    }
}

impl Take for SocketAddr {
    fn take(from: &mut Source<'_>) -> Result<SocketAddr, TraceError> {
        Ok(match IpAddr::take(from)? {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, u16::take(from)?).into(),
            IpAddr::V6(ip) => {
                SocketAddrV6::new(ip, u16::take(from)?, u32::take(from)?, u32::take(from)?).into()
            }
        })
    }
}

/// Writing, from a list of fields or of variants with their tags.
macro_rules! put {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl Put for $name {
            fn put(&self, to: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.put(to);)*
            }
        }
    };
    (struct $name:ident ( $field:ident )) => {
        impl Put for $name {
            fn put(&self, to: &mut Vec<u8>) {
                let $name($field) = self;
                $field.put(to);
            }
        }
    };
    (enum $name:ident { $($tag:literal $variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl Put for $name {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $($name::$variant $(($($item),*))? $({ $($field),* })? => {
                        to.push($tag);
                        $($($item.put(to);)*)?
                        $($($field.put(to);)*)?
                    })*
                }
            }
        }
    };
}

/// Reading, from the same list.
macro_rules! take {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl Take for $name {
            fn take(from: &mut Source<'_>) -> Result<$name, TraceError> {
                $(let $field = Take::take(from)?;)*
                Ok($name { $($field),* })
            }
        }
    };
    (struct $name:ident ( $field:ident )) => {
        impl Take for $name {
            fn take(from: &mut Source<'_>) -> Result<$name, TraceError> {
                Take::take(from).map($name)
            }
        }
    };
    (enum $name:ident { $($tag:literal $variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl Take for $name {
            fn take(from: &mut Source<'_>) -> Result<$name, TraceError> {
                Ok(match from.tag()? {
                    $($tag => {
                        $($(let $item = Take::take(from)?;)*)?
                        $($(let $field = Take::take(from)?;)*)?
                        $name::$variant $(($($item),*))? $({ $($field),* })?
                    })*
                    tag => return Err(TraceError::UnknownTag(stringify!($name), tag)),
                })
            }
        }
    };
}

/// Both.
macro_rules! code {
    ($($list:tt)*) => {
        put! { $($list)* }
        take! { $($list)* }
    };
}

pub(super) use {code, put, take};
