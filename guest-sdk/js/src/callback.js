import { asked } from './failure.js';

/** One received request. What is asked for is taken over from the host, and data once. */
export class Callback {
  #host;
  #data;

  constructor(host) {
    this.#host = host;
  }

  get id() {
    return this.#host.id();
  }

  get environment() {
    return this.#host.environment();
  }

  get flow() {
    return this.#host.flow() ?? undefined;
  }

  get trigger() {
    return this.#host.trigger() ?? undefined;
  }

  get remoteAddress() {
    return this.#host.remoteAddress() ?? undefined;
  }

  get receivedAt() {
    return new Date(Number(this.#host.receivedAt()));
  }

  get method() {
    return this.#host.method();
  }

  get url() {
    return this.#host.url();
  }

  get path() {
    return this.#host.path();
  }

  get queryPairs() {
    return this.#host.queryPairs();
  }

  query(name) {
    return this.#host.query(name)[0];
  }

  queryAll(name) {
    return this.#host.query(name);
  }

  get headers() {
    return this.#host.headers();
  }

  header(name) {
    return this.#host.header(name) ?? undefined;
  }

  get bodySize() {
    return Number(this.#host.bodySize());
  }

  get body() {
    return this.#host.body();
  }

  get text() {
    return asked(() => this.#host.text());
  }

  get data() {
    this.#data ??= { read: JSON.parse(asked(() => this.#host.data())) };
    return this.#data.read;
  }

  get(path) {
    return this.select(path)[0];
  }

  select(path) {
    return JSON.parse(asked(() => this.#host.select(path)));
  }

  get claims() {
    const claims = this.#host.claims() ?? undefined;
    return claims === undefined ? undefined : JSON.parse(claims);
  }
}
