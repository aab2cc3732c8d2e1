//! Drives a machine by a script of bytes: what the targets for the three machines share.
//!
//! A script is a sequence of steps: an opcode, its operands, and for messages a length and so many bytes. Whatever the bytes
//! are, they are some script.

use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;

use rserpool_core::wire::{DecodeError, Decoded, asap, enrp};
use rserpool_core::{Action, AssocId, End, Input, Instant, Machine, Ppid};

/// The bytes of a script that are left.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next bytes with their length before them, or what is left of them.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?) << 8 | usize::from(self.byte()?);
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }
}

/// A machine and what it has last asked for.
struct Bench<M> {
    machine: M,
    now: Instant,
    calls: Vec<SocketAddr>,
    sent: Vec<(AssocId, Ppid, u16, Vec<u8>)>,
}

/// Reads all that comes out of decoding `bytes`.
pub fn read<M: Debug>(bytes: &[u8], result: Result<Decoded<M>, DecodeError>) {
    match result {
        Ok(decoded) => {
            // The text of a value has every field of it and every item of its lists.
            let text = format!("{:?}", decoded.message);
            assert!(!text.is_empty());
            assert!(decoded.trailing < bytes.len());
            for span in decoded.unrecognized.spans() {
                assert_eq!(span.of(bytes).len(), span.length);
                assert!(bytes[span.offset] >= 0xc0);
            }
        }
        Err(error) => {
            assert!(error.offset() <= bytes.len());
            assert!(error.offender(bytes).len() <= DecodeError::ECHO_CAP);
        }
    }
}

/// Runs a script on a machine. `command` gives it a command of its own, `check` looks at it after each step.
pub fn run<M: Machine>(
    machine: M,
    script: &[u8],
    command: impl Fn(&mut M, Instant, u8, u8),
    check: impl Fn(&M),
) {
    let mut bench = Bench {
        machine,
        now: Instant::EPOCH,
        calls: Vec::new(),
        sent: Vec::new(),
    };
    let mut script = Script(script);
    while bench.step(&mut script, &command).is_some() {
        bench.settle();
        check(&bench.machine);
    }
}

fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number % 8], 3863))
}

impl<M: Machine> Bench<M> {
    fn step(
        &mut self,
        script: &mut Script<'_>,
        command: &impl Fn(&mut M, Instant, u8, u8),
    ) -> Option<()> {
        let opcode = script.byte()?;
        let operand = script.byte()?;
        let association = AssocId(u64::from(operand % 16));
        match opcode % 11 {
            0 => {
                let remote = self.calls.pop().unwrap_or(host(operand));
                self.input(Input::Connected {
                    association,
                    remote: &[remote],
                });
            }
            1 => self.input(Input::Disconnected {
                association,
                end: if operand & 16 == 0 {
                    End::Closed
                } else {
                    End::Lost
                },
            }),
            code @ (2 | 3 | 4) => {
                let ppid = [Ppid::ASAP, Ppid::ENRP, Ppid(0)][usize::from(code - 2)];
                let bytes = script.bytes()?;
                self.input(Input::Message {
                    association,
                    ppid,
                    stream: 0,
                    bytes,
                });
            }
            5 => {
                if let Some(next) = self.machine.poll_timeout() {
                    self.now = self.now.max(next);
                }
                self.tick();
            }
            6 => {
                self.now = self.now + Duration::from_millis(u64::from(operand) * 100);
                self.tick();
            }
            7 => {
                let remote = self.calls.pop().unwrap_or(host(operand));
                self.input(Input::ConnectFailed { remote });
            }
            8 => {
                let bytes = script.bytes()?;
                self.input(Input::Announcement {
                    source: host(operand),
                    ppid: if operand & 16 == 0 {
                        Ppid::ASAP
                    } else {
                        Ppid::ENRP
                    },
                    bytes,
                });
            }
            9 => {
                if let Some((association, ppid, stream, bytes)) = self.sent.pop() {
                    self.input(Input::SendFailed {
                        association,
                        ppid,
                        stream,
                        bytes: &bytes,
                    });
                }
            }
            _ => {
                let argument = script.byte()?;
                command(&mut self.machine, self.now, operand, argument);
            }
        }
        Some(())
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
    }

    /// Runs the timers: after some calls none is due, or the driver would spin.
    fn tick(&mut self) {
        for _ in 0..1000 {
            self.machine.handle_timeout(self.now);
            if self.machine.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("timers without end");
    }

    /// Takes all actions: there is an end to them, and every message is one that we can read ourselves.
    fn settle(&mut self) {
        for count in 0.. {
            assert!(count < 100_000, "actions without end");
            match self.machine.poll_action() {
                None => return,
                Some(Action::Connect { remote, .. }) => {
                    self.calls.truncate(64);
                    self.calls.push(remote[0]);
                }
                Some(Action::Send {
                    association,
                    ppid,
                    stream,
                    bytes,
                    ..
                }) => {
                    assert!(!bytes.is_empty());
                    match ppid {
                        Ppid::ASAP => assert!(asap::decode(&bytes).is_ok(), "{bytes:x?}"),
                        Ppid::ENRP => assert!(enrp::decode(&bytes).is_ok(), "{bytes:x?}"),
                        _ => {}
                    }
                    self.sent.truncate(64);
                    self.sent.push((association, ppid, stream, bytes.to_vec()));
                }
                Some(_) => {}
            }
        }
    }
}
