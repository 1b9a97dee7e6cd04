//! What kind of audio a file is, and how long it plays.
//!
//! An OM makes WAV files of PCM or G.711 itself (4.9); some firmwares leave G.711 without a header, one byte a sample.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes a second of G.711, and of nothing else that is expected.
const G711_RATE: u32 = 8000;
/// How far the length may be from what the record says, in seconds: it counts whole ones, from the answer.
pub const TOLERANCE: f64 = 2.0;
/// How much of a file is looked at.
const SAMPLE: u64 = 64 * 1024;
/// How many chunks may stand before the samples.
const CHUNKS: usize = 64;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Audio {
    /// WAV.
    Wav {
        /// How long it plays, in seconds.
        seconds: f64,
        /// Its header promises more than there is.
        cut: bool,
    },
    /// MP3; how long is not told.
    Mp3,
    /// G.711 without a header.
    Raw {
        /// µ-law, not A-law.
        mu_law: bool,
        /// How long it plays, in seconds.
        seconds: f64,
    },
    /// Nothing that is known.
    Unknown,
}

/// Looks at a file. `duration`: what the record says in seconds; G.711 without a header is only known by its length.
///
/// # Errors
/// When it cannot be read.
pub fn look(file: &mut (impl Read + Seek), duration: Option<f64>) -> io::Result<Audio> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    file.by_ref().take(SAMPLE).read_to_end(&mut head)?;
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        return Ok(wav(file, length)?.unwrap_or(Audio::Unknown));
    }
    if head.starts_with(b"ID3") || matches!(head.get(..2), Some([0xFF, second]) if second & 0xE6 == 0xE2) {
        return Ok(Audio::Mp3);
    }
    let seconds = length as f64 / f64::from(G711_RATE);
    let is_text = head.trim_ascii_start().starts_with(b"<") || head.starts_with(b"{");
    let fits = duration.is_some_and(|duration| (duration - seconds).abs() <= TOLERANCE);
    if length > 0 && fits && !is_text {
        return Ok(Audio::Raw { mu_law: is_mu_law(&head), seconds });
    }
    Ok(Audio::Unknown)
}

/// Silence tells the two apart: 0xD5 and 0x55 in A-law, 0xFF and 0x7F in µ-law. A-law where nothing tells.
fn is_mu_law(bytes: &[u8]) -> bool {
    let count = |silence: [u8; 2]| bytes.iter().filter(|byte| silence.contains(byte)).count();
    count([0xFF, 0x7F]) > count([0xD5, 0x55])
}

fn wav(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<Audio>> {
    let mut at = 12;
    let mut bytes_a_second = 0;
    for _ in 0..CHUNKS {
        if at + 8 > length {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, size @ ..] = head;
        let size = u64::from(u32::from_le_bytes(size));
        let there = length - at - 8;
        match &[a, b, c, d] {
            b"fmt " if there >= 16 => {
                let mut format = [0; 16];
                file.read_exact(&mut format)?;
                let [_, _, _, _, _, _, _, _, rate @ .., _, _, _, _] = format;
                bytes_a_second = u32::from_le_bytes(rate);
            }
            b"data" if bytes_a_second > 0 => {
                // A writer that never came back to its header leaves zero, or as much as fits, there.
                let open = size == 0 || size >= u64::from(u32::MAX) - 64;
                let samples = if open { there } else { size.min(there) };
                let seconds = samples as f64 / f64::from(bytes_a_second);
                return Ok(Some(Audio::Wav { seconds, cut: !open && size > there }));
            }
            _ => {}
        }
        // Chunks begin at even places.
        at += 8 + size + size % 2;
    }
    Ok(None)
}

/// Writes the header of a WAV file of G.711, one channel of 8000 samples a second.
///
/// # Errors
/// When it cannot be written.
pub fn write_header(out: &mut impl Write, mu_law: bool, samples: u32) -> io::Result<()> {
    let format: u16 = if mu_law { 7 } else { 6 };
    out.write_all(b"RIFF")?;
    out.write_all(&samples.saturating_add(samples % 2).saturating_add(50).to_le_bytes())?;
    out.write_all(b"WAVEfmt \x12\0\0\0")?;
    out.write_all(&format.to_le_bytes())?;
    out.write_all(&1_u16.to_le_bytes())?;
    out.write_all(&G711_RATE.to_le_bytes())?;
    out.write_all(&G711_RATE.to_le_bytes())?;
    // One byte a sample of 8 bits, and no more to say of the format.
    out.write_all(&[1, 0, 8, 0, 0, 0])?;
    // G.711 is no PCM, and such a file says how many samples it has.
    out.write_all(b"fact\x04\0\0\0")?;
    out.write_all(&samples.to_le_bytes())?;
    out.write_all(b"data")?;
    out.write_all(&samples.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn file(samples: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, false, samples).expect("it is written");
        bytes.resize(bytes.len() + samples as usize, 0xD5);
        bytes
    }

    fn looked(bytes: Vec<u8>, duration: Option<f64>) -> Audio {
        look(&mut Cursor::new(bytes), duration).expect("it is read")
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = file(24_000);
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().expect("four")) as usize, bytes.len() - 8);
        assert_eq!(looked(bytes, None), Audio::Wav { seconds: 3.0, cut: false });
    }

    #[test]
    fn chunks_before_the_samples_and_headers_never_finished_are_read() {
        let mut bytes = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x02\0".to_vec();
        bytes.extend_from_slice(&8000_u32.to_le_bytes());
        bytes.extend_from_slice(&32_000_u32.to_le_bytes());
        bytes.extend_from_slice(&[4, 0, 16, 0]);
        bytes.extend_from_slice(b"data\xFF\xFF\xFF\xFF");
        bytes.resize(bytes.len() + 64_000, 0);
        assert_eq!(looked(bytes, None), Audio::Wav { seconds: 2.0, cut: false });
    }

    #[test]
    fn a_file_that_is_cut_off_says_so_and_no_header_is_too_short() {
        let whole = file(16_000);
        let half = whole[..whole.len() - 8000].to_vec();
        assert_eq!(looked(half, None), Audio::Wav { seconds: 1.0, cut: true });
        for length in 0..58 {
            assert_eq!(looked(whole[..length].to_vec(), None), Audio::Unknown, "{length}");
        }
    }

    #[test]
    fn samples_without_a_header_are_known_by_their_length() {
        let a_law = Audio::Raw { mu_law: false, seconds: 3.0 };
        assert_eq!(looked(vec![0xD5; 24_000], Some(4.0)), a_law);
        assert_eq!(looked(vec![0xFF; 24_000], Some(4.0)), Audio::Raw { mu_law: true, seconds: 3.0 });
        assert_eq!(looked(vec![0xD5; 24_000], Some(9.0)), Audio::Unknown);
        assert_eq!(looked(vec![0xD5; 24_000], None), Audio::Unknown);
        let mut page = b"<html>".to_vec();
        page.resize(8000, b' ');
        assert_eq!(looked(page, Some(1.0)), Audio::Unknown);
    }

    #[test]
    fn an_mp3_is_known() {
        assert_eq!(looked(b"ID3\x04rest".to_vec(), None), Audio::Mp3);
        assert_eq!(looked(b"\xFF\xFB\x90\x00".to_vec(), None), Audio::Mp3);
    }
}
