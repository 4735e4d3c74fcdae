// Credentials in memory, each for as long as the vault allows.

import type { Credential } from "./credential.js";

/** Keeps credentials by what was asked for. */
export class Cache {
  // By time of storing: the eldest stands first.
  readonly #kept = new Map<string, { credential: Credential; end: number }>();

  constructor(
    readonly limit: number,
    readonly now: () => number = () => performance.now(),
  ) {}

  /** The credential that was put under this key, if its time is not over. */
  get(key: string): Credential | undefined {
    const kept = this.#kept.get(key);
    if (kept && kept.end <= this.now()) {
      this.#kept.delete(key);
      return undefined;
    }
    return kept?.credential;
  }

  /** Keeps a credential that has just arrived, unless the vault allows no time for it. */
  put(key: string, credential: Credential): void {
    this.#kept.delete(key);
    if (credential.cacheMilliseconds <= 0 || this.limit <= 0) {
      return;
    }
    const now = this.now();
    if (this.#kept.size >= this.limit) {
      this.#forget((kept) => kept.end <= now);
    }
    for (const eldest of this.#kept.keys()) {
      if (this.#kept.size < this.limit) {
        break;
      }
      this.#kept.delete(eldest);
    }
    this.#kept.set(key, { credential, end: now + credential.cacheMilliseconds });
  }

  /** Forgets a credential wherever it is kept. */
  drop(tag: string): void {
    this.#forget((kept) => kept.credential.tag === tag);
  }

  #forget(over: (kept: { credential: Credential; end: number }) => boolean): void {
    for (const [key, kept] of this.#kept) {
      if (over(kept)) {
        this.#kept.delete(key);
      }
    }
  }
}
