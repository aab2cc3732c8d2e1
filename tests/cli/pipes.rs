//! `connect` as a filter: what goes in comes back from an echo pool, byte by byte, however fast.

use crate::harness::Scope;

/// What `connect` to an echo pool makes of the input.
fn echo(input: &[u8]) -> Vec<u8> {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = scope.element(&["--pool", "p", "--echo"]);
    let run = scope.run(&["connect", "p"], input);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    run.stdout
}

#[test]
fn the_last_line_may_have_no_end() {
    assert_eq!(echo(b"a\n\nb"), b"a\n\nb");
}

#[test]
fn no_input_is_no_output() {
    assert_eq!(echo(b""), b"");
}

#[test]
fn lines_may_be_binary_and_as_long_as_a_message() {
    let mut input: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    input.push(b'\n');
    for _ in 0..20 {
        input.extend(core::iter::repeat_n(0xff, 65_535));
        input.push(b'\n');
    }
    assert!(echo(&input) == input);
}

#[test]
fn a_line_that_is_no_message_is_an_error() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = scope.element(&["--pool", "p", "--echo"]);
    let mut input = b"short\n".to_vec();
    input.extend([b'x'; 65_537]);
    let run = scope.run(&["connect", "p"], &input);
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("line 2 is longer than 65536 bytes"),
        "{}",
        run.stderr
    );
}

#[test]
fn many_lines_at_once_are_held_to_the_speed_of_the_pool() {
    let input: String = (0..20_000)
        .map(|number| format!("line {number:0>300}\n"))
        .collect();
    assert!(echo(input.as_bytes()) == input.as_bytes());
}
