//! The share that a call's answer has of the room for answers.

use credvault_domain::TenantScope;
use credvault_store::{PAGE_BYTES, Page};

use super::Call;
use crate::room::{Full, Share};
use crate::{Paging, Parsed, Refusal};

/// How many bytes every call takes before it does anything: what most answers need at most.
pub(super) const USUAL_BYTES: usize = 64 * 1024;
/// How many bytes an answer costs beside its message: headers, a stream, a buffer.
const OVERHEAD_BYTES: usize = 2 * 1024;

impl Call {
    /// Takes room for an answer of `bytes`, before reading what it is made of; or gives back what it does not need any
    /// more.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] or [`Refusal::NoRoomForTenant`] if there is none before the deadline.
    pub async fn room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let until = self.patience();
        // A call within a call, a browser's and the vault's own have no answer of their own here.
        let Some(reservation) = &mut self.answer else { return Ok(()) };
        let resized = reservation.resize(bytes + OVERHEAD_BYTES, until).await;
        resized.map_err(|full| match full {
            Full::Tenant => Refusal::NoRoomForTenant,
            Full::Others => Refusal::NoRoom,
        })
    }

    /// The share, for the answer to hold until it is sent.
    pub(super) fn take_share(&mut self) -> Option<Share> {
        self.answer.as_mut()?.take()
    }

    /// The page that a request asks for, with room for it. Its token is good for the same RPC, filters, service, user and
    /// reach only; the store binds it to the tenant.
    pub(crate) async fn page(
        &mut self,
        scope: Option<&TenantScope>,
        paging: Parsed<Paging>,
    ) -> Result<Page, Refusal> {
        let page = paging?.bound_to(self.action, self.caller(), scope);
        self.room(PAGE_BYTES).await?;
        Ok(page)
    }
}
