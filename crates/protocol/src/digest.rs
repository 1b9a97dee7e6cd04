//! MD5, as the vendors sign with it and as content ids are made with it. Not used for secrecy.

use md5::{Digest, Md5};
use switchroom_domain::Text;

/// The MD5 of the parts one after another, as 32 lower-case hex digits.
pub(crate) fn md5_hex<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(hasher.finalize()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// An id for a record that carries none, the same for the same content: `content-` and the MD5 of its fields.
/// Fields are told apart, so `("1", "23")` and `("12", "3")` differ.
pub(crate) fn content_id<'a>(fields: impl IntoIterator<Item = &'a str>) -> Text {
    let hex = md5_hex(fields.into_iter().flat_map(|field| [field.as_bytes(), b"\0"]));
    let mut id = Text::with_capacity(40);
    id.push_str("content-");
    id.extend(hex.iter().map(|digit| char::from(*digit)));
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_md5_of_the_whole() {
        assert_eq!(&md5_hex([&b"mess"[..], b"age digest"]), b"f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn content_ids_tell_fields_apart() {
        assert_ne!(content_id(["1", "23"]), content_id(["12", "3"]));
        assert_eq!(content_id(["a"]).len(), 40);
    }
}
