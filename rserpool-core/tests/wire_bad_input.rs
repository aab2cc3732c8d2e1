//! Every row of the tables in `bad_input/`.

mod wire_common;

use rserpool_core::wire::{DecodeError, Unrecognized, asap, enrp};
use wire_common::{hex, to_hex};

/// What came of a row: the result, the offset of the fault, and the offender.
type Outcome = (String, Option<usize>, Vec<u8>);

fn outcome(result: Result<Unrecognized, DecodeError>, bytes: &[u8]) -> Outcome {
    match result {
        Ok(unrecognized) => {
            let reported = unrecognized.spans().iter().flat_map(|span| span.of(bytes));
            ("ok".to_owned(), None, reported.copied().collect())
        }
        Err(error) => {
            let offset = Some(error.offset());
            match error.cause() {
                Some(cause) => (cause.0.to_string(), offset, error.offender(bytes).to_vec()),
                None => ("discard".to_owned(), offset, Vec::new()),
            }
        }
    }
}

/// Bytes of a row; `61*5` stands for five bytes of 0x61.
fn expand(text: &str) -> Vec<u8> {
    let word = |word: &str| match word.split_once('*') {
        Some((byte, count)) => hex(byte).repeat(count.parse().expect("a count")),
        None if word == "none" => Vec::new(),
        None => hex(word),
    };
    text.split_whitespace().flat_map(word).collect()
}

fn check(table: &str, decode: impl Fn(&[u8]) -> Result<Unrecognized, DecodeError>) -> usize {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows {
        let columns: Vec<&str> = row.split(" ; ").collect();
        let &[name, result, offset, offender, bytes] = &columns[..] else {
            panic!("not five columns: {row}");
        };
        let bytes = expand(bytes);
        let expected: Outcome = (result.to_owned(), offset.parse().ok(), expand(offender));
        let found = outcome(decode(&bytes), &bytes);
        if found != expected {
            let text = |(result, offset, offender): Outcome| {
                format!("{result} {offset:?} {}", to_hex(&offender))
            };
            wrong.push(format!(
                "{name}: expected {}, found {}",
                text(expected),
                text(found)
            ));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    count
}

#[test]
fn asap() {
    let count = check(include_str!("bad_input/asap.txt"), |bytes| {
        asap::decode(bytes).map(|decoded| decoded.unrecognized)
    });
    assert!(count >= 120, "only {count} rows");
}

#[test]
fn enrp() {
    let count = check(include_str!("bad_input/enrp.txt"), |bytes| {
        enrp::decode(bytes).map(|decoded| decoded.unrecognized)
    });
    assert!(count >= 100, "only {count} rows");
}
