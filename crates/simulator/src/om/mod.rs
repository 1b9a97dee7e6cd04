//! An OM's command endpoint, as far as it is not HTTP: it reads a command, does it to the device's
//! own calls and telephones, and answers in the vendor's words. What the vendor's document leaves
//! open is decided strictly: an unclear command is refused, so that whoever sends it finds out.

mod assign;
mod auth;
mod connect;
mod control;
mod finding;
mod query;
mod settings;
#[cfg(test)]
mod tests;
mod transfer;
mod voice;
mod web;
mod words;
mod xml;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::FleetConfig;
use crate::engine::clock::Clock;
use crate::engine::device::Device;
use settings::{Setting, Settings};
use words::{Refused, Reply};
use xml::Node;

pub(crate) use auth::signature;
pub(crate) use words::unauthorized;

/// The refusal of a device that has no time.
pub(crate) fn busy() -> String {
    Refused::new(6, "").body()
}

/// What commands have set and done on one device, and what the device demands of them.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) menus: BTreeMap<u32, Menu>,
    pub(crate) done: Done,
    voice_files: Vec<String>,
    allowed: Vec<IpAddr>,
    web_password: String,
    firmware: String,
    /// The last number of the version, by which the document says what is known since when.
    build: u32,
    model: String,
    mac: String,
}

/// A voice menu as a command has set it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Menu {
    pub(crate) voicefile: String,
    pub(crate) repeat: String,
    pub(crate) infolength: String,
    pub(crate) exit: String,
}

/// What commands have done so far, for the truth.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) commands: BTreeMap<String, u64>,
    /// How often each telephone was rung because of a command.
    pub(crate) rings: BTreeMap<String, u64>,
    /// Visitors whose Accept arrived, and when, in unix milliseconds.
    pub(crate) accepts: Vec<(u32, u64)>,
}

impl Desk {
    pub(crate) fn new(config: &FleetConfig, index: usize) -> Self {
        let build = config.firmware.rsplit('.').next().and_then(|last| last.trim().parse().ok());
        let (phones, lines) = (config.extensions, config.trunks);
        Self {
            settings: Settings::new(config),
            menus: BTreeMap::new(),
            done: Done::default(),
            voice_files: voice::at_first(),
            allowed: config.allowed_ips.clone(),
            web_password: config.web_password.clone(),
            firmware: config.firmware.clone(),
            build: build.unwrap_or(u32::MAX),
            model: format!("Rev 6.0.0 OM{phones}-{phones}S/{lines}"),
            mac: crate::dialect::om::mac(index),
        }
    }

    /// What is reported of keys that were typed: a menu that was set up cuts them as it was told.
    pub(crate) fn reported(&self, menu: u8, typed: String) -> String {
        let Some(menu) = self.menus.get(&u32::from(menu)) else { return typed };
        let length: usize = menu.infolength.parse().unwrap_or(1).max(1);
        let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
        let fewer: String = digits.chars().take(length - 1).collect();
        match typed.chars().last() {
            Some('T') => fewer + "T",
            Some('#') if !menu.exit.is_empty() => fewer + &menu.exit,
            _ => digits.chars().cycle().take(length).collect(),
        }
    }

    /// Whether this API switch of an extension has its state reported. Before version 94 0x08 did, too (4.6).
    fn monitors(&self, api: u8) -> bool {
        api & if self.build < 94 { 0x0F } else { 0x07 } != 0
    }

    /// Whether it has single keys reported.
    fn reports_keys(&self, api: u8) -> bool {
        self.build >= 94 && api & 0x08 != 0
    }

    /// Refuses what came with a later version than this.
    fn since(&self, build: u32) -> Result<(), Refused> {
        if self.build < build { Err(Refused::new(1, "")) } else { Ok(()) }
    }
}

/// A command as it arrived.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) body: &'a str,
    pub(crate) unix_ms: u64,
}

impl Device {
    /// Does a command and returns the body of the answer, which is empty where the document says so.
    pub(crate) fn command(&mut self, clock: &mut Clock, request: &Request<'_>) -> String {
        let Some(roots) = xml::read(request.body) else { return Refused::new(1, "").body() };
        let auth = roots.first().filter(|root| root.name == "Auth");
        if auth.is_some()
            && let Err(refused) = self.om.since(99)
        {
            return refused.body();
        }
        if let Err(code) = self.om.admits(request.peer, auth, request.unix_ms / 1000) {
            return unauthorized(code);
        }
        let Some(order) = roots.iter().find(|root| root.name != "Auth") else {
            return Refused::new(1, "").body();
        };
        let kind = order.attribute("attribute").unwrap_or("");
        let reply = self.obey(clock, order, kind, request.unix_ms);
        *self.om.done.commands.entry(format!("{}.{kind}", order.name)).or_default() += 1;
        reply.unwrap_or_else(|refused| refused.body())
    }

    fn obey(&mut self, clock: &mut Clock, order: &Node, kind: &str, unix_ms: u64) -> Reply {
        match (order.name.as_str(), kind) {
            ("Control", "Query") => self.query(order),
            ("Control", "Assign") => self.assign(clock, order),
            ("Control", "Clear") => self.clear(clock, order),
            ("Control", "Hold") => self.hold(order),
            ("Control", "Unhold") => self.unhold(clock, order),
            ("Control", "Mute") => self.mute(order, true),
            ("Control", "Unmute") => self.mute(order, false),
            ("Control", "Monitor") => self.watch(clock, order, false),
            ("Control", "Bargein") => self.watch(clock, order, true),
            ("Control", "Talk") => self.change_watch(order, true),
            ("Control", "Listen") => self.change_watch(order, false),
            ("Transfer", "Connect") => self.connect(clock, order),
            ("Transfer", "Queue") => self.queue(clock, order),
            ("Transfer", "Conference") => self.confer(clock, order),
            ("Manage", "Query") => self.list_voice_files(),
            ("Manage", "Remove") => self.remove_voice_files(order),
            ("Notify", "Accept") => self.accept(clock, order, unix_ms),
            _ => Err(Refused::new(1, "")),
        }
    }
}
