// Types of the element that `/connect.js` of a vault defines. Copy this file into your sources.

/** What an event of the page is about. Both are empty for what is about no connection. */
export interface CredvaultConnectDetail {
  /** The connection's id in the vault. */
  connectionId: string;
  /** The provider's id in the catalog. */
  provider: string;
}

export type CredvaultConnectEvent = CustomEvent<CredvaultConnectDetail>;

/** The events of the element. */
export interface CredvaultConnectEventMap {
  /** A page is shown. */
  ready: CredvaultConnectEvent;
  /** An account was connected, or connected again. */
  connected: CredvaultConnectEvent;
  /** The provider was asked about a connection. */
  tested: CredvaultConnectEvent;
  /** A connection has another name, or is the default now. */
  changed: CredvaultConnectEvent;
  /** A connection was disconnected; it can be connected again. */
  disconnected: CredvaultConnectEvent;
  /** A connection was removed. */
  removed: CredvaultConnectEvent;
  /** The person gave no access. */
  denied: CredvaultConnectEvent;
  /** A consent failed, or its window is gone. */
  failed: CredvaultConnectEvent;
  /** The person is done, and the session has ended. */
  closed: CredvaultConnectEvent;
  /** The session's time is over: make another session for a person who wants to continue. */
  expired: CredvaultConnectEvent;
}

export interface CredvaultConnectElement extends HTMLElement {
  /** The URL that CreateConnectSession returned. It opens the page in this browser, once. */
  session: string;
  addEventListener<K extends keyof CredvaultConnectEventMap>(
    type: K,
    listener: (this: CredvaultConnectElement, event: CredvaultConnectEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof CredvaultConnectEventMap>(
    type: K,
    listener: (this: CredvaultConnectElement, event: CredvaultConnectEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A message that the page posts to the page that embeds or has opened it, at the session's `return_origin`. */
export interface CredvaultConnectMessage {
  type: "credvault.connect";
  event: keyof CredvaultConnectEventMap | "resize";
  connection_id?: string;
  provider?: string;
  /** The height of the page's content in CSS pixels, with `resize`. */
  height?: number;
}

declare global {
  interface HTMLElementTagNameMap {
    "credvault-connect": CredvaultConnectElement;
  }
}
