//! The list of actions that pages choose from, by the gRPC service that has them.

use credvault_domain::Action;
use maud::{Markup, html};

/// The options of a list with the actions of these services, `Command` for those of the program itself.
pub(crate) fn options(services: &[&str], chosen: &str) -> Markup {
    let all = || Action::ALL.iter().chain(Action::COMMANDS);
    html! {
        @for service in services {
            optgroup label=(service) {
                @for action in all().filter(|action| action.service() == *service) {
                    option value=(action.as_str()) selected[action.as_str() == chosen] { (action.as_str()) }
                }
            }
        }
    }
}
