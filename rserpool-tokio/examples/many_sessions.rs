//! What sessions cost: one user and one element, each a process with one thread, and up to 9,990 sessions between them over SCTP over
//! UDP. For each number of sessions it prints the resident memory of a session at both ends, and the processor time that the user
//! takes for a question and its answer in one of them. What the transport does beside, for the heartbeats of all, is printed apart.
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

/// The processor time that this process has taken so far; it has one thread.
fn processor() -> Result<Duration, Box<dyn Error>> {
    let times = fs::read_to_string("/proc/thread-self/schedstat")?;
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

async fn user(element: &str) -> Result<(), Box<dyn Error>> {
    let user = PoolUser::builder()
        .options(at(1))
        .options(|options| options.udp_port = 0)
        .registrar("127.0.0.1:3863".parse()?)
        .spawn()?;
    let mut sessions = vec![open(&user).await?];
    let start = (memory("self")?, memory(element)?);
    println!("sessions  KiB each: user  element  \u{b5}s for a question  idle processor");
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
        let each = |now: f64, start: f64| (now - start) / number as f64;
        let memory = (
            each(memory("self")?, start.0),
            each(memory(element)?, start.1),
        );
        const PAUSE: Duration = Duration::from_secs(3);
        let before = processor()?;
        sleep(PAUSE).await;
        let idle = (processor()? - before).as_secs_f64() / PAUSE.as_secs_f64();
        let (before, began) = (processor()?, Instant::now());
        for question in 0..QUESTIONS {
            // Another session each time, near and far.
            let session = &sessions[question as usize * 7_919 % sessions.len()];
            session.ask("what?").await?;
        }
        let beside = began.elapsed().mul_f64(idle);
        let cost = (processor()? - before).saturating_sub(beside) / QUESTIONS;
        println!(
            "{number:8}  {:14.1}  {:7.1}  {:17.1}  {:12.1} %",
            memory.0,
            memory.1,
            cost.as_secs_f64() * 1e6,
            idle * 100.0,
        );
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
