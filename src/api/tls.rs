//! TLS by rustls, with the certificate and key of the configuration.

use std::path::Path;

use anyhow::Context;

use crate::link::tls::install_provider;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The server's side of TLS.
///
/// # Errors
/// Says which file cannot be read, or that certificate and key do not belong together.
pub(super) fn config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    install_provider();
    let name = certificate.display();
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| {
        format!("api.tls_certificate = \"{name}\" cannot be read as PEM certificates")
    })?;
    anyhow::ensure!(!chain.is_empty(), "api.tls_certificate = \"{name}\" holds no PEM certificate");
    let key_name = key.display();
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("api.tls_key = \"{key_name}\" cannot be read as a PEM private key"))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("api.tls_certificate and api.tls_key do not belong together")
}
