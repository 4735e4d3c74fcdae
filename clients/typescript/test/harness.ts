// The vault that `scripts/clients` runs: CREDVAULT_DEV names the folder of `credvault dev`, CREDVAULT_ADDRESS its port.

import { randomUUID } from "node:crypto";
import { join } from "node:path";

import { AuditService, type Caller, ConnectionService, Vault, VaultError, type VaultOptions } from "../src/index.js";

function variable(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set; scripts/clients sets it`);
  }
  return value;
}

export const FOLDER = variable("CREDVAULT_DEV");
export const ADDRESS = variable("CREDVAULT_ADDRESS");
export const UNKNOWN = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

export function filesOf(service: string) {
  const file = (name: string) => join(FOLDER, name);
  return { authority: file("ca.pem"), certificate: file(`${service}.pem`), key: file(`${service}.key`) };
}

export function vault(service = "app", options: Partial<VaultOptions> = {}): Vault {
  return new Vault(ADDRESS, { ...filesOf(service), ...options });
}

/** A new connection of the tenant with this secret, by its id. */
export async function create(caller: Caller, secret: string): Promise<string> {
  const { connection } = await caller.call(ConnectionService.method.createConnection, {
    provider: "generic",
    accountName: `typescript-${randomUUID()}`,
    authMode: "bearer",
    credential: { fields: { token: secret } },
  });
  return connection?.id ?? "";
}

/** How often the vault has recorded a fetch of the connection. */
export async function fetches(caller: Caller, connectionId: string): Promise<number> {
  const { events } = await caller.call(AuditService.method.listAuditEvents, { pageSize: 500 });
  return events.filter((event) => event.action === "FetchCredential" && event.connectionId === connectionId).length;
}

/** The error of a call that is refused. */
export async function refused(call: Promise<unknown>): Promise<VaultError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof VaultError)) {
    throw new Error("the call was not refused", { cause: outcome });
  }
  return outcome;
}
