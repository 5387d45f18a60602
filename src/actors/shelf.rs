//! The actor of what the master keeps. It decides nothing and waits for nobody: the [`Shelf`] is a value.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};

use super::messages::ShelfMsg;
use super::routes::Routes;
use crate::transport::{Shelf, ShelfRules};

pub(crate) struct ShelfActor;

/// What the shelf is set up with.
pub(crate) struct ShelfArguments {
    pub(crate) rules: ShelfRules,
    pub(crate) window: u32,
}

pub(crate) struct ShelfState {
    shelf: Shelf,
    routes: Arc<Routes>,
}

#[ractor::actor(message = ShelfMsg, state = ShelfState, arguments = ShelfArguments)]
impl ShelfActor {
    async fn pre_start(
        &self,
        _: ActorRef<ShelfMsg>,
        arguments: ShelfArguments,
    ) -> Result<ShelfState, ActorProcessingErr> {
        let shelf = Shelf::new(arguments.rules, arguments.window);
        Ok(ShelfState { shelf, routes: Arc::new(Routes::new(Default::default())) })
    }

    async fn handle(
        &self,
        _: ActorRef<ShelfMsg>,
        message: ShelfMsg,
        state: &mut ShelfState,
    ) -> Result<(), ActorProcessingErr> {
        let mut out = Vec::new();
        match message {
            ShelfMsg::Routes(routes) => state.routes = routes,
            ShelfMsg::Deliver(run) => {
                let mut rest = Some(run);
                while let Some(run) = rest {
                    rest = state.shelf.arrive(run, &mut out);
                    if rest.is_some() {
                        state.routes.carry_out(std::mem::take(&mut out));
                        tokio::task::yield_now().await;
                    }
                }
            }
            ShelfMsg::Fetched(by, charge) => state.shelf.fetched(by, charge, &mut out),
            ShelfMsg::Gone(id) => state.shelf.gone(id),
        }
        state.routes.carry_out(out);
        Ok(())
    }
}
