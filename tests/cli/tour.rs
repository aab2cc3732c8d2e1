//! The tour of the README, and what is said when something is missing.

use std::time::Instant;

use serde_json::Value;

use crate::harness::{Scope, field};

#[test]
fn three_terminals() {
    let scope = Scope::new();
    let registrar = scope.registrar();
    let (element, id) = scope.element(&["--pool", "p", "--echo"]);
    let mut user = scope.start(&["connect", "p"]);
    assert_eq!(field(&user.log("connected"), "element"), id);
    user.say("hello");
    assert_eq!(user.hear(), "hello");
    user.say("how are you");
    assert_eq!(user.hear(), "how are you");
    user.end_input();
    let (status, log) = user.wait();
    assert_eq!(status, Some(0), "{log}");
    element.log("session closed");
    element.signal("TERM");
    let (status, log) = element.wait();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("de-registered"), "{log}");
    registrar.log("reason=Deregistered");
    registrar.signal("INT");
    assert_eq!(registrar.wait().0, Some(0));
}

#[test]
fn a_user_may_leave_in_the_middle() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (element, _) = scope.element(&["--pool", "p", "--echo"]);
    let mut user = scope.start(&["connect", "p"]);
    user.say("hello");
    assert_eq!(user.hear(), "hello");
    user.signal("INT");
    let (status, log) = user.wait();
    assert_eq!(status, Some(0), "{log}");
    element.log("session closed");
}

#[test]
fn resolve_shows_the_pool() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let policy = ["--policy", "least-used", "--load", "0.5"];
    let service = ["--pool", "q", "--daytime", "--port", "5000", "--id", "0x2a"];
    let (_element, id) = scope.element(&[&service[..], &policy[..]].concat());
    assert_eq!(id, "0x0000002a");

    let table = scope.run(&["resolve", "q"], b"");
    assert_eq!(table.status, Some(0), "{}", table.stderr);
    assert_eq!(table.stderr, "");
    let table = String::from_utf8(table.stdout).expect("a table is text");
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[0], "q: Least Used, 1 element");
    let words: Vec<_> = rows[2].split_whitespace().collect();
    assert_eq!(words[0], "0x0000002a");
    assert_eq!(words[2..5], ["SCTP", "5000", "127.0.0.2"]);

    let json = scope.run(&["resolve", "q", "--output", "json"], b"");
    let pool: Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(pool["pool_handle"], "q");
    assert_eq!(pool["policy"]["name"], "Least Used");
    let element = &pool["pool_elements"][0];
    assert_eq!(element["id"], 42);
    assert_eq!(element["user_transport"]["port"], 5000);
    assert_eq!(element["user_transport"]["addresses"][0], "127.0.0.2");
    assert_eq!(element["policy"]["load"], 0x8000_0000_u32);
}

#[test]
fn a_registrar_shows_what_it_knows_in_order() {
    let scope = Scope::new();
    let registrar = scope.registrar();
    let elements = [("b", "2"), ("a", "3"), ("a", "1")];
    let _elements = elements
        .map(|(pool, id)| scope.element(&["--pool", pool, "--echo", "--id", id, "--port", "5000"]));
    let dump = scope.run(&["dump", "127.0.0.1"], b"");
    assert_eq!(dump.status, Some(0), "{}", dump.stderr);
    let dump = String::from_utf8(dump.stdout).expect("a table is text");
    let lines: Vec<_> = dump.lines().map(str::trim).collect();
    assert!(
        lines[0].ends_with(": 0 peers, 2 pools, 3 elements"),
        "{dump}"
    );
    let rest = [
        "pool a",
        "element 0x00000001",
        "element 0x00000003",
        "pool b",
        "element 0x00000002",
    ];
    let begins = |(line, begin): (&&str, &&str)| line.starts_with(*begin);
    assert!(lines[1..].iter().zip(&rest).all(begins), "{dump}");
    assert_eq!(lines.len(), 1 + rest.len());
    assert!(lines[3].contains("SCTP 127.0.0.3 port 5000"), "{dump}");
    let json = scope.run(&["dump", "127.0.0.1", "--output", "json"], b"");
    let view: Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(view["pools"][0]["pool_elements"][1]["id"], 3);
    registrar.signal("TERM");
    assert_eq!(registrar.wait().0, Some(0));
}

#[test]
fn a_registrar_is_asked_over_tcp() {
    let scope = Scope::new();
    let registrar = scope.start(&["registrar", "--tcp", scope.port()]);
    registrar.log("registrar at 127.0.0.1");
    let (_element, id) = scope.element(&["--pool", "p", "--echo"]);
    let place = format!("127.0.0.1:{}", scope.port());
    let over_tcp = ["--registrar", &place, "--registrar-tcp"];
    let table = scope.run(&[&["resolve", "p"], &over_tcp[..]].concat(), b"");
    assert_eq!(table.status, Some(0), "{}", table.stderr);
    assert!(String::from_utf8_lossy(&table.stdout).contains(&id));
    // The port is not one of SCTP.
    let talk = scope.run(&[&["connect", "p"], &over_tcp[..]].concat(), b"hello\n");
    assert_eq!(talk.status, Some(0), "{}", talk.stderr);
    assert_eq!(talk.stdout, b"hello\n");
}

#[test]
fn an_element_registers_the_tcp_port_of_another_program() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (_element, id) = scope.element(&["--pool", "p", "--tcp", "8080"]);
    let table = scope.run(&["resolve", "p"], b"");
    let table = String::from_utf8(table.stdout).expect("a table is text");
    let row = table.lines().last().expect("there is one element");
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words[0], id);
    assert_eq!(words[2..5], ["TCP", "8080", "127.0.0.2"]);
    let talk = scope.run(&["connect", "p", "--give-up", "3"], b"hello\n");
    assert_eq!(talk.status, Some(1));
    let why = "the pool has another kind of transport; --tcp is for pools over TCP";
    assert!(talk.stderr.contains(why), "{}", talk.stderr);
}

#[test]
fn a_watched_pool_is_printed_whenever_it_changes() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (first, _) = scope.element(&["--pool", "w", "--discard"]);
    let watch = scope.start(&["resolve", "w", "--watch", "--output", "json"]);
    let elements = |line: &str| {
        let pool: Value = serde_json::from_str(line).expect("a JSON object a line");
        let there = pool["pool_elements"].as_array().expect("a list").len();
        (there, pool["policy"]["name"].as_str().map(str::to_owned))
    };
    let policy = Some("Round Robin".to_owned());
    assert_eq!(elements(&watch.hear()), (1, policy.clone()));
    let (second, _) = scope.element(&["--pool", "w", "--discard"]);
    assert_eq!(elements(&watch.hear()), (2, policy.clone()));
    first.signal("INT");
    assert_eq!(elements(&watch.hear()), (1, policy));
    second.signal("INT");
    assert_eq!(elements(&watch.hear()), (0, None));
    watch.signal("INT");
    let (status, log) = watch.wait();
    assert_eq!((status, &log[..]), (Some(0), ""));
}

#[test]
fn every_message_to_daytime_is_answered_with_the_time() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = scope.element(&["--pool", "t", "--daytime"]);
    let run = scope.run(&["connect", "t"], b"now?\nand now?\n");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let answers = String::from_utf8(run.stdout).expect("the time is text");
    assert_eq!(answers.lines().count(), 2, "{answers}");
    for answer in answers.lines() {
        let time = humantime::parse_rfc3339(answer).expect("the time as RFC 3339 has it");
        let age = time.elapsed().unwrap_or_default();
        assert!(age < crate::harness::PATIENCE, "{answer}");
    }
}

#[test]
fn a_discard_service_answers_nothing() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (element, _) = scope.element(&["--pool", "d", "--discard"]);
    let run = scope.run(&["connect", "d", "--one-way"], b"into\nthe\nvoid\n");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, b"");
    element.log("session closed");
    let run = scope.run(&["connect", "d", "--wait", "0.2"], b"hello?\n");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("no answer to 1 of the lines"),
        "{}",
        run.stderr
    );
}

#[test]
fn without_a_registrar_it_is_said_soon() {
    let scope = Scope::new();
    let start = Instant::now();
    let connect = scope.start(&["connect", "p"]);
    let resolve = scope.start(&["resolve", "p"]);
    for program in [connect, resolve] {
        let (status, log) = program.wait();
        assert_eq!(status, Some(1));
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(
            log.contains("no registrar answers at 127.0.0.1:3863"),
            "{log}"
        );
    }
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn what_is_missing_or_refused_is_said_at_once() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    for subcommand in ["connect", "resolve"] {
        let run = scope.run(&[subcommand, "nobody"], b"");
        assert_eq!(run.status, Some(1));
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(
            run.stderr.contains("there is no pool nobody"),
            "{}",
            run.stderr
        );
    }
    let _element = scope.element(&["--pool", "p", "--echo"]);
    let other = ["--policy", "random", "--echo"];
    let run = scope.run(&[&["element", "--pool", "p"], &other[..]].concat(), b"");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("Inconsistent Pooling Policy"),
        "{}",
        run.stderr
    );
    let second = scope.start(&["registrar"]);
    second.log("127.0.0.1 was taken: others find this registrar with --registrar 127.0.0.");
    let run = scope.run(&["registrar", "--asap", "127.0.0.1"], b"");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("127.0.0.1: it is taken"),
        "{}",
        run.stderr
    );
    let two = ["registrar", "--asap", "127.0.0.8", "--asap", "127.0.0.9"];
    let run = scope.run(&two, b"");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("SCTP over UDP has one local address"),
        "{}",
        run.stderr
    );
    let run = scope.run(&["registrar", "--asap", "192.0.2.1"], b"");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("not an address of this host"),
        "{}",
        run.stderr
    );
}

/// Kernel SCTP was asked for: it is not replaced by something else.
#[test]
fn a_kernel_without_sctp_is_said() {
    let arguments = ["resolve", "nobody", "--transport", "kernel"];
    let run = crate::harness::run(&arguments, b"");
    assert_eq!(run.status, Some(1));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let expected = [
        "this kernel has no SCTP: load the module sctp, or use SCTP over UDP (--transport udp)",
        // It has.
        "no registrar answers at 127.0.0.1:3863",
    ];
    assert!(
        expected.iter().any(|part| run.stderr.contains(part)),
        "{}",
        run.stderr
    );
}

#[test]
fn over_ipv6() {
    let scope = Scope::new();
    let registrar = scope.start(&["registrar", "--asap", "::1"]);
    registrar.log("registrar at ::1");
    let run = scope.run(&["resolve", "nobody", "--registrar", "::1"], b"");
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("there is no pool nobody"),
        "{}",
        run.stderr
    );
}
