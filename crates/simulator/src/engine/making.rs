//! What a device is made of, from its configuration: telephones, trunks, groups and habits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::device::{Extension, Group, Habits, Phone, Trunk, Watching};
use crate::config::{Dialect, FleetConfig};

pub(crate) fn habits(config: &FleetConfig, index: usize) -> Habits {
    let talk_ms = config.talk.as_millis().clamp(1, 86_400_000) as u64;
    let per_minute = config.calls_per_minute / config.devices.max(1) as f64;
    let arrival_ms = (per_minute > 0.0).then(|| ((60_000.0 / per_minute) as u64).max(1));
    Habits {
        hex_callids: index.is_multiple_of(2),
        records_calls: index % 5 != 4,
        attendant_cdrs: config.attendant_cdrs,
        decision_ms: if config.dialect == Dialect::Yeastar { 10_000 } else { 5000 },
        talk_ms,
        ring_ms: talk_ms.min(3000),
        queue_capacity: config.queue_capacity.max(1),
        arrival_ms,
        phones_fail_ms: config.phones_fail_every.map(|every| every.as_millis().max(1) as u64),
        menus: config.menus,
        mix: config.mix,
    }
}

/// Numbers from 200 as in the vendor's manual, longer ones if there are too many for that. Every
/// fourth telephone is analog.
pub(crate) fn extensions(count: usize) -> Vec<Extension> {
    let first = [200, 2000, 20_000].into_iter().find(|first| count <= first * 4).unwrap_or(200_000);
    (0..count)
        .map(|index| (index, Arc::<str>::from((first + index).to_string())))
        .map(|(index, number)| Extension {
            own_number: number.clone(),
            number,
            ip: index % 4 != 0,
            phone: Phone::Idle,
            call: None,
            held: None,
            conference: false,
            muted: false,
            watching: Watching::default(),
            alarms: 0,
            // Every third one reports single keys as well.
            own_api: if index % 3 == 2 { 0x0F } else { 0x07 },
            assigned: BTreeMap::new(),
        })
        .collect()
}

pub(crate) fn trunks(config: &FleetConfig) -> Vec<Trunk> {
    let ip_trunks = config.trunks.div_ceil(2);
    (0..config.trunks)
        .map(|index| {
            let ip = index < ip_trunks;
            let number = if ip {
                (888 + index).to_string()
            } else {
                format!("0216120{:04}", 8234 + index - ip_trunks)
            };
            let api = config.trunk_api;
            Trunk {
                number: number.into(),
                ip,
                asks_before: api.map_or(index % 4 >= 2, |api| api & 0x10 != 0),
                asks_after: api.map_or(matches!(index % 4, 0 | 3), |api| api & 0x20 != 0),
                controlled: api.is_some(),
                reversal: (index - index.min(ip_trunks)) % 2 == 1,
                bare: config.trunk_api == Some(0)
                    || config.bare_trunk && index > 0 && index + 1 == config.trunks,
                lines: if ip { 30 } else { 1 },
                active: 0,
            }
        })
        .collect()
}

/// Members are IP phones from the end of the list: a group that may go off line as a whole must
/// have no analog one.
pub(crate) fn groups(config: &FleetConfig, extensions: &[Extension]) -> Vec<Group> {
    let phones: Vec<usize> = (0..extensions.len()).rev().filter(|&index| extensions[index].ip).collect();
    let size = config.group_members.min(phones.len() / (config.groups + 1));
    if size == 0 {
        return Vec::new();
    }
    phones
        .chunks_exact(size)
        .take(config.groups)
        .zip(1..)
        .map(|(members, number)| Group {
            number,
            queue: number + 5,
            members: members.to_vec(),
            waiting: VecDeque::new(),
            own: Some(members.to_vec()),
            voicefile: String::new(),
            distribution: String::new(),
            rings_all_by_itself: config.groups_ring_all,
            last: 0,
        })
        .collect()
}
