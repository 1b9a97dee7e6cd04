//! Who may give commands: addresses first, then signatures.

use std::net::IpAddr;

use md5::{Digest, Md5};

use super::Desk;
use super::settings::Setting;
use super::xml::Node;

/// The MD5 of the parts one after another, in lower-case hex.
pub(crate) fn signature(parts: &[&str]) -> String {
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part.as_bytes()));
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Desk {
    /// The code of the refusal, if this client is refused. `now` is the unix time in seconds.
    pub(super) fn admits(&self, peer: IpAddr, auth: Option<&Node>, now: u64) -> Result<(), u16> {
        let password = self.settings.text(Setting::Password);
        if self.allowed.contains(&peer) || (self.allowed.is_empty() && password.is_empty()) {
            return Ok(());
        }
        let auth = auth.filter(|_| !password.is_empty()).ok_or(100u16)?;
        let field =
            |name: &str| auth.child(name).map(Node::text).filter(|text| !text.is_empty()).ok_or(101u16);
        let (nonce, timestamp, given) = (field("nonce")?, field("Timestamp")?, field("Signature")?);
        if nonce.len() > 32 {
            return Err(104);
        }
        if signature(&[password, nonce, timestamp]) != given {
            return Err(102);
        }
        let made: u64 = timestamp.parse().map_err(|_| 104u16)?;
        let lasts = self.settings.number(Setting::Timeout);
        if lasts > 0 && now.saturating_sub(made) > lasts {
            return Err(103);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FleetConfig;
    use crate::om::xml;

    #[test]
    fn the_vendors_samples_are_signed_right() {
        let event = signature(&["123456", "2E8E52C6", "1498542290"]);
        assert_eq!(event, "24fe6019c3f284789f8cfacc3446e7ed");
        assert_eq!(signature(&["123456", "23", "23"]), "f42c335f75c1ea8577e98cbe3eeffbb3");
    }

    #[test]
    fn each_refusal_has_its_code() {
        let config = FleetConfig { api_password: Some("123456".to_owned()), ..FleetConfig::default() };
        let mut desk = Desk::new(&config, 0);
        let peer = IpAddr::from([10, 0, 0, 1]);
        let sent = |text: &str| xml::read(&format!("<Auth>{text}</Auth>")).unwrap().remove(0);
        let signed = sent(
            "<Timestamp>23</Timestamp><nonce>23</nonce><Signature>f42c335f75c1ea8577e98cbe3eeffbb3</Signature>",
        );
        assert_eq!(desk.admits(peer, None, 23), Err(100));
        assert_eq!(desk.admits(peer, Some(&sent("<nonce>23</nonce>")), 23), Err(101));
        let wrong = sent("<Timestamp>23</Timestamp><nonce>24</nonce><Signature>f42c</Signature>");
        assert_eq!(desk.admits(peer, Some(&wrong), 23), Err(102));
        assert_eq!(desk.admits(peer, Some(&signed), 1_700_000_000), Ok(()));
        assert!(desk.settings.set(Setting::Timeout, "60"));
        assert_eq!(desk.admits(peer, Some(&signed), 83), Ok(()));
        assert_eq!(desk.admits(peer, Some(&signed), 84), Err(103));
        desk.allowed.push(peer);
        assert_eq!(desk.admits(peer, None, 84), Ok(()));
        assert_eq!(desk.admits(IpAddr::from([10, 0, 0, 2]), None, 84), Err(100));
    }
}
