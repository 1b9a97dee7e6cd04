//! One try to get a recording: where it may be is asked for in turn, and what comes is looked at, hashed and stored.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest;
use switchroom_domain::id::CdrId;

use super::fetch::{self, FetchError, Got, Limits, Source};
use super::join;
use super::name::{self, Candidate, Form};
use super::store::{self, Store};
use super::wav::{self, Audio};
use crate::storage::recordings::Recording;

/// The halves of a G.729 recording.
pub const HALVES: [&str; 2] = ["send", "recv"];

/// What a try needs.
pub struct Take {
    /// What is to be fetched.
    pub recording: Recording,
    /// From where.
    pub source: Source,
    /// The folders of that device.
    pub folders: Vec<String>,
    /// They may have MP3.
    pub mp3: bool,
    /// Where the device's last recording was.
    pub first: Option<(usize, Form)>,
    /// It is the last try: what is short by its own header is taken as it is.
    pub is_last: bool,
    /// Where files are put together.
    pub parts: PathBuf,
    /// Where they go.
    pub store: Arc<dyn Store>,
    /// Limits of one download.
    pub limits: Limits,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Where it was.
    pub place: (usize, Form),
    /// Bytes that the device has sent in all.
    pub bytes: u64,
    /// The type of what is played.
    pub content_type: &'static str,
    /// Its name in the store; none for halves that were not joined.
    pub stored_as: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its SHA-256, in hex.
    pub sha256: Option<String>,
    /// How long it plays.
    pub seconds: Option<f64>,
    /// The halves that came.
    pub parts: Vec<String>,
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failed {
    /// For people.
    pub why: String,
    /// Another try would fail as well.
    pub for_good: bool,
    /// It was our disk or bucket, and not the device: that is no reason to give it up.
    pub ours: bool,
}

impl Failed {
    /// It may come another time.
    pub fn now(why: impl Into<String>) -> Self {
        Self { why: why.into(), for_good: false, ours: false }
    }

    /// It never will.
    pub fn for_good(why: impl Into<String>) -> Self {
        Self { why: why.into(), for_good: true, ours: false }
    }
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        let ours = matches!(error, FetchError::Disk(_));
        Self { for_good: matches!(error, FetchError::TooLarge(_)), why: error.to_string(), ours }
    }
}

fn disk(error: io::Error) -> Failed {
    FetchError::Disk(error.to_string()).into()
}

/// The name in the store without its ending: the day on which it was announced (UTC), and its id.
#[must_use]
pub fn base(recording: &Recording) -> String {
    let mut day = String::new();
    recording.announced_at.write_rfc3339(&mut day);
    let day = day.get(..10).unwrap_or("0000-00-00").replace('-', "/");
    format!("{day}/{}", recording.id)
}

/// The name of a half in the store.
#[must_use]
pub fn half(recording: &Recording, half: &str) -> String {
    format!("{}_{half}.dat", base(recording))
}

/// Where a recording's files are put together.
fn part(parts: &Path, recording: CdrId, what: &str) -> PathBuf {
    parts.join(format!("{recording}.{what}"))
}

/// Throws away what has come of a recording that is given up.
pub fn clear(parts: &Path, recording: CdrId) {
    for what in HALVES.into_iter().chain(["part", "wav"]) {
        if let Err(error) = fs::remove_file(part(parts, recording, what))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%recording, %error, "a part of a recording cannot be removed");
        }
    }
}

/// The recordings of which something has come: what is fetched on, and what nobody waits for any more.
///
/// # Errors
/// When the folder cannot be read.
pub fn begun(parts: &Path) -> io::Result<BTreeSet<CdrId>> {
    let entries = match fs::read_dir(parts) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut begun = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.split('.').next()?.parse::<CdrId>().ok());
        begun.extend(id);
    }
    Ok(begun)
}

impl Take {
    /// Gets the recording.
    ///
    /// # Errors
    /// Says why it did not come, and whether it is worth another try.
    pub async fn run(self) -> Result<Taken, Failed> {
        let mut candidates = name::candidates(&self.recording.file, &self.folders, self.mp3, self.first)
            .map_err(|error| Failed::for_good(error.to_string()))?;
        // A device's server does one thing at a time: it is not asked for what is hardly there before the last try.
        if let Some((folder, _)) = self.first.filter(|_| !self.is_last) {
            candidates.retain(|candidate| candidate.folder == folder);
        }
        store::make_private(&self.parts).map_err(disk)?;
        for candidate in candidates {
            let names: &[&str] = if candidate.paths.len() > 1 { &HALVES } else { &["part"] };
            let (mut there, mut bytes) = (Vec::new(), 0);
            for (path, name) in candidate.paths.iter().zip(names) {
                let file = part(&self.parts, self.recording.id, name);
                if let Got::Whole(size) = fetch::fetch(&self.source, path, &file, self.limits).await? {
                    bytes += size;
                    there.push((*name).to_owned());
                }
            }
            if there.is_empty() {
                continue;
            }
            // Hashing and writing take a while, and other downloads are on this thread.
            let done = tokio::task::spawn_blocking(move || self.finish(&candidate, there, bytes)).await;
            return done.unwrap_or_else(|_| Err(Failed::now("it could not be looked at")));
        }
        Err(Failed::now("the device does not have it, or not yet"))
    }

    fn finish(&self, candidate: &Candidate, there: Vec<String>, bytes: u64) -> Result<Taken, Failed> {
        let taken = if candidate.paths.len() > 1 { self.halves(there) } else { self.one() }?;
        clear(&self.parts, self.recording.id);
        Ok(Taken { place: (candidate.folder, candidate.form), bytes, ..taken })
    }

    fn one(&self) -> Result<Taken, Failed> {
        let file = part(&self.parts, self.recording.id, "part");
        let audio = File::open(&file).and_then(|mut file| wav::look(&mut file, self.recording.duration));
        let again = |why: &str| {
            clear(&self.parts, self.recording.id);
            Err(Failed::now(why))
        };
        match audio.map_err(disk)? {
            Audio::Unknown => again("what the device gives is no audio"),
            Audio::Wav { cut: true, .. } if !self.is_last => {
                again("the device gives less than the file's own header promises: it may not be finished")
            }
            Audio::Wav { seconds, .. } => self.keep(&file, "wav", Some(seconds)),
            Audio::Mp3 => self.keep(&file, "mp3", None),
            Audio::Raw { mu_law, seconds } => {
                let with_header = part(&self.parts, self.recording.id, "wav");
                add_header(&file, &with_header, mu_law).map_err(disk)?;
                self.keep(&with_header, "wav", Some(seconds))
            }
        }
    }

    /// Halves are kept as they came, and joined where that can be done.
    fn halves(&self, there: Vec<String>) -> Result<Taken, Failed> {
        let files: Vec<PathBuf> =
            there.iter().map(|name| part(&self.parts, self.recording.id, name)).collect();
        let mut longest = 0;
        for file in &files {
            longest = longest.max(fs::metadata(file).map_err(disk)?.len());
        }
        if longest == 0 {
            return Err(Failed::now("the device gives empty files"));
        }
        let joined = part(&self.parts, self.recording.id, "wav");
        let mut taken = None;
        if join::is_possible() {
            let halves: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            match join::join(&halves, &joined) {
                Ok(()) => {
                    let audio = File::open(&joined).and_then(|mut file| wav::look(&mut file, None));
                    if let Audio::Wav { seconds, .. } = audio.map_err(disk)? {
                        taken = Some(self.keep(&joined, "wav", Some(seconds))?);
                    }
                }
                // The halves are good all the same.
                Err(error) => tracing::warn!(recording = %self.recording.id, "{error}"),
            }
        }
        for (name, file) in there.iter().zip(&files) {
            self.store.put(file, &half(&self.recording, name)).map_err(disk)?;
        }
        let taken = taken.unwrap_or_else(|| Taken {
            place: (0, Form::Halves),
            bytes: 0,
            content_type: "application/octet-stream",
            stored_as: None,
            size: None,
            sha256: None,
            seconds: Some(longest as f64 / join::G729_RATE),
            parts: Vec::new(),
        });
        Ok(Taken { parts: there, ..taken })
    }

    fn keep(&self, file: &Path, ending: &str, seconds: Option<f64>) -> Result<Taken, Failed> {
        let (size, sha256) = hash(file).map_err(disk)?;
        let stored_as = format!("{}.{ending}", base(&self.recording));
        self.store.put(file, &stored_as).map_err(disk)?;
        Ok(Taken {
            place: (0, Form::AsNamed),
            bytes: size,
            content_type: if ending == "mp3" { "audio/mpeg" } else { "audio/wav" },
            stored_as: Some(stored_as),
            size: Some(size),
            sha256: Some(sha256),
            seconds,
            parts: Vec::new(),
        })
    }
}

/// Size and SHA-256 of a file.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut size, mut buffer) = (0, vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok((size, hex::encode(context.finish())));
        };
        context.update(bytes);
        size += read as u64;
    }
}

/// The samples of one file as a WAV file.
fn add_header(samples: &Path, to: &Path, mu_law: bool) -> io::Result<()> {
    let mut from = File::open(samples)?;
    let count = u32::try_from(from.seek(SeekFrom::End(0))?).unwrap_or(u32::MAX);
    from.seek(SeekFrom::Start(0))?;
    let file = store::open_private(to)?;
    file.set_len(0)?;
    let mut out = BufWriter::new(file);
    wav::write_header(&mut out, mu_law, count)?;
    io::copy(&mut from, &mut out)?;
    if count % 2 == 1 {
        out.write_all(&[0])?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use switchroom_domain::id::{DeviceId, IdSeed, Minter};
    use switchroom_domain::time::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::link::http::Address;
    use crate::recordings::store::Folder;

    /// A device with these files, and one recording of it that is taken.
    async fn taken(files: &[(&str, &[u8])], name: &str, folder: &Path) -> Result<Taken, Failed> {
        let files: HashMap<String, Vec<u8>> =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a request"));
                }
                let head = String::from_utf8(head).expect("text");
                assert!(head.contains("\r\nAuthorization: Basic dXNlcjp1c2Vy\r\n"), "{head}");
                let path = head.split(' ').nth(1).expect("a path");
                let mut answer = b"HTTP/1.0 404 Not Found\r\n\r\n".to_vec();
                if let Some(file) = files.get(path) {
                    // Without a length: the end of the connection is the end.
                    answer = [b"HTTP/1.0 200 OK\r\n\r\n", file.as_slice()].concat();
                }
                stream.write_all(&answer).await.expect("it is sent");
            }
        });
        let id = CdrId(Minter::new(IdSeed { at: Timestamp(0), entropy: 1 }).mint());
        let device = DeviceId::new("om").expect("an id");
        let mut recording = Recording::new(id, device, name.into(), Timestamp(1_795_264_245_123));
        recording.duration = Some(2.0);
        let address = Address::parse(&address).expect("an address");
        let take = Take {
            recording,
            folders: name::folders(&address, false),
            source: Source { address, tls: None, authorization: "Basic dXNlcjp1c2Vy".into() },
            mp3: false,
            first: None,
            is_last: false,
            parts: folder.join("parts"),
            store: Arc::new(Folder::new(folder.to_owned())),
            limits: Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(5), bytes: 20_000 },
        };
        let taken = take.run().await;
        server.abort();
        taken
    }

    #[tokio::test]
    async fn samples_without_a_header_get_one_wherever_the_device_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let files: &[(&str, &[u8])] = &[("/usb/builtin/Recorder/d/a_1", &[0xD5; 16_001])];
        let taken = taken(files, "d/a_1", folder.path()).await.expect("it comes");
        assert_eq!((taken.place, taken.content_type), ((1, Form::AsNamed), "audio/wav"));
        let stored = folder.path().join(taken.stored_as.expect("it is stored"));
        let mut file = File::open(&stored).expect("it is there");
        let audio = wav::look(&mut file, None).expect("it is read");
        assert_eq!(audio, Audio::Wav { seconds: 16_001.0 / 8000.0, cut: false });
        assert_eq!(fs::metadata(stored).expect("it is there").len(), taken.size.expect("a size"));
        assert_eq!(fs::read_dir(folder.path().join("parts")).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn halves_are_kept_as_they_are_and_one_alone_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let (send, recv) = ("/mcc/Recorder/d/%2B86_cd.wav_send.dat", "/mcc/Recorder/d/%2B86_cd.wav_recv.dat");
        let both: &[(&str, &[u8])] = &[(send, &[1; 2000]), (recv, &[2; 1990])];
        let two = taken(both, "d/+86_cd.wav", folder.path()).await.expect("they come");
        assert_eq!(
            (two.place, two.parts.as_slice(), two.bytes),
            ((0, Form::HalvesOfWav), &HALVES.map(str::to_owned)[..], 3990)
        );
        // What was made of noise by a decoder, if there is one, is not looked at.
        assert!(two.stored_as.is_some() || two.seconds == Some(2.0));
        let one = taken(&both[1..], "d/+86_cd.wav", folder.path()).await.expect("it comes");
        assert_eq!(one.parts, ["recv"]);
    }

    #[tokio::test]
    async fn what_is_no_recording_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let why = async |file: &[u8]| {
            let failed = taken(&[("/mcc/Recorder/a.wav", file)], "a.wav", folder.path()).await;
            let failed = failed.expect_err("not taken");
            (failed.for_good, failed.why)
        };
        assert_eq!(why(b"<html>log in").await, (false, "what the device gives is no audio".to_owned()));
        let mut short = Vec::new();
        wav::write_header(&mut short, false, 16_000).expect("it is written");
        let (for_good, said) = why(&short).await;
        assert!(!for_good && said.contains("header promises"), "{said}");
        let (for_good, said) = why(&[0xD5; 20_001]).await;
        assert!(for_good && said.contains("max_bytes"), "{said}");
    }
}
