//! A pool that computes: elements say how busy they are, and each job goes to the least used one (RFC 5356 §5.2). A job whose element
//! fails is given to the next one.
//!
//! ```text
//! rserpool registrar &
//! cargo run -p rserpool-tokio --example compute_pool -- element &    # twice, or more
//! cargo run -p rserpool-tokio --example compute_pool -- user
//! ```

extern crate alloc;

use alloc::sync::Arc;
use core::error::Error;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use rserpool_core::user::Config;
use rserpool_core::wire::Policy;
use rserpool_tokio::{Builder, ElementSession, PoolElement, PoolUser, Tokio};

pub(crate) const POOL: &str = "ComputePool";
/// As many jobs at a time make an element fully used.
const SLOTS: u32 = 8;

/// How many primes there are in the range: what is to be computed.
fn primes(range: Range<u64>) -> usize {
    // The smallest factor, or what is beyond the root.
    let factor = |n: u64| (2..).find(|d| d * d > n || n.is_multiple_of(*d));
    let is_prime = |n: &u64| *n > 1 && factor(*n).is_some_and(|d| d * d > *n);
    range.filter(is_prime).count()
}

/// "FROM TO"
fn parse(job: &[u8]) -> Option<Range<u64>> {
    let (from, to) = str::from_utf8(job).ok()?.split_once(' ')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Serves the sessions of an element until it stops. Counted are the jobs that it was given.
pub(crate) async fn serve(element: PoolElement, jobs: Arc<AtomicU32>) {
    let running = Arc::new(AtomicU32::new(0));
    while let Some(session) = element.accept().await {
        let (element, running, jobs) = (element.clone(), running.clone(), jobs.clone());
        tokio::spawn(async move {
            while let Ok(job) = session.recv().await {
                jobs.fetch_add(1, Ordering::Relaxed);
                tell(&element, running.fetch_add(1, Ordering::Relaxed) + 1).await;
                compute(&session, &job.bytes).await;
                tell(&element, running.fetch_sub(1, Ordering::Relaxed) - 1).await;
            }
        });
    }
}

/// Tells the registrars how busy the element is.
async fn tell(element: &PoolElement, running: u32) {
    let load = f64::from(running) / f64::from(SLOTS);
    if let Err(error) = element.set_load(load).await {
        eprintln!("{error}");
    }
}

async fn compute(session: &ElementSession, job: &[u8]) {
    let answer = match parse(job) {
        Some(range) => tokio::task::spawn_blocking(move || primes(range).to_string()).await,
        None => Ok("?".into()),
    };
    if let Ok(answer) = answer {
        // Who asked may have gone.
        let _ = session.send(answer).await;
    }
}

/// The policy of all elements: a job counts at the registrar when it is given away, before its element has told of it.
pub(crate) const POLICY: Policy<'static> = Policy::LeastUsedDegradation {
    load: 0,
    load_degradation: u32::MAX / SLOTS,
};

/// A user that asks a registrar for the one element that is least used, and asks anew for each job.
pub(crate) fn user() -> Builder<Tokio, Config> {
    PoolUser::builder().config(|config| {
        config.items = Some(1);
        config.stale_cache_value = Duration::ZERO;
    })
}

/// Counts the primes below `end`, in so many jobs at a time.
pub(crate) async fn count(user: &PoolUser, end: u64, jobs: u64) -> Result<u64, Box<dyn Error>> {
    let mut running = Vec::new();
    for number in 0..jobs {
        let session = user.connect(POOL).await?;
        let job = format!("{} {}", end * number / jobs, end * (number + 1) / jobs);
        running.push(tokio::spawn(async move { session.ask(job).await }));
    }
    let mut sum = 0;
    for job in running {
        let answer = job.await??;
        sum += str::from_utf8(&answer.bytes)?.parse::<u64>()?;
    }
    Ok(sum)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let registrar = "127.0.0.1:3863".parse()?;
    if std::env::args().nth(1).as_deref() == Some("element") {
        let element = PoolElement::builder(POOL).policy(POLICY);
        let element = element.registrar(registrar).register().await?;
        serve(element, Arc::default()).await;
        return Ok(());
    }
    let user = user().registrar(registrar).spawn()?;
    println!("{}", count(&user, 2_000_000, 16).await?);
    user.shutdown().await;
    Ok(())
}
