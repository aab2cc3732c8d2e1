//! The examples' own functions, with a registrar and two elements in one process.

extern crate alloc;

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use std::net::UdpSocket;

use rserpool_core::user::Config;
use rserpool_tokio::{Builder, Options, PoolElement, PoolUser, Registrar, Tokio, TransportKind};
use tokio::sync::oneshot;

#[allow(dead_code, reason = "`main` is not called")]
#[path = "../examples/compute_pool.rs"]
mod compute_pool;
#[allow(dead_code, reason = "`main` is not called")]
#[path = "../examples/kv_reader.rs"]
mod kv_reader;

/// At a host of 127/8 of the scope with this UDP port.
fn at(host: u8, udp_port: u16) -> impl FnOnce(&mut Options) {
    move |options| {
        options.transport = TransportKind::Udp;
        options.local = vec![Ipv4Addr::new(127, 0, 0, host).into()];
        options.udp_port = udp_port;
        options.peer_udp_port = udp_port;
    }
}

/// A scope: its UDP port, and its registrar. Each test has hosts of its own.
fn scope(host: u8) -> (u16, Registrar) {
    let any = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0));
    let address = any.and_then(|it| it.local_addr());
    let udp_port = address.expect("there is a free port").port();
    let registrar = Registrar::builder().options(at(host, udp_port)).spawn();
    (udp_port, registrar.expect("the ports are free"))
}

fn start(user: Builder<Tokio, Config>, registrar: SocketAddr, host: u8, udp_port: u16) -> PoolUser {
    user.options(at(host, udp_port))
        .options(|options| options.udp_port = 0)
        .registrar(registrar)
        .spawn()
        .expect("any port is free")
}

#[tokio::test]
async fn a_reader_goes_on_after_the_last_entry() {
    let (udp_port, registrar) = scope(10);
    let element = |host| {
        PoolElement::builder(kv_reader::POOL)
            .options(at(host, udp_port))
            .registrar(registrar.address())
            .register()
    };
    let first = element(11).await.expect("it is taken");
    let user = start(PoolUser::builder(), registrar.address(), 10, udp_port);
    let (half, is_half) = oneshot::channel();
    let serve = async {
        let _ = tokio::join!(kv_reader::serve(first.clone()), async {
            is_half.await.expect("half of it is read");
            let second = element(12).await.expect("it is taken");
            tokio::join!(first.shutdown(), async {
                kv_reader::serve(second).await.expect("it runs");
            });
        });
    };
    let (mut entries, mut half) = (Vec::new(), Some(half));
    let read = kv_reader::read(&user, |entry| {
        entries.push(entry.to_owned());
        if entries.len() == kv_reader::ENTRIES / 2 {
            half.take().map(|half| half.send(()));
        }
    });
    tokio::select! {
        result = read => result.expect("all is read"),
        () = serve => panic!("the element has stopped"),
    }
    let all = |number| format!("key {number:04} = value {}", number * number);
    let all: Vec<_> = (0..kv_reader::ENTRIES).map(all).collect();
    assert_eq!(entries, all);
}

#[tokio::test]
async fn jobs_go_to_all_elements() {
    let (udp_port, registrar) = scope(20);
    let mut jobs = Vec::new();
    for host in [21, 22] {
        let element = PoolElement::builder(compute_pool::POOL)
            .policy(compute_pool::POLICY)
            .options(at(host, udp_port))
            .registrar(registrar.address())
            .register();
        let element = element.await.expect("it is taken");
        let given = Arc::new(AtomicU32::new(0));
        jobs.push(given.clone());
        tokio::spawn(compute_pool::serve(element, given));
    }
    let user = start(compute_pool::user(), registrar.address(), 20, udp_port);
    let count = compute_pool::count(&user, 10_000, 16).await;
    assert_eq!(count.expect("all is computed"), 1_229);
    let jobs: Vec<_> = jobs.iter().map(|it| it.load(Ordering::Relaxed)).collect();
    assert_eq!(jobs.iter().sum::<u32>(), 16);
    // Whoever has computed a job meanwhile is less used again.
    assert!(jobs.iter().all(|jobs| *jobs >= 4), "{jobs:?}");
}
