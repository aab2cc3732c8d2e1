//! Pools whose elements are TCP servers themselves: `element --tcp` and `connect --tcp`.

use core::net::SocketAddr;
use std::io::{Read, Write};

use crate::harness::{PATIENCE, Program, Scope, field};
use crate::streams::{ask, assert_reset, call, handing_server, listen_with, nobody, polite_server};

/// An element of the pool `web` whose users connect to this server themselves.
fn register(scope: &Scope, server: SocketAddr) -> (Program, String) {
    scope.element(&["--pool", "web", "--tcp", &server.port().to_string()])
}

#[test]
fn a_server_is_talked_to() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (_element, id) = register(&scope, polite_server("first"));
    let talk = scope.run(&["connect", "web", "--tcp"], b"hello?");
    assert_eq!(talk.status, Some(0), "{}", talk.stderr);
    assert_eq!(talk.stdout, b"first: hello?");
    assert_eq!(field(&talk.stderr, "element"), id);
}

#[test]
fn nothing_of_it_needs_sctp() {
    let scope = Scope::new();
    let registrar = scope.start(&["registrar", "--tcp", scope.port()]);
    registrar.log("registrar at 127.0.0.1");
    let _element = register(&scope, polite_server("first"));
    let place = format!("127.0.0.1:{}", scope.port());
    let over_tcp = [
        "connect",
        "web",
        "--tcp",
        "--registrar-tcp",
        "--registrar",
        &place,
    ];
    let talk = scope.run(&over_tcp, b"hello?");
    assert_eq!(talk.status, Some(0), "{}", talk.stderr);
    assert_eq!(talk.stdout, b"first: hello?");
}

#[test]
fn a_pool_of_another_kind_or_none_is_said() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _echo = scope.element(&["--pool", "echo", "--echo"]);
    let connect = |pool, expected: &str| {
        let talk = scope.run(&["connect", pool, "--tcp", "--give-up", "0.5"], b"hello?");
        assert_eq!(talk.status, Some(1), "{}", talk.stderr);
        assert_eq!(talk.stderr, format!("rserpool: {expected}\n"));
    };
    connect(
        "echo",
        "there is no connection: the pool is not over TCP: connect to it without --tcp",
    );
    connect(
        "web",
        "there is no pool web: start an element with 'rserpool element --pool web --tcp PORT'",
    );
    let _nobody = register(&scope, nobody());
    connect(
        "web",
        "there is no connection: no element of the pool can be reached",
    );
}

#[test]
fn a_connection_that_a_server_refuses_goes_to_another_one() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _refusing = register(&scope, nobody());
    let (_willing, id) = register(&scope, polite_server("willing"));
    let (gate, address) = listen_with(&scope, &["--tcp"]);
    for _ in 0..5 {
        assert_eq!(ask(address, "hello?"), "willing: hello?");
        assert_eq!(field(&gate.log("connected"), "element"), id);
    }
    gate.signal("TERM");
    let (status, log) = gate.wait();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_connection_that_comes_before_its_pool_is_kept() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (gate, address) = listen_with(&scope, &["--tcp"]);
    gate.log("there is no pool web; connections wait for it");
    let mut early = call(address);
    early.write_all(b"hello?").expect("it is taken");
    early
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    let _element = register(&scope, polite_server("late"));
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "late: hello?");
}

#[test]
fn a_long_answer_comes_whole() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = register(&scope, polite_server("patient"));
    let (_gate, address) = listen_with(&scope, &["--tcp"]);
    let request = "x".repeat(8 << 20);
    for _ in 0..4 {
        // The gate is done with it before the client is.
        assert!(ask(address, &request) == format!("patient: {request}"));
    }
}

#[test]
fn what_was_cut_off_is_reset() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (server, connections) = handing_server();
    let _element = register(&scope, server);
    let (gate, address) = listen_with(&scope, &["--tcp"]);
    let begin = || {
        let mut client = call(address);
        client.write_all(b"unread").expect("it is taken");
        let served = connections.recv_timeout(PATIENCE).expect("a connection");
        served.peek(&mut [0]).expect("it has come");
        (client, served)
    };
    let (client, served) = begin();
    drop(served);
    assert_reset(client);
    gate.log("a connection is cut off");
    let (client, _served) = begin();
    gate.signal("KILL");
    assert_reset(client);
}
