//! Tails and exports of the audit log, from the wire and back.

use credvault_console::json_line;
use credvault_domain::Violations;
use credvault_operations::audit::{ExportPart, ExportRequest, Exporting, TailPart};

use super::ocsf::ocsf_line;
use super::parse::size;
use super::{audit_event, audit_filter};
use credvault_proto::v1;

/// How many earlier checkpoints an export leads to at most.
const MAX_EARLIER: usize = 16;

/// Where a tail begins.
pub(crate) fn tail_start(index: Option<i64>) -> Result<Option<u64>, Violations> {
    index.map(|index| size("start_index", index)).transpose()
}

pub(crate) fn tail_part(part: TailPart) -> v1::TailAuditEventsResponse {
    let TailPart { records, next, end } = part;
    let indexed =
        |(index, record)| v1::IndexedAuditEvent { index: number(index), event: Some(audit_event(record)) };
    v1::TailAuditEventsResponse {
        events: records.into_iter().map(indexed).collect(),
        next_index: number(next),
        log_size: number(end),
    }
}

pub(crate) fn export_request(request: v1::ExportAuditEventsRequest) -> Result<ExportRequest, Violations> {
    let format = request.format();
    let v1::ExportAuditEventsRequest {
        format: _,
        filter,
        start_index,
        end_index,
        earlier_sizes,
        partial,
        cosigned,
    } = request;
    let mut violations = Violations::default();
    let proves = match format {
        v1::AuditExportFormat::Unspecified => {
            let rule = "must be one of the formats that the protos name";
            violations.collect(Err(Violations::of("format", rule)))
        }
        v1::AuditExportFormat::ProvedJsonLines => Some(true),
        v1::AuditExportFormat::JsonLines | v1::AuditExportFormat::Ocsf => Some(false),
    };
    let rule = match (proves, earlier_sizes.len()) {
        (Some(false), 1..) => Some("must be left out, or the format must be one with proofs"),
        (_, length) if length > MAX_EARLIER => Some("must be at most 16 sizes"),
        (Some(_) | None, _) => None,
    };
    if let Some(rule) = rule {
        violations.add("earlier_sizes", rule);
    }
    if proves == Some(false) && cosigned {
        violations.add("cosigned", "must be false, or the format must be one with proofs");
    }
    let start = violations.collect(size("start_index", start_index));
    let end = violations.collect(size("end_index", end_index));
    let earlier = earlier_sizes.into_iter().map(|one| size("earlier_sizes", one));
    let earlier = violations.collect(earlier.collect::<Result<Vec<_>, _>>());
    let wants_all = filter.as_ref().is_none_or(|filter| *filter == v1::AuditFilter::default());
    let filter = violations.collect(audit_filter(filter));
    let (Some(proves), Some(filter), Some(start), Some(end), Some(earlier)) =
        (proves, filter, start, end, earlier)
    else {
        return Err(violations);
    };
    let given = |index: u64| Some(index).filter(|index| *index > 0);
    let request = ExportRequest {
        filter,
        wants_all,
        start: given(start),
        end: given(end),
        proves,
        cosigned,
        earlier,
        partial,
    };
    violations.into_result().map(|()| request)
}

/// What the first response says of an export.
pub(crate) fn export_summary(exporting: &Exporting) -> v1::AuditExportSummary {
    let range = exporting.range();
    v1::AuditExportSummary {
        checkpoint: exporting.checkpoint().unwrap_or_default().to_owned(),
        start_index: number(range.start),
        end_index: number(range.end),
        complete: exporting.is_complete(),
    }
}

/// A part of an export of this tenant's log, in lines of its format.
pub(crate) fn export_part(
    part: ExportPart,
    format: v1::AuditExportFormat,
    tenant: &str,
) -> v1::ExportAuditEventsResponse {
    let ExportPart { lines, records, total } = part;
    let rendered = records.into_iter().map(|(index, record)| {
        let event = audit_event(record);
        match format {
            v1::AuditExportFormat::Ocsf => ocsf_line(index, &event, tenant),
            // Those with proofs are lines already.
            v1::AuditExportFormat::Unspecified
            | v1::AuditExportFormat::ProvedJsonLines
            | v1::AuditExportFormat::JsonLines => indexed_line(index, &event),
        }
    });
    let mut bytes = Vec::new();
    for line in lines.into_iter().chain(rendered) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    let end = total.map(|record_count| v1::AuditExportEnd { record_count: number(record_count) });
    v1::ExportAuditEventsResponse { lines: bytes, summary: None, end }
}

/// A log has fewer than 2^48 records.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A record with its index as one line of JSON.
fn indexed_line(index: u64, event: &v1::AuditEvent) -> String {
    format!("{{\"index\":{index},\"event\":{}}}", json_line(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: v1::ExportAuditEventsRequest) -> Vec<String> {
        let refused = export_request(request).expect_err("refused");
        refused.iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn what_an_export_cannot_do_is_refused_by_field() {
        let proved = v1::ExportAuditEventsRequest {
            format: v1::AuditExportFormat::ProvedJsonLines.into(),
            ..Default::default()
        };
        let request = export_request(proved.clone()).expect("sound");
        assert!(request.proves && request.wants_all && request.start.is_none() && request.end.is_none());
        assert_eq!(fields(v1::ExportAuditEventsRequest::default()), ["format"]);
        let many = v1::ExportAuditEventsRequest { earlier_sizes: vec![1; 17], ..proved.clone() };
        assert_eq!(fields(many), ["earlier_sizes"]);
        let negative =
            v1::ExportAuditEventsRequest { start_index: -1, end_index: i64::MAX, ..proved.clone() };
        assert_eq!(fields(negative), ["start_index", "end_index"]);
        assert!(
            tail_start(Some(-1)).is_err()
                && tail_start(Some(0)) == Ok(Some(0))
                && tail_start(None) == Ok(None)
        );
        let plain = v1::ExportAuditEventsRequest {
            format: v1::AuditExportFormat::Ocsf.into(),
            earlier_sizes: vec![1],
            ..Default::default()
        };
        assert_eq!(fields(plain), ["earlier_sizes"]);
        let filter = v1::AuditFilter { action: "CANARY".to_owned(), ..Default::default() };
        assert_eq!(
            fields(v1::ExportAuditEventsRequest { filter: Some(filter), ..proved.clone() }),
            ["filter.action"]
        );
        let filter = v1::AuditFilter { provider: "shopify".to_owned(), ..Default::default() };
        let some = v1::ExportAuditEventsRequest { filter: Some(filter), start_index: 7, ..proved };
        let request = export_request(some).expect("sound");
        assert!(!request.wants_all && request.start == Some(7));
    }

    #[test]
    fn a_plain_line_has_index_and_record() {
        let event = v1::AuditEvent { id: "i".to_owned(), purpose: "a\nb".to_owned(), ..Default::default() };
        let line = indexed_line(7, &event);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((value["index"].as_u64(), value["event"]["purpose"].as_str()), (Some(7), Some("a\nb")));
        assert!(!line.contains('\n'));
    }
}
