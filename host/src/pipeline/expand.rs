//! Bodies without their encoding.

use super::Pipeline;
use super::passage::Passage;
use ringback_records::callback::Request;
use ringback_records::stop::Stop;
use ringback_rules::content::{Coding, Expansion};
use ringback_rules::flow::Trigger;
use ringback_rules::verify::Verified;
use ringback_store::StoreError;
use std::sync::Arc;

/// Steps that are taken where callbacks are handled: what most bodies need.
const STEPS_AT_ONCE: usize = 4;

impl Pipeline {
    /// A callback that was verified as it came, with its body as it is without its encoding. What is more than a few short steps
    /// goes on where long calls run.
    pub(super) async fn expand(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        verified: Verified,
    ) -> Result<Verified, Stop> {
        let request = &passage.received.request;
        let (false, None, Ok(Some(coding))) =
            (request.body.is_empty(), &request.expanded, Coding::of(&request.headers))
        else {
            return Ok(verified);
        };
        let mut expansion = Expansion::new(coding, request.body.clone(), self.body_bytes_max);
        let mut is_over = false;
        if expansion.is_small() {
            for _ in 0..STEPS_AT_ONCE {
                is_over = expansion.step()?;
                if is_over {
                    break;
                }
            }
        }
        if !is_over {
            let work = async move {
                while !expansion.step()? {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Stop>(expansion)
            };
            let done = self.sandbox.compute(&passage.callback.workspace, Box::pin(work)).await;
            expansion = done.map_err(|error| Stop::from(&StoreError::Stopped(error)))??;
        }
        let expanded = Some(expansion.finish());
        let received = Request { expanded: expanded.clone(), ..request.clone() };
        let seen = trigger.verify.body_without_proof(&received);
        Arc::make_mut(&mut passage.callback).request.expanded = seen.or(expanded);
        Ok(verified.seen_as(&passage.callback))
    }
}
