//! The demo's devices: mostly OM, one Yeastar, one ZYCOO. A fleet has one dialect and calls its devices sim-1
//! and up, so the other dialects' devices are fleets of one whose reports go to a path of their own:
//! `/sim-5/sim-1` is recognised by its first segment.

use std::net::SocketAddr;
use std::time::Duration;

use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use switchroom_simulator::{self as simulator, FleetConfig, Mix};

use crate::devices::{DeviceSecrets, DeviceSettings};

/// The sites that the devices stand at, by name.
const SITES: [&str; 6] =
    ["Harbour Hotel", "Old Town Hotel", "Airport Hotel", "Call Centre", "City Clinic", "Head Office"];
/// The simulated devices' local time.
const TIMEZONE: &str = "Asia/Shanghai";
/// Long enough that calls can be watched.
const TALK: Duration = Duration::from_secs(12);

/// The devices as the server is to know them.
pub(super) fn devices(count: u16) -> anyhow::Result<Vec<(DeviceSettings, DeviceSecrets)>> {
    let device = |number: u16| {
        let mut settings =
            DeviceSettings::new(DeviceId::new(format!("sim-{number}"))?, dialect(number, count));
        let site = SITES.get(usize::from(number) - 1);
        settings.name = site.map_or_else(|| format!("Branch {number}"), ToString::to_string);
        settings.site = settings.name.to_lowercase().replace(' ', "-");
        settings.timezone = TIMEZONE.to_owned();
        settings.report_path = format!("sim-{number}");
        let secrets = DeviceSecrets::default();
        Ok((settings.complete(&secrets)?, secrets))
    };
    (1..=count).map(device).collect()
}

/// The last device is a ZYCOO, the one before it a Yeastar, once there are so many.
fn dialect(number: u16, count: u16) -> Dialect {
    match count - number {
        0 if count >= 3 => Dialect::Zycoo,
        1 if count >= 3 => Dialect::Yeastar,
        0 if count == 2 => Dialect::Yeastar,
        _ => Dialect::Om,
    }
}

/// The fleets that are these devices.
pub(super) fn configs(count: u16, seed: u64, calls_per_minute: f64, reports: SocketAddr) -> Vec<FleetConfig> {
    let om = (1..=count).filter(|number| dialect(*number, count) == Dialect::Om).count();
    let each = calls_per_minute / f64::from(count);
    let host = reachable(reports);
    let fleet = |dialect, devices: usize, number: u16, path: String| FleetConfig {
        dialect,
        devices,
        calls_per_minute: each * devices as f64,
        report_to: format!("http://{host}{path}"),
        seed: seed.wrapping_add(u64::from(number)),
        talk: TALK,
        listen: (dialect == simulator::Dialect::Om).then_some(SocketAddr::from(([127, 0, 0, 1], 0))),
        // More rushes on the groups than the simulator's own mix has, so that queues are seen to fill.
        mix: Mix { queued: 16, ..Mix::default() },
        ..FleetConfig::default()
    };
    let mut fleets = vec![fleet(simulator::Dialect::Om, om, 0, String::new())];
    for number in 1..=count {
        let dialect = match dialect(number, count) {
            Dialect::Om => continue,
            Dialect::Yeastar => simulator::Dialect::Yeastar,
            Dialect::Zycoo => simulator::Dialect::Zycoo,
        };
        fleets.push(fleet(dialect, 1, number, format!("/sim-{number}")));
    }
    fleets
}

/// Where to connect to for what listens on all interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = |v4: bool| -> std::net::IpAddr {
            if v4 { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() }
        };
        address.set_ip(loopback(address.is_ipv4()));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_a_fleet_that_reports_to_its_path() {
        let reports = SocketAddr::from(([0, 0, 0, 0], 8989));
        for count in [1, 2, 3, 6, 9] {
            let known: Vec<_> = devices(count).expect("they fit").into_iter().map(|(s, _)| s).collect();
            let mut paths = Vec::new();
            for fleet in configs(count, 1, 60.0, reports) {
                let base = fleet.report_to.strip_prefix("http://127.0.0.1:8989").expect("loopback");
                assert!(fleet.check().is_ok());
                for n in 1..=fleet.devices {
                    let path = format!("{base}/sim-{n}");
                    let first = path.split('/').nth(1).expect("a segment").to_owned();
                    let device =
                        known.iter().find(|d| d.report_path == first).expect("a device of this path");
                    assert_eq!(device.dialect.as_str(), fleet.dialect.as_str());
                    paths.push(first);
                }
            }
            paths.sort();
            paths.dedup();
            assert_eq!(paths.len(), usize::from(count));
        }
    }

    #[test]
    fn all_calls_together_are_as_many_as_asked_for() {
        let reports = SocketAddr::from(([127, 0, 0, 1], 1));
        let sum: f64 = configs(6, 1, 60.0, reports).iter().map(|fleet| fleet.calls_per_minute).sum();
        assert!((sum - 60.0).abs() < 1e-9);
    }
}
