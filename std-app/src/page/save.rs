//! Where a body goes: beside the file until it is whole, or straight to where nothing can be put beside.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Stdout, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::error::PageError;

/// Short stretches are gathered: a server may send a chunk for each byte.
const BUFFER: usize = 64 * 1024;

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
    pub(super) fn at(path: &Path, replace: bool) -> Result<Self, PageError> {
        let failed = |error| PageError::File { path: path.to_owned(), error };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => Ok(Self::Device(path.to_owned())),
            Ok(_) if !replace => Err(PageError::Exists(path.to_owned())),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(Self::File { path: path.to_owned(), replace }),
        }
    }

    /// Its name, for whoever reads of it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Output => "standard output".to_owned(),
            Self::Device(path) | Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Begins to write.
    pub(super) fn open(&self) -> Result<Saving, PageError> {
        let failed = |path: &Path, error| PageError::File { path: path.to_owned(), error };
        Ok(match self {
            Self::Output => Saving::Output(io::BufWriter::with_capacity(BUFFER, io::stdout())),
            Self::Device(path) => {
                let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(path, error))?;
                Saving::Device { file: io::BufWriter::with_capacity(BUFFER, file), path: path.clone() }
            }
            Self::File { path, replace } => {
                // Beside what a link leads to, so that the link stays; what is not there yet has no links in its name.
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let mut builder = tempfile::Builder::new();
                // As any file of this user's; not as secret as a temporary one.
                builder.prefix(".greet-").permissions(Permissions::from_mode(0o666));
                let file = builder.tempfile_in(folder).map_err(|error| failed(&path, error))?;
                let file = io::BufWriter::with_capacity(BUFFER, file);
                Saving::File { file, path, replace: *replace }
            }
        })
    }
}

/// A body on its way. Dropped before its end, it leaves nothing beside the file.
#[derive(Debug)]
pub(super) enum Saving {
    Output(io::BufWriter<Stdout>),
    Device { file: io::BufWriter<File>, path: PathBuf },
    File { file: io::BufWriter<NamedTempFile>, path: PathBuf, replace: bool },
}

impl Saving {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PageError> {
        let outcome = match self {
            Self::Output(output) => output.write_all(bytes),
            Self::Device { file, .. } => file.write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// What was gathered is wanted now, as nothing comes for a while.
    pub(super) fn flush(&mut self) -> Result<(), PageError> {
        let outcome = match self {
            Self::Output(output) => output.flush(),
            Self::Device { file, .. } => file.flush(),
            Self::File { .. } => Ok(()), // nobody looks at it before its end
        };
        outcome.map_err(|error| self.failed(error))
    }

    /// It is whole: from now on it stands under its name.
    pub(super) fn end(mut self) -> Result<(), PageError> {
        self.flush()?;
        let Self::File { file, path, replace } = self else { return Ok(()) };
        let failed = |error| PageError::File { path: path.clone(), error };
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        if replace {
            file.persist(&path).map_err(|error| failed(error.error))?;
            return Ok(());
        }
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            // It came while the page did.
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(PageError::Exists(path)),
            Err(error) => Err(failed(error.error)),
        }
    }

    fn failed(&self, error: io::Error) -> PageError {
        match self {
            Self::Output(_) => PageError::Output(error),
            Self::Device { path, .. } | Self::File { path, .. } => PageError::File { path: path.clone(), error },
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
        assert!(matches!(saving.end(), Err(PageError::Exists(_))));
        assert!(matches!(Destination::at(&path, false), Err(PageError::Exists(_))));
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
        let null = Destination::at(Path::new("/dev/null"), false).unwrap();
        assert_eq!(null, Destination::Device("/dev/null".into()));
        null.open().unwrap().write(b"haha").unwrap();
        assert!(matches!(Destination::at(folder.path(), true), Err(PageError::File { .. })));
    }
}
