//! Events: the types that subscribers receive about connections, and the states of their deliveries. Their ids are in
//! `id.rs`.

/// The type of an event, which subscribers filter by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventType {
    /// A connection without a credential got one.
    Connected,
    /// A connection's credential works again, or its grant was renewed after the owner was warned.
    Recovered,
    /// The credential is of no more use: the owner must consent again or store a new one.
    ReauthorizationRequired,
    /// Fetches of a connection are no longer served.
    Disconnected,
    /// A credential version was stored or destroyed.
    CredentialChanged,
    /// The config of an internal service was created, changed or deleted.
    ServiceConfigChanged,
    /// The connection's grant or key ends soon.
    Expiring,
    /// The connection's credential is to be replaced by hand.
    RotationDue,
    /// A provider fails for several tenants. Sent to the platform only.
    IncidentOpened,
    /// The incident of a provider is over. Sent to the platform only.
    IncidentClosed,
}

impl EventType {
    /// Every type, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Connected,
        Self::Recovered,
        Self::ReauthorizationRequired,
        Self::Disconnected,
        Self::CredentialChanged,
        Self::ServiceConfigChanged,
        Self::Expiring,
        Self::RotationDue,
        Self::IncidentOpened,
        Self::IncidentClosed,
    ];

    /// The type as it is sent, stored and subscribed to.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connection.connected",
            Self::Recovered => "connection.recovered",
            Self::ReauthorizationRequired => "connection.reauthorization_required",
            Self::Disconnected => "connection.disconnected",
            Self::CredentialChanged => "credential.changed",
            Self::ServiceConfigChanged => "service_config.changed",
            Self::Expiring => "connection.expiring",
            Self::RotationDue => "credential.rotation_due",
            Self::IncidentOpened => "provider.incident_opened",
            Self::IncidentClosed => "provider.incident_closed",
        }
    }

    /// Reads what [`EventType::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The state of the delivery of one event to one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// The vault will send it, for the first time or again.
    Pending,
    /// The endpoint has accepted it.
    Delivered,
    /// The vault has given it up.
    Dead,
}

impl DeliveryState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The state as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Dead => "DEAD",
        }
    }

    /// Reads what [`DeliveryState::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_can_be_read() {
        assert!(EventType::ALL.into_iter().all(|kind| EventType::parse(kind.as_str()) == Some(kind)));
        let states = DeliveryState::ALL.into_iter();
        assert!(states.into_iter().all(|state| DeliveryState::from_stored(state.as_str()) == Some(state)));
        assert_eq!(EventType::parse(""), None);
    }
}
