//! The machine's network interfaces and their addresses, and word of when they change.
//!
//! A picture of a moment: by the time it is looked at an interface may be gone, and whoever uses it hears so from the kernel.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// One interface that is up and has an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// The kernel's number; never 0.
    pub index: u32,
    /// What people call it.
    pub name: String,
    /// It leads to this machine alone.
    pub loopback: bool,
    /// It is a network of many: what is multicast there reaches neighbours. Not a tunnel, whose other end is elsewhere.
    pub neighbours: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<IpAddr>,
}

/// The interfaces that are up, have a carrier and at least one address, in the order of their indices.
///
/// # Errors
/// As the kernel's, of which lack of memory is the likeliest.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut first = core::ptr::null_mut();
    // SAFETY: the kernel's library writes one pointer to where we say.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    let mut next = first;
    // SAFETY: each entry was made by `getifaddrs` and lives until `freeifaddrs` below.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: so do its name and its address.
        unsafe { take(entry, &mut found) };
        next = entry.ifa_next;
    }
    // SAFETY: made by `getifaddrs`, freed once, and nothing of it is kept.
    unsafe { libc::freeifaddrs(first) };
    Ok(found.into_values().collect())
}

/// Adds what one entry says.
///
/// # Safety
/// The name and the address of the entry are alive, as `getifaddrs` made them.
unsafe fn take(entry: &libc::ifaddrs, found: &mut BTreeMap<u32, Interface>) {
    let has = |flag: libc::c_int| entry.ifa_flags & flag as libc::c_uint != 0;
    if entry.ifa_name.is_null() || !has(libc::IFF_UP) || !has(libc::IFF_RUNNING) {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(address) = (unsafe { address_of(entry.ifa_addr) }) else { return };
    // SAFETY: the caller's promise: a name that ends in a zero.
    let (name, index) = unsafe { (CStr::from_ptr(entry.ifa_name), libc::if_nametoindex(entry.ifa_name)) };
    // It went away meanwhile.
    if index == 0 {
        return;
    }
    let interface = found.entry(index).or_insert_with(|| Interface {
        index,
        name: name.to_string_lossy().into_owned(),
        loopback: has(libc::IFF_LOOPBACK),
        neighbours: has(libc::IFF_MULTICAST) && !has(libc::IFF_POINTOPOINT) && !has(libc::IFF_LOOPBACK),
        addresses: Vec::new(),
    });
    interface.addresses.push(address);
}

/// The address in a socket address of either family; nothing of any other kind.
///
/// # Safety
/// It is null, or a whole socket address of the family that it says.
unsafe fn address_of(socket_address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise; the family is at the same place in all kinds.
    let family = i32::from(unsafe { socket_address.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: it is of this family, and so this large; it may be anywhere in memory.
            let v4 = unsafe { socket_address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: likewise.
            let v6 = unsafe { socket_address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Word from the kernel that interfaces or addresses came, went or changed. Readable when there is any.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
}

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Words taken at once; if there are more, they say the same.
const WORDS_MAX: usize = 64;

impl Watch {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the kernel does not offer it, as in some sandboxes: look at [`list`] now and then instead.
    pub fn open() -> io::Result<Watch> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Protocol 0 of this family is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Watch { socket })
    }

    /// Whether anything changed since this was last asked. What exactly is not said: look at [`list`].
    pub fn changed(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut changed = false;
        for _ in 0..WORDS_MAX {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok(_) => changed = true,
                // So much changed that the kernel lost count.
                Err(rustix::io::Errno::NOBUFS) => changed = true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        changed
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback_interface_with_its_address_and_it_has_no_neighbours() {
        let interfaces = list().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.loopback).unwrap();
        assert!(loopback.addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{loopback:?}");
        assert!(loopback.index != 0 && !loopback.name.is_empty() && !loopback.neighbours);
        assert!(interfaces.iter().all(|interface| !interface.addresses.is_empty()));
    }

    #[test]
    fn a_watch_says_nothing_while_nothing_changes() {
        // A sandbox may offer none, which is an answer too.
        let Ok(watch) = Watch::open() else { return };
        watch.changed();
        assert!(!watch.changed());
    }
}
