//! A mistake on the command line is one line on stderr and exit status 2.

use crate::harness::{Scope, run};

/// Arguments, and what the line says.
const MISTAKES: [(&[&str], &str); 33] = [
    (&[], "rserpool: say what to do: registrar, element, resolve"),
    (&["regsitrar"], "unrecognized subcommand 'regsitrar'"),
    (&["--verbose"], "unexpected argument '--verbose'"),
    (
        &["registrar", "--asap", "localhost"],
        "registrar: invalid value 'localhost' for '--asap",
    ),
    (
        &["registrar", "--asap", "127.0.0.1:0"],
        "port 0 cannot be called",
    ),
    (&["registrar", "--id", "0"], "0 means \"none\""),
    (&["registrar", "--keep-alive", "-1"], "'-1'"),
    (
        &["registrar", "--dialect", "klingon"],
        "[possible values: rfc, rsplib]",
    ),
    (
        &["registrar", "--transport", "tcp"],
        "[possible values: kernel, udp, auto]",
    ),
    (
        &["registrar", "--asap", "127.0.0.1", "--asap", "127.0.0.2:9"],
        "another port than the first one, 3863",
    ),
    (
        &["registrar", "--udp-port", "65536"],
        "65536 is not in 1..=65535",
    ),
    (&["element", "--echo"], "not provided: --pool <NAME>"),
    (
        &["element", "--pool", "p"],
        "not provided: <--echo|--discard|--daytime|--pingpong|--forward <HOST:PORT>|--exec <CMD>...|--tcp <PORT>>",
    ),
    (
        &["element", "--pool", "p", "--echo", "--daytime"],
        "'--echo' cannot be used with '--daytime'",
    ),
    (
        &["element", "--pool", "", "--echo"],
        "a pool handle has at least one byte",
    ),
    (
        &["element", "--pool", "p", "--echo", "--load", "2"],
        "expected a number from 0 to 1",
    ),
    (
        &["element", "--pool", "p", "--echo", "--policy", "\n\n"],
        "for '--policy",
    ),
    (
        &[
            "element",
            "--pool",
            "p",
            "--echo",
            "--load-from",
            "/dev/null",
        ],
        "--load-from is for the policies that ask for a load",
    ),
    (
        &["element", "--pool", "p", "--echo", "--load-interval", "1"],
        "not provided: --load-from",
    ),
    (
        &["bench", "resolve", "--seconds", "0"],
        "expected seconds from 0.01 to 3600",
    ),
    (
        &["bench", "handlespace", "--elements", "9", "--pools", "10"],
        "every pool must have an element",
    ),
    (
        &["resolve"],
        "resolve: the following required arguments were not provided: <POOL>",
    ),
    (
        &["resolve", "p", "--registrar", "192.0.2.1"],
        "say with --local",
    ),
    (
        &["resolve", "p", "--registrar", "::1", "--local", "127.0.0.1"],
        "not of the same IP version",
    ),
    (&["connect", "p", "--ppid", "11"], "11 belongs to ASAP"),
    (
        &["connect", "p", "--listen", "localhost:80"],
        "expected PORT or ADDR:PORT",
    ),
    (
        &["connect", "p", "--listen", "1", "--one-way"],
        "cannot be used with '--one-way'",
    ),
    (
        &["connect", "p", "--max-connections", "9"],
        "not provided: --listen",
    ),
    (
        &["element", "--pool", "p", "--forward", "8080"],
        "expected HOST:PORT, such as 127.0.0.1:8080",
    ),
    (
        &["element", "--pool", "p", "--exec"],
        "a value is required for '--exec <CMD>...'",
    ),
    (
        &["element", "--pool", "p", "--exec", "no-such-program"],
        "there is no program no-such-program to execute",
    ),
    (
        &["element", "--pool", "p", "--tcp", "0"],
        "0 is not in 1..=65535",
    ),
    (&["demo", "now"], "unexpected argument 'now'"),
];

#[test]
fn a_mistake_is_one_line_and_status_2() {
    for (arguments, part) in MISTAKES {
        let run = run(arguments, b"");
        assert_eq!(run.status, Some(2), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, b"", "{arguments:?}");
        assert_eq!(
            run.stderr.lines().count(),
            1,
            "{arguments:?}: {}",
            run.stderr
        );
        assert!(run.stderr.contains(part), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["element", "--help"],
        &["help", "connect"],
    ] {
        let run = run(arguments, b"");
        assert_eq!(run.status, Some(0), "{arguments:?}");
        assert_eq!(run.stderr, "", "{arguments:?}");
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_tcp_port_of_a_registrar_is_known() {
    let scope = Scope::new();
    let run = scope.run(&["registrar", "--tcp", "0"], b"");
    assert_eq!(run.status, Some(2));
    let registrar = scope.start(&["registrar", "--tcp", scope.port()]);
    registrar.log(&format!("users are let in at TCP port {}", scope.port()));
}
