//! TLS to a device, with the trust that its settings choose: devices come with certificates that nobody signed.

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use utoipa::ToSchema;

/// Whom to believe that it is the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whose certificate is taken.
    pub trust: Trust,
    /// With `pinned`: SHA-256 of the device's certificate, in hex; colons may stand between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Whose certificate is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// What this machine trusts.
    #[default]
    System,
    /// This one certificate.
    Pinned,
    /// Any: protects from listening only, not from being deceived.
    Any,
}

impl Tls {
    /// The pinned digest.
    ///
    /// # Errors
    /// When it is none.
    pub fn digest(&self) -> Result<Option<[u8; 32]>, &'static str> {
        const WRONG: &str = "64 hex digits: the SHA-256 of the certificate";
        match (self.trust, &self.sha256) {
            (Trust::Pinned, Some(text)) => {
                let plain: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
                let bytes = hex::decode(plain).map_err(|_| WRONG)?;
                bytes.try_into().map(Some).map_err(|_| WRONG)
            }
            (Trust::Pinned, None) => {
                Err("trust \"pinned\" needs `sha256`, the digest of the device's certificate")
            }
            _ => Ok(None),
        }
    }
}

/// Makes ring the process's provider of cryptography; another part may have done so before.
pub fn install_provider() {
    // The error says that one is installed already, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(crate) async fn connect(
    stream: TcpStream,
    host: &str,
    tls: Option<&Tls>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    install_provider();
    let provider = CryptoProvider::get_default().context("no provider of cryptography")?;
    let trust = tls.map_or(Trust::System, |tls| tls.trust);
    let config = match trust {
        Trust::System => system()?,
        Trust::Any | Trust::Pinned => {
            let pinned = tls.map_or(Ok(None), Tls::digest).map_err(anyhow::Error::msg)?;
            let verifier = Known { pinned, provider: Arc::clone(provider) };
            let config = ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth();
            Arc::new(config)
        }
    };
    let name = ServerName::try_from(host.to_owned())?;
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}

/// Takes any certificate: who answers must hold its key, and may be anybody.
pub(crate) fn of_anybody() -> anyhow::Result<ClientConfig> {
    let provider = CryptoProvider::get_default().context("no provider of cryptography")?;
    let verifier = Known { pinned: None, provider: Arc::clone(provider) };
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

/// What this machine trusts, read once: it lies in files.
fn system() -> anyhow::Result<Arc<ClientConfig>> {
    use rustls_platform_verifier::ConfigVerifierExt;
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = SYSTEM.get() {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(ClientConfig::with_platform_verifier()?);
    Ok(Arc::clone(SYSTEM.get_or_init(|| config)))
}

/// Takes the pinned certificate, or any; who answers must hold its key.
#[derive(Debug)]
struct Known {
    pinned: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(pinned) = &self.pinned else { return Ok(ServerCertVerified::assertion()) };
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        if bool::from(digest.as_ref().ct_eq(pinned)) {
            return Ok(ServerCertVerified::assertion());
        }
        let shown = hex::encode(digest.as_ref());
        Err(rustls::Error::General(format!(
            "the device's certificate is another one; its SHA-256 is {shown}"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
