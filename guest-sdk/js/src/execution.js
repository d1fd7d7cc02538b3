import { asked } from './failure.js';

/** One run of a flow. */
export class Execution {
  #host;
  #scope;

  constructor(host) {
    this.#host = host;
  }

  get id() {
    return this.#host.id();
  }

  get flow() {
    return this.#host.flow();
  }

  get environment() {
    return this.#host.environment();
  }

  get scope() {
    this.#scope ??= JSON.parse(this.#host.scope());
    return this.#scope;
  }

  get(path) {
    return this.select(path)[0];
  }

  select(path) {
    return JSON.parse(asked(() => this.#host.select(path)));
  }
}
