//! Messages written as hexadecimal digits, one after the other.

use std::io::{self, BufRead};

use super::Failure;

/// Where in the text something stands, both from 1.
#[derive(Clone, Copy)]
struct Position {
    line: u64,
    column: u64,
}

/// The digits so far.
struct Digits {
    at: Position,
    /// The first digit of a byte whose second one is to come.
    half: Option<u8>,
    /// Digits since the last white space; "0x" may stand at the begin.
    in_word: usize,
    /// The begin of a message.
    pending: Vec<u8>,
    /// Whether there was a byte.
    any: bool,
}

/// Calls `each` for every message in the text: white space is skipped, "0x" may stand before a word, and a message ends where
/// its length field and its padding say so. What cannot be divided into messages is handed over as it is.
pub(super) fn messages(
    mut text: impl BufRead,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut digits = Digits {
        at: Position { line: 1, column: 1 },
        half: None,
        in_word: 0,
        pending: Vec::new(),
        any: false,
    };
    loop {
        let chunk = match text.fill_buf() {
            Ok([]) => break,
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Input(error.to_string())),
        };
        for &byte in chunk {
            if digits.take(byte)? {
                digits.emit(&mut each)?;
            }
        }
        let length = chunk.len();
        text.consume(length);
    }
    if digits.half.is_some() {
        return Err(digits.fault("half a byte at the end"));
    }
    if !digits.any {
        return Err(digits.fault("no hexadecimal digits"));
    }
    if !digits.pending.is_empty() {
        each(&digits.pending)?;
    }
    Ok(())
}

impl Digits {
    /// Takes a character; true where it completes a byte.
    fn take(&mut self, character: u8) -> Result<bool, Failure> {
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            b'A'..=b'F' => character - b'A' + 10,
            b'x' | b'X' if self.in_word == 1 && self.half == Some(0) => {
                self.half = None;
                self.at.column += 1;
                return Ok(false);
            }
            b'\n' => {
                self.at.line += 1;
                self.at.column = 1;
                self.in_word = 0;
                return Ok(false);
            }
            _ if character.is_ascii_whitespace() => {
                self.at.column += 1;
                self.in_word = 0;
                return Ok(false);
            }
            _ => {
                let shown = char::from(character).escape_default();
                return Err(self.fault(&format!("'{shown}' is not a hexadecimal digit")));
            }
        };
        self.at.column += 1;
        self.in_word += 1;
        match self.half.take() {
            None => self.half = Some(value),
            Some(high) => {
                self.any = true;
                self.pending.push(high << 4 | value);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands over the message that the last byte has completed.
    fn emit(&mut self, each: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let &[_, _, high, low, ..] = self.pending.as_slice() else {
            return Ok(());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // A length below 4 does not say where the next message begins.
        let end = if length < 4 {
            MAX_PENDING
        } else {
            length.next_multiple_of(4)
        };
        if self.pending.len() >= end {
            each(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> Failure {
        let Position { line, column } = self.at;
        Failure::Input(format!("line {line}, column {column}: {what}"))
    }
}

/// Bytes that are gathered where the length is no help; as many as the longest message has, with its padding.
const MAX_PENDING: usize = 1 << 16;
