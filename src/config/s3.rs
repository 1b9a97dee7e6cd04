//! Where recordings are kept if not in a folder: a bucket of an S3 service.

use serde::{Deserialize, Serialize};

/// A bucket of Amazon S3, or of whatever speaks as it does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// Its name.
    pub bucket: String,
    /// What every name in it begins with; may be empty.
    pub prefix: String,
    /// Its region.
    pub region: Option<String>,
    /// The service's URL, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// Who we are to it; without it, what the environment says (`AWS_…`, a role of the machine).
    pub access_key_id: Option<String>,
    /// Proves it; `file:` reads it from a file.
    pub secret_access_key: Option<String>,
}

impl S3Config {
    /// What cannot work.
    ///
    /// # Errors
    /// Says what to mend.
    pub fn check(&self) -> Result<(), String> {
        let named = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        if !named(&self.bucket) {
            return Err(
                "recordings.s3.bucket is the bucket's name: letters, digits, dots and hyphens".to_owned()
            );
        }
        if !self.prefix.is_empty() && !self.prefix.split('/').all(named) {
            return Err(
                "recordings.s3.prefix is names of letters, digits, dots, hyphens, with / between".to_owned()
            );
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.endpoint.as_ref().is_some_and(|url| !is_url(url)) {
            return Err("recordings.s3.endpoint begins with https:// (or http://, where nobody listens in)"
                .to_owned());
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err("recordings.s3: access_key_id and secret_access_key belong together".to_owned());
        }
        Ok(())
    }
}
