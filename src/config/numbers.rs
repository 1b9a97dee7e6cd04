//! How telephone numbers are written: so that one is found in every spelling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How numbers are written at most sites, and where it is different.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumbersConfig {
    /// Where nothing else is said.
    pub everywhere: Numbering,
    /// By the name of a site.
    pub sites: BTreeMap<String, Numbering>,
}

/// How numbers are written at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Numbering {
    /// The country's code, without `+`; empty: not known, and national numbers have one spelling.
    pub country_code: String,
    /// The area's code, without what is dialled before it in the country; empty: local numbers have one spelling.
    pub area_code: String,
    /// Dialled before a national number.
    pub national_prefix: String,
    /// Dialled before an international number.
    pub international_prefix: String,
    /// Dialled for an outside line.
    pub outside_prefix: String,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            country_code: String::new(),
            area_code: String::new(),
            national_prefix: "0".to_owned(),
            international_prefix: "00".to_owned(),
            outside_prefix: String::new(),
        }
    }
}

impl NumbersConfig {
    /// What cannot work.
    ///
    /// # Errors
    /// Says what to mend.
    pub fn check(&self) -> Result<(), String> {
        for numbering in std::iter::once(&self.everywhere).chain(self.sites.values()) {
            let parts = [
                ("country_code", &numbering.country_code),
                ("area_code", &numbering.area_code),
                ("national_prefix", &numbering.national_prefix),
                ("international_prefix", &numbering.international_prefix),
                ("outside_prefix", &numbering.outside_prefix),
            ];
            for (name, digits) in parts {
                if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(format!("numbers.{name} is up to 8 digits, or empty"));
                }
            }
        }
        Ok(())
    }
}
