// A client of credvault: fetches credentials and keeps them as long as the vault allows, follows renewed certificates, and
// rejects with errors that programs can read. `credvault/v1/…` has the messages of all RPCs.

export { status } from "@grpc/grpc-js";
export { Credential } from "./credential.js";
export { type Facts, type Reason, VaultError, type Violation } from "./errors.js";
export type { Files } from "./channel.js";
export { Caller, type CallOptions, type Identity, type Selector, Vault, type VaultOptions } from "./vault.js";
export { AdminService } from "./generated/credvault/v1/admin_service_pb.js";
export { AuditService } from "./generated/credvault/v1/audit_service_pb.js";
export { ConnectAction } from "./generated/credvault/v1/connect_session_pb.js";
export { ConnectionService } from "./generated/credvault/v1/connection_service_pb.js";
export { ErrorReason } from "./generated/credvault/v1/error_pb.js";
export { VaultService } from "./generated/credvault/v1/vault_service_pb.js";
