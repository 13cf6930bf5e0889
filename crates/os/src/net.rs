//! Sockets as the kernel offers them, where the standard library has no safe way.

use bytes::BytesMut;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Receives at most `most` bytes into the spare capacity of `buffer`, without clearing it first, and says how many came; 0 is
/// the end of the stream (or no room at all).
///
/// # Errors
/// As the kernel's; `WouldBlock` when nothing is there.
pub fn read_into(socket: &impl AsFd, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let most = most.min(spare.len());
    let count = socket2::SockRef::from(socket).recv(&mut spare[..most])?;
    debug_assert!(count <= most);
    // SAFETY: the kernel has filled the first `count` bytes after the present end, and `count <= most <= spare.len()`.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Asks for room for so many bytes of what has come and was not read yet, beyond the system's limit if this process may; otherwise
/// up to that limit. The kernel counts its own overhead too, so that short datagrams need several times their length.
pub fn grow_receive_buffer(socket: &impl AsFd, bytes: usize) {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        // What is asked for beyond the limit is cut to it, so this fails for nobody.
        let _ = sockopt::set_socket_recv_buffer_size(socket, bytes);
    }
}

/// Lets the kernel hand each datagram to one of several sockets that were bound to one port (`SO_REUSEPORT`): to the one whose number, in
/// the order in which they were bound, is the big-endian word at `offset` modulo `sockets`. Datagrams that are shorter than `len_min`
/// bytes go to any. Told to one of the sockets, it holds for all. (A classic BPF program, which needs no privilege.)
///
/// # Errors
/// When the kernel does not take it: then datagrams go to any.
pub fn steer_by_word(socket: &impl AsFd, offset: u32, sockets: u32, len_min: u32) -> io::Result<()> {
    let row = |code: u32, skip: u8, number: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: skip,
        k: number,
    };
    let mut rows = [
        row(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0),
        row(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 3, len_min),
        row(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset),
        // By 0 nobody can divide.
        row(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, sockets.max(1)),
        row(libc::BPF_RET | libc::BPF_A, 0, 0),
        // No socket has this number, so the kernel chooses.
        row(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: rows.len() as u16, filter: rows.as_mut_ptr() };
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel copies the program, whose rows outlive the call, from the address and of the length that we say.
    let taken = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if taken == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_are_appended_after_those_that_are_there_and_never_more_than_asked_for() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        theirs.write_all(b"hello world").unwrap();
        let mut buffer = BytesMut::with_capacity(64);
        buffer.extend_from_slice(b"> ");
        assert_eq!(read_into(&ours, &mut buffer, 5).unwrap(), 5);
        assert_eq!(&buffer[..], b"> hello");
        drop(theirs);
        assert_eq!(read_into(&ours, &mut buffer, 64).unwrap(), 6);
        assert_eq!(read_into(&ours, &mut buffer, 64).unwrap(), 0);
        assert_eq!(&buffer[..], b"> hello world");
    }

    #[test]
    fn room_for_what_comes_grows_as_far_as_the_system_lets_it() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let size = || rustix::net::sockopt::socket_recv_buffer_size(&socket).unwrap();
        grow_receive_buffer(&socket, 64 << 10);
        let before = size();
        grow_receive_buffer(&socket, 128 << 10);
        assert!(size() > before);
    }

    #[test]
    fn datagrams_are_handed_to_the_socket_that_a_word_in_them_names() {
        use socket2::{Domain, Socket, Type};
        for ip in ["127.0.0.1", "::1"] {
            let mut at = std::net::SocketAddr::new(ip.parse().unwrap(), 0);
            let sockets: Vec<std::net::UdpSocket> = (0..3)
                .map(|_| {
                    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None).unwrap();
                    socket.set_reuse_port(true).unwrap();
                    socket.set_nonblocking(true).unwrap();
                    socket.bind(&at.into()).unwrap();
                    at = socket.local_addr().unwrap().as_socket().unwrap();
                    socket.into()
                })
                .collect();
            steer_by_word(&sockets[1], 4, 3, 8).unwrap();
            let client = std::net::UdpSocket::bind((at.ip(), 0)).unwrap();
            for word in 0..60u32 {
                let word = word.wrapping_mul(0x9e37_79b9);
                client.send_to(&[[7; 4], word.to_be_bytes()].concat(), at).unwrap();
            }
            for number in 0..7 {
                client.send_to(&[9; 7][..number], at).unwrap();
            }
            let mut came = 0;
            for (number, socket) in sockets.iter().enumerate() {
                let mut datagram = [0; 16];
                while let Ok(len) = socket.recv(&mut datagram) {
                    came += 1;
                    if let Ok([[7, 7, 7, 7], word]) = <[[u8; 4]; 2]>::try_from(datagram[..len].as_chunks().0)
                    {
                        assert_eq!(u32::from_be_bytes(word) % 3, number as u32);
                    }
                }
            }
            assert_eq!(came, 67, "none is lost, not even a short one");
        }
    }
}
