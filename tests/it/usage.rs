//! Usage as services report it and as it is shown: who counts what, what is rejected, what a kill loses.

mod counts;
mod killed;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::Client;

fn item(connection: &str, endpoint: &str, calls: i64) -> v1::UsageItem {
    v1::UsageItem {
        connection_id: connection.to_owned(),
        endpoint: endpoint.to_owned(),
        calls,
        errors: 1,
        ..Default::default()
    }
}

/// A report with the id of this number.
fn report(id: u128, items: Vec<v1::UsageItem>) -> v1::ReportUsageRequest {
    v1::ReportUsageRequest { request_id: uuid::Uuid::from_u128(id).to_string(), items }
}

async fn send(client: &Client, request: v1::ReportUsageRequest) -> Result<v1::ReportUsageResponse, Status> {
    Ok(client.connections().report_usage(request).await?.into_inner())
}

async fn usage(
    client: &Client,
    filter: v1::UsageFilter,
    groups: &[v1::UsageGroup],
) -> Result<v1::GetUsageResponse, Status> {
    let group_by = groups.iter().map(|group| i32::from(*group)).collect();
    let request = v1::GetUsageRequest { filter: Some(filter), group_by, ..Default::default() };
    Ok(client.connections().get_usage(request).await?.into_inner())
}

async fn total(client: &Client) -> v1::UsageCounts {
    usage(client, v1::UsageFilter::default(), &[]).await.unwrap().total.unwrap()
}
