//! Sessions of the connect page, between the wire and the domain.

use std::time::Duration;

use credvault_domain::{ConnectAction, ProviderId, Violations};
use credvault_operations::Parsed;
use credvault_operations::connect::{Create, Created};
use prost_types::Duration as WireDuration;
use secrecy::ExposeSecret as _;

use super::timestamp;
use credvault_proto::v1;

pub(crate) fn create_connect_session(request: v1::CreateConnectSessionRequest) -> Create {
    let v1::CreateConnectSessionRequest {
        providers,
        actions,
        manage_shared,
        return_origin,
        return_url,
        language,
        lifetime,
    } = request;
    Create {
        providers: provider_ids(&providers),
        actions: connect_actions(&actions),
        manages_shared: manage_shared,
        return_origin,
        return_url,
        language,
        lifetime: lifetime.map(life).transpose(),
    }
}

pub(crate) fn created_connect_session(created: Created) -> v1::CreateConnectSessionResponse {
    let Created { id, url, expire_time } = created;
    v1::CreateConnectSessionResponse {
        url: url.expose_secret().to_owned(),
        session_id: id,
        expire_time: Some(timestamp(expire_time)),
    }
}

fn provider_ids(ids: &[String]) -> Parsed<Vec<ProviderId>> {
    let parse = |id: &String| {
        ProviderId::parse(id).map_err(|rule| Violations::of("providers", format!("(each of them) {rule}")))
    };
    ids.iter().map(parse).collect()
}

fn connect_actions(actions: &[i32]) -> Parsed<Vec<ConnectAction>> {
    let wrong = || {
        Violations::of("actions", "must be some of the actions that the protos name, or be left out for all")
    };
    let parse = |action: &i32| match v1::ConnectAction::try_from(*action) {
        Ok(v1::ConnectAction::Add) => Ok(ConnectAction::Add),
        Ok(v1::ConnectAction::Reconnect) => Ok(ConnectAction::Reconnect),
        Ok(v1::ConnectAction::Test) => Ok(ConnectAction::Test),
        Ok(v1::ConnectAction::Rename) => Ok(ConnectAction::Rename),
        Ok(v1::ConnectAction::SetDefault) => Ok(ConnectAction::SetDefault),
        Ok(v1::ConnectAction::Disconnect) => Ok(ConnectAction::Disconnect),
        Ok(v1::ConnectAction::Remove) => Ok(ConnectAction::Remove),
        Ok(v1::ConnectAction::Unspecified) | Err(_) => Err(wrong()),
    };
    actions.iter().map(parse).collect()
}

fn life(lifetime: WireDuration) -> Parsed<Duration> {
    let wrong = |_| Violations::of("lifetime", "must not be negative; leave it out for 30 minutes");
    Duration::try_from(lifetime).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_name_on_the_wire() {
        let all: Vec<i32> = (1..=7).collect();
        assert_eq!(connect_actions(&all), Ok(ConnectAction::ALL.to_vec()));
        for wrong in [0, 8, -1] {
            assert!(connect_actions(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_value_of_a_request_is_repeated() {
        let text = provider_ids(&["CANARY".to_owned()]).expect_err("upper case").to_string();
        assert!(text.contains("providers") && !text.contains("CANARY"), "{text}");
        assert!(life(WireDuration { seconds: -1, nanos: 0 }).is_err());
    }
}
