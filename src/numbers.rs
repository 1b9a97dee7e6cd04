//! One telephone number in its spellings: `+86 21 6120 8234` is `021-61208234`, `008602161208234`'s kin, and `961208234` where
//! 9 gives an outside line. Pure.
//!
//! Records keep numbers as devices wrote them. Whoever looks for one need not know how: what is asked for is spelled out
//! by the rules of the place, and each spelling is looked for.

use std::collections::BTreeSet;

use crate::config::{Numbering, NumbersConfig};

/// Shorter ones are extensions and service numbers, which have one spelling.
const SHORTEST: usize = 6;
/// Longer ones are no telephone numbers (E.164 has 15 digits, and prefixes come before).
const LONGEST: usize = 24;
/// A number in full that is longer has its area's code.
const LOCAL: usize = 8;
/// So many places with rules of their own are tried.
const PLACES: usize = 16;

/// What separates groups of digits on paper.
#[must_use]
pub fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2010}' | '\u{2011}' | '\u{2013}')
}

/// The number without separators, if it is one, and has some.
#[must_use]
pub fn compact(number: &str) -> Option<String> {
    let compact: String = number.chars().filter(|c| !is_separator(*c)).collect();
    let digits = compact.strip_prefix('+').unwrap_or(&compact);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && compact.len() < number.len()).then_some(compact)
}

/// What a number may be spelled as at the places that are asked about, itself first. `site`: at this one only.
#[must_use]
pub fn spellings(number: &str, config: &NumbersConfig, site: Option<&str>) -> Vec<String> {
    let mut all = vec![number.to_owned()];
    let compact = compact(number).unwrap_or_else(|| number.to_owned());
    let mut more = BTreeSet::from([compact.clone()]);
    let of_site = |site: &str| config.sites.get(site).unwrap_or(&config.everywhere);
    match site {
        Some(site) => spell(&compact, of_site(site), &mut more),
        None => {
            for numbering in std::iter::once(&config.everywhere).chain(config.sites.values()).take(PLACES) {
                spell(&compact, numbering, &mut more);
            }
        }
    }
    more.remove(number);
    all.extend(more);
    all
}

/// The beginning of a number, and how long the whole may be: `21…` is a number in full only if it is as long as one, and
/// 217 is an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// It begins so.
    pub start: String,
    /// It is at least so long.
    pub least: usize,
    /// It is at most so long.
    pub most: usize,
}

impl Beginning {
    /// Of a number of any length.
    #[must_use]
    pub const fn any(start: String) -> Self {
        Self { start, least: 0, most: usize::MAX }
    }

    /// Does this number begin so?
    #[must_use]
    pub fn fits(&self, number: &str) -> bool {
        number.starts_with(&self.start) && (self.least..=self.most).contains(&number.chars().count())
    }
}

/// What the beginning of a number may be spelled as, itself first; only one that says that it is international or national
/// has others.
#[must_use]
pub fn beginnings(start: &str, config: &NumbersConfig, site: Option<&str>) -> Vec<Beginning> {
    let compact = compact(start).unwrap_or_else(|| start.to_owned());
    let mut all: Vec<Beginning> = Vec::new();
    let mut add = |start: String, least: usize, most: usize| {
        // What is found anyway is not looked for again.
        let is_more = |known: &Beginning| known.start != start || known.least > least || known.most < most;
        if all.iter().all(is_more) {
            all.push(Beginning { start, least, most });
        }
    };
    add(start.to_owned(), 0, usize::MAX);
    add(compact.clone(), 0, usize::MAX);
    let places: Vec<&Numbering> = match site {
        Some(site) => vec![config.sites.get(site).unwrap_or(&config.everywhere)],
        None => std::iter::once(&config.everywhere).chain(config.sites.values()).take(PLACES).collect(),
    };
    for numbering in places {
        let outside = &numbering.outside_prefix;
        let dialled = compact.strip_prefix(outside.as_str()).filter(|_| !outside.is_empty());
        for meant in [Some(compact.as_str()), dialled].into_iter().flatten() {
            let Some(meant) = international_beginning(meant, numbering) else { continue };
            add(format!("+{meant}"), 0, usize::MAX);
            for Beginning { start, least, most } in within(&meant, numbering) {
                if !outside.is_empty() {
                    let most = most.saturating_add(outside.len());
                    add(format!("{outside}{start}"), least + outside.len(), most);
                }
                add(start, least, most);
            }
        }
    }
    all
}

/// How numbers that begin so internationally (without `+`) begin at a place.
fn within(meant: &str, numbering: &Numbering) -> Vec<Beginning> {
    let long = |start: String, least: usize| Beginning { start, least, most: LONGEST };
    let (international, country) = (&numbering.international_prefix, &numbering.country_code);
    let mut all = vec![long(format!("{international}{meant}"), international.len() + SHORTEST)];
    let national = meant.strip_prefix(country.as_str()).filter(|_| !country.is_empty());
    let Some(national) = national.filter(|national| !national.is_empty()) else { return all };
    // As long as what is taken for one, see `international`.
    all.push(long(meant.to_owned(), country.len() + LOCAL));
    all.push(long(national.to_owned(), LOCAL + 1));
    let prefix = &numbering.national_prefix;
    all.push(long(format!("{prefix}{national}"), prefix.len() + SHORTEST));
    let area = &numbering.area_code;
    if let Some(local) =
        national.strip_prefix(area.as_str()).filter(|local| !area.is_empty() && !local.is_empty())
    {
        all.push(Beginning { start: local.to_owned(), least: SHORTEST, most: LOCAL });
    }
    all
}

/// The beginning of the international number that is meant, without `+`; none where it may be anything.
fn international_beginning(start: &str, numbering: &Numbering) -> Option<String> {
    if let Some(meant) = start.strip_prefix('+') {
        return Some(meant.to_owned()).filter(|meant| !meant.is_empty());
    }
    let after = |prefix: &str| start.strip_prefix(prefix).filter(|_| !prefix.is_empty());
    if let Some(meant) = after(&numbering.international_prefix) {
        return Some(meant.to_owned()).filter(|meant| !meant.is_empty());
    }
    let national = after(&numbering.national_prefix).filter(|national| !national.is_empty())?;
    let country = &numbering.country_code;
    (!country.is_empty()).then(|| format!("{country}{national}"))
}

/// Adds every spelling of a number at a place.
fn spell(number: &str, numbering: &Numbering, into: &mut BTreeSet<String>) {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || digits.len() < SHORTEST || digits.len() > LONGEST {
        return;
    }
    let mut inner = BTreeSet::from([number.to_owned()]);
    for meant in international(number, numbering) {
        inner.insert(format!("+{meant}"));
        inner.insert(format!("{}{meant}", numbering.international_prefix));
        let country = &numbering.country_code;
        let Some(national) = meant.strip_prefix(country.as_str()).filter(|_| !country.is_empty()) else {
            continue;
        };
        inner.insert(meant.clone());
        inner.insert(national.to_owned());
        inner.insert(format!("{}{national}", numbering.national_prefix));
        let area = &numbering.area_code;
        if let Some(local) = national.strip_prefix(area.as_str()).filter(|_| !area.is_empty())
            && local.len() >= SHORTEST
        {
            inner.insert(local.to_owned());
        }
    }
    if !numbering.outside_prefix.is_empty() {
        let outside = inner.iter().filter(|spelling| !spelling.starts_with('+'));
        let outside: Vec<String> =
            outside.map(|spelling| format!("{}{spelling}", numbering.outside_prefix)).collect();
        inner.extend(outside);
    }
    into.extend(inner);
}

/// The international numbers, without `+`, that a number may be meant to be.
fn international(number: &str, numbering: &Numbering) -> Vec<String> {
    if let Some(meant) = number.strip_prefix('+') {
        return vec![meant.to_owned()];
    }
    let after = |number: &str, prefix: &str| -> Option<String> {
        let rest = number.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        (rest.len() >= SHORTEST).then(|| rest.to_owned())
    };
    let mut found = Vec::new();
    // Whether a leading 9 gives a line or is the number's own cannot be told.
    for number in std::iter::once(number.to_owned()).chain(after(number, &numbering.outside_prefix)) {
        if let Some(meant) = after(&number, &numbering.international_prefix) {
            found.push(meant);
            continue;
        }
        let country = &numbering.country_code;
        if country.is_empty() {
            continue;
        }
        if let Some(national) = after(&number, &numbering.national_prefix) {
            found.push(format!("{country}{national}"));
            continue;
        }
        // The country's code may stand there without anything before it.
        found.extend(
            after(&number, country).filter(|rest| rest.len() >= LOCAL).map(|rest| format!("{country}{rest}")),
        );
        match number.len() {
            ..=LOCAL if !numbering.area_code.is_empty() => {
                found.push(format!("{country}{}{number}", numbering.area_code));
            }
            ..=LOCAL => {}
            _ => found.push(format!("{country}{number}")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shanghai() -> NumbersConfig {
        let everywhere = Numbering {
            country_code: "86".to_owned(),
            area_code: "21".to_owned(),
            outside_prefix: "9".to_owned(),
            ..Numbering::default()
        };
        let sites = [("beijing".to_owned(), Numbering { area_code: "10".to_owned(), ..everywhere.clone() })];
        NumbersConfig { everywhere, sites: sites.into() }
    }

    #[test]
    fn each_spelling_of_a_number_finds_the_others() {
        let config = shanghai();
        let same =
            ["+862161208234", "0086 21 6120 8234", "021-61208234", "61208234", "9,61208234", "862161208234"];
        let wanted =
            ["+862161208234", "00862161208234", "02161208234", "61208234", "961208234", "862161208234"];
        for (asked, own) in same.iter().zip(wanted) {
            let asked = asked.replace(',', "");
            let found = spellings(&asked, &config, Some("any"));
            assert_eq!(found[0], asked, "itself first");
            for spelling in wanted {
                assert!(
                    found.iter().any(|found| found == spelling),
                    "{asked}: {spelling} is not in {found:?}"
                );
            }
            assert!(found.iter().any(|found| found == own));
        }
        let mobile = spellings("013012345678", &config, None);
        for spelling in ["13012345678", "+8613012345678", "008613012345678", "9013012345678"] {
            assert!(mobile.iter().any(|found| found == spelling), "{mobile:?}");
        }
    }

    #[test]
    fn a_place_has_its_own_area() {
        let config = shanghai();
        let in_beijing = spellings("61208234", &config, Some("beijing"));
        assert!(
            in_beijing.contains(&"+861061208234".to_owned())
                && !in_beijing.contains(&"+862161208234".to_owned())
        );
        let anywhere = spellings("61208234", &config, None);
        assert!(
            anywhere.contains(&"+861061208234".to_owned()) && anywhere.contains(&"+862161208234".to_owned())
        );
    }

    #[test]
    fn an_international_or_national_beginning_has_spellings_too() {
        let config = shanghai();
        let starts = |start: &str, site| -> Vec<String> {
            let all = beginnings(start, &config, site);
            let mut starts: Vec<String> = all.into_iter().map(|beginning| beginning.start).collect();
            starts[1..].sort();
            starts
        };
        let all = ["+86130", "0086130", "0130", "130", "86130", "90086130", "90130", "9130", "986130"];
        for asked in ["+86 130", "0130", "90130", "0086130"] {
            let found = starts(asked, Some("any"));
            assert_eq!(found[0], asked, "itself first");
            for start in all {
                assert!(found.iter().any(|found| found == start), "{asked}: {start} is not in {found:?}");
            }
        }
        for itself in ["130", "0", "90", "00", "+", "9130"] {
            assert_eq!(starts(itself, None), [itself], "it may be anything");
        }
        assert_eq!(starts("+86", Some("any")), ["+86", "0086", "90086"]);
        assert_eq!(beginnings("0130", &NumbersConfig::default(), None), [Beginning::any("0130".to_owned())]);
    }

    #[test]
    fn an_extension_is_no_number_of_the_area() {
        let config = shanghai();
        let finds = |start: &str, number: &str| {
            beginnings(start, &config, Some("any")).iter().any(|beginning| beginning.fits(number))
        };
        for number in ["02161208234", "+862161208234", "902161208234", "2161208234", "00862161208234"] {
            assert!(finds("+8621", number) && finds("021", number) && finds("+862161", number), "{number}");
        }
        for number in ["217", "219", "2101", "9217", "0217"] {
            assert!(!finds("+8621", number), "{number}");
        }
        // A local number is one of the area.
        assert!(finds("+862161", "61208234") && finds("02161", "961208234") && !finds("02161", "6120"));
        assert!(finds("21", "217"), "as it was asked for");
    }

    #[test]
    fn extensions_and_what_is_no_number_have_one_spelling() {
        let config = shanghai();
        for number in ["200", "8001", "anonymous", "+", "", "sip:a@b", "1-2x"] {
            assert_eq!(spellings(number, &config, None), [number]);
        }
        // Without rules a number is what it is.
        assert_eq!(spellings("13012345678", &NumbersConfig::default(), None), ["13012345678"]);
        assert_eq!(spellings("130-1234", &NumbersConfig::default(), None), ["130-1234", "1301234"]);
        assert_eq!(compact("130 1234").as_deref(), Some("1301234"));
        assert_eq!(compact("1301234"), None);
    }
}
