//! A regular file by handle: positioned reads and writes that finish what they begin, room, durability.
//!
//! Always: no call moves a file position, so one handle serves all threads.

use super::Stat;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

/// Slices that the kernel takes in one vectored call (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// An open regular file.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
}

/// Where written bytes begin, seen from an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// Here or at this later offset.
    At(u64),
    /// There are none up to the end: a hole, room that was only set aside, or the end itself.
    None,
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File { fd }
    }
}

impl File {
    /// Whoever may read it may execute it from now on.
    pub fn allow_executing(&self) -> io::Result<()> {
        let mode = rustix::fs::fstat(&self.fd)?.st_mode & 0o7777;
        let mode = rustix::fs::Mode::from_raw_mode(mode | (mode & 0o444) >> 2);
        Ok(rustix::fs::fchmod(&self.fd, mode)?)
    }

    /// Fills the buffer from this offset on; `UnexpectedEof` if the file ends before.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = buf.len();
        match self.read_at(buf, offset)? {
            read if read == wanted => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads until the buffer is full or the file ends; says how many bytes there were.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match rustix::io::pread(&self.fd, &mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// Writes all bytes at this offset.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_slices_at(&mut [IoSlice::new(bytes)], offset)
    }

    /// Writes all slices, one behind the other, at this offset. The slices are used up.
    pub fn write_slices_at(&self, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let batch = slices.len().min(SLICES_MAX);
            match rustix::io::pwritev(&self.fd, &slices[..batch], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut slices, written);
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes its content, and what is needed to find it, durable. The kernel tells of a failure once.
    pub fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.fd)?)
    }

    /// Sets room aside up to this length, which becomes the file's; `Unsupported` where the file system cannot.
    pub fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.fd, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    /// Gives room back: the range reads as zeros. `Unsupported` where the file system cannot.
    pub fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.fd, flags, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    /// Sets its length; what is gained reads as zeros.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.fd, len)?)
    }

    /// What the kernel knows of it.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(Stat::from_kernel(&rustix::fs::fstat(&self.fd)?))
    }

    /// Where written bytes begin, at this offset or later. File systems without holes say: here.
    pub fn data_from(&self, offset: u64) -> io::Result<Data> {
        match rustix::fs::seek(&self.fd, SeekFrom::Data(offset)) {
            Ok(at) => Ok(Data::At(at)),
            Err(Errno::NXIO) => Ok(Data::None),
            Err(Errno::INVAL) => Ok(Data::At(offset)),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the next hole begins, at this offset or later; the end of the file, if there is none. Room that was reserved and never
    /// written to may count as a hole; what a file system compresses does not.
    pub fn hole_from(&self, offset: u64) -> io::Result<u64> {
        match rustix::fs::seek(&self.fd, SeekFrom::Hole(offset)) {
            Ok(at) => Ok(at),
            Err(Errno::NXIO) => Ok(offset),
            Err(Errno::INVAL) => Ok(self.stat()?.size.max(offset)),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops what the kernel holds in memory of it, so that the next read asks the device.
    pub fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.fd, 0, None, Advice::DontNeed)?)
    }

    /// Tells the kernel that it will be read from front to back.
    pub fn will_read_in_order(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.fd, 0, None, Advice::Sequential)?)
    }

    /// Takes the file's lock, and waits for whoever has it.
    pub fn lock(&self) -> io::Result<()> {
        loop {
            match rustix::fs::flock(&self.fd, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    /// Takes the file's lock, if nobody has it; it is given back when the last handle goes, by a crash too.
    pub fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
