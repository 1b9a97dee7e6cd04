//! Commands over TLS, with the trust that a device's settings choose.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use switchroom::link::tls::{Tls, Trust};
use switchroom_domain::id::DeviceId;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::House;

/// A TLS front of a device, with a certificate that nobody signed; where it is, and the certificate's SHA-256.
async fn front(device: SocketAddr) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("they belong together")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate goes away here.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let Ok(mut inside) = TcpStream::connect(device).await else { return };
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (address, hex::encode(digest.as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_believed_as_its_settings_say() {
    let house = House::start(|config| config.devices = 1).await;
    let plain = house.fleet.command_address("sim-1").expect("an address");
    let (address, digest) = front(plain).await;
    let query = json!({"command": "query", "target": {"device": true}});
    let colons: String =
        digest.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair) + ":").collect();
    let pinned =
        |sha256: &str| Tls { trust: Trust::Pinned, sha256: Some(sha256.trim_end_matches(':').to_owned()) };
    for (tls, state, word) in [
        (Some(Tls { trust: Trust::Any, sha256: None }), "succeeded", ""),
        (Some(pinned(&digest)), "succeeded", ""),
        (Some(pinned(&colons.to_uppercase())), "succeeded", ""),
        (Some(pinned(&"00".repeat(32))), "failed", digest.as_str()),
        (None, "failed", "TLS"),
    ] {
        let id = DeviceId::new("sim-1").expect("an id");
        let device = house.service.services.registry.get(&id).expect("a device");
        let mut settings = device.settings.clone();
        settings.address = Some(format!("https://{address}"));
        settings.tls.clone_from(&tls);
        let secrets = device.secrets.clone();
        let settings = settings.complete(&secrets).expect("they can be");
        house.service.services.put_device(settings, secrets, false).await.expect("it is put");
        let command = house.command("sim-1", query.clone()).await;
        assert_eq!(command["state"], state, "{tls:?}: {command}");
        let reason = command["error"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(word), "{tls:?}: {reason}");
    }
}
