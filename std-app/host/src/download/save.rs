//! Where a body goes: beside the file until it is whole, or straight to where nothing can be put beside.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Stdout, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use greet_core::Escaped;
use tempfile::TempPath;

use super::error::DownloadError;

/// Short stretches are gathered: a server may send a chunk for each byte.
const BUFFER: usize = 64 * 1024;

/// How many links may lead from one to the next, as for the system.
const LINKS: usize = 40;

/// Where a body is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// To standard output.
    Output,
    /// Into something that is no file, as a device or a pipe: there is no older content to keep.
    Device(PathBuf),
    /// To this file, which there is or is not; a link is followed.
    File { path: PathBuf, replace: bool },
}

impl Destination {
    /// What is at `path`, and whether it may be written, as far as one can tell before there is anything to write.
    pub(super) fn at(path: &Path, replace: bool) -> Result<Self, DownloadError> {
        let failed = |error| DownloadError::File { path: path.to_owned(), error };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(ErrorKind::IsADirectory.into())),
            Err(_) if path.as_os_str().as_bytes().ends_with(b"/") => Err(failed(ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => Ok(Self::Device(path.to_owned())),
            Ok(_) if !replace => Err(DownloadError::Exists(path.to_owned())),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => {
                fs::read_dir(folder_of(&behind_links(path))).map_err(failed)?;
                Ok(Self::File { path: path.to_owned(), replace })
            }
        }
    }

    /// Its name, for whoever reads of it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Output => "standard output".to_owned(),
            Self::Device(path) | Self::File { path, .. } => shown(path),
        }
    }

    /// Begins to write.
    pub(super) fn open(&self) -> Result<Saving, DownloadError> {
        let failed = |path: &Path, error| DownloadError::File { path: path.to_owned(), error };
        Ok(match self {
            Self::Output => Saving::Output(io::BufWriter::with_capacity(BUFFER, io::stdout())),
            Self::Device(path) => {
                let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(path, error))?;
                Saving::Device { file: io::BufWriter::with_capacity(BUFFER, file), path: path.clone() }
            }
            Self::File { path, replace } => {
                // The link stays, and what it leads to is replaced.
                let path = behind_links(path);
                let older = fs::metadata(&path).ok().map(|older| older.permissions());
                let mut builder = tempfile::Builder::new();
                // As any file of this user's; not as secret as a temporary one.
                builder.prefix(".greet-").permissions(Permissions::from_mode(0o666));
                // The library says with an error where that was, which is nothing that anybody asked about.
                let failed = |error: io::Error| failed(&path, error.kind().into());
                let (file, temporary) = builder.tempfile_in(folder_of(&path)).map_err(failed)?.into_parts();
                if let Some(older) = older {
                    file.set_permissions(older).map_err(failed)?;
                }
                let file = io::BufWriter::with_capacity(BUFFER, file);
                Saving::File { file, temporary, path, replace: *replace }
            }
        })
    }
}

/// The folder in which a file is or will be.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a link leads to, be it there or not; any other path as it is.
fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

/// The path as it may be shown.
pub(super) fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}

/// A body on its way. Dropped before its end, it leaves nothing beside the file.
#[derive(Debug)]
pub(super) enum Saving {
    Output(io::BufWriter<Stdout>),
    Device { file: io::BufWriter<File>, path: PathBuf },
    File { file: io::BufWriter<File>, temporary: TempPath, path: PathBuf, replace: bool },
}

impl Saving {
    /// What has to go if it does not come to its end.
    pub(super) fn temporary(&self) -> Option<PathBuf> {
        match self {
            Self::File { temporary, .. } => Some(temporary.to_path_buf()),
            _ => None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        let outcome = match self {
            Self::Output(output) => output.write_all(bytes),
            Self::Device { file, .. } | Self::File { file, .. } => file.write_all(bytes),
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// What was gathered is wanted now, as nothing comes for a while.
    pub(super) fn flush(&mut self) -> Result<(), DownloadError> {
        match self {
            Self::File { .. } => Ok(()), // nobody looks at it before its end
            _ => self.flush_all(),
        }
    }

    /// It is whole: all of it is written.
    pub(super) fn flush_all(&mut self) -> Result<(), DownloadError> {
        let outcome = match self {
            Self::Output(output) => output.flush(),
            Self::Device { file, .. } | Self::File { file, .. } => file.flush(),
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// From now on it stands under its name.
    pub(super) fn end(self) -> Result<(), DownloadError> {
        let Self::File { temporary, path, replace, .. } = self else { return Ok(()) };
        let outcome = if replace { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        match outcome.map_err(|error| error.error) {
            // It came while the page did.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !replace => Err(DownloadError::Exists(path)),
            Err(error) => Err(DownloadError::File { path, error }),
            Ok(()) => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> DownloadError {
        match self {
            Self::Output(_) => DownloadError::Output(error),
            Self::Device { path, .. } | Self::File { path, .. } => DownloadError::File { path: path.clone(), error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_stands_under_its_name_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mut saving = Destination::at(&path, false).unwrap().open().unwrap();
        saving.write(b"ha").unwrap();
        assert!(!path.exists());
        saving.write(b"ha").unwrap();
        saving.flush_all().unwrap();
        saving.end().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"haha".to_vec(), vec!["page".to_owned()]));
    }

    #[test]
    fn what_is_not_whole_leaves_the_older_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        fs::write(&path, "older").unwrap();
        let mut saving = Destination::at(&path, true).unwrap().open().unwrap();
        saving.write(b"newer").unwrap();
        drop(saving);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"older".to_vec(), vec!["page".to_owned()]));
    }

    #[test]
    fn an_older_file_is_replaced_only_where_that_is_wanted_even_if_it_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mut saving = Destination::at(&path, false).unwrap().open().unwrap();
        saving.write(b"newer").unwrap();
        fs::write(&path, "older").unwrap();
        assert!(matches!(saving.end(), Err(DownloadError::Exists(_))));
        assert!(matches!(Destination::at(&path, false), Err(DownloadError::Exists(_))));
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"older".to_vec(), vec!["page".to_owned()]));
        Destination::at(&path, true).unwrap().open().unwrap().end().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (Vec::new(), vec!["page".to_owned()]));
    }

    #[test]
    fn a_link_is_followed_a_device_is_written_into_and_a_folder_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("page"), folder.path().join("link"));
        fs::write(&path, "older").unwrap();
        std::os::unix::fs::symlink("page", &link).unwrap();
        Destination::at(&link, true).unwrap().open().unwrap().end().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap(); // now the link leads to nothing
        Destination::at(&link, false).unwrap().open().unwrap().end().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (Vec::new(), vec!["link".to_owned(), "page".to_owned()])
        );
        let null = Destination::at(Path::new("/dev/null"), false).unwrap();
        assert_eq!(null, Destination::Device("/dev/null".into()));
        null.open().unwrap().write(b"haha").unwrap();
        assert!(matches!(Destination::at(folder.path(), true), Err(DownloadError::File { .. })));
    }

    #[test]
    fn a_file_that_replaces_another_is_no_more_open_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::write(&path, "older").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Destination::at(&path, true).unwrap().open().unwrap().end().unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_cannot_be_written_is_known_before_there_is_anything_to_write() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["none/page", "new/", &"a".repeat(300)] {
            let outcome = Destination::at(&folder.path().join(name), false);
            assert!(matches!(outcome, Err(DownloadError::File { .. })), "{name} {outcome:?}");
        }
    }
}
