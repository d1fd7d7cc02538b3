// What is in the engine before a script is: evaluated once, when the engine is built, and kept in its memory.
(function (host) {
  "use strict";
  const { parse, stringify } = JSON;
  const { entries, freeze, fromEntries, keys } = Object;
  const { isArray } = Array;

  // Whether a value contains itself, or so many levels of others as nobody reads.
  const LEVELS = 100;
  const isDeep = (value, above) => {
    if (typeof value !== "object" || value === null) return false;
    if (above.length === LEVELS || above.includes(value)) return true;
    const [levels, members] = [[...above, value], Object.values(value)];
    // With as little of the stack as can be.
    for (let at = 0; at < members.length; at++) if (isDeep(members[at], levels)) return true;
    return false;
  };
  // A value as text, whatever it is and does.
  const show = (value) => {
    try {
      if (value === null || typeof value !== "object" || value instanceof Error) return String(value);
      if (isDeep(value, [])) return "(a value that contains itself, or nests too deeply to be shown)";
      return stringify(value) ?? String(value);
    } catch {
      try {
        return String(value);
      } catch {
        return "(a value that cannot be shown)";
      }
    }
  };
  // All that is kept of one call: more need not reach the server.
  const KEPT = 16 * 4096;
  const shown = (value) => show(value).slice(0, KEPT);
  const write = (level) => (...values) => host.log(level, values.map(shown).join(" ").slice(0, KEPT).toWellFormed());
  const console = { debug: write(0), log: write(1), info: write(1), warn: write(2), error: write(3) };
  Math.random = host.random;

  // A mistake in what a script returned: a stable code and a sentence.
  const refuse = (code, message) => {
    throw { code, message };
  };
  // A value in a few words.
  const describe = (value) => {
    const kind = value === null ? "null" : isArray(value) ? "a list" : typeof value;
    if (kind === "function" || kind === "symbol") return `a ${kind}`;
    if (kind === "object") return "an object";
    const text = show(value);
    const short = text.length > 40 ? `${text.slice(0, 40).toWellFormed()}…` : text.toWellFormed();
    if (kind === "string") return `the text ${stringify(short)}`;
    return ["null", "undefined", "a list"].includes(kind) ? kind : `the ${kind} ${short}`;
  };

  // Who answers, in sentences: a script, or a function of a plugin.
  let who = "the script";
  let isPlugin = false;
  // Where the lines of a script are, where they are not those of its flow.
  let where = "";
  const isFile = (name) => { where = ` of ${name}`; };
  const whole = (value, wanted) => {
    if (value === undefined) refuse("returned-nothing", `${who} returned nothing, where ${wanted} is needed: is a \`return\` missing?`);
    if (value instanceof Promise) refuse("returned-promise", `${who} returned a promise, which nobody waits for: a script computes, and ends with its last line`);
    return value;
  };
  const json = (value, wanted) => stringify(whole(value, wanted))
    ?? refuse("not-json", `${who} returned ${describe(value)}, which is no JSON${typeof value === "function" ? ": is it to be called?" : ""}`);
  const isObject = (value) => typeof value === "object" && value !== null && !isArray(value);
  const unknown = (value, known) => keys(value).find((key) => !known.includes(key));

  const optional = (value, name, code) => {
    const text = value[name];
    if (text !== undefined && text !== null && typeof text !== "string") refuse(code, `\`${name}\` is ${describe(text)}, not a text`);
    return text?.toWellFormed();
  };

  const isBytes = (value) => value instanceof Uint8Array;
  const BODIES = { json: "JSON", text: "a text", body: "a text or a Uint8Array" };
  const reply = (value) => {
    const wrong = (message) => refuse("not-a-reply", message);
    const REPLY = ["status", "headers", "json", isPlugin ? "body" : "text"];
    if (!isObject(whole(value, "an answer"))) {
      wrong(`${who} returned ${describe(value)}, where an answer is needed: an object with ${REPLY.join(", ")}`);
    }
    const other = unknown(value, REPLY);
    if (other !== undefined) wrong(`an answer has no \`${other}\`; it may have ${REPLY.join(", ")}`);
    const { status = 200, headers = {}, text = value.body } = value;
    const name = REPLY[3];
    if (!Number.isInteger(status) || status < 200 || status > 599) wrong(`the status is ${describe(status)}, not a whole number from 200 to 599`);
    if (!isObject(headers) && !isArray(headers)) wrong(`the headers are ${describe(headers)}, not an object`);
    if (text !== undefined && value.json !== undefined) wrong(`an answer has either \`json\` or \`${name}\``);
    if (text !== undefined && typeof text !== "string" && !(isPlugin && isBytes(text))) wrong(`\`${name}\` is ${describe(text)}, not ${BODIES[name]}`);
    const lines = (isArray(headers) ? headers : entries(headers)).map((pair) => {
      if (!isArray(pair) || typeof pair[0] !== "string") wrong(`a header is ${describe(pair)}, not a name with its value`);
      const [name, content] = pair;
      if (typeof content !== "string" && typeof content !== "number") wrong(`the header \`${name}\` is ${describe(content)}, not a text`);
      return [name.toWellFormed(), `${content}`.toWellFormed()];
    });
    const body = text ?? (value.json === undefined ? "" : json(value.json, "an answer"));
    if (typeof body === "string" && body !== "" && !lines.some(([name]) => name.toLowerCase() === "content-type")) {
      lines.push(["content-type", text === undefined ? "application/json" : "text/plain; charset=utf-8"]);
    }
    return { status, headers: lines, body };
  };

  // More of why something is decided is not kept.
  const SAID = 4096;
  const accept = (proof = {}) => ({ accepted: proof });
  const reject = (reason) => ({ rejected: reason });
  const verdict = (value) => {
    const wrong = (message) => refuse("not-a-verdict", message);
    if (typeof whole(value, "true or false") === "boolean") return value ? { accepted: true } : { reason: `${who} says no` };
    if (isObject(value)) {
      const [first, ...rest] = keys(value);
      const { accepted, rejected } = value;
      if (rest.length === 0 && first === "rejected" && typeof rejected === "string") return { reason: rejected.slice(0, SAID).toWellFormed() };
      if (rest.length === 0 && first === "accepted" && isObject(accepted)) {
        const PROOF = ["deliveryId", "subject", "claims"];
        const other = unknown(accepted, PROOF);
        if (other !== undefined) wrong(`what is proved has no \`${other}\`; it may have ${PROOF.join(", ")}`);
        const [id, subject] = PROOF.slice(0, 2).map((name) => optional(accepted, name, "not-a-verdict"));
        const claims = accepted.claims === undefined ? undefined : json(accepted.claims, "a proof");
        return { accepted: true, id, subject, claims };
      }
    }
    wrong(`${who} returned ${describe(value)}, where true, false, accept(…) or reject(why) is needed`);
  };

  // What a value becomes, by role.
  const roles = {
    verifier: verdict,
    condition(value) {
      if (typeof whole(value, "true or false") === "boolean") return { holds: value };
      if (isObject(value) && typeof value.holds === "boolean") {
        const other = unknown(value, ["holds", "reason"]);
        if (other !== undefined) refuse("not-a-boolean", `a decision has no \`${other}\`; it may have holds, reason`);
        return { holds: value.holds, reason: optional(value, "reason", "not-a-boolean")?.slice(0, SAID).toWellFormed() };
      }
      refuse("not-a-boolean", `${who} returned ${describe(value)}, where true or false is needed, or { holds, reason }`);
    },
    parser: (value) => json(value, "the data"),
    step: (value) => json(value, "a result"),
    responder: reply,
  };

  // Why a plugin could not do its work.
  class Failure extends Error {
    constructor(code, message, { retryable = false, pointer, detail } = {}) {
      super(message);
      this.name = "Failure";
      this.code = `${code}`;
      this.retryable = retryable === true;
      this.pointer = pointer;
      this.detail = detail;
    }
  }

  const BODY = Symbol("the body of the callback");
  const ALGORITHMS = ["sha1", "sha256", "sha384", "sha512"];
  const SIGNATURES = ["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pkcs1-sha1", "rsa-pkcs1-sha256", "rsa-pkcs1-sha512", "rsa-pss-sha256"];
  const KEYS = ["plain", "hex", "base64"];
  const FORMS = ["bytes", "hex", "base64"];
  const isMissing = (value) => value === undefined || value === null;
  const named = (secret) => {
    if (typeof secret !== "string") throw new TypeError(`the name of a secret is needed, not ${describe(secret)}`);
    return true;
  };
  const choice = (name, value, allowed) => {
    const index = allowed.indexOf(value);
    if (index < 0) throw new TypeError(`\`${name}\` is ${describe(value)}; it may be ${allowed.join(", ")}`);
    return index;
  };
  // What was sent, and the parts that it is of. What is missing was not sent, and so fits nothing.
  const sent = (of, what, members) => {
    if (!isObject(what)) throw new TypeError(`say what was sent: ${of}(NAME, { hex: … }), or base64, or bytes`);
    const other = unknown(what, [...members, "message", ...FORMS]);
    if (other !== undefined) throw new TypeError(`${of} has no \`${other}\`; it may have ${[...members, "message", "hex", "base64", "bytes"].join(", ")}`);
    const [form, ...more] = FORMS.filter((form) => form in what);
    if (form === undefined || more.length > 0) throw new TypeError("what was sent is given as one of hex, base64 and bytes");
    const proof = what[form];
    if (!isMissing(proof) && (form === "bytes" ? !isBytes(proof) : typeof proof !== "string")) throw new TypeError(`\`${form}\` is ${describe(proof)}`);
    const { message = BODY } = what;
    const parts = isArray(message) ? message : [message];
    const wrong = parts.find((part) => part !== BODY && typeof part !== "string" && !isBytes(part) && !isMissing(part));
    if (wrong !== undefined) throw new TypeError(`a part of the message is a text, a Uint8Array or secrets.BODY, not ${describe(wrong)}`);
    if (isMissing(proof) || parts.some(isMissing)) return undefined;
    return [parts.map((part) => (part === BODY ? null : part)), FORMS.indexOf(form), proof];
  };
  const secrets = freeze({
    BODY,
    verifyHmac(secret, what) {
      const fits = sent("verifyHmac", what, ["algorithm", "key"]);
      const algorithm = choice("algorithm", what.algorithm ?? "sha256", ALGORITHMS);
      const key = choice("key", what.key ?? "plain", KEYS);
      return named(secret) && fits !== undefined && host.mac(secret, algorithm, ...fits, key);
    },
    verifySignature(key, what) {
      const fits = sent("verifySignature", what, ["algorithm"]);
      const algorithm = choice("algorithm", what.algorithm, SIGNATURES);
      return named(key) && fits !== undefined && host.signature(key, algorithm, ...fits);
    },
    equals(secret, value) {
      named(secret);
      if (typeof value !== "string" && !isBytes(value) && !isMissing(value)) {
        throw new TypeError(`a text or a Uint8Array is compared with a secret, not ${describe(value)}`);
      }
      return !isMissing(value) && host.equals(secret, value);
    },
  });

  const toUtf8 = (text) => host.toUtf8(`${text}`);
  const fromUtf8 = (bytes, { fatal = false } = {}) => {
    const text = host.fromUtf8(bytes);
    const isSame = (again) => again.length === bytes.length && again.every((byte, at) => byte === bytes[at]);
    if (fatal && !isSame(toUtf8(text))) throw new TypeError("these bytes are no UTF-8");
    return text;
  };
  const orNone = (read) => {
    try {
      return read();
    } catch {
      return undefined;
    }
  };
  const toHex = (bytes) => bytes.toHex();
  const fromHex = (text) => orNone(() => Uint8Array.fromHex(text));
  const toBase64 = (bytes) => bytes.toBase64();
  const fromBase64 = (text) => orNone(() => Uint8Array.fromBase64(text.replaceAll("-", "+").replaceAll("_", "/")));
  const randomBytes = (length) => host.randomBytes(length);
  const randomUUID = () => {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  // What takes effects is known of a plugin before its calls, by what it imports.
  const imports = { state: false, http: false };
  const onlyImported = (name, functions) => freeze(fromEntries(entries(functions).map(([one, work]) => [one, (...values) => {
    if (!imports[name]) {
      throw new Failure("not-imported", `\`${name}\` is there for a file that imports it: \`import { ${name} } from "@ringback/plugin"\``);
    }
    return work(...values);
  }])));
  const bytesOf = (value, what) => {
    if (typeof value !== "string" && !isBytes(value)) throw new TypeError(`${what} is ${describe(value)}, not a text or a Uint8Array`);
    return value;
  };
  const jsonOf = (value, what) => stringify(value) ?? refuse("not-json", `${what} is ${describe(value)}, which is no JSON`);
  const state = onlyImported("state", {
    get(key) {
      const bytes = host.getState(`${key}`);
      return bytes === undefined ? undefined : parse(fromUtf8(bytes));
    },
    set: (key, value) => host.setState(`${key}`, jsonOf(value, `what is to be kept under \`${key}\``)),
    remove: (key) => host.removeState(`${key}`),
    getBytes: (key) => host.getState(`${key}`),
    setBytes: (key, value) => host.setState(`${key}`, bytesOf(value, `what is to be kept under \`${key}\``)),
  });

  class Response {
    constructor([status, headers, body]) {
      this.status = status;
      this.headers = headers;
      this.body = body;
    }
    get ok() { return this.status >= 200 && this.status < 300; }
    header(name) {
      const values = this.headers.filter(([found]) => found === name.toLowerCase()).map(([, value]) => value);
      return values.length > 0 ? values.join(", ") : undefined;
    }
    get text() { return fromUtf8(this.body); }
    get json() { return parse(this.text); }
  }
  const http = onlyImported("http", {
    send(url, request = {}) {
      const REQUEST = ["method", "headers", "json", "body"];
      if (!isObject(request)) throw new TypeError(`a request is ${describe(request)}, not an object with ${REQUEST.join(", ")}`);
      const other = unknown(request, REQUEST);
      if (other !== undefined) throw new TypeError(`a request has no \`${other}\`; it may have ${REQUEST.join(", ")}`);
      const { headers = {}, json, body } = request;
      const lines = (isArray(headers) ? headers : entries(headers)).map(([name, value]) => [`${name}`.toWellFormed(), `${value}`.toWellFormed()]);
      const isTyped = lines.some(([name]) => name.toLowerCase() === "content-type");
      if (json !== undefined && !isTyped) lines.push(["content-type", "application/json"]);
      const sent = json !== undefined ? jsonOf(json, "`json`") : body !== undefined ? bytesOf(body, "`body`") : undefined;
      const method = request.method ?? (sent === undefined ? "GET" : "POST");
      return new Response(host.send(`${method}`.toWellFormed(), `${url}`.toWellFormed(), lines, sent));
    },
  });

  // What is imported from the package of the SDK.
  const library = {
    Failure, accept, reject, secrets, randomBytes, randomUUID, toUtf8, fromUtf8, toHex, fromHex, toBase64, fromBase64,
    now: () => new Date(),
    log: freeze({ debug: console.debug, info: console.info, warn: console.warn, error: console.error }),
    state,
    http,
  };

  // What packages expect to be there, as the SDK makes it for components.
  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return toUtf8(text); }
  }
  class TextDecoder {
    #fatal;
    constructor(label = "utf-8", { fatal = false } = {}) {
      if (!/^(unicode-1-1-)?utf-?8$/i.test(label)) throw new RangeError(`the encoding ${label} is not known here; utf-8 is`);
      this.#fatal = fatal;
    }
    get encoding() { return "utf-8"; }
    decode(input = new Uint8Array()) {
      const bytes = ArrayBuffer.isView(input) ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength) : new Uint8Array(input);
      const isMarked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
      return fromUtf8(isMarked ? bytes.subarray(3) : bytes, { fatal: this.#fatal });
    }
  }
  const getRandomValues = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    bytes.set(randomBytes(bytes.length));
    return array;
  };
  const crypto = freeze({ getRandomValues, randomUUID });

  const provide = (values) => {
    for (const [name, value] of entries(values)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  };
  provide({ console, secrets, accept, reject });

  // What a function of a plugin is given. Nothing of it is there before it is asked for.
  class Callback {
    #data;
    get id() { return host.id(); }
    get environment() { return host.callbackEnvironment(); }
    get flow() { return host.callbackFlow(); }
    get trigger() { return host.trigger(); }
    get remoteAddress() { return host.remoteAddress(); }
    get claims() { return host.claims(); }
    get receivedAt() { return new Date(host.receivedAt()); }
    get method() { return host.method(); }
    get url() { return host.url(); }
    get path() { return host.path(); }
    get queryPairs() { return host.query(); }
    query(name) { return this.queryAll(name)[0]; }
    queryAll(name) { return host.query().filter(([found]) => found === name).map(([, value]) => value); }
    get headers() { return host.headers(); }
    header(name) { return host.header(`${name}`); }
    get bodySize() { return host.bodySize(); }
    get body() { return host.bytes(); }
    get text() { return host.text(); }
    get data() { return (this.#data ??= { read: host.data() }).read; }
    get(path) { return this.select(path)[0]; }
    select(path) { return host.select(`${path}`); }
  }

  class Execution {
    #scope;
    get id() { return host.executionId(); }
    get flow() { return host.flow(); }
    get environment() { return host.environment(); }
    get scope() { return (this.#scope ??= host.scope()); }
    get(path) { return this.select(path)[0]; }
    select(path) { return host.selectInScope(`${path}`); }
  }

  const NAMES = keys(roles);
  const functions = {};
  // What it says of itself, as texts: the schemas by role, and the cases.
  const known = { schemas: {}, vectors: "[]" };

  // `schema` is one for all roles, or an object with one for each.
  const describes = (schema, vectors = []) => {
    const said = (name, value, wanted) => {
      if (!(wanted === "a list" ? isArray(value) : isObject(value))) refuse("not-json", `\`${name}\` is ${describe(value)}, not ${wanted}`);
      return stringify(value) ?? refuse("not-json", `\`${name}\` is no JSON`);
    };
    known.vectors = said("vectors", vectors, "a list");
    if (schema === undefined) return;
    const text = said("schema", schema, "an object");
    const names = keys(schema);
    const byRole = names.length > 0 && names.every((name) => NAMES.includes(name));
    known.schemas = fromEntries(NAMES.map((role) => [role, byRole ? stringify(schema[role]) : text]));
  };

  // The file of a plugin is read: what goes wrong then, that does. A script has none of what packages expect, since its flow may
  // have results of these names.
  const reads = () => {
    who = "the file";
    provide({ TextEncoder, TextDecoder, crypto });
  };

  const cannotImport = (name) => refuse("not-there", name.startsWith("node:")
    ? `it imports \`${name}\`, which is built into Node.js and is not there: docs/scripts.md lists what is`
    : `it imports \`${name}\`, and a plugin in JavaScript is one file: put them into one with \`npx esbuild plugin.js --bundle `
      + "--format=esm --external:@ringback/plugin --outfile=one.js`, and push that");

  // Before it is evaluated: what it imports.
  const uses = (state, http) => { Object.assign(imports, { state, http }); };

  // Takes over what a plugin exports, and answers the roles that it has, and what it imports that takes effects.
  const load = (module) => {
    const { default: all = {} } = module;
    const example = "such as `export function condition(callback, { config }) { return callback.data.total >= config.minimum }`";
    if (typeof all === "function") {
      refuse("unnamed", `\`export default\` is a function, and nothing says what it is for: export it by a name (${NAMES.join(", ")}), ${example}`);
    }
    if (!isObject(all)) refuse("no-function", `\`export default\` is ${describe(all)}, not an object with ${NAMES.join(", ")}`);
    for (const name of [...NAMES, "check"]) {
      const found = module[name] ?? all[name];
      if (found === undefined) continue;
      if (typeof found !== "function") refuse("no-function", `\`${name}\` is ${describe(found)}, not a function`);
      if (/Async/.test(Object.prototype.toString.call(found))) {
        refuse("async", `\`${name}\` is async, and nobody waits for a promise: leave out \`async\` and \`await\`; requests are made by \`http\` steps`);
      }
      functions[name] = found;
    }
    describes(module.schema ?? all.schema, module.vectors ?? all.vectors);
    const has = NAMES.filter((role) => functions[role]);
    if (has.length === 0) {
      const exported = keys(module).concat(keys(all)).filter((name) => name !== "default");
      const meant = NAMES.find((role) => exported.some((name) => isNearly(name, role)));
      const hint = meant === undefined ? "" : ` (is \`${meant}\` meant?)`;
      const instead = exported.length === 0 ? "" : `; it exports ${exported.join(", ").slice(0, 200)}${hint}`;
      refuse("no-role", `the file exports none of ${NAMES.join(", ")}${instead}: write one, ${example}`);
    }
    isPlugin = true;
    return [...has, ...keys(imports).filter((name) => imports[name])].join(" ");
  };

  const call = (role, config, hasExecution) => {
    who = `the ${role}`;
    const execution = hasExecution ? new Execution() : undefined;
    const context = { config: config ?? {} };
    if (role === "condition" || role === "responder") context.execution = execution;
    const subject = role === "step" ? execution : new Callback();
    return roles[role](functions[role](subject, context));
  };

  const schema = (role) => known.schemas[role];
  const vectors = () => known.vectors;

  // What a plugin says of a configuration: a sentence where it is wrong.
  const check = (role, config) => {
    who = "`check`";
    const said = functions.check?.(config ?? {}, { role });
    if (said === undefined || said === null || said === true) return undefined;
    if (said === false) return "it is not accepted";
    if (typeof said === "string") return said.toWellFormed();
    return `\`check\` returned ${describe(said)}: it answers a sentence where a configuration is wrong, and else nothing`;
  };

  const PLACE = /(?:script|plugin\.js):(\d+)(?::(\d+))?/;

  // What was thrown, in one sentence.
  const thrown = (error) => {
    if (!(error instanceof Error)) return `${who} threw ${describe(error)}, which is no Error`;
    const line = PLACE.exec(error.stack)?.[1];
    const said = `${error}`.slice(0, 600).toWellFormed();
    return line === undefined ? said : `${said} (line ${line}${where})`;
  };

  // Whether a word is probably this one: one letter is wrong, missing or too many, or two are exchanged.
  const isNearly = (word, meant) => {
    if (word === meant || Math.abs(word.length - meant.length) > 1) return false;
    let start = 0;
    while (start < word.length && word[start] === meant[start]) start++;
    const [a, b] = [word.slice(start), meant.slice(start)];
    return a.slice(1) === b.slice(1) || a.slice(1) === b || a === b.slice(1) || a.slice(2) === b.slice(2) && a[0] === b[1] && a[1] === b[0];
  };

  // What cannot be read, in one sentence with its place before it: `3:14: …`. A script begins at the line `first`, and `before`
  // characters stand before it there.
  const mistake = (error, source, first, before, isScript) => {
    const lines = source.split("\n");
    const found = PLACE.exec(error.stack) ?? [];
    let [line, column] = [Number(found[1] ?? first), Number(found[2] ?? 1)];
    let said = `${error.message}`.slice(0, 600).toWellFormed();
    // Of some mistakes the engine knows the line alone, and says 1.
    if (line === first) column = Math.max(column - before, 1);
    if (line >= first + lines.length || (line === first + lines.length - 1 && column > lines.at(-1).length)) {
      line = first + lines.length - 1;
      column = lines.at(-1).length + 1;
      said = "the script ends too early: something is not closed, or misses its other half";
    }
    const text = lines[line - first] ?? "";
    const word = /^\s*([A-Za-z]+)/.exec(text)?.[1] ?? "";
    if (isScript && ["import", "export"].includes(/^\s*(\w+)/.exec(source)?.[1])) {
      said = "a script imports and exports nothing: write what it needs into it";
    } else if (text.includes("${{")) {
      said = "`${{ … }}` is for the texts of a flow file: a script names values as they are, such as `data.total`";
    } else if (/(^|[^\w.$])await\b/.test(text) && isScript) {
      said = "there is no `await`: a script computes, and nobody waits for a promise; requests are made by `http` steps";
    } else if (isNearly(word, "return")) {
      said = `\`${word}\` is no word of JavaScript: is \`return\` meant?`;
    } else if (!isScript && /^(module|exports|require) is not defined$/.test(said)) {
      said += ": a plugin is a module, which says `export function condition(…) { … }`, and `import` where it needs something";
    }
    return `${line}:${column}: ${isScript ? said : said.replace("the script ends", "the file ends")}`;
  };

  // The callback of a script has its bytes where it is about these.
  const prepare = () => {
    const { callback } = globalThis;
    if (isObject(callback)) Object.defineProperty(callback, "bytes", { get: () => host.bytes() });
  };

  return { ...roles, isFile, library, schema, vectors, reads, cannotImport, uses, load, call, check, thrown, mistake, prepare };
})
