//! The switches of the simulator's behaviour. Each names the real providers that behave in that way.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::script::Step;
use crate::seconds;

/// The simulator's behaviour. The default is a strict provider that follows the standards: refresh tokens rotate, a
/// used one ends the whole family. In JSON, durations are seconds, and omitted fields have their defaults.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// The registered redirect URIs, compared character by character. Empty: any that stays on this machine.
    pub redirect_uris: Vec<String>,
    /// Sends `iss` with the callback (RFC 9207).
    pub send_iss: bool,
    /// The page of a consent cuts its window off from the page that opened it (`Cross-Origin-Opener-Policy`).
    pub cut_opener: bool,
    /// The callback's parameter with the code. Amazon: `spapi_oauth_code`. TikTok Ads: `auth_code`.
    pub code_parameter: String,
    /// A further parameter of the callback, with the account. QuickBooks: `realmId`. Amazon: `selling_partner_id`.
    pub account_parameter: Option<String>,

    /// The second client secret works too. Amazon gives seven days with both.
    pub second_secret: bool,
    /// The only way in which the app may show its secret; `None`: any. Xero, Walmart: basic. Notion: JSON.
    pub client_auth: Option<ClientAuth>,
    /// A code is exchanged without the redirect URI too. Shopify, TikTok Shop.
    pub exchange_without_redirect_uri: bool,

    /// Seconds that an access token lives; 0: for ever, as with Slack without rotation, and Mailchimp.
    pub access_token_seconds: u64,
    /// Seconds that an access token lives that was exchanged for a longer one. Meta: 60 days.
    pub long_lived_seconds: u64,
    /// Whether a consent yields a refresh token.
    pub refresh_tokens: RefreshTokens,
    /// What renewing does to the refresh token.
    pub rotation: Rotation,
    /// Where the refresh token stays the same, answers repeat it. HubSpot repeats it; Google and eBay leave it out.
    pub repeat_refresh_token: bool,
    /// A rotated refresh token that comes again ends the family: all its tokens. Auth0, Ory.
    pub revoke_family_on_reuse: bool,
    /// Renewing ends the access tokens from before. Zendesk.
    pub refresh_ends_access_tokens: bool,

    /// How an answer says when the access token ends.
    pub expiry: Expiry,
    /// Which scopes an answer names.
    pub scope: ScopeAnswer,
    /// Good answers are wrapped: `{"code":0,"message":"success","data":{…}}`. TikTok Shop and Ads.
    pub envelope: bool,
    /// The tokens stand in `authed_user`. Slack, for user tokens.
    pub authed_user: bool,
    /// Fields are `accessToken`, `refreshToken`, `expiresIn`. HubSpot's generated documents spell them so.
    pub camel_case: bool,
    /// In whose words requests are refused.
    pub errors: Dialect,

    /// What happens to the next token requests, one step for each, before `steady` has its turn.
    pub script: Vec<Step>,
    /// What happens to every other token request.
    pub steady: Step,
    /// The share, from 0 to 1, of token requests under `steady` that end with 503, without an effect.
    pub failure_rate: f64,
    /// How long a token request waits before it takes effect.
    #[serde(with = "seconds")]
    pub delay_before_effect: Duration,
    /// How long the answer is held back after the effect.
    #[serde(with = "seconds")]
    pub delay: Duration,
    /// Every answer but the control's is held back after its effect, for as long as this is on.
    pub hold: bool,
    /// So many of the next connections, to any path, close before anything is read. Connections that are open stay.
    pub refuse_connections: u64,
    /// What becomes of revocations, of tokens and of API keys.
    pub revocation: Revocation,
    /// What becomes of requests for another API key.
    pub minting: Minting,
    /// API keys that were made are accepted. Adyen accepts a new one after some minutes.
    pub made_keys_work: bool,

    /// Members of the metadata (RFC 8414) in place of the usual ones; null leaves one out.
    pub metadata: Map<String, Value>,
    /// The metadata is where RFC 8414 has it only, and not where OpenID Connect Discovery does.
    pub only_oauth_metadata: bool,
    /// The exchange of a code gives an ID token, too, with these claims in place of the usual ones.
    pub id_token: Option<Map<String, Value>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            redirect_uris: Vec::new(),
            send_iss: false,
            cut_opener: false,
            code_parameter: "code".to_owned(),
            account_parameter: None,
            second_secret: false,
            client_auth: None,
            exchange_without_redirect_uri: false,
            access_token_seconds: 3600,
            long_lived_seconds: 60 * 24 * 3600,
            refresh_tokens: RefreshTokens::Always,
            rotation: Rotation::default(),
            repeat_refresh_token: false,
            revoke_family_on_reuse: true,
            refresh_ends_access_tokens: false,
            expiry: Expiry::Seconds,
            scope: ScopeAnswer::AsAsked,
            envelope: false,
            authed_user: false,
            camel_case: false,
            errors: Dialect::Standard,
            script: Vec::new(),
            steady: Step::Answer,
            failure_rate: 0.0,
            delay_before_effect: Duration::ZERO,
            delay: Duration::ZERO,
            hold: false,
            refuse_connections: 0,
            revocation: Revocation::Works,
            minting: Minting::Works,
            made_keys_work: true,
            metadata: Map::new(),
            only_oauth_metadata: false,
            id_token: None,
        }
    }
}

impl Behaviour {
    /// How long a new access token lives; `None`: for ever.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.ending(self.access_token_seconds)
    }

    /// How long one lives that was exchanged for a longer one.
    pub(crate) fn long_lifetime(&self) -> Option<Duration> {
        self.ending(self.long_lived_seconds)
    }

    fn ending(&self, seconds: u64) -> Option<Duration> {
        (self.expiry != Expiry::Zero && seconds > 0).then(|| Duration::from_secs(seconds))
    }
}

/// A way in which the app shows its secret.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `Authorization: Basic`. Xero, Walmart, QuickBooks, eBay.
    Basic,
    /// Fields of a form. Google, HubSpot, GitHub, Microsoft.
    Form,
    /// Members of a JSON body. Shopify, TikTok Ads, BigCommerce.
    Json,
    /// Query parameters. TikTok Shop, and Meta by GET.
    Query,
    /// `client_assertion`, which the app's key signs (RFC 7523). Entra, Okta.
    Assertion,
}

/// Whether a consent yields a refresh token.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    /// Every consent yields one.
    Always,
    /// Only an account's first, and those that were asked for with `prompt=consent`. Google.
    FirstConsent,
    /// None does. Meta, Shopify without `expiring`.
    Never,
}

/// The effect of a refresh on the refresh token.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rotation {
    /// The refresh token stays the same. Google, HubSpot, eBay, Walmart.
    Never,
    /// A new one replaces the old one, which ends at once (GitHub, Slack, Etsy, Zendesk), or after a grace time or the
    /// first use of its successor, whichever is sooner (Xero: 30 minutes; Shopify: 30 days).
    Rotating {
        /// The grace time of the old one.
        #[serde(default, with = "seconds")]
        grace: Duration,
        /// The old one yields the same tokens once more; otherwise new ones, and those given before are superseded.
        #[serde(default)]
        same_answer_within_grace: bool,
    },
    /// A new one is issued, and each old one keeps working for some time. QuickBooks: 24 hours. Microsoft: its whole life.
    Sliding {
        /// The time for which each old one keeps working.
        #[serde(with = "seconds")]
        keep: Duration,
    },
}

impl Default for Rotation {
    fn default() -> Self {
        Self::Rotating { grace: Duration::ZERO, same_answer_within_grace: false }
    }
}

/// How an answer says when the access token ends.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// `expires_in`, a number of seconds; left out if it never ends.
    Seconds,
    /// `expires_in`, the number as text. What PHP shops and old Microsoft endpoints send.
    Text,
    /// Not at all, though it ends. Stripe Apps, Salesforce, Notion, Zendesk if not asked.
    Omitted,
    /// `expires_in` 0, and it never ends. Mailchimp; Meta with `expires_at`.
    Zero,
    /// `access_token_expire_in`, an instant in Unix seconds. TikTok Shop.
    AbsoluteSeconds,
    /// `expires_at`, an instant as RFC 3339 writes it. GitHub Apps.
    AbsoluteText,
}

/// Which scopes an answer names.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ScopeAnswer {
    /// Those that were asked for and granted.
    AsAsked,
    /// None: `scope` is left out. Walmart, Notion, Xero custom connections.
    Omitted,
    /// All but the last, which is not granted either: a person unticked it. Google, Meta.
    Narrower,
}

/// The provider whose words refuse token requests.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// RFC 6749, section 5.2: 400, or 401 for a wrong client.
    Standard,
    /// 200 with `ok: false`; good answers have `ok: true`.
    Slack,
    /// 200 with `error`, in words of its own: `bad_refresh_token`.
    Github,
    /// A dead grant is 401 `invalid_request` with a certain description.
    Shopify,
    /// 400 with `status`: `BAD_REFRESH_TOKEN`.
    Hubspot,
    /// 400 with an object in `error`: `code` 190.
    Meta,
    /// 200 with `code` other than 0 and `message`. The numbers are invented, because the real ones are not known.
    Tiktok,
}

/// The result of requests for another API key.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Minting {
    /// 201, with the key and its id.
    Works,
    /// 403: the key in the request may not do that.
    Refused,
    /// 503, and no key is made.
    Unavailable,
    /// A key is made, and the connection ends without an answer.
    Lost,
}

/// The result of requests to revoke a token or an API key.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// 200, for unknown tokens too (RFC 7009).
    Works,
    /// 503, and nothing is revoked.
    Unavailable,
    /// 400 `invalid_token` for revoked and unknown tokens (Google, Salesforce), and 404 for such keys (SendGrid, Mailgun).
    RefusesUnknown,
}
