//! Files that have no name until they are complete (`O_TMPFILE`). Only Linux has them; elsewhere an incomplete file has a
//! temporary name.

#[cfg(not(target_os = "linux"))]
pub(super) use self::elsewhere::{link, unnamed};
#[cfg(target_os = "linux")]
pub(super) use self::linux::{link, unnamed};

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::{self, File, OpenOptions},
        io,
        os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
        path::{Path, PathBuf},
    };

    use nix::{
        fcntl::{AT_FDCWD, AtFlags, OFlag},
        unistd::linkat,
    };

    /// A file without a name, which the system removes when the program ends, however it ends. Not every file system has it.
    pub(in crate::download) fn unnamed(folder: &Path) -> io::Result<File> {
        let file = OpenOptions::new().write(true).custom_flags(OFlag::O_TMPFILE.bits()).mode(0o666).open(folder)?;
        fs::symlink_metadata(link_to(&file))?; // without /proc it could never get a name
        Ok(file)
    }

    fn link_to(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Gives the unnamed `file` this name.
    pub(in crate::download) fn link(file: &File, path: &Path) -> io::Result<()> {
        Ok(linkat(AT_FDCWD, &link_to(file), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::{fs::File, io, path::Path};

    pub(in crate::download) fn unnamed(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in crate::download) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
