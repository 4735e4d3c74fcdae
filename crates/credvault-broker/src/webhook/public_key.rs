//! Checks a delivery that is signed with a key that the provider publishes. The cache fetches the key.

use credvault_catalog::PublicKeys;
use credvault_domain::{Config, TenantId};
use credvault_store::UsableApp;

use super::checked::Checked;
use super::delivery::Delivery;
use super::ebay::{check_ebay, ebay_key_id};
use super::error::WebhookError;
use super::public_key_cache::KeyQuery;
use crate::broker::Broker;
use crate::credential_test::error::TestError;
use crate::flow::{app_values, flow_defaults};

impl Broker {
    /// Checks a delivery with the public key that it names. The inner result is the verdict on the delivery.
    ///
    /// # Errors
    /// The key cannot be fetched, so there is no verdict.
    pub async fn check_with_public_key(
        &self,
        tenant: &TenantId,
        keys: &PublicKeys,
        config: &Config,
        usable: Option<&UsableApp>,
        delivery: &Delivery<'_>,
    ) -> Result<Result<Checked, WebhookError>, TestError> {
        let id = match ebay_key_id(delivery) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        let Some(usable) = usable else { return Ok(Err(WebhookError::AppMissing)) };
        let now = self.clock().now();
        let (app, flow) = (app_values(usable), flow_defaults(now, self.random()).with("key_id", id));
        let query = KeyQuery { tenant, keys, config, app: &app, flow: &flow };
        let key = self.public_keys().key(self.http(), now, query).await?;
        Ok(key.map_or(Err(WebhookError::KeyUnknown), |key| check_ebay(delivery, &key)))
    }
}
