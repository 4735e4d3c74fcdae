//! The console as a whole: the vault that it asks, the browser that it serves, the clock, and where it stops.

use std::net::SocketAddr;
use std::sync::Arc;

use credvault_domain::{Clock, Exhausted, Random};
use maud::{Markup, html};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::refusal::Refusal;
use crate::session::Session;
use crate::target::Target;
use crate::vault::Vault;

/// What all requests are served with.
pub struct Console {
    pub(crate) vault: Vault,
    /// Which vault that is, and as which caller it is called.
    pub(crate) target: Target,
    pub(crate) session: Session,
    pub(crate) clock: Arc<dyn Clock>,
    /// Host and port as browsers name them, such as `127.0.0.1:40123`.
    pub(crate) authority: String,
    /// Stops the console, when the operator ends it in the browser.
    pub(crate) end: CancellationToken,
    random: Arc<dyn Random>,
}

impl Console {
    /// A console at this address of the loopback interface, for the vault at the other end of the channel, which `target`
    /// describes. `end` is cancelled when the operator ends the console in the browser.
    ///
    /// # Errors
    /// The generator of random bytes failed, so there is no ticket and no cookie.
    pub fn new(
        channel: Channel,
        target: Target,
        address: SocketAddr,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        end: CancellationToken,
    ) -> Result<Self, Exhausted> {
        let session = Session::new(&*random)?;
        Ok(Self {
            vault: Vault::new(channel),
            target,
            session,
            clock,
            authority: address.to_string(),
            end,
            random,
        })
    }

    /// The address that opens the console in one browser, once. Empty after that.
    pub fn one_time_address(&self) -> SecretString {
        let ticket = self.session.ticket();
        let ticket = ticket.as_ref().map(|ticket| ticket.expose_secret());
        let url = ticket.map(|ticket| format!("http://{}/begin?ticket={ticket}", self.authority));
        url.unwrap_or_default().into()
    }

    /// The origin of all its pages.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The name of the cookie. It has the port, because browsers share cookies among the ports of a host.
    pub(crate) fn cookie_name(&self) -> String {
        let port = self.authority.rsplit(':').next().unwrap_or_default();
        format!("credvault_console_{port}")
    }

    /// The hidden field that every form needs.
    pub(crate) fn form_key(&self) -> Markup {
        html! { input type="hidden" name="form_key" value=(self.session.form_key()); }
    }

    /// The hidden field with a new request id, so that a form that is sent twice takes effect once.
    pub(crate) fn request_id(&self) -> Result<Markup, Refusal> {
        let mut bytes = [0; 16];
        let drawn = self.random.fill(&mut bytes);
        drawn
            .map_err(|_| Refusal::of_field("request_id", "cannot be made: this machine has no randomness"))?;
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        Ok(html! { input type="hidden" name="request_id" value=(id); })
    }
}
