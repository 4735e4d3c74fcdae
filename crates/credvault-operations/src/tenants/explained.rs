//! What the policies in use say about a call that might be made, with the facts of a real connection if the request names
//! one.

use credvault_domain::{ConnectionId, TenantId, Violations};
use credvault_identity::{Explanation, Facts, PolicyQuestion};
use credvault_store::Recorded;

use crate::{Call, Parsed, Refusal};

/// A call that might be made, and what the policies say about it.
#[derive(Clone, Debug)]
pub struct ExplainedCall {
    /// The question as it was asked, with the facts of the connection.
    pub question: PolicyQuestion,
    /// What the policies say.
    pub explanation: Explanation,
}

/// `ExplainPolicy`: asks the policies in use about a call for this tenant, or for the platform. A connection is looked for there
/// and nowhere else.
///
/// # Errors
/// There is no such connection, the vault never asks such a question, or policy does not permit the caller to ask.
pub async fn explain_policy(
    call: &mut Call,
    tenant: Option<TenantId>,
    connection: Option<ConnectionId>,
    question: Parsed<PolicyQuestion>,
) -> Result<Recorded<ExplainedCall>, Refusal> {
    let facts = match &question {
        Ok(asked) => Facts { provider: asked.provider.as_ref(), owner: asked.owner.as_ref(), purpose: None },
        Err(_) => Facts::default(),
    };
    let (mut permit, scope) = call.administer(tenant, facts)?;
    let mut question = question?;
    call.subject.provider.clone_from(&question.provider);
    if let Some(id) = connection {
        let (permitted, found) = call.administered_connection(&scope, id).await?;
        permit = permitted;
        question.provider = Some(found.provider);
        question.owner = Some(found.owner);
    }
    let explained = call.explain(&question);
    let explanation = explained.map_err(|never| Violations::of(never.fact, never.rule))?;
    call.recorded(&permit, ExplainedCall { question, explanation }).await
}
