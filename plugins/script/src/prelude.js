// What is in the engine before a script is: evaluated once, when the engine is built, and kept in its memory.
(function (log, random) {
  "use strict";
  const { stringify } = JSON;
  const { entries, keys } = Object;

  const show = (value) => {
    if (value === null || typeof value !== "object") return String(value);
    if (value instanceof Error) return `${value}`;
    try {
      return stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const write = (level) => (...values) => log(level, values.map(show).join(" ").toWellFormed());
  const console = { debug: write(0), log: write(1), info: write(1), warn: write(2), error: write(3) };
  Object.defineProperty(globalThis, "console", { value: console, writable: true, configurable: true });
  Math.random = random;

  // A mistake in what a script returned: a stable code and a sentence.
  const refuse = (code, message) => {
    throw { code, message };
  };
  // A value in a few words.
  const describe = (value) => {
    const kind = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
    if (kind === "function" || kind === "symbol") return `a ${kind}`;
    if (kind === "object") return "an object";
    const text = show(value);
    const short = text.length > 40 ? `${text.slice(0, 40).toWellFormed()}…` : text.toWellFormed();
    if (kind === "string") return `the text ${stringify(short)}`;
    return ["null", "undefined", "a list"].includes(kind) ? kind : `the ${kind} ${short}`;
  };
  const whole = (value, wanted) => {
    if (value === undefined) refuse("returned-nothing", `the script returned nothing, where ${wanted} is needed: is a \`return\` missing?`);
    if (value instanceof Promise) refuse("returned-promise", "the script returned a promise, which nobody waits for: a script computes, and ends with its last line");
    return value;
  };
  const json = (value, wanted) => stringify(whole(value, wanted))
    ?? refuse("not-json", `the script returned ${describe(value)}, which is no JSON${typeof value === "function" ? ": is it to be called?" : ""}`);

  const REPLY = ["status", "headers", "json", "text"];
  const reply = (value) => {
    const wrong = (message) => refuse("not-a-reply", message);
    if (typeof whole(value, "an answer") !== "object" || value === null || Array.isArray(value)) {
      wrong(`the script returned ${describe(value)}, where an answer is needed: an object with ${REPLY.join(", ")}`);
    }
    const unknown = keys(value).find((key) => !REPLY.includes(key));
    if (unknown !== undefined) wrong(`an answer has no \`${unknown}\`; it may have ${REPLY.join(", ")}`);
    const { status = 200, headers = {}, text } = value;
    if (!Number.isInteger(status) || status < 200 || status > 599) wrong(`the status is ${describe(status)}, not a whole number from 200 to 599`);
    if (typeof headers !== "object" || headers === null || Array.isArray(headers)) wrong(`the headers are ${describe(headers)}, not an object`);
    if (text !== undefined && value.json !== undefined) wrong("an answer has either `json` or `text`");
    if (text !== undefined && typeof text !== "string") wrong(`\`text\` is ${describe(text)}, not a text`);
    const lines = entries(headers).map(([name, content]) => {
      if (typeof content !== "string" && typeof content !== "number") wrong(`the header \`${name}\` is ${describe(content)}, not a text`);
      return [name.toWellFormed(), `${content}`.toWellFormed()];
    });
    const body = text ?? (value.json === undefined ? "" : json(value.json, "an answer"));
    if (body !== "" && !lines.some(([name]) => name.toLowerCase() === "content-type")) {
      lines.push(["content-type", text === undefined ? "application/json" : "text/plain; charset=utf-8"]);
    }
    return { status, headers: lines, body };
  };

  // What was thrown, in one sentence.
  const thrown = (error) => {
    if (!(error instanceof Error)) return `the script threw ${describe(error)}, which is no Error`;
    const line = /script:(\d+)/.exec(error.stack)?.[1];
    const said = `${error}`.slice(0, 600).toWellFormed();
    return line === undefined ? said : `${said} (line ${line})`;
  };

  // What a script's value becomes, by role.
  return {
    condition(value) {
      if (typeof whole(value, "true or false") === "boolean") return value;
      refuse("not-a-boolean", `the script returned ${describe(value)}, where true or false is needed`);
    },
    parser: (value) => json(value, "the data"),
    step: (value) => json(value, "a result"),
    responder: reply,
    thrown,
    unread: (error) => `${error.message}`.slice(0, 600).toWellFormed(),
  };
})
