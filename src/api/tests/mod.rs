//! The API as its users meet it: a real service, devices that report over TCP, HTTP from outside.

mod devices;
mod guarding;
mod mistakes;
mod privacy;
mod roles;
mod serving;
mod state;
mod streams;
mod support;
mod targets;
mod websocket;
