//! Requests about apps at providers into domain types.

use credvault_domain::Violations;
use credvault_operations::tenants::PutApp;

use super::{optional_tenant_id, provider_id, repeat, scopes};
use credvault_proto::v1;

pub(crate) fn put_app(request: v1::PutOAuthAppRequest) -> Result<PutApp, Violations> {
    let repeat = repeat(&request.request_id, &request);
    Ok(PutApp {
        tenant: optional_tenant_id(&request.tenant_id)?,
        provider: provider_id(&request.provider)?,
        repeat,
        client_id: request.client_id,
        client_secret: request.client_secret.into(),
        keep_previous: request.keep_previous_secret,
        redirect_uri: request.redirect_uri,
        scopes: scopes("default_scopes", request.default_scopes),
        settings: request.settings,
    })
}
