//! Tools with what they require, for administrators of the platform.

use credvault_domain::{Etag, Requirement, Tool, ToolName, Violations};
use credvault_identity::Facts;
use credvault_store::{Listed, NewTool, Recorded, tool_name};

use super::known::check_known;
use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// A tool to be registered, as a caller gives it.
#[derive(Debug)]
pub struct PutTool {
    /// The name of the tool.
    pub name: ToolName,
    /// What it is, for people.
    pub description: Parsed<String>,
    /// What the tool requires.
    pub requirements: Parsed<Vec<Requirement>>,
    /// The etag that the stored one must have, if the caller names one.
    pub etag: Option<Etag>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
}

/// `PutTool`.
///
/// # Errors
/// Policy does not permit it, or the catalog does not have a provider that the tool requires.
pub async fn put_tool(call: &mut Call, put: PutTool) -> Result<Recorded<Tool>, Refusal> {
    let PutTool { name, description, requirements, etag, repeat } = put;
    call.subject.other = Some(tool_name(&name));
    let (permit, scope) = call.administer(None, Facts::default())?;
    let mut violations = Violations::default();
    let description = violations.collect(description);
    let requirements = violations.collect(requirements);
    let Some((description, requirements)) = description.zip(requirements) else {
        return Err(violations.into());
    };
    check_known(&call.context.catalog, &requirements)?;
    let write = call.write(&permit, repeat)?;
    let new = NewTool { name, description, requirements, etag };
    Ok(call.context.store.tools().put(&scope, &new, &write).await?)
}

/// `ListTools`.
///
/// # Errors
/// Policy does not permit it.
pub async fn list_tools(call: &mut Call, paging: Parsed<Paging>) -> Result<Recorded<Listed<Tool>>, Refusal> {
    let (permit, scope) = call.administer(None, Facts::default())?;
    let page = call.page(None, paging).await?;
    let listed = call.context.store.tools().list(&scope, &page).await?;
    call.recorded(&permit, listed).await
}

/// `DeleteTool`.
///
/// # Errors
/// There is no such tool, or policy does not permit it.
pub async fn delete_tool(
    call: &mut Call,
    name: ToolName,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<()>, Refusal> {
    call.subject.other = Some(tool_name(&name));
    let (permit, scope) = call.administer(None, Facts::default())?;
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.tools().delete(&scope, &name, &write).await?)
}
