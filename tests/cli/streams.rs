//! TCP servers behind a pool, and TCP clients before it: `element --forward` and `connect --listen`.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use socket2::SockRef;

use crate::harness::{PATIENCE, Program, Scope, field};

/// A server that does the same with each connection, until the test ends. It is at all addresses of this host.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.expect("a connection"));
        }
    });
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Hears the client out, as half-closing clients expect, and then answers in its own name.
pub(crate) fn polite_server(name: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).is_ok() {
            // The client may have gone.
            let _ = stream.write_all(&[name.as_bytes(), b": ", &request].concat());
        }
    })
}

/// A server that hands its connections to the test.
pub(crate) fn handing_server() -> (SocketAddr, Receiver<TcpStream>) {
    let (sender, connections) = channel();
    let address = server(move |stream| {
        let _ = sender.send(patient(stream));
    });
    (address, connections)
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn patient(stream: TcpStream) -> TcpStream {
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(PATIENCE)).expect("not zero");
    }
    stream
}

/// With Python's web server and curl.
#[test]
fn the_example_of_a_web_server_runs() {
    let scope = Scope::new();
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/web-server"))
        .env("RSERPOOL", env!("CARGO_BIN_EXE_rserpool"))
        .env("UDP_PORT", scope.options()[3])
        .output()
        .expect("bash is there");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    let (said, log) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{said}{log}");
    let served = said.lines().filter(|line| line.starts_with("This is the "));
    assert_eq!(served.count(), 3, "{said}{log}");
}

/// An element of the pool `web` before this server.
fn forward(scope: &Scope, server: SocketAddr) -> (Program, String) {
    scope.element(&["--pool", "web", "--forward", &server.to_string()])
}

/// A local port for the pool `web`, and where it is.
pub(crate) fn listen(scope: &Scope) -> (Program, SocketAddr) {
    listen_with(scope, &[])
}

pub(crate) fn listen_with(scope: &Scope, options: &[&str]) -> (Program, SocketAddr) {
    let gate = scope.start(&[&["connect", "web", "--listen", "0"], options].concat());
    let line = gate.log("listening at ");
    let (_, place) = line.split_once("listening at ").expect("it was found");
    let address = place.split(' ').next().expect("an address");
    let address = address.parse().expect("an address and a port");
    (gate, address)
}

pub(crate) fn call(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).expect("it listens"))
}

/// Says all of it, closes that half of the connection, and hears the answer to its end.
pub(crate) fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = call(address);
    stream.write_all(request.as_bytes()).expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_server_is_made_redundant() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let servers = ["first", "second"].map(|name| (name, forward(&scope, polite_server(name))));
    let (gate, address) = listen(&scope);
    let mut in_use = String::new();
    for _ in 0..3 {
        let answer = ask(address, "hello?");
        in_use = field(&gate.log("connected"), "element");
        let (name, _) = servers
            .iter()
            .find(|(_, (_, id))| *id == in_use)
            .expect("one of the two");
        assert_eq!(answer, format!("{name}: hello?"));
    }
    let (_, (lost, _)) = servers
        .iter()
        .find(|(_, (_, id))| *id == in_use)
        .expect("one of the two");
    let (left, _) = servers
        .iter()
        .find(|(_, (_, id))| *id != in_use)
        .expect("the other one");
    lost.signal("KILL");
    for _ in 0..3 {
        assert_eq!(
            ask(address, "still there?"),
            format!("{left}: still there?")
        );
    }
    gate.signal("TERM");
    let (status, log) = gate.wait();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_connection_that_a_server_refuses_goes_to_another_one() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (refusing, _) = forward(&scope, nobody());
    let (_gate, address) = listen(&scope);
    // The first connection has nobody else to go to, and waits.
    let waiting = thread::spawn(move || ask(address, "anybody?"));
    refusing.log("cannot connect to 127.0.0.1:");
    let _willing = forward(&scope, polite_server("willing"));
    assert_eq!(waiting.join().expect("an answer"), "willing: anybody?");
    for _ in 0..5 {
        assert_eq!(ask(address, "hello?"), "willing: hello?");
    }
}

#[test]
fn a_connection_without_a_pool_is_reset_in_the_end() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (gate, address) = listen_with(&scope, &["--give-up", "0.5"]);
    gate.log("there is no pool web; connections wait for it");
    assert_reset(call(address));
    gate.log("a connection is closed: the pool cannot be resolved");
}

#[test]
fn an_element_that_says_nothing_is_left_in_time() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _mute = scope.element(&["--pool", "web", "--discard"]);
    let options = ["--give-up", "2", "--max-connections", "1"];
    let (gate, address) = listen_with(&scope, &options);
    assert_reset(call(address));
    gate.log("a connection is closed: no element is ready for it");
    let _willing = forward(&scope, polite_server("willing"));
    // One of the two meets the silent one first, and each has the only place.
    for _ in 0..2 {
        assert_eq!(ask(address, "hello?"), "willing: hello?");
    }
    gate.log("the element says nothing; looking for another one");
}

#[test]
fn a_client_that_is_reset_waits_for_no_element() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (mute, _) = scope.element(&["--pool", "web", "--discard"]);
    let (_gate, address) = listen_with(&scope, &["--give-up", "1000"]);
    let client = call(address);
    mute.log("session opened");
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .expect("it is open");
    drop(client);
    mute.log("session closed");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let scope = Scope::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let place = taken.local_addr().expect("it is bound").to_string();
    let run = scope.run(&["connect", "web", "--listen", &place], b"");
    assert_eq!(run.status, Some(1));
    let expected = format!(
        "rserpool: cannot listen at {place}: it is taken, perhaps by another rserpool; choose another address or port\n"
    );
    assert_eq!(run.stderr, expected);
}

/// A client and the server that it talks to, in the middle of it.
struct Conversation {
    _registrar: Program,
    element: Program,
    gate: Program,
    client: TcpStream,
    served: TcpStream,
}

impl Conversation {
    fn begin() -> Self {
        let scope = Scope::new();
        let registrar = scope.registrar();
        let (server, connections) = handing_server();
        let (element, _) = forward(&scope, server);
        // Nobody gives up before a test does.
        let (gate, address) = listen_with(&scope, &["--give-up", "1000"]);
        let mut client = call(address);
        client.write_all(b"x").expect("it is taken");
        let mut served = connections.recv_timeout(PATIENCE).expect("a connection");
        served.read_exact(&mut [0]).expect("what was sent");
        served.write_all(b"unread").expect("it is taken");
        client.peek(&mut [0]).expect("it has come");
        Self {
            _registrar: registrar,
            element,
            gate,
            client,
            served,
        }
    }
}

/// Nothing more is said, and it is not the end.
pub(crate) fn assert_reset(mut stream: TcpStream) {
    let mut said = Vec::new();
    let error = stream.read_to_end(&mut said).expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

// What was cut off is not taken for all there is, at either side.

#[test]
fn a_client_whose_element_is_lost_is_reset() {
    let it = Conversation::begin();
    it.element.signal("KILL");
    assert_reset(it.client);
}

#[test]
fn both_ends_are_reset_where_the_local_port_is_lost() {
    let it = Conversation::begin();
    it.gate.signal("KILL");
    assert_reset(it.client);
    assert_reset(it.served);
}

#[test]
fn an_element_that_leaves_resets_what_is_not_finished() {
    let it = Conversation::begin();
    it.element.signal("TERM");
    assert_reset(it.client);
    assert_reset(it.served);
    let (status, log) = it.element.wait();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn an_element_that_leaves_may_finish_what_it_has_begun() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (server, connections) = handing_server();
    let place = server.to_string();
    let drain = ["--pool", "web", "--forward", &place, "--drain", "1000"];
    let (element, _) = scope.element(&drain);
    let (_gate, address) = listen(&scope);
    let mut client = call(address);
    client.write_all(b"x").expect("it is taken");
    let mut served = connections.recv_timeout(PATIENCE).expect("a connection");
    element.signal("TERM");
    element.log("de-registered");
    served.write_all(b"y").expect("it is taken");
    client.read_exact(&mut [0]).expect("it comes");
    client.shutdown(Shutdown::Write).expect("it is open");
    served.read_exact(&mut [0]).expect("what was sent");
    assert_eq!(served.read(&mut [0]).expect("an end"), 0);
    drop(served);
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    let (status, log) = element.wait();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let it = Conversation::begin();
    // It has not read everything.
    drop(it.client);
    assert_reset(it.served);
}

#[test]
fn a_reset_of_the_server_reaches_the_client() {
    let mut it = Conversation::begin();
    it.client.write_all(b"unread").expect("it is taken");
    it.served.peek(&mut [0]).expect("it has come");
    drop(it.served);
    assert_reset(it.client);
}

#[test]
fn a_server_that_is_gone_after_its_end_keeps_no_place() {
    let mut it = Conversation::begin();
    it.client.write_all(b"unread").expect("it is taken");
    it.served.peek(&mut [0]).expect("it has come");
    it.served.shutdown(Shutdown::Write).expect("it is open");
    let mut said = String::new();
    it.client.read_to_string(&mut said).expect("an end");
    assert_eq!(said, "unread");
    // A reset, of which the client's half of the session takes no notice.
    drop(it.served);
    it.element.log("session closed");
}

/// Whoever does not read makes the other end wait, with little on the way; others do not wait.
#[test]
fn both_directions_are_held_to_the_speed_of_the_reader() {
    /// Windows, and the buffers of four sockets.
    const MOST: usize = 32 << 20;
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (server, connections) = handing_server();
    let _element = forward(&scope, server);
    let (_gate, address) = listen(&scope);
    for from_client in [true, false] {
        let client = call(address);
        let served = connections.recv_timeout(PATIENCE).expect("a connection");
        let (mut writer, mut reader) = if from_client {
            (client, served)
        } else {
            (served, client)
        };
        writer
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("not zero");
        let chunk: Vec<u8> = (0..=255).cycle().take(251 * 256).collect();
        let mut written = 0;
        // Each chunk is a whole number of turns, so that the next byte is known wherever a write has ended.
        while let Ok(count) = writer.write(&chunk[written % 256..]) {
            written += count;
            assert!(written < MOST, "nobody reads, and all is taken");
        }
        let mut other = call(address);
        let mut other_served = connections.recv_timeout(PATIENCE).expect("a connection");
        other.write_all(b"x").expect("it is taken");
        other_served.read_exact(&mut [0]).expect("it comes");
        writer.shutdown(Shutdown::Write).expect("it is open");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("an end");
        assert_eq!(read.len(), written);
        let expected = (0..=255).cycle();
        assert!(
            read.into_iter()
                .zip(expected)
                .all(|(byte, right)| byte == right)
        );
    }
}

#[test]
fn users_who_send_messages_are_served_too() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (server, connections) = handing_server();
    let (element, _) = forward(&scope, server);
    let mut user = scope.start(&["connect", "web"]);
    user.say("hello");
    let mut served = connections.recv_timeout(PATIENCE).expect("a connection");
    let mut heard = [0; 6];
    served.read_exact(&mut heard).expect("what was said");
    assert_eq!(heard, *b"hello\n");
    served.write_all(b"good day\n").expect("it is taken");
    assert_eq!(user.hear(), "good day");
    user.end_input();
    let (status, log) = user.wait();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(served.read(&mut heard).expect("an orderly end"), 0);
    element.log("session closed");
}

#[test]
fn a_user_who_knows_of_no_credit_holds_up_others_only_for_a_while() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (server, connections) = handing_server();
    let (element, _) = forward(&scope, server);
    let mut flood = scope.start(&["connect", "web", "--one-way"]);
    let line = "x".repeat(60_000);
    flood.say(&line);
    let served = connections.recv_timeout(PATIENCE).expect("a connection");
    // More than the sockets take.
    thread::spawn(move || (0..500).for_each(|_| flood.say(&line)));
    element.log("session cut off breach=Stuck");
    drop(served);
    let (_gate, address) = listen(&scope);
    // The flood goes on in another session.
    let mut other = call(address);
    other.write_all(b"o").expect("it is taken");
    let mut heard = [b'x'];
    while heard != *b"o" {
        let next = connections.recv_timeout(PATIENCE);
        let mut next = next.expect("a connection");
        next.read_exact(&mut heard).expect("it comes");
    }
}
