//! Elements and registrars that go.

use crate::harness::{Program, Scope, field};

/// A pool of two echo elements and a user that talks to one of them, which gets the signal in the middle. Every line is answered
/// once and in order. Returns the user's log.
fn lose_the_element_in_use(signal: &str) -> String {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let elements = [(); 2].map(|()| scope.element(&["--pool", "p", "--echo"]));
    let mut user = scope.start(&["connect", "p"]);
    let in_use = field(&user.log("connected"), "element");
    converse(&mut user, 0..10);
    let (lost, other): (Vec<_>, Vec<_>) = elements.iter().partition(|(_, id)| *id == in_use);
    let [(lost, _)] = lost[..] else {
        panic!("the user talks to {in_use}");
    };
    lost.signal(signal);
    converse(&mut user, 10..200);
    let goes_on = user.log("goes on with another element");
    assert_eq!(field(&goes_on, "element"), other[0].1);
    user.end_input();
    let (status, log) = user.wait();
    assert_eq!(status, Some(0), "{log}");
    log
}

/// Says all of it, and then hears all of it.
fn converse(user: &mut Program, numbers: core::ops::Range<u32>) {
    for number in numbers.clone() {
        user.say(&format!("line {number}"));
    }
    for number in numbers {
        assert_eq!(user.hear(), format!("line {number}"));
    }
}

#[test]
fn no_line_is_lost_with_an_element_that_is_killed() {
    let log = lose_the_element_in_use("KILL");
    assert!(log.contains("the element is gone"), "{log}");
}

#[test]
fn no_line_is_lost_with_an_element_that_hangs() {
    let log = lose_the_element_in_use("STOP");
    assert!(log.contains("the element is gone"), "{log}");
}

#[test]
fn no_line_is_lost_with_an_element_that_leaves() {
    let log = lose_the_element_in_use("TERM");
    assert!(log.contains("the element has closed the session"), "{log}");
}

#[test]
fn the_end_of_the_input_does_not_end_the_fail_over() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (first, _) = scope.element(&["--pool", "p", "--echo"]);
    let mut user = scope.start(&["connect", "p"]);
    converse(&mut user, 0..1);
    let _second = scope.element(&["--pool", "p", "--echo"]);
    first.signal("KILL");
    user.say("last words");
    user.end_input();
    assert_eq!(user.hear(), "last words");
    let (status, log) = user.wait();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_session_without_any_element_fails_in_the_end() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let (element, _) = scope.element(&["--pool", "p", "--echo"]);
    let mut user = scope.start(&["connect", "p", "--give-up", "1"]);
    converse(&mut user, 0..1);
    element.signal("TERM");
    let (status, log) = user.wait();
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("the session has ended"), "{log}");
}

#[test]
fn elements_come_back_to_a_registrar_that_was_restarted() {
    let scope = Scope::new();
    let registrar = scope.registrar();
    let (element, id) = scope.element(&["--pool", "p", "--echo"]);
    registrar.signal("KILL");
    registrar.wait();
    let registrar = scope.registrar();
    let registered = registrar.log("registered");
    assert_eq!(field(&registered, "element"), id);
    element.log("registered");
    let run = scope.run(&["connect", "p"], b"again\n");
    assert_eq!(run.stdout, b"again\n", "{}", run.stderr);
}

#[test]
fn an_element_waits_for_its_registrar() {
    let scope = Scope::new();
    let element = scope.start(&["element", "--pool", "p", "--echo"]);
    element.log("no registrar answers at 127.0.0.1:3863");
    let _registrar = scope.registrar();
    element.log("registered");
}
