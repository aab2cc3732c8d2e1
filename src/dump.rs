//! `rserpool dump`: what a registrar knows, asked over ENRP.
//!
//! The questions carry the server identifier 0: a registrar answers them, and does not take the one who asks for a peer that
//! would have to acknowledge anything.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;

use clap::Args;
use rserpool_core::wire::enrp::{self, MessageBody};
use rserpool_core::{Action, AssocId, Input, Instant, Machine, PeId, PoolHandle, Ppid, ServerId};
use serde_json::{Value, json};

use crate::common::{Address, Failure, Output, ScopeArgs, bind, finish, local_for};
use crate::decode::message;

/// Options of `rserpool dump`.
#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// The registrar's address, and its SCTP port for ENRP if it is not 9901.
    #[arg(value_name = "ADDR[:PORT]", value_parser = Address::enrp)]
    registrar: Address,
    /// The local address; without it a free one of 127.0.0.2, 127.0.0.3, …. May be given several times with kernel SCTP.
    #[arg(long, value_name = "ADDR")]
    local: Vec<core::net::IpAddr>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// Everything that the registrar said.
#[derive(Debug, Default)]
struct View {
    id: ServerId,
    checksum: Option<u16>,
    servers: Vec<Value>,
    /// The pools with their elements by identifier. The registrar's order means nothing, and what came may come again.
    pools: BTreeMap<PoolHandle, BTreeMap<PeId, Value>>,
}

/// The machine that asks: presence, list, table page by page.
#[derive(Debug, Default)]
struct Viewer {
    association: Option<AssocId>,
    view: View,
    actions: VecDeque<Action<Result<View, &'static str>>>,
}

impl Viewer {
    fn new(registrar: SocketAddr) -> Self {
        let connect = Action::Connect {
            ppid: Ppid::ENRP,
            remote: vec![registrar],
        };
        Self {
            actions: VecDeque::from([connect]),
            ..Self::default()
        }
    }

    fn ask(&mut self, body: MessageBody<'_>) {
        let message = enrp::Message {
            sender: ServerId::default(),
            receiver: ServerId::default(),
            body,
        };
        if let (Some(association), Ok(bytes)) = (self.association, message.to_bytes()) {
            self.actions.push_back(Action::Send {
                association,
                ppid: Ppid::ENRP,
                stream: 0,
                unordered: false,
                bytes,
            });
        }
    }

    fn fail(&mut self, why: &'static str) {
        self.actions.push_back(Action::Notify(Err(why)));
    }

    fn on_answer(&mut self, bytes: &[u8]) {
        let Ok(decoded) = enrp::decode(bytes) else {
            return self.fail("the registrar's answer is malformed");
        };
        match decoded.message.body {
            MessageBody::Presence { checksum, .. } => {
                self.view.id = decoded.message.sender;
                self.view.checksum = checksum;
                self.ask(MessageBody::ListRequest);
            }
            MessageBody::ListResponse { rejected, servers } => {
                if rejected {
                    return self.fail("the registrar is starting; try again in a few seconds");
                }
                self.view.servers = servers
                    .iter()
                    .map(|server| message::server(&server))
                    .collect();
                self.ask(MessageBody::HandleTableRequest { own_only: false });
            }
            MessageBody::HandleTableResponse {
                rejected,
                more,
                pools,
            } => {
                if rejected {
                    return self.fail("the registrar refuses to show its table");
                }
                for pool in pools {
                    let known = self.view.pools.entry(pool.pool_handle.into()).or_default();
                    let elements = pool.pool_elements.iter();
                    known.extend(elements.map(|one| (one.id, message::element(&one))));
                }
                if more {
                    self.ask(MessageBody::HandleTableRequest { own_only: false });
                } else {
                    let view = core::mem::take(&mut self.view);
                    self.actions.push_back(Action::Notify(Ok(view)));
                }
            }
            MessageBody::Error { .. } => self.fail("the registrar reports an error"),
            _ => {}
        }
    }
}

impl Machine for Viewer {
    type Event = Result<View, &'static str>;

    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        match input {
            Input::Connected { association, .. } => {
                self.association = Some(association);
                self.ask(MessageBody::Presence {
                    reply_required: true,
                    checksum: None,
                    server: None,
                });
            }
            Input::ConnectFailed { .. } => self.fail("no registrar answers there"),
            Input::Disconnected { .. } => self.fail("the registrar has closed the association"),
            Input::Message {
                ppid: Ppid::ENRP,
                bytes,
                ..
            } => self.on_answer(bytes),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_action(&mut self) -> Option<Action<Self::Event>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Asks the registrar and prints what it said.
pub(crate) async fn run(args: DumpArgs) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let mut options = rserpool_tokio::Options::user();
    options.local = local_for(&args.local, &[args.registrar])?;
    args.scope.apply(&mut options);
    let bound = bind(&options)?;
    let address = SocketAddr::from(args.registrar);
    let (handle, mut events) = bound.drive(Viewer::new(address)).spawn();
    let result = match tokio::time::timeout(PATIENCE, events.recv()).await {
        Ok(Some(Ok(view))) => print(&args, &view),
        Ok(Some(Err(why))) => Err(Failure::failed(format!("{address}: {why}"))),
        Ok(None) => Err(Failure::socket()),
        Err(_) => Err(Failure::failed(format!("{address}: no answer"))),
    };
    finish(handle, events).await;
    result
}

fn print(args: &DumpArgs, view: &View) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    if args.output == Output::Json {
        let pools: Vec<_> = view
            .pools
            .iter()
            .map(|(handle, elements)| {
                let elements: Vec<_> = elements.values().collect();
                json!({ "pool_handle": handle.to_string(), "pool_elements": elements })
            })
            .collect();
        let dump = json!({
            "server_id": view.id.0,
            "checksum": view.checksum,
            "servers": view.servers,
            "pools": pools,
        });
        writeln!(stdout, "{dump}")?;
        return Ok(());
    }
    writeln!(
        stdout,
        "registrar {}: {}, {}, {}",
        view.id,
        number(view.servers.len(), "peer"),
        number(view.pools.len(), "pool"),
        number(view.pools.values().map(BTreeMap::len).sum(), "element"),
    )?;
    for server in &view.servers {
        let id = server["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let id = ServerId(id.unwrap_or_default());
        let transport = &server["transport"];
        writeln!(
            stdout,
            "peer {id} at {} port {}",
            addresses(transport),
            transport["port"]
        )?;
    }
    for (handle, elements) in &view.pools {
        writeln!(stdout, "pool {handle}")?;
        for (id, element) in elements {
            let home = element["home_id"].as_u64();
            let home = home.and_then(|id| u32::try_from(id).ok());
            let transport = &element["user_transport"];
            writeln!(
                stdout,
                "  element {id}  home {}  {} {} port {}  {}",
                ServerId(home.unwrap_or_default()),
                transport["protocol"].as_str().unwrap_or_default(),
                addresses(transport),
                transport["port"],
                crate::resolve::policy_values(&element["policy"]),
            )?;
        }
    }
    Ok(())
}

/// So many of them: `1 pool`, `2 pools`.
fn number(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn addresses(transport: &Value) -> String {
    let addresses = transport["addresses"].as_array().into_iter().flatten();
    let addresses: Vec<_> = addresses.filter_map(Value::as_str).collect();
    addresses.join(",")
}
