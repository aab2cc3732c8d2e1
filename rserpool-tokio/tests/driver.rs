//! The suite of all drivers on tokio.

extern crate alloc;

#[path = "../../rserpool-driver/tests/suite/mod.rs"]
mod suite;

mod runtime {
    use core::time::Duration;

    use rserpool_core::Machine;
    pub(crate) use rserpool_tokio as driver;
    pub(crate) use rserpool_tokio::Tokio as Runtime;
    use rserpool_tokio::{Endpoint, Events, Handle};

    pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be had")
            .block_on(future)
    }

    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    pub(crate) fn start<M>(endpoint: Endpoint<M>) -> (Handle<M>, Events<M::Event>)
    where
        M: Machine + Send + 'static,
        M::Event: Send,
    {
        endpoint.spawn()
    }

    pub(crate) async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }
}
