import { send as hostSend } from '#host/http';
import { fromUtf8, toBytes, toUtf8 } from './bytes.js';
import { asked } from './failure.js';
import { pairs } from './results.js';

class Response {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  header(name) {
    const values = this.headers.filter(([found]) => found === name.toLowerCase()).map(([, value]) => value);
    return values.length > 0 ? values.join(', ') : undefined;
  }

  get text() {
    return fromUtf8(this.body);
  }

  get json() {
    return JSON.parse(this.text);
  }
}

/** Sends a request, and waits for the whole response. */
export function send(url, { method, headers, json, body } = {}) {
  const all = pairs(headers);
  const has = (name) => all.some(([found]) => found.toLowerCase() === name);
  if (json !== undefined && !has('content-type')) all.push(['content-type', 'application/json']);
  const bytes = json !== undefined ? toUtf8(JSON.stringify(json)) : body !== undefined ? toBytes(body) : undefined;
  const request = { method: method ?? (bytes === undefined ? 'GET' : 'POST'), url, headers: all, body: bytes };
  return new Response(asked(() => hostSend(request)));
}
