//! Arguments and hexadecimal digits: what is accepted, and the one line about what is not.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::{digits, file, lines, run};

const ANNOUNCE: &str = "{\"frame\":1,\"protocol\":\"ASAP\",\"type\":10,\"name\":\"ASAP_SERVER_ANNOUNCE\",\"flags\":0,\
                        \"length\":8,\"ppid\":null,\"server_id\":1,\"transports\":[]}";

/// Runs, and expects exactly this complaint, nothing else and status 2.
fn refused(arguments: &[&str], input: &str, complaint: &str) {
    let output = run(arguments, input);
    assert_eq!(output.stderr, format!("rserpool decode: {complaint}\n"));
    assert_eq!((output.stdout.as_str(), output.status), ("", Some(2)));
}

#[test]
fn digits_may_be_spaced_and_prefixed_as_one_likes() {
    let ways = [
        "0a00000800000001",
        "0A 00 00 08\n00 00 00 01\n",
        "0x0a000008 0x00000001",
        " 0 a 0 0\t0008\r\n0000 0001",
        "0X0a00000800000001",
    ];
    for way in ways {
        let output = digits(&["--asap", "--output", "json"], way);
        assert_eq!(lines(&output), [ANNOUNCE], "{way:?}");
    }
}

#[test]
fn the_last_message_may_lack_its_padding() {
    let text = "0500000d 00090009 4142434445";
    let output = digits(&["--asap", "--output", "json"], text);
    assert!(lines(&output)[0].ends_with("\"length\":13,\"ppid\":null,\"pool_handle\":\"ABCDE\"}"));
}

#[test]
fn digits_that_are_no_message_are_a_line() {
    let fault = |error: &str, offset: usize| {
        format!("{{\"frame\":1,\"protocol\":\"ENRP\",\"error\":\"{error}\",\"offset\":{offset}}}")
    };
    let length = "message length does not fit the received bytes";
    for (text, expected) in [
        ("05", fault("shorter than a message header", 0)),
        ("0500000300000000", fault(length, 2)),
        ("0500001000000001", fault(length, 2)),
        (
            "05000008 00000001",
            fault("message ends within its fixed fields", 8),
        ),
    ] {
        let output = digits(&["--enrp", "--output", "json"], text);
        assert_eq!(lines(&output), [expected], "{text}");
    }
}

#[test]
fn bad_digits_are_told_with_their_place() {
    let digits = |text: &str, complaint: &str| {
        refused(
            &["--asap", "--output", "json", "-"],
            text,
            &format!("standard input: {complaint}"),
        );
    };
    digits(
        "0a00\n00 0g",
        "line 2, column 5: 'g' is not a hexadecimal digit",
    );
    digits(
        "0a\u{1b}",
        "line 1, column 3: '\\u{1b}' is not a hexadecimal digit",
    );
    digits("1x00", "line 1, column 2: 'x' is not a hexadecimal digit");
    digits("0a000", "line 1, column 6: half a byte at the end");
    digits(" \n", "line 2, column 1: no hexadecimal digits");
    digits("0x", "line 1, column 3: no hexadecimal digits");
}

#[test]
fn messages_before_bad_digits_are_shown() {
    let output = digits(&["--asap", "--output", "json"], "0a00000800000001 zz");
    assert_eq!(output.stdout.trim_end(), ANNOUNCE);
    assert_eq!(output.status, Some(2));
    assert_eq!(
        output.stderr,
        "rserpool decode: standard input: line 1, column 18: 'z' is not a hexadecimal digit\n"
    );
}

#[test]
fn the_protocol_of_digits_must_be_said() {
    refused(
        &["-"],
        "00",
        "standard input: say --asap or --enrp: hexadecimal digits do not tell which they are",
    );
}

#[test]
fn a_file_must_be_a_capture() {
    let missing = "/nonexistent/capture.pcap";
    refused(
        &[missing],
        "",
        &format!("{missing}: No such file or directory (os error 2)"),
    );
    let folder = env!("CARGO_TARGET_TMPDIR");
    refused(
        &[folder],
        "",
        &format!("{folder}: is a directory, not a capture"),
    );
    for (name, bytes, complaint) in [
        (
            "empty",
            &b""[..],
            "empty, not a pcap or pcapng capture (at byte 0)",
        ),
        (
            "text",
            b"This is no capture at all.",
            "not a pcap or pcapng capture (at byte 0)",
        ),
        (
            "magic",
            &[0xd4, 0xc3, 0xb2, 0xa1],
            "not a pcap or pcapng capture (at byte 0)",
        ),
    ] {
        let path = file(&format!("no-capture-{name}"), bytes);
        let path = path.to_str().expect("text");
        refused(&[path], "", &format!("{path}: {complaint}"));
    }
    let path = file("no-digits", b"0a00000800000001");
    let path = path.to_str().expect("text");
    let complaint = format!("{path}: --asap and --enrp are for standard input (\"-\") only");
    refused(&["--asap", path], "", &complaint);
}

#[test]
fn the_other_files_are_decoded_where_one_is_bad() {
    let good = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/captures/03-takeover2.pcapng"
    );
    let output = run(
        &["--output", "json", "/nonexistent", good, "/nonexistent"],
        "",
    );
    assert_eq!(output.status, Some(2));
    assert_eq!(output.stderr.lines().count(), 2);
    assert_eq!(output.stdout.lines().count(), 147);
}

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    for arguments in [
        &[][..],
        &["--asap", "--enrp", "-"],
        &["--output", "xml", "-"],
        &["--sctp-udp-port", "65536", "-"],
    ] {
        assert_eq!(run(arguments, "").status, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_news() {
    let captured = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/captures/08-selection.pcapng"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(["decode", captured])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut begin = [0; 64];
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_exact(&mut begin).expect("there is output");
    drop(pipe);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
