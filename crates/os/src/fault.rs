//! What kind of fault an error of the file system is, by its number: `std` lumps several of these together.

use rustix::io::Errno;
use std::io;

/// Kinds of faults that call for different advice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// ENOSPC: the device is full.
    Full,
    /// EDQUOT: our share of it is.
    Quota,
    /// EFBIG: the file system, or a limit on us, allows no file this large.
    TooLarge,
    /// EROFS: mounted read-only.
    ReadOnly,
    /// EACCES, EPERM: not ours.
    Denied,
    /// ENAMETOOLONG, EILSEQ, EINVAL: the file system cannot have such a name or do such a thing.
    Unsupported,
    /// EMFILE, ENFILE: too many open files, ours or everybody's.
    TooManyOpen,
    /// ENOENT: there is no such name.
    Absent,
    /// ESTALE, ENODEV, ENXIO, ENOTCONN, EHOSTDOWN: the file system itself is gone.
    Gone,
    /// ELOOP, ENOTDIR, EISDIR, EXDEV, EEXIST: something else has the name.
    InTheWay,
    /// The file ended too early.
    Short,
    /// EIO and everything else.
    Device,
}

impl Fault {
    /// The kind of this error.
    pub fn of(error: &io::Error) -> Fault {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC) => Fault::Full,
            Some(Errno::DQUOT) => Fault::Quota,
            Some(Errno::FBIG) => Fault::TooLarge,
            Some(Errno::ROFS) => Fault::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => Fault::Denied,
            Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL | Errno::OPNOTSUPP) => Fault::Unsupported,
            Some(Errno::MFILE | Errno::NFILE) => Fault::TooManyOpen,
            Some(Errno::NOENT) => Fault::Absent,
            Some(Errno::STALE | Errno::NODEV | Errno::NXIO | Errno::NOTCONN | Errno::HOSTDOWN) => Fault::Gone,
            Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::XDEV | Errno::EXIST) => Fault::InTheWay,
            Some(_) => Fault::Device,
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof => Fault::Short,
                io::ErrorKind::NotFound => Fault::Absent,
                io::ErrorKind::AlreadyExists => Fault::InTheWay,
                io::ErrorKind::InvalidInput => Fault::InTheWay,
                io::ErrorKind::Unsupported => Fault::Unsupported,
                _ => Fault::Device,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_kind() {
        let cases = [
            (Errno::NOSPC, Fault::Full),
            (Errno::DQUOT, Fault::Quota),
            (Errno::FBIG, Fault::TooLarge),
            (Errno::ROFS, Fault::ReadOnly),
            (Errno::ACCESS, Fault::Denied),
            (Errno::NAMETOOLONG, Fault::Unsupported),
            (Errno::MFILE, Fault::TooManyOpen),
            (Errno::NOENT, Fault::Absent),
            (Errno::STALE, Fault::Gone),
            (Errno::LOOP, Fault::InTheWay),
            (Errno::IO, Fault::Device),
        ];
        for (errno, fault) in cases {
            assert_eq!(Fault::of(&errno.into()), fault, "{errno}");
        }
        assert_eq!(Fault::of(&io::ErrorKind::UnexpectedEof.into()), Fault::Short);
    }
}
