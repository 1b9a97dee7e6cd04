//! Where a recording may be on its device, made from what the record calls it. That name comes over the wire and is
//! never trusted: it names nothing here, and of the device nothing outside of its folder of recordings.

use crate::link::http::Address;

/// How long a name may be, in bytes.
const NAME_BYTES: usize = 512;
/// How many folders deep it may be.
const DEPTH: usize = 8;
/// Where the vendor's program that records for several devices listens (4.9).
const RECORDER_PORT: u16 = 1311;

/// Why a name cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its name is none that a device gives: {0}")]
pub struct BadName(&'static str);

/// In which form a device keeps what a record names (4.9, and what firmwares do beyond it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One file of that name.
    AsNamed,
    /// One file, `.wav` added.
    Wav,
    /// One file, as MP3: what the vendor's recording program makes by default.
    Mp3,
    /// Two halves in G.729: `name_send.dat` and `name_recv.dat`.
    Halves,
    /// The same after `.wav`: `name.wav_send.dat`.
    HalvesOfWav,
}

/// One place to look: a path, encoded, of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which folder it is in, of those of [`folders`].
    pub folder: usize,
    /// In which form.
    pub form: Form,
    /// One path, or those of the two halves, sent and received.
    pub paths: Vec<String>,
}

/// The folders in which a device may have its recordings, encoded, without a slash at the end. `own`: the address was
/// given for recordings alone; if it has a path, that is the folder.
#[must_use]
pub fn folders(address: &Address, own: bool) -> Vec<String> {
    let base = &address.base;
    if own && !base.is_empty() {
        return vec![base.clone()];
    }
    if own && address.port == RECORDER_PORT {
        return vec![format!("/{}", encode(&address.host)), String::new()];
    }
    vec![format!("{base}/mcc/Recorder"), format!("{base}/usb/builtin/Recorder")]
}

/// May the address be that of the vendor's recording program? It makes MP3.
#[must_use]
pub fn is_recorder(address: &Address, own: bool) -> bool {
    own && (address.port == RECORDER_PORT || !address.base.is_empty())
}

/// Where to look for a recording, the likeliest first. `first`: where this device's last one was; `mp3`: it may be one.
///
/// # Errors
/// When the name is none that a device gives.
pub fn candidates(
    name: &str,
    folders: &[String],
    mp3: bool,
    first: Option<(usize, Form)>,
) -> Result<Vec<Candidate>, BadName> {
    let path = path(name)?;
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let is_audio = matches!(ending.as_deref(), Some("wav" | "mp3"));
    let stem = if is_audio { path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem) } else { &path };
    let halves = |of: &str| vec![format!("{of}_send.dat"), format!("{of}_recv.dat")];
    let mut forms = vec![(Form::AsNamed, vec![path.clone()])];
    if !is_audio {
        forms.push((Form::Wav, vec![format!("{stem}.wav")]));
    }
    if mp3 && ending.as_deref() != Some("mp3") {
        forms.push((Form::Mp3, vec![format!("{stem}.mp3")]));
    }
    forms.push((Form::Halves, halves(stem)));
    forms.push((Form::HalvesOfWav, halves(&format!("{stem}.wav"))));
    let mut all = Vec::new();
    for (form, files) in forms {
        for (folder, prefix) in folders.iter().enumerate() {
            let paths = files.iter().map(|file| format!("{prefix}/{file}")).collect();
            all.push(Candidate { folder, form, paths });
        }
    }
    // Stable: all others stay in their order.
    all.sort_by_key(|candidate| Some((candidate.folder, candidate.form)) != first);
    Ok(all)
}

/// The name as a path, each segment encoded.
fn path(name: &str) -> Result<String, BadName> {
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(BadName("it is empty or very long"));
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return Err(BadName("it has control characters or backslashes"));
    }
    if name.starts_with('/') {
        return Err(BadName("it begins at the root"));
    }
    let segments: Vec<&str> = name.split('/').collect();
    if segments.len() > DEPTH || segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
        return Err(BadName("it leaves its folder, or has empty parts"));
    }
    Ok(segments.into_iter().map(encode).collect::<Vec<_>>().join("/"))
}

/// Percent-encodes all but what no server reads otherwise.
fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What a downloaded file is called: the last part of the device's name, with only what every system takes.
#[must_use]
pub fn file_name(name: &str, ending: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let lower = last.to_ascii_lowercase();
    let stem = match lower.rsplit_once('.') {
        Some((stem, "wav" | "mp3" | "dat")) => last.get(..stem.len()).unwrap_or(last),
        _ => last,
    };
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+') { c } else { '_' };
    let stem: String = stem.chars().take(120).map(safe).collect();
    let stem = if stem.is_empty() { "recording".to_owned() } else { stem };
    format!("{stem}.{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_device(name: &str) -> Vec<Vec<String>> {
        let address = Address::parse("http://10.0.0.1").expect("an address");
        let all = candidates(name, &folders(&address, false), false, None).expect("a name");
        all.into_iter().map(|candidate| candidate.paths).collect()
    }

    #[test]
    fn the_manuals_example_is_where_the_manual_says() {
        let all = of_device("20150827/211_210_20150827_135634_000a_cg.wav");
        assert_eq!(all[0], ["/mcc/Recorder/20150827/211_210_20150827_135634_000a_cg.wav"]);
        assert_eq!(all[1], ["/usb/builtin/Recorder/20150827/211_210_20150827_135634_000a_cg.wav"]);
    }

    #[test]
    fn a_name_without_an_ending_is_tried_with_one_and_as_halves_in_both_spellings() {
        let all = of_device("20150824/326_013693848899_20150824-104404_20666");
        let has =
            |path: &str| all.iter().flatten().any(|one| one == &format!("/mcc/Recorder/20150824/{path}"));
        assert!(has("326_013693848899_20150824-104404_20666"));
        assert!(has("326_013693848899_20150824-104404_20666.wav"));
        assert!(has("326_013693848899_20150824-104404_20666_send.dat"));
        assert!(has("326_013693848899_20150824-104404_20666.wav_recv.dat"));
        let named: Vec<_> = of_device("d/+8613585635985_200_8013_cd.wav").into_iter().flatten().collect();
        assert!(named.contains(&"/mcc/Recorder/d/%2B8613585635985_200_8013_cd.wav_recv.dat".to_owned()));
        assert!(named.contains(&"/mcc/Recorder/d/%2B8613585635985_200_8013_cd_send.dat".to_owned()));
        assert!(!named.iter().any(|path| path.contains(".wav.wav")), "{named:?}");
        let with_mp3 = candidates("d/x.wav", &["/r".to_owned()], true, None).expect("a name");
        assert_eq!(with_mp3[1].paths, ["/r/d/x.mp3"]);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_asked_for() {
        let long = "x".repeat(NAME_BYTES + 1);
        let deep = "a/".repeat(DEPTH) + "b";
        for name in [
            "",
            "/",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a/../../b",
            "a//b",
            "a/./b",
            "a/",
            "a\\..\\b",
            "a\r\nHost: x",
            "a\0b",
            &long,
            &deep,
        ] {
            assert!(candidates(name, &["/r".to_owned()], true, None).is_err(), "{name:?}");
        }
        // Encoded once more it is a name like any other.
        assert_eq!(path("%2e%2e/a?b#c d").expect("a name"), "%252e%252e/a%3Fb%23c%20d");
    }

    #[test]
    fn an_address_of_its_own_says_the_folder_and_the_last_place_is_looked_at_first() {
        let own = |text: &str| folders(&Address::parse(text).expect("an address"), true);
        assert_eq!(own("http://h:2888/mcc/Recorder/"), ["/mcc/Recorder"]);
        assert_eq!(own("http://h:2888"), ["/mcc/Recorder", "/usb/builtin/Recorder"]);
        assert_eq!(own("http://10.0.0.9:1311"), ["/10.0.0.9", ""]);
        let folders = own("http://h:2888");
        let first =
            candidates("a.wav", &folders, false, Some((1, Form::HalvesOfWav))).expect("a name").remove(0);
        assert_eq!(
            first.paths,
            ["/usb/builtin/Recorder/a.wav_send.dat", "/usb/builtin/Recorder/a.wav_recv.dat"]
        );
    }

    #[test]
    fn what_is_downloaded_has_a_harmless_name() {
        assert_eq!(file_name("20171116/1820_200_85_cd.wav", "wav"), "1820_200_85_cd.wav");
        assert_eq!(file_name("d/+86_1", "wav"), "+86_1.wav");
        assert_eq!(file_name("..\"\r\n", "wav"), "_____.wav");
        assert_eq!(file_name("", "mp3"), "recording.mp3");
    }
}
