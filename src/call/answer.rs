//! The share that a call's answer has of the room for answers.

use std::sync::PoisonError;

use credvault_domain::TenantScope;
use credvault_store::{PAGE_BYTES, Page};
use prost::Message;

use super::Call;
use crate::wire::{self, Paged};
use credvault_operations::Refusal;

/// What most answers need at most, and what every call takes before it does anything.
pub(super) const USUAL: usize = 64 * 1024;
/// What an answer costs beside its bytes: headers, a stream, a buffer.
const BESIDE: usize = 2 * 1024;

impl Call {
    /// Takes room for an answer of `bytes`, before what it is made of is read; or gives back what it needs no more.
    pub(crate) async fn room(&self, bytes: usize) -> Result<(), Refusal> {
        // A call within a call is part of that one's answer.
        let Some(account) = &self.account else { return Ok(()) };
        let bytes = bytes + BESIDE;
        let share = self.share.lock().unwrap_or_else(PoisonError::into_inner).take();
        let share = match share {
            Some(mut share) if share.amount() >= bytes => {
                share.shrink(bytes);
                share
            }
            Some(mut share) => {
                let more = account.take(bytes - share.amount(), self.patience()).await;
                share.add(more.ok_or(Refusal::NoRoom)?);
                share
            }
            None => account.take(bytes, self.patience()).await.ok_or(Refusal::NoRoom)?,
        };
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
        Ok(())
    }

    /// Takes room for an answer that is ready.
    pub(crate) async fn room_for(&self, answer: &impl Message) -> Result<(), Refusal> {
        self.room(answer.encoded_len()).await
    }

    /// The page that a request asks for, with room for it.
    pub(crate) async fn page<R: Paged>(
        &self,
        scope: Option<&TenantScope>,
        request: &R,
    ) -> Result<Page, Refusal> {
        let page = wire::page(self, scope, request)?;
        self.room(PAGE_BYTES).await?;
        Ok(page)
    }
}
