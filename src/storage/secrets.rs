//! Secrets at rest: devices' passwords and webhooks' secrets, encrypted with a key that lies in a file of its own.
//!
//! AES-256-GCM with a random nonce before each ciphertext and the device's id as associated data, so that a
//! row's secret cannot be moved to another device. Who copies only the database has nothing.

use std::io::Write;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::StorageError;

/// The key that secrets are kept under.
pub struct SecretKey {
    key: LessSafeKey,
    random: SystemRandom,
}

impl SecretKey {
    /// Reads the key, or makes one that only its owner can read.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let file_error = |error| StorageError::File { path: path.display().to_string(), error };
        let random = SystemRandom::new();
        let bytes = match std::fs::read(path) {
            Ok(text) => decode(&text).ok_or_else(|| {
                StorageError::Corrupt(format!(
                    "{}: not a key file (64 hex digits); restore it from a backup",
                    path.display()
                ))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                random.fill(&mut bytes).map_err(|_| StorageError::Corrupt("no randomness".into()))?;
                write_private(path, hex::encode(bytes).as_bytes()).map_err(file_error)?;
                bytes
            }
            Err(error) => return Err(file_error(error)),
        };
        let key =
            UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| StorageError::Corrupt("bad key".into()))?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    /// Encrypts a device's secrets.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, device: &str, plain: &[u8]) -> Result<Vec<u8>, StorageError> {
        let failed = |_| StorageError::Corrupt("a secret cannot be encrypted".into());
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let mut sealed = plain.to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(once, Aad::from(device.as_bytes()), &mut sealed).map_err(failed)?;
        Ok([&nonce, sealed.as_slice()].concat())
    }

    /// Decrypts a device's secrets.
    ///
    /// # Errors
    /// When they were encrypted with another key or for another device.
    pub fn open_sealed(&self, device: &str, sealed: &[u8]) -> Result<Vec<u8>, StorageError> {
        let failed = || {
            StorageError::Corrupt(format!(
                "the secrets of {device} were encrypted with another key file; restore it"
            ))
        };
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut plain = rest.to_vec();
        let opened =
            self.key.open_in_place(nonce, Aad::from(device.as_bytes()), &mut plain).map_err(|_| failed())?;
        Ok(opened.to_vec())
    }
}

fn decode(text: &[u8]) -> Option<[u8; 32]> {
    hex::decode(text.trim_ascii()).ok()?.try_into().ok()
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_device_and_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let key = SecretKey::open(&path).expect("a key is made");
        let sealed = key.seal("om-1", b"123456").expect("it seals");
        assert!(!sealed.windows(6).any(|w| w == b"123456"));
        let again = SecretKey::open(&path).expect("the key is read");
        assert_eq!(again.open_sealed("om-1", &sealed).expect("it opens"), b"123456");
        assert!(again.open_sealed("om-2", &sealed).is_err());
        assert!(again.open_sealed("om-1", &sealed[..5]).is_err());
        let other = SecretKey::open(&folder.path().join("other")).expect("a key is made");
        assert!(other.open_sealed("om-1", &sealed).is_err());
        std::fs::write(folder.path().join("bad"), "xyz").expect("writes");
        assert!(SecretKey::open(&folder.path().join("bad")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        SecretKey::open(&path).expect("a key is made");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
