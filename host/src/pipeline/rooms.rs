//! The memory of bodies, and that in which they become data. So much of bodies is here at a time: those for which there is no room are
//! not received. A value takes many times the memory of what it is written with, so that only so many large bodies are expanded and read
//! at a time; those that wait hold what they came with.

use super::Pipeline;
use super::passage::Passage;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::stop::Stop;
use ringback_rules::face;
use ringback_share::{Budget, Full, Place, Places, Share};
use ringback_store::StoreError;
use std::sync::Arc;

/// Bodies that are received and taken at once, however many there are, unless they are encoded.
pub const SMALL_BYTES: usize = 16 << 10;
/// Memory that the data of all others may take together.
const DATA_BYTES_MAX: usize = 512 << 20;
/// Callbacks whose parts are decided at the same time, and how many of a workspace wait for that; what is more is found later.
const PARTS_AT_ONCE: usize = 16;
const PARTS_WAITING_MAX: usize = 256;
/// What a value takes, at least, beside its text.
const VALUE_BYTES: usize = 72;

/// Where large bodies are, and become data: the workspaces have their turns, and each half of the places.
#[derive(Clone)]
pub struct Rooms {
    bodies: Arc<Budget>,
    places: Arc<Places>,
    parts: Arc<Places>,
}

impl Rooms {
    /// For bodies of at most so many bytes, and so many of all.
    pub fn new(body_bytes_max: usize, bodies_bytes_max: usize) -> Self {
        let of_one = json::values_max(body_bytes_max).saturating_mul(VALUE_BYTES).saturating_add(2 * body_bytes_max);
        let all = (DATA_BYTES_MAX / of_one).clamp(2, 64);
        // Each that waits is a connection.
        Self {
            bodies: Budget::new(bodies_bytes_max),
            places: Places::new(all, all / 2, usize::MAX),
            parts: Places::new(PARTS_AT_ONCE, PARTS_AT_ONCE / 2, PARTS_WAITING_MAX),
        }
    }

    /// Waits for a turn with the parts of a callback.
    pub(super) async fn take_parts(&self, workspace: &Name) -> Result<Place, Full> {
        self.parts.take(workspace).await
    }

    /// The bytes of large bodies that are here.
    pub fn bodies_bytes(&self) -> usize {
        self.bodies.used()
    }

    /// Waits for a place, where the body of a callback needs one.
    pub(super) async fn take(&self, passage: &Passage) -> Option<Place> {
        let request = &passage.received.request;
        let is_small = request.body.len() <= SMALL_BYTES && !request.headers.contains_key("content-encoding");
        if is_small || request.body.is_empty() {
            return None;
        }
        // No line is ever full.
        self.places.take(&passage.callback.workspace).await.ok()
    }
}

impl Pipeline {
    /// Waits until there is room for a body of so many bytes: for the workspace and the trigger, or the ticket, whose URL is called. `None`
    /// where that is nobody's.
    pub async fn room_for(&self, request: &Request, bytes: usize) -> Option<Share> {
        let (workspace, part) = self.whose(request).await?;
        Some(self.rooms.bodies.take(&workspace, &part, bytes).await)
    }

    async fn whose(&self, request: &Request) -> Option<(Name, String)> {
        if let Some((_, address)) = face::ticket(request) {
            let (workspace, ticket) = self.tickets.of_state(address.ok()?.state).await.ok()??;
            return Some((workspace, ticket.id.to_string()));
        }
        let route = self.flows.route(&request.path).await.ok()??;
        let trigger = route.flow.triggers.get(route.trigger)?;
        Some((route.workspace, format!("{} {}", route.flow.name, trigger.id)))
    }

    /// Does work on a body where long calls run.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        passage: &Passage,
        work: impl FnOnce() -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, Stop> {
        let work = async move { work() };
        let done = self.sandbox.compute(&passage.callback.workspace, Box::pin(work)).await;
        done.map_err(|error| Stop::from(&StoreError::Stopped(error)))?
    }
}
