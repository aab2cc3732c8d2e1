//! What sessions cost: one user and one element, each a process with one thread, and up to 9,990 sessions between them over SCTP over
//! UDP. For each number of sessions it prints, for both ends, the resident memory of a session and the processor time of a question
//! and its answer in one of them. What the transport does beside, for the heartbeats of all, is not in the latter: it is printed as the
//! part of the time that an idle end takes.
//!
//! ```text
//! cargo run --release -p rserpool-tokio --example many_sessions
//! ```

use core::error::Error;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs;
use std::process::Command;
use std::time::Instant;

use rserpool_tokio::{Options, PoolElement, PoolUser, Registrar, Session, TransportKind};
use tokio::time::sleep;

const POOL: &str = "ManyPool";
const UDP_PORT: u16 = 19_899;
const QUESTIONS: u32 = 5_000;
/// How many are opened at a time.
const BATCH: usize = 64;

fn at(host: u8) -> impl FnOnce(&mut Options) {
    move |options| {
        options.transport = TransportKind::Udp;
        options.local = vec![Ipv4Addr::new(127, 0, 0, host).into()];
        options.udp_port = UDP_PORT;
        options.peer_udp_port = UDP_PORT;
    }
}

/// The resident memory of a process, in KiB.
fn memory(process: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no memory is told")?.parse()?)
}

/// The processor time that a process has taken so far; it has one thread.
fn processor(process: &str) -> Result<Duration, Box<dyn Error>> {
    let times = fs::read_to_string(format!("/proc/{process}/schedstat"))?;
    let first = times.split_whitespace().next().ok_or("no time is told")?;
    Ok(Duration::from_nanos(first.parse()?))
}

async fn element() -> Result<(), Box<dyn Error>> {
    let registrar = "127.0.0.1:3863".parse()?;
    let element = PoolElement::builder(POOL)
        .options(at(2))
        .registrar(registrar);
    let element = element.register().await?;
    while let Some(session) = element.accept().await {
        tokio::spawn(async move {
            while let Ok(question) = session.recv().await {
                if session.send(question).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

async fn open(user: &PoolUser) -> Result<Session, String> {
    let session = user.connect(POOL).await.map_err(|it| it.to_string())?;
    let answer = session.ask("hello").await.map_err(|it| it.to_string())?;
    (answer.bytes == "hello")
        .then_some(session)
        .ok_or("no echo".into())
}

/// What both ends take while `work` is done, of the processor and of time.
async fn measure(
    ends: [&str; 2],
    work: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<([Duration; 2], Duration), Box<dyn Error>> {
    let [user, element] = ends;
    let (before, began) = ([processor(user)?, processor(element)?], Instant::now());
    work.await?;
    let taken = [
        processor(user)? - before[0],
        processor(element)? - before[1],
    ];
    Ok((taken, began.elapsed()))
}

async fn user(element: &str) -> Result<(), Box<dyn Error>> {
    let user = PoolUser::builder()
        .options(at(1))
        .options(|options| options.udp_port = 0)
        .registrar("127.0.0.1:3863".parse()?)
        .spawn()?;
    let ends = ["self", element];
    let mut sessions = vec![open(&user).await?];
    let start = [memory("self")?, memory(element)?];
    println!("sessions  end         KiB each  \u{b5}s for a question  idle %");
    for number in [10, 100, 1_000, 5_000, 9_990] {
        while sessions.len() < number {
            let batch = BATCH.min(number - sessions.len());
            let open = |_| {
                let user = user.clone();
                tokio::spawn(async move { open(&user).await })
            };
            let opened: Vec<_> = (0..batch).map(open).collect();
            for session in opened {
                sessions.push(session.await??);
            }
        }
        let pause = async {
            sleep(Duration::from_secs(3)).await;
            Ok(())
        };
        let (idle, pause) = measure(ends, pause).await?;
        let ask = async {
            for question in 0..QUESTIONS {
                // Another session each time, near and far.
                let session = &sessions[question as usize * 7_919 % sessions.len()];
                session.ask("what?").await?;
            }
            Ok(())
        };
        let (busy, time) = measure(ends, ask).await?;
        for (index, end) in ["user", "element"].into_iter().enumerate() {
            let each = (memory(ends[index])? - start[index]) / number as f64;
            let idle = idle[index].as_secs_f64() / pause.as_secs_f64();
            let cost = busy[index].saturating_sub(time.mul_f64(idle)) / QUESTIONS;
            let micros = cost.as_secs_f64() * 1e6;
            let idle = idle * 100.0;
            println!("{number:8}  {end:10}  {each:8.1}  {micros:17.1}  {idle:6.1}");
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("element") {
        return element().await;
    }
    let registrar = Registrar::builder().options(at(1)).spawn()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("element")
        .spawn()?;
    let result = user(&child.id().to_string()).await;
    child.kill()?;
    registrar.shutdown().await;
    result
}
