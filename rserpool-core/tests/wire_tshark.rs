//! Wireshark's dissectors read what the codec writes: an oracle that shares no code with it.
//!
//! Thousands of arbitrary messages go into a capture file, each as the user data of an SCTP DATA chunk with its payload
//! protocol identifier, and `tshark` says what it sees. Without `tshark` the test is skipped with a line that says so, and
//! fails where the environment variable `CI` is `true`.

mod wire_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use wire_common::arbitrary::{Scope, asap_message, enrp_message};

/// Messages of each protocol.
const COUNT: usize = 2000;

/// A message as it goes into the capture.
struct Sample {
    ppid: u32,
    port: u16,
    bytes: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let mut runner = TestRunner::deterministic();
    let mut samples = Vec::new();
    let (asap, enrp) = (
        asap_message(Scope::Dissector),
        enrp_message(Scope::Dissector),
    );
    for _ in 0..COUNT {
        let message = asap.new_tree(&mut runner).expect("a message").current();
        let bytes = message.to_bytes().expect("it fits").to_vec();
        samples.push(Sample {
            ppid: 11,
            port: 3863,
            bytes,
        });
        let message = enrp.new_tree(&mut runner).expect("a message").current();
        let bytes = message.to_bytes().expect("it fits").to_vec();
        samples.push(Sample {
            ppid: 12,
            port: 9901,
            bytes,
        });
    }
    samples
}

/// An IPv4 packet with an SCTP packet with one DATA chunk (RFC 9260 §3.3.1). The checksums are 0: nobody looks at them.
fn packet(sample: &Sample, tsn: u32) -> Vec<u8> {
    let chunk_length = 16 + sample.bytes.len();
    let total = u16::try_from(20 + 12 + chunk_length).expect("a packet");
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 132, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(sample.port.to_be_bytes());
    packet.extend(sample.port.to_be_bytes());
    packet.extend(1_u32.to_be_bytes());
    packet.extend(0_u32.to_be_bytes());
    packet.extend([0, 3]);
    packet.extend(u16::try_from(chunk_length).expect("a chunk").to_be_bytes());
    packet.extend(tsn.to_be_bytes());
    packet.extend(0_u32.to_be_bytes());
    packet.extend(sample.ppid.to_be_bytes());
    packet.extend(&sample.bytes);
    packet
}

/// A capture file of raw IP packets.
fn write_capture(path: &Path, samples: &[Sample]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0x0004_0000, 101] {
        file.extend(word.to_be_bytes());
    }
    for (sample, number) in samples.iter().zip(1_u32..) {
        let packet = packet(sample, number);
        let length = u32::try_from(packet.len()).expect("a packet");
        for word in [number, 0, length, length] {
            file.extend(word.to_be_bytes());
        }
        file.extend(packet);
    }
    fs::write(path, file).expect("a file can be written");
}

/// What tshark says of each packet: one line of fields, tab-separated.
fn dissect(path: &Path) -> Vec<String> {
    let fields = [
        "frame.number",
        "_ws.malformed",
        "asap.message_type",
        "asap.message_flags",
        "asap.message_length",
        "enrp.message_type",
        "enrp.message_flags",
        "enrp.message_length",
    ];
    let mut command = Command::new("tshark");
    command
        .arg("-n")
        .arg("-r")
        .arg(path)
        .args(["-T", "fields", "-E", "occurrence=f"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// A line of tshark's that agrees with the sample.
fn expected(sample: &Sample, number: usize) -> String {
    let [kind, flags, ..] = sample.bytes[..] else {
        panic!("a header");
    };
    let message = format!("{kind}\t0x{flags:02x}\t{}", sample.bytes.len());
    let none = "\t\t";
    match sample.ppid {
        11 => format!("{number}\t\t{message}\t{none}"),
        _ => format!("{number}\t\t{none}\t{message}"),
    }
}

#[test]
fn wireshark_agrees() {
    if Command::new("tshark").arg("--version").output().is_err() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "tshark is not installed"
        );
        println!("skipped: tshark is not installed");
        return;
    }
    let samples = samples();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wire_tshark.pcap");
    write_capture(&path, &samples);
    let lines = dissect(&path);
    assert_eq!(lines.len(), samples.len());
    let mut wrong = Vec::new();
    for (number, (line, sample)) in (1..).zip(lines.iter().zip(&samples)) {
        let expected = expected(sample, number);
        if *line != expected {
            let bytes = wire_common::to_hex(&sample.bytes);
            wrong.push(format!("expected {expected:?}, found {line:?}: {bytes}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
