//! A replicated key-value store that is read entry by entry. Where the reader stands is known to the element that serves it, and
//! handed to the next one in a sealed cookie (RFC 5352 §3.8): whichever element fails, the reader goes on after the last entry.
//!
//! ```text
//! rserpool registrar &
//! cargo run -p rserpool-tokio --example kv_reader -- element &    # twice, or more
//! cargo run -p rserpool-tokio --example kv_reader -- user
//! ```

extern crate alloc;

use alloc::collections::BTreeMap;
use core::error::Error;
use core::ops::Bound;
use core::time::Duration;
use std::time::SystemTime;

use rserpool_core::PoolHandle;
use rserpool_core::cookie::{Key, Keys, Sealer};
use rserpool_tokio::{ElementEvent, ElementSession, PoolElement, PoolUser, seed};

pub(crate) const POOL: &str = "KeyValuePool";
/// What all replicas know.
pub(crate) const ENTRIES: usize = 1_000;

/// The replica: an element has read it from a file or a database.
fn store() -> BTreeMap<String, String> {
    let entry = |number| {
        (
            format!("key {number:04}"),
            format!("value {}", number * number),
        )
    };
    (0..ENTRIES).map(entry).collect()
}

/// What the elements share, and nobody else knows: from the operator's configuration.
fn keys() -> Keys {
    Keys::new(Key::new(1, [7; 32]))
}

fn unix_time() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs())
}

/// Serves the sessions of an element until it stops.
pub(crate) async fn serve(element: PoolElement) -> Result<(), Box<dyn Error>> {
    while let Some(session) = element.accept().await {
        let life = Duration::from_secs(3600);
        let sealer = Sealer::new(PoolHandle::from(POOL), life, keys(), seed()?);
        tokio::spawn(async move {
            if let Err(error) = serve_one(&session, sealer).await {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

async fn serve_one(session: &ElementSession, mut sealer: Sealer) -> Outcome {
    let store = store();
    let mut last = String::new();
    loop {
        match session.next().await? {
            ElementEvent::CookieEcho(cookie) => {
                let state = sealer.open(unix_time(), &cookie)?;
                last = str::from_utf8(&state)?.into();
            }
            ElementEvent::Message(_) => {
                let rest = (Bound::Excluded(&last), Bound::Unbounded);
                let Some((key, value)) = store.range::<String, _>(rest).next() else {
                    return Ok(session.send("end").await?);
                };
                // First the entry: if the element dies in between, the reader hears it twice, and misses nothing.
                session.send(format!("{key} = {value}")).await?;
                last.clone_from(key);
                let cookie = sealer.seal(unix_time(), last.as_bytes())?;
                session.send_cookie(cookie).await?;
            }
            _ => {}
        }
    }
}

/// Reads the whole store, whatever elements fail meanwhile.
pub(crate) async fn read(
    user: &PoolUser,
    mut tell: impl FnMut(&str),
) -> Result<(), Box<dyn Error>> {
    let session = user.connect(POOL).await?;
    let mut last = String::new();
    loop {
        let answer = session.ask("next").await?;
        let text = str::from_utf8(&answer.bytes)?;
        if text == "end" {
            return Ok(());
        }
        if text != last {
            tell(text);
            last = text.into();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let registrar = "127.0.0.1:3863".parse()?;
    if std::env::args().nth(1).as_deref() == Some("element") {
        let element = PoolElement::builder(POOL).registrar(registrar);
        return serve(element.register().await?).await;
    }
    let user = PoolUser::builder().registrar(registrar).spawn()?;
    read(&user, |entry| println!("{entry}")).await?;
    user.shutdown().await;
    Ok(())
}
