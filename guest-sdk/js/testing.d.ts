/** What tests of a plugin need, without a server. Secrets, state, log lines and answers are those of the process; `reset` forgets them. */

import type { Callback, Execution, Vector } from './index.js';

/** A received request: a `POST` to `https://example.test/h/key` without headers and body, but for what is said. */
export function callback<Data = any>(given?: {
  id?: string;
  method?: string;
  url?: string;
  headers?: Record<string, string> | [name: string, value: string][];
  /** A text, bytes, or what is sent as JSON. */
  body?: unknown;
  /** What the body was parsed into, where that is not the body read as JSON. */
  data?: Data;
  environment?: string;
  flow?: string;
  trigger?: string;
  remoteAddress?: string;
  claims?: unknown;
  receivedAt?: Date | string | number;
}): Callback<Data>;

/** A run of a flow, of which expressions see this. */
export function execution(scope?: unknown, about?: { id?: string; flow?: string; environment?: string }): Execution;

/** Stores a secret. */
export function setSecret(name: string, value: string | Uint8Array): void;

/** Lets time stand still. */
export function setNow(time: Date | string | number): void;

/** Takes the lines that were logged since, as `level: message`. */
export function takeLog(): string[];

/** Answers the requests of `http.send`. */
export function onHttp(
  answer: (request: {
    method: string;
    url: string;
    headers: [name: string, value: string][];
    body: Uint8Array | undefined;
    text: string | undefined;
  }) => {
    status?: number;
    headers?: Record<string, string> | [name: string, value: string][];
    json?: unknown;
    body?: string | Uint8Array;
  },
): void;

/** Forgets secrets, state, log lines, answers and the time. */
export function reset(): void;

/** The cases of a file, `vectors.json` where none is named: those that a server runs when the plugin is uploaded. */
export function cases(path?: string): Vector[];

/**
 * Runs a case on the functions of a module, with the secrets, the state and the answers that it says, and no others. An `AssertionError`
 * says what differs; what the plugin throws is thrown, where the case expects no failure.
 *
 * ```js
 * for (const one of cases()) test(one.name, () => check(plugin, one));
 * ```
 */
export function check(plugin: object, vector: Vector): void;
