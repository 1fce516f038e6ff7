//! Hexadecimal digits, lower case only: one text for each value, so that texts can be compared.

/// The digits of these bytes.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of these digits; `None` for any other text.
#[must_use]
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| match pair {
        &[high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(all: Vec<u8>) {
            prop_assert_eq!(bytes(&text(&all)), Some(all));
        }

        #[test]
        fn no_two_texts_are_one_value(any in "[0-9a-fA-Fx ]{0,8}") {
            if let Some(read) = bytes(&any) {
                prop_assert_eq!(text(&read), any);
            }
        }
    }
}
