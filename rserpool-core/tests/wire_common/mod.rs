//! What the tests of the wire codec share.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod arbitrary;

/// Bytes from hexadecimal digits; all else is ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).expect("one digit"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Hexadecimal digits of bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter with its padding.
pub(crate) fn param(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("a short value");
    let mut bytes = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message of this type and these flags with this value.
pub(crate) fn message(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("a short value");
    let [high, low] = length.to_be_bytes();
    [&[kind, flags, high, low], value].concat()
}
