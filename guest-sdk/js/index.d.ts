/**
 * Write ringback plugins as plain functions.
 *
 * A plugin is a module that exports one function or several, each under the name of its role: `verifier`, `parser`, `condition`,
 * `step`, `responder`. What it says of its configuration are `schema` and `check`; `vectors` are cases that are run when it is
 * uploaded. `ringback plugin build` makes a component of it.
 */

/** Whatever JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** One received HTTP request. What is asked for is taken over from the server: of a large body, `get` and `select` take over what they
 * find alone. A verifier sees it as it came; every other role sees it without what carries credentials. */
export interface Callback<Data = any> {
  /** Its id, a UUID, the same in logs, the API and the command line. */
  readonly id: string;
  /** The environment that it came into. */
  readonly environment: string;
  /** The flow that it came for; none for a ticket without one. */
  readonly flow: string | undefined;
  /** The trigger that it came for; none for a ticket without a flow. */
  readonly trigger: string | undefined;
  /** The IP address that it came from: of a proxy, when there is one in between. None when it is not known any more. */
  readonly remoteAddress: string | undefined;
  /** When its last byte was received. */
  readonly receivedAt: Date;
  /** The method in upper case. */
  readonly method: string;
  /** The absolute URL as the caller used it, with its query. */
  readonly url: string;
  /** The path, percent-encoded as received. */
  readonly path: string;
  /** All parameters of the query, decoded, in order. */
  readonly queryPairs: [name: string, value: string][];
  /** The first value of a parameter of the query. */
  query(name: string): string | undefined;
  /** The values of a parameter of the query, in order. */
  queryAll(name: string): string[];
  /** All headers, with names in lower case, in order. */
  readonly headers: [name: string, value: string][];
  /** The value of a header, whatever the case of its name; of a repeated one all, joined by `, `. */
  header(name: string): string | undefined;
  /** The size of the body in bytes, without taking it over. */
  readonly bodySize: number;
  /** The body, exactly the bytes received. */
  readonly body: Uint8Array;
  /** The body as text. Fails with `not-text` when it is not UTF-8. */
  readonly text: string;
  /** What the body was parsed into. Fails with `not-parsed` in a verifier and in a parser. */
  readonly data: Data;
  /** The first value that a JSONPath (RFC 9535) selects in the data, such as `$.order.total`. Fails with `invalid-path`, and as `data`. */
  get(path: string): any;
  /** All values that a JSONPath selects in the data, in order. */
  select(path: string): any[];
  /** What the verifier learned of it. */
  readonly claims: any;
}

/** One run of a flow. */
export interface Execution {
  /** Its id. */
  readonly id: string;
  /** The name of the flow. */
  readonly flow: string;
  /** The environment that it runs in. */
  readonly environment: string;
  /** All that expressions of the flow see: `data`, `fields`, `triggers`, and the results of earlier steps by their names. */
  readonly scope: any;
  /** The first value that a JSONPath (RFC 9535) selects in the scope, such as `$.data.order.total`. */
  get(path: string): any;
  /** All values that a JSONPath selects in the scope, in order. */
  select(path: string): any[];
}

/** What a function is given beside what it is about. */
export interface Context<Config = any> {
  /** The `with:` of the flow; an empty object where there is none. */
  config: Config;
}

/** The same, with the execution: the one that waits and would be resumed, or that the callback has started or resumed. */
export interface ContextOfExecution<Config = any> extends Context<Config> {
  execution: Execution | undefined;
}

/** What a verifier learned of a genuine callback. */
export interface Proof {
  /** The sender's id of this delivery, the same when it is sent again. */
  deliveryId?: string;
  /** Who sent it, for the trace. */
  subject?: string;
  /** What else is proved, as JSON: flows see it as `callback.claims`. */
  claims?: unknown;
}

/** What `accept` and `reject` make. */
export type Verdict = { accepted: Proof } | { rejected: string };

/** The callback is genuine. */
export function accept(proof?: Proof): Verdict;

/** The callback is not genuine. The text says why, for the trace; the caller sees 401 and nothing else. */
export function reject(reason: string): Verdict;

/** The decision of a condition, with its reason for the trace. */
export interface Decision {
  holds: boolean;
  reason?: string;
}

/** An HTTP answer. */
export interface Reply {
  /** 200 to 599; 200 where there is none. */
  status?: number;
  /** An object, or a list of names and values where one is repeated. */
  headers?: Record<string, string> | [name: string, value: string][];
  /** The body, written as JSON. */
  json?: unknown;
  /** Or the body as it is. */
  body?: string | Uint8Array;
}

/** Proves who called. Runs on the raw bytes, before anything is parsed. */
export type Verifier<Config = any> = (callback: Callback, context: Context<Config>) => Verdict;

/** Turns the body into data. What it throws answers 422. */
export type Parser<Config = any> = (callback: Callback, context: Context<Config>) => unknown;

/** Decides whether a callback counts. */
export type Condition<Config = any, Data = any> = (callback: Callback<Data>, context: ContextOfExecution<Config>) => boolean | Decision;

/** Does one piece of work in a flow; later steps see its result. May run again after a crash: the result that was kept first counts. */
export type Step<Config = any> = (execution: Execution, context: Context<Config>) => unknown;

/** Builds the answer to the caller. */
export type Responder<Config = any, Data = any> = (callback: Callback<Data>, context: ContextOfExecution<Config>) => Reply;

/** The names of the roles. */
export type Role = 'verifier' | 'parser' | 'condition' | 'step' | 'responder';

/**
 * Checks a configuration when a flow is deployed: a text says what is wrong with it. To say where, throw
 * `new Failure('invalid-config', message, { pointer: '/minimum' })`.
 */
export type Check = (config: any, about: { role: Role }) => string | boolean | undefined | void;

/** Why a plugin could not do its work. It is no decision: it ends the callback with an error status. */
export class Failure extends Error {
  /**
   * @param code stable and machine-readable, in kebab-case, such as `no-rate`
   * @param message one sentence for the operator, kept in the trace and never shown to the caller
   */
  constructor(code: string, message: string, more?: { retryable?: boolean; pointer?: string; detail?: unknown });
  readonly code: string;
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean;
  /** The place in the configuration that it is about, as a JSON Pointer such as `/rules/0/path`. */
  readonly pointer?: string;
  /** More for whoever looks into it, as JSON. */
  readonly detail?: unknown;
}

/** When this call began: the same during all of it. */
export function now(): Date;

/** Random bytes of the operating system. */
export function randomBytes(length: number): Uint8Array;

/** A random UUID (version 4). */
export function randomUUID(): string;

/** The bytes of a text in UTF-8. */
export function toUtf8(text: string): Uint8Array;

/** The text that bytes are in UTF-8. What is none becomes U+FFFD; with `fatal` it is thrown as a TypeError. */
export function fromUtf8(bytes: Uint8Array, options?: { fatal?: boolean }): string;

/** Bytes in hexadecimal, in lower case. */
export function toHex(bytes: Uint8Array): string;

/** The bytes that hexadecimal says; none when it is none. */
export function fromHex(text: string): Uint8Array | undefined;

/** Bytes in base64, with padding. */
export function toBase64(bytes: Uint8Array): string;

/** The bytes that base64 says, with the alphabet for texts or for URLs; none when it is none. */
export function fromBase64(text: string): Uint8Array | undefined;

/** Lines for the trace of the callback and the operator's log: 16 of 4 KiB a call. `console.log` is `log.info`. */
export namespace log {
  function debug(...parts: unknown[]): void;
  function info(...parts: unknown[]): void;
  function warn(...parts: unknown[]): void;
  function error(...parts: unknown[]): void;
}

/** Checks with secrets and keys that the server keeps under names. Their values never enter the plugin. */
export namespace secrets {
  /** Stands for the body of the callback in a message: it need not be taken over. */
  const BODY: unique symbol;

  type Part = string | Uint8Array | typeof BODY;

  /** What a caller sent, in the form that it has; a header that is absent is no hash of anything. */
  type Sent = { hex: string | undefined } | { base64: string | undefined } | { bytes: Uint8Array | undefined };

  /**
   * Whether what a caller sent is the keyed hash of a message under a secret, compared in constant time.
   *
   * ```js
   * secrets.verifyHmac('SHOP', { message: [timestamp, '.', secrets.BODY], hex: callback.header('x-signature') })
   * ```
   *
   * Fails with `unknown-secret`, and with `invalid-key` when its value has not the form that `key` says.
   */
  function verifyHmac(
    secret: string,
    what: Sent & {
      /** `sha256` where there is none. */
      algorithm?: 'sha1' | 'sha256' | 'sha384' | 'sha512';
      /** How the secret says the key: as it is, or in hexadecimal or base64. */
      key?: 'plain' | 'hex' | 'base64';
      /** The parts that are signed, one after the other; the body where there are none. */
      message?: Part | Part[];
    },
  ): boolean;

  /** Whether what a caller sent is the signature of a message under a public key that is stored as a secret: PEM, or base64 of the DER
   * form, or for Ed25519 of the 32 bytes. Fails with `unknown-secret` and `invalid-key`. */
  function verifySignature(
    key: string,
    what: Sent & {
      algorithm:
        | 'ed25519'
        | 'ecdsa-p256-sha256'
        | 'ecdsa-p384-sha384'
        | 'rsa-pkcs1-sha1'
        | 'rsa-pkcs1-sha256'
        | 'rsa-pkcs1-sha512'
        | 'rsa-pss-sha256';
      message?: Part | Part[];
    },
  ): boolean;

  /** Whether a value is that of a secret, compared in constant time. Fails with `unknown-secret`. */
  function equals(secret: string, value: string | Uint8Array | undefined): boolean;
}

/** A small store of the plugin's own, shared by all of its versions and calls: 10,000 keys of 256 bytes, values of 64 KiB. */
export namespace state {
  /** The value under a key; none when there is none. */
  function get(key: string): any;
  /** Keeps a value, as JSON, and returns when it is on disk. */
  function set(key: string, value: unknown): void;
  /** Removes a key. */
  function remove(key: string): void;
  /** The bytes under a key, whatever they are. */
  function getBytes(key: string): Uint8Array | undefined;
  /** Keeps bytes, or a text as UTF-8. */
  function setBytes(key: string, value: string | Uint8Array): void;
}

/** Requests to hosts that the operator has allowed for plugins (`plugin_http_hosts`); none are by default. */
export namespace http {
  interface Response {
    readonly status: number;
    /** Whether the status is 200 to 299. */
    readonly ok: boolean;
    /** Names in lower case. */
    readonly headers: [name: string, value: string][];
    header(name: string): string | undefined;
    readonly body: Uint8Array;
    readonly text: string;
    readonly json: any;
  }

  /** Sends a request and waits for the whole response, which counts against the time of the call. Redirects are not followed. Fails with
   * `host-not-allowed`, `invalid-request`, `too-large`, or, retryable, `unreachable`. */
  function send(
    url: string,
    request?: {
      /** `POST` where there is a body, else `GET`. */
      method?: string;
      headers?: Record<string, string> | [name: string, value: string][];
      json?: unknown;
      body?: string | Uint8Array;
    },
  ): Response;
}

/** A case that a plugin says it passes, for `export const vectors`: run when it is uploaded, and by `ringback plugin build`. */
export interface Vector {
  name: string;
  role: Role;
  config?: unknown;
  callback?: {
    method?: string;
    url?: string;
    headers?: Record<string, string>;
    /** A text, or what is sent as JSON. */
    body?: unknown;
    body_base64?: string;
    flow?: string;
    trigger?: string;
    environment?: string;
    remote_address?: string;
    claims?: unknown;
  };
  /** What the body was parsed into; the body as JSON where there is none. */
  data?: unknown;
  execution?: { scope?: unknown; id?: string; flow?: string; environment?: string };
  /** Milliseconds since 1970. */
  now?: number;
  secrets?: Record<string, string>;
  state?: Record<string, string>;
  /** What requests are answered, in their order. */
  http?: { url?: string; status?: number; headers?: Record<string, string>; body?: unknown; body_base64?: string }[];
  expect:
    | { accepted: { delivery_id?: string; subject?: string; claims?: unknown } }
    | { rejected: true | string }
    | { data: unknown }
    | { holds: boolean; reason?: string }
    | { result: unknown }
    | { reply: { status?: number; headers?: Record<string, string>; body?: unknown; body_base64?: string } }
    | { failure: string };
}
