//! Processes that serve the sessions of a pool: `element --exec`.

use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{PATIENCE, Program, Scope};
use crate::streams::{ask, call, listen};

fn exec(scope: &Scope, options: &[&str], command: &[&str]) -> Program {
    let arguments = [&["--pool", "web"][..], options, &["--exec"], command].concat();
    scope.element(&arguments).0
}

#[test]
fn each_line_of_a_process_is_an_answer() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = exec(&scope, &[], &["cat", "-u"]);
    let lines: String = (0..5_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let run = scope.run(&["connect", "web"], lines.as_bytes());
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout == lines.as_bytes());
}

#[test]
fn a_process_sees_the_end_of_its_input_and_ends_the_session() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let element = exec(&scope, &[], &["sh", "-c", "sort -r; echo told >&2; exit 3"]);
    let (_gate, address) = listen(&scope);
    assert_eq!(ask(address, "1\n2\n3\n"), "3\n2\n1\n");
    element.log("told");
    element.log("a process has ended: exit status: 3");
}

#[test]
fn a_process_may_end_first() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = exec(&scope, &[], &["echo", "hello"]);
    let (_gate, address) = listen(&scope);
    let mut heard = String::new();
    call(address).read_to_string(&mut heard).expect("an end");
    assert_eq!(heard, "hello\n");
}

#[test]
fn a_process_that_has_ended_keeps_no_place() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let element = exec(&scope, &[], &["echo", "hello"]);
    let (_gate, address) = listen(&scope);
    let mut client = call(address);
    let mut heard = String::new();
    client.read_to_string(&mut heard).expect("an end");
    // The client's half is still open.
    element.log("session closed");
    drop(client);
}

#[test]
fn what_a_process_leaves_behind_ends_with_it() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = exec(&scope, &[], &["sh", "-c", "sleep 1000 & echo hello"]);
    let (_gate, address) = listen(&scope);
    let mut heard = String::new();
    call(address).read_to_string(&mut heard).expect("an end");
    assert_eq!(heard, "hello\n");
}

#[test]
fn a_process_that_hears_nothing_is_told_more_and_more_clearly() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let command = "trap '' TERM; echo here; exec sleep 1000";
    let element = exec(&scope, &[], &["sh", "-c", command]);
    let (gate, address) = listen(&scope);
    let mut stream = call(address);
    stream.read_exact(&mut [0; 5]).expect("it has begun");
    gate.signal("TERM");
    let error = stream.read(&mut [0]).expect_err("nothing is said");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    element.log("a process has ended: signal: 9");
}

#[test]
fn no_process_outlives_an_element_that_is_told_twice_to_end() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let command = "trap '' TERM; echo here; exec sleep 60";
    let element = exec(&scope, &[], &["sh", "-c", command]);
    let mut user = scope.start(&["connect", "web"]);
    user.say("are you there?");
    assert_eq!(user.hear(), "here");
    element.signal("TERM");
    element.log("de-registered");
    let told = Instant::now();
    element.signal("TERM");
    // Its standard error, which processes have, too, has to end for this.
    assert_eq!(element.wait().0, Some(0));
    assert!(told.elapsed() < PATIENCE, "a process was still there");
}

#[test]
fn there_are_only_so_many_processes() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let element = exec(&scope, &["--max-sessions", "1"], &["cat"]);
    let (_gate, address) = listen(&scope);
    let first = call(address);
    element.log("session opened sessions=1");
    let second = std::thread::spawn(move || ask(address, "and now?"));
    element.log("all 1 places are taken");
    drop(first);
    assert_eq!(second.join().expect("an answer"), "and now?");
}

#[test]
fn a_user_who_does_not_read_holds_up_nobody_else() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let line = "y".repeat(20_000);
    let _element = exec(&scope, &[], &["yes", &line]);
    let connect = [&["connect", "web"][..], &scope.options()].concat();
    // It ends with its input, and with the pipe of its output.
    let mut deaf = Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(connect)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    writeln!(deaf.stdin.as_mut().expect("it is piped"), "go on").expect("it reads");
    let output = deaf.stdout.as_mut().expect("it is piped");
    output.read_exact(&mut [0]).expect("it has begun");
    let mut other = scope.start(&["connect", "web"]);
    other.say("go on");
    // More than what may be on its way to the first one.
    (0..2_000).for_each(|_| assert_eq!(other.hear(), line));
    deaf.kill().expect("it has not ended");
    deaf.wait().expect("it is a child");
}
