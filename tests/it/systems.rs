//! The five systems that teams wrote for themselves, each played from the first heading of its document to the last, and the
//! table that says what answers each of their parts.

mod fluxori;
mod integrations;
mod kpi_etl;
mod kustomer;
mod pixelpim;
mod table;
