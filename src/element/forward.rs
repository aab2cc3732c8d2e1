//! A TCP server behind the pool: each session is a connection to it.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::io;

use rserpool_core::element::PoolElement;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::relays::Streak;
use crate::relay::{Connection, Line};

/// Where the server is. Names are looked up for each connection.
#[derive(Clone, Debug)]
pub(super) struct Server {
    place: String,
    /// Connections in a row that did not come about.
    failures: Arc<Streak>,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(1..) => Ok(Self {
                place: text.into(),
                failures: Arc::default(),
            }),
            _ => Err("expected HOST:PORT, such as 127.0.0.1:8080".into()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl Server {
    /// A server that takes no connection in this time is not there.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Serves a session to its end. Where the server cannot be reached the session is closed, and the user goes elsewhere.
    pub(super) async fn serve(&self, line: &Line<PoolElement>) {
        match self.connect().await {
            Ok(stream) => {
                if self.failures.end() {
                    tracing::info!("{self} takes connections again");
                }
                line.carry_tcp(Connection::new(stream), line.accept()).await;
            }
            Err(error) => {
                if let Some(failures) = self.failures.count() {
                    tracing::warn!(
                        failures,
                        "cannot connect to {self}: {error}; users are sent away"
                    );
                }
            }
        }
        line.part().await;
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = timeout(Self::PATIENCE, TcpStream::connect(&self.place))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
