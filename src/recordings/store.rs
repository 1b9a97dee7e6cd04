//! Where recordings are kept: by name, written once, read from anywhere in them.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// A recording that is read.
pub trait Reading: Read + Seek + Send {}

impl<T: Read + Seek + Send> Reading for T {}

/// A store of recordings. It blocks, so it is used where that harms nobody. Names are made here, of digits, letters,
/// `-`, `_`, `.` and `/`; none comes from a device.
pub trait Store: Send + Sync {
    /// Takes a file over under a name; what had that name is replaced as a whole.
    ///
    /// # Errors
    /// When it cannot be stored; the file is then still there.
    fn put(&self, file: &Path, name: &str) -> io::Result<()>;

    /// Opens what is stored under a name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is nothing; others when it cannot be read.
    fn open(&self, name: &str) -> io::Result<Box<dyn Reading>>;

    /// Deletes what is stored under a name, if it is there.
    ///
    /// # Errors
    /// When it cannot be deleted.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A folder. Only its owner can read it: these are people's words.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Keeps recordings in this folder, which is made when the first comes.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Store for Folder {
    fn put(&self, file: &Path, name: &str) -> io::Result<()> {
        let place = self.0.join(name);
        let folder = place.parent().unwrap_or(&self.0);
        make_private(folder)?;
        File::open(file)?.sync_all()?;
        fs::rename(file, &place)?;
        // The name is on disk as well, before anybody is told that the file is.
        File::open(folder)?.sync_all()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Reading>> {
        Ok(Box::new(File::open(self.0.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Makes a folder, and those above it, for its owner alone.
///
/// # Errors
/// When it cannot be made.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file to be filled, for its owner alone; what is in it stays.
///
/// # Errors
/// When it cannot be made.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_under_its_name_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Folder::new(folder.path().join("recordings"));
        assert_eq!(store.open("2026/a.wav").err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
        let part = folder.path().join("part");
        for text in ["one", "two"] {
            fs::write(&part, text).expect("it is written");
            store.put(&part, "2026/a.wav").expect("it is stored");
            let mut read = String::new();
            store.open("2026/a.wav").expect("it is there").read_to_string(&mut read).expect("it is read");
            assert_eq!(read, text);
            assert!(!part.exists());
        }
        for _ in 0..2 {
            store.remove("2026/a.wav").expect("it is gone, and stays so");
            assert_eq!(
                store.open("2026/a.wav").err().map(|error| error.kind()),
                Some(io::ErrorKind::NotFound)
            );
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode =
                fs::metadata(folder.path().join("recordings")).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }
}
