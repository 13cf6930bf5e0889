//! Sockets as the kernel offers them, where the standard library has no safe way.

use bytes::BytesMut;
use std::io;
use std::os::fd::AsFd;

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
}
