//! The suite of all drivers on async-std.

extern crate alloc;

#[path = "../../rserpool-driver/tests/suite/mod.rs"]
mod suite;

mod runtime {
    use core::time::Duration;

    pub(crate) use rserpool_async_std as driver;
    pub(crate) use rserpool_async_std::AsyncIo as Runtime;
    use rserpool_async_std::{Endpoint, Events, Handle};
    use rserpool_core::Machine;

    pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
        async_std::task::block_on(future)
    }

    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(future);
    }

    pub(crate) fn start<M>(endpoint: Endpoint<M>) -> (Handle<M>, Events<M::Event>)
    where
        M: Machine + Send + 'static,
        M::Event: Send,
    {
        let (handle, events, driver) = endpoint.into_parts();
        spawn(driver);
        (handle, events)
    }

    pub(crate) async fn sleep(time: Duration) {
        async_std::task::sleep(time).await;
    }
}
