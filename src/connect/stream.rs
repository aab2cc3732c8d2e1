//! A pool over TCP: its elements are TCP servers themselves, and only who they are comes from a registrar.

use bytes::BytesMut;
use rserpool_core::PoolHandle;
use rserpool_core::user::{Config, ResolveError as Unresolved, SessionError};
use rserpool_tokio::{ConnectError, Ended, Options, PoolUser, ResolveError, TcpSession};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::task::JoinSet;

use super::listen::{Gate, no_pool};
use super::{ConnectArgs, why_ended};
use crate::common::{Failure, Interrupt};
use crate::relay::Connection;
use crate::resolve::unresolved;

/// Connects to the pool, or lets others connect to it, until there is nothing to say or it is interrupted.
pub(super) async fn run(
    args: &ConnectArgs,
    gate: Option<Gate>,
    options: Options,
    config: Config,
    interrupt: &mut Interrupt,
) -> Result<(), Failure> {
    let user = PoolUser::builder()
        .options(|it| *it = options.clone())
        .config(|it| *it = config)
        .spawn()
        .map_err(|error| Failure::bind(&error, &options))?;
    let conversation = async {
        match gate {
            Some(gate) => serve(args, &gate, &user).await,
            None => talk(args, &user).await,
        }
    };
    let result = tokio::select! {
        result = conversation => result,
        () = interrupt.wait() => Ok(()),
    };
    tokio::select! {
        () = user.shutdown() => {}
        () = interrupt.wait() => {}
    }
    result
}

/// The input goes to an element, and what it says to the output, until it has said everything.
async fn talk(args: &ConnectArgs, user: &PoolUser) -> Result<(), Failure> {
    let pool = args.pool.clone();
    // A pool that does not exist is said at once; the session would wait for it.
    user.resolve(pool.clone())
        .await
        .map_err(|error| match error {
            ResolveError::Failed(error) => unresolved(&args.client, &pool, &error, "--tcp PORT"),
            _ => Failure::socket(),
        })?;
    let session = user
        .connect_tcp(pool)
        .await
        .map_err(|error| Failure::failed(format!("there is no connection: {}", why_not(&error))))?;
    if let Some(element) = session.element() {
        tracing::info!(%element, "connected");
    }
    let (reader, writer) = tokio::io::split(session);
    tokio::select! {
        result = hear(reader) => result,
        Err(failure) = say(writer) => Err(failure),
    }
}

/// Why there is no connection, and what to do.
fn why_not(error: &ConnectError) -> String {
    match error {
        ConnectError::Ended(Ended::Failed(SessionError::OtherTransport)) => {
            "the pool is not over TCP: connect to it without --tcp".into()
        }
        ConnectError::Ended(Ended::Failed(error)) => why_ended(error),
        error => error.to_string(),
    }
}

/// Ends when the element has said everything.
async fn hear(mut reader: ReadHalf<TcpSession>) -> Result<(), Failure> {
    let mut stdout = tokio::io::stdout();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let read = reader.read_buf(&mut buffer).await.map_err(|error| {
            Failure::failed(format!("the connection with the element is lost: {error}"))
        })?;
        if read == 0 {
            return Ok(());
        }
        stdout.write_all_buf(&mut buffer).await?;
        stdout.flush().await?;
    }
}

/// Ends when the input does. An element that takes no more may still have something to say.
async fn say(mut writer: WriteHalf<TcpSession>) -> Result<(), Failure> {
    let mut stdin = tokio::io::stdin();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let read = stdin
            .read_buf(&mut buffer)
            .await
            .map_err(|error| Failure::failed(format!("cannot read the input: {error}")))?;
        let result = match read {
            0 => writer.shutdown().await,
            _ => writer.write_all_buf(&mut buffer).await,
        };
        if read == 0 || result.is_err() {
            return Ok(());
        }
    }
}

/// Serves connections; does not end by itself.
async fn serve(args: &ConnectArgs, gate: &Gate, user: &PoolUser) -> Result<(), Failure> {
    tracing::info!(pool = %args.pool, "listening at {}", gate.place()?);
    tokio::select! {
        never = follow(args, user) => never,
        never = take(&args.pool, gate, user) => never,
    }
}

/// Tells where there is no pool or no registrar. Elements that come and go are known before a connection is.
async fn follow(args: &ConnectArgs, user: &PoolUser) -> Result<(), Failure> {
    let watch = user.watch(args.pool.clone()).await;
    let mut watch = watch.map_err(|error| Failure::failed(error.to_string()))?;
    if let Err(ResolveError::Failed(Unresolved::Timeout)) = user.resolve(args.pool.clone()).await {
        tracing::warn!("{}; trying on", args.client.no_registrar());
    }
    while let Some(pool) = watch.next().await {
        if pool.policy.is_none() {
            no_pool(&args.pool);
        }
    }
    Err(Failure::socket())
}

async fn take(pool: &PoolHandle, gate: &Gate, user: &PoolUser) -> Result<(), Failure> {
    let mut connections = JoinSet::new();
    loop {
        let (connection, place) = gate.next().await;
        while connections.try_join_next().is_some() {}
        let (user, pool) = (user.clone(), pool.clone());
        connections.spawn(async move {
            carry(connection, &user, pool).await;
            drop(place);
        });
    }
}

/// Connects to an element, and carries bytes both ways until both have ended.
async fn carry(mut connection: Connection, user: &PoolUser, pool: PoolHandle) {
    let mut session = match connection.unless_reset(user.connect_tcp(pool)).await {
        Some(Ok(session)) => session,
        Some(Err(error)) => {
            return tracing::warn!("a connection is closed: {}", why_not(&error));
        }
        None => return,
    };
    if let Some(element) = session.element() {
        tracing::info!(%element, "connected");
    }
    match tokio::io::copy_bidirectional(&mut connection.stream, &mut session).await {
        Ok(_) => connection.finish(),
        Err(error) => tracing::warn!("a connection is cut off: {error}"),
    }
}

/// How many bytes are read at once.
const CHUNK: usize = 32 << 10;
