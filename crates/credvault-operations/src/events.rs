//! The endpoints that events are sent to, and what becomes of each event.

mod deliveries;
mod endpoints;

pub use deliveries::{list_deliveries, retry_delivery};
pub use endpoints::{
    PutEndpoint, TestedEndpoint, delete_endpoint, list_endpoints, put_endpoint, test_endpoint,
};
