//! Calls that come in and wait for an application, and commands that move calls.
