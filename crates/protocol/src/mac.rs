//! Hardware addresses, which the dialects write in several ways.

use switchroom_domain::Text;

/// The address as upper-case hex pairs with `:` between (`68:69:2E:03:8B:3E`), whether it came with colons,
/// hyphens, dots, blanks or nothing between, or with a trailing blank. `None` when it is not 12 hex digits.
#[must_use]
pub fn normalise(written: &str) -> Option<Text> {
    let mut digits = [0_u8; 12];
    let mut count = 0;
    for byte in written.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
                *digits.get_mut(count)? = byte.to_ascii_uppercase();
                count += 1;
            }
            b':' | b'-' | b'.' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => return None,
        }
    }
    if count != digits.len() {
        return None;
    }
    let mut text = Text::with_capacity(17);
    for (index, digit) in digits.iter().enumerate() {
        if index > 0 && index % 2 == 0 {
            text.push(':');
        }
        text.push(char::from(*digit));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_of_writing_are_one() {
        for written in ["68:69:2e:03:8b:3e ", "68-69-2E-03-8B-3E", "68692e038b3e", "6869.2e03.8b3e"] {
            assert_eq!(normalise(written).as_deref(), Some("68:69:2E:03:8B:3E"), "{written}");
        }
        for written in ["", "68:69", "68:69:2e:03:8b:3e:00", "zz:69:2e:03:8b:3e", "张"] {
            assert_eq!(normalise(written), None, "{written}");
        }
    }
}
