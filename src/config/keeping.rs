//! What is kept for how long, and who may see telephone numbers.

use serde::{Deserialize, Serialize};

use crate::storage::tokens::Role;

/// How long what is remembered is kept, in days; 0 is for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Raw reports and events: what streams resume from, and what explains a call.
    pub reports_days: u32,
    /// Calls, call records and conversations.
    pub records_days: u32,
    /// Recordings, with what is known of them.
    pub recordings_days: u32,
    /// Commands that have settled.
    pub commands_days: u32,
    /// The audit log.
    pub audit_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            reports_days: 30,
            records_days: 730,
            recordings_days: 365,
            commands_days: 90,
            audit_days: 1095,
        }
    }
}

/// Who may see telephone numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// Roles that are given numbers masked.
    pub mask_numbers_for: Vec<Role>,
}
