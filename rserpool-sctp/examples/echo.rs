//! An echo server: the least that anybody who answers over kernel SCTP has to do, as a measure for those who do more.
//!
//! ```sh
//! cargo run --release -p rserpool-sctp --example echo -- 127.0.0.1:3863
//! ```
//!
//! It answers until it is interrupted, by three system calls for each batch of messages.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::io::Write;

    let address = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let mut stderr = std::io::stderr();
    let Some(address) = address else {
        // Nothing can be done where standard error is closed.
        let _ = writeln!(stderr, "echo: say where: ADDR:PORT");
        return 2.into();
    };
    match echo::run(address) {
        Ok(never) => match never {},
        Err(error) => {
            let _ = writeln!(stderr, "echo: {error}");
            1.into()
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod echo {
    use core::convert::Infallible;
    use core::net::SocketAddr;
    use std::io;

    use rserpool_sctp::cmsg::SendInfo;
    use rserpool_sctp::{Family, Inbox, Message, Received, Socket};
    use rustix::event::{PollFd, PollFlags, poll};

    pub(crate) fn run(address: SocketAddr) -> io::Result<Infallible> {
        let socket = Socket::new(Family::of(&[address]))?;
        socket.set_nodelay(true)?;
        socket.bind(&[address])?;
        socket.listen()?;
        let mut inbox = Inbox::new(65_536);
        loop {
            poll(&mut [PollFd::new(&socket, PollFlags::IN)], None)?;
            match socket.receive(&mut inbox) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => answer(&socket, &mut inbox),
            }
        }
    }

    /// A peer that takes nothing loses its answers: this is a measure, not a service.
    fn answer(socket: &Socket, inbox: &mut Inbox) {
        let mut taken = Vec::new();
        for received in inbox.by_ref() {
            if let Received::Message {
                association,
                stream,
                ppid,
                bytes,
            } = received
            {
                let info = SendInfo {
                    association,
                    stream,
                    ppid,
                    unordered: false,
                    sack_immediately: false,
                    context: 0,
                };
                taken.push((info, bytes));
            }
        }
        let messages: Vec<_> = taken
            .iter()
            .map(|(info, bytes)| Message { info: *info, bytes })
            .collect();
        for batch in messages.chunks(Socket::BATCH) {
            let _ = socket.send(batch);
        }
    }
}
