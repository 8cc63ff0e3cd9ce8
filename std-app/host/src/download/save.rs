//! Where a body is written: to a file that gets its name when it is complete, to the end of one, or straight to a pipe.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Stdout, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use super::{
    error::DownloadError,
    unnamed::{link, unnamed},
};
use crate::path::escaped;

/// Size of the write buffer in bytes: a server may send a chunk for each byte.
const BUFFER: usize = 64 * 1024;

/// Longest chain of symbolic links that is followed, as for the system.
const LINKS: usize = 40;

/// The prefix of a temporary name, where one is needed.
const TEMPORARY: &str = ".greet-";

/// Where a body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Nowhere: the head alone is wanted.
    Nowhere,
    /// To standard output.
    Output,
    /// Into something that is no regular file, such as a device or a pipe: there is no older content to keep.
    Device(PathBuf),
    /// To this file, which may exist; a symbolic link is followed.
    File { path: PathBuf, replace: bool },
    /// To the end of this file, which may exist with `present` bytes: the first part of the body.
    Resume { path: PathBuf, present: u64 },
}

impl Destination {
    /// The destination that is named `path`. It reports what can be known before there is anything to write.
    pub(super) fn at(path: &Path, replace: bool) -> Result<Self, DownloadError> {
        let failed = |error| DownloadError::File { path: path.to_owned(), error };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(ErrorKind::IsADirectory.into())),
            Err(_) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Err(failed(ErrorKind::IsADirectory.into()))
            }
            Ok(found) if !found.is_file() => Ok(Self::Device(path.to_owned())),
            Ok(_) if !replace => Err(DownloadError::Exists(path.to_owned())),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => {
                fs::read_dir(folder_of(&behind_links(path))).map_err(failed)?;
                Ok(Self::File { path: path.to_owned(), replace })
            }
        }
    }

    /// The destination that continues the file named `path`, where it exists.
    pub(super) fn resume(path: &Path) -> Result<Self, DownloadError> {
        let Self::File { path, .. } = Self::at(path, true)? else { return Self::at(path, true) };
        let present = fs::metadata(&path).map_or(0, |found| found.len());
        Ok(Self::Resume { path, present })
    }

    /// The number of bytes of the body that are there already.
    pub(super) const fn present(&self) -> u64 {
        match self {
            Self::Resume { present, .. } => *present,
            _ => 0,
        }
    }

    /// Whether written bytes can be taken back, so that the download can start again.
    pub(super) const fn can_start_again(&self) -> bool {
        matches!(self, Self::Nowhere | Self::File { .. } | Self::Resume { .. })
    }

    /// The name for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Nowhere => "nowhere".to_owned(),
            Self::Output => "standard output".to_owned(),
            Self::Device(path) | Self::File { path, .. } | Self::Resume { path, .. } => escaped(path),
        }
    }

    /// Starts to write.
    pub(super) fn open(&self) -> Result<Saving, DownloadError> {
        let failed = |path: &Path, error: io::Error| DownloadError::File { path: path.to_owned(), error };
        let buffered = |file| io::BufWriter::with_capacity(BUFFER, file);
        Ok(match self {
            Self::Nowhere => Saving::Nowhere,
            Self::Output => Saving::Output(io::BufWriter::with_capacity(BUFFER, io::stdout())),
            Self::Device(path) => {
                let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(path, error))?;
                Saving::Direct { file: buffered(file), path: path.clone() }
            }
            Self::Resume { path, .. } => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).open(path).map_err(|error| failed(path, error))?;
                Saving::Direct { file: buffered(file), path: path.clone() }
            }
            Self::File { path, replace } => {
                // The link stays, and its target is replaced.
                let path = behind_links(path);
                let older = fs::metadata(&path).ok().map(|older| older.permissions());
                let folder = folder_of(&path);
                let (file, temporary) = match unnamed(folder) {
                    Ok(file) => (file, None),
                    Err(_) => {
                        named(folder).map_err(|error| failed(&path, error)).map(|(file, path)| (file, Some(path)))?
                    }
                };
                if let Some(older) = older {
                    file.set_permissions(older).map_err(|error| failed(&path, error))?;
                }
                Saving::File { file: buffered(file), temporary, path, replace: *replace }
            }
        })
    }
}

/// A file with a temporary name, and the permissions of any other file of this user.
fn named(folder: &Path) -> io::Result<(File, TempPath)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // The library's error adds the path of the temporary file, which says nothing to the user.
    builder.tempfile_in(folder).map(tempfile::NamedTempFile::into_parts).map_err(|error| error.kind().into())
}

/// The folder that contains the file, or will contain it.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The target of a symbolic link, whether it exists or not; any other path unchanged.
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

/// A body that is being written. Dropped before its end, it leaves nothing beside the file.
#[derive(Debug)]
pub(super) enum Saving {
    Nowhere,
    Output(io::BufWriter<Stdout>),
    /// What is written stays, complete or not.
    Direct {
        file: io::BufWriter<File>,
        path: PathBuf,
    },
    /// `temporary` is the file's name until its end, where it cannot be without one.
    File {
        file: io::BufWriter<File>,
        temporary: Option<TempPath>,
        path: PathBuf,
        replace: bool,
    },
}

impl Saving {
    /// The file to remove if the body does not come to its end.
    pub(super) fn temporary(&self) -> Option<PathBuf> {
        match self {
            Self::File { temporary: Some(temporary), .. } => Some(temporary.to_path_buf()),
            _ => None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        let outcome = match self {
            Self::Nowhere => Ok(()),
            Self::Output(output) => output.write_all(bytes),
            Self::Direct { file, .. } | Self::File { file, .. } => file.write_all(bytes),
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// Writes what is buffered, as no more bytes come for a while.
    pub(super) fn flush(&mut self) -> Result<(), DownloadError> {
        match self {
            Self::File { .. } => Ok(()), // it has no reader before its end
            _ => self.flush_all(),
        }
    }

    /// Writes all that is buffered.
    pub(super) fn flush_all(&mut self) -> Result<(), DownloadError> {
        let outcome = match self {
            Self::Nowhere => Ok(()),
            Self::Output(output) => output.flush(),
            Self::Direct { file, .. } | Self::File { file, .. } => file.flush(),
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// The body is complete: the file gets its name.
    pub(super) fn end(self) -> Result<(), DownloadError> {
        let Self::File { file, temporary, path, replace } = self else { return Ok(()) };
        let outcome = match temporary {
            Some(temporary) if replace => temporary.persist(&path).map_err(|error| error.error),
            Some(temporary) => temporary.persist_noclobber(&path).map_err(|error| error.error),
            // A link never replaces a file. So the new one gets a temporary name, for the moment until it is renamed.
            None if replace => {
                let folder = folder_of(&path);
                let linked =
                    tempfile::Builder::new().prefix(TEMPORARY).make_in(folder, |name| link(file.get_ref(), name));
                linked.and_then(|linked| linked.into_temp_path().persist(&path).map_err(|error| error.error))
            }
            None => link(file.get_ref(), &path),
        };
        match outcome {
            // Somebody made it during the download.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !replace => Err(DownloadError::Exists(path)),
            Err(error) => Err(DownloadError::File { path, error }),
            Ok(()) => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> DownloadError {
        match self {
            Self::Nowhere | Self::Output(_) => DownloadError::Output(error),
            Self::Direct { path, .. } | Self::File { path, .. } => DownloadError::File { path: path.clone(), error },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn is_unnamed(saving: &Saving) -> bool {
        matches!(saving, Saving::File { temporary: None, .. })
    }

    /// The same file with a temporary name, as on a file system that has none without.
    fn with_name(saving: Saving) -> Saving {
        let Saving::File { path, replace, .. } = saving else { return saving };
        let (file, temporary) = named(folder_of(&path)).unwrap();
        Saving::File { file: io::BufWriter::new(file), temporary: Some(temporary), path, replace }
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_not_before() {
        for change in [|saving| saving, with_name] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("page");
            let mut saving = change(Destination::at(&path, false).unwrap().open().unwrap());
            saving.write(b"ha").unwrap();
            assert_eq!(names(folder.path()).len(), usize::from(!is_unnamed(&saving)));
            saving.write(b"ha").unwrap();
            saving.flush_all().unwrap();
            saving.end().unwrap();
            assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"haha".to_vec(), vec!["page".to_owned()]));
        }
    }

    #[test]
    fn after_an_incomplete_body_only_the_older_file_exists() {
        for change in [|saving| saving, with_name] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("page");
            fs::write(&path, "older").unwrap();
            let mut saving = change(Destination::at(&path, true).unwrap().open().unwrap());
            saving.write(b"newer").unwrap();
            drop(saving);
            assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"older".to_vec(), vec!["page".to_owned()]));
        }
    }

    #[test]
    fn an_existing_file_is_replaced_only_on_request_even_if_it_appears_during_the_download() {
        for change in [|saving| saving, with_name] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("page");
            let mut saving = change(Destination::at(&path, false).unwrap().open().unwrap());
            saving.write(b"newer").unwrap();
            fs::write(&path, "older").unwrap();
            assert!(matches!(saving.end(), Err(DownloadError::Exists(_))));
            assert!(matches!(Destination::at(&path, false), Err(DownloadError::Exists(_))));
            assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"older".to_vec(), vec!["page".to_owned()]));
            change(Destination::at(&path, true).unwrap().open().unwrap()).end().unwrap();
            assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (Vec::new(), vec!["page".to_owned()]));
        }
    }

    #[test]
    fn a_link_is_followed_a_device_is_written_to_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("page"), folder.path().join("link"));
        fs::write(&path, "older").unwrap();
        std::os::unix::fs::symlink("page", &link).unwrap();
        Destination::at(&link, true).unwrap().open().unwrap().end().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap(); // now the link has no target
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
    fn a_file_that_replaces_another_has_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::write(&path, "older").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Destination::at(&path, true).unwrap().open().unwrap().end().unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_before_there_is_anything_to_write() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["none/page", "new/", &"a".repeat(300)] {
            let outcome = Destination::at(&folder.path().join(name), false);
            assert!(matches!(outcome, Err(DownloadError::File { .. })), "{name} {outcome:?}");
        }
    }

    #[test]
    fn a_resumed_file_keeps_its_first_bytes_and_every_byte_that_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        for (expected, added) in [(0, "ha"), (2, "ha"), (4, "!")] {
            let destination = Destination::resume(&path).unwrap();
            assert_eq!(destination.present(), expected);
            let mut saving = destination.open().unwrap();
            saving.write(added.as_bytes()).unwrap();
            drop(saving); // not at its end
        }
        assert_eq!(fs::read(&path).unwrap(), b"haha!");
    }
}
