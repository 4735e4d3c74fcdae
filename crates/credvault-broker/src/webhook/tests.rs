//! Every scheme accepts its vector, and fails in every way in which it must. `vectors` has the deliveries.

use std::time::Duration;

use credvault_catalog::{Encoding, KeyEncoding, Scheme, Signed, TimestampForm};
use credvault_crypto::P256Key;
use credvault_domain::Timestamp;
use proptest::prelude::*;
use secrecy::SecretString;

mod cases;
mod vectors;

mod accounts;
mod ebay;
mod formats;
mod headers;
mod hostile;
mod keys;
mod schemes;
mod time;

use super::checked::UNDATED_WINDOW;
use super::claim::BASE64;
use super::ebay::{check_ebay, ebay_key_id};
use super::{Delivery, Key, Keys, WebhookError, check, timestamp};
use base64::Engine as _;
use cases::{AT, BASE64_TEXT, Case, HEX, KEY};
use vectors::{cases, ebay, ebay_json, ebay_vector, hubspot, slack, standard_webhooks};

fn named(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).expect(name)
}
