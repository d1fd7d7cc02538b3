// Between the functions of an author and the interface of the host: what `ringback plugin build` exports of a component.

import './globals.js';
import { Callback } from './callback.js';
import { Execution } from './execution.js';
import { Failure } from './failure.js';
import * as log from './log.js';
import { toDecision, toJson, toReply, toVerdict } from './results.js';

/** Most of a message that is kept with a failure; the host keeps no more. */
const MESSAGE_MAX = 3000;

/** The frames of a stack, with lines of the author's files, as far as the build says where they are. */
function frames(stack) {
  const { sources, runs } = globalThis.__ringback_lines ?? { sources: [], runs: [] };
  const found = [];
  for (const [, name, line] of String(stack ?? '').matchAll(/at (?:(.*?) \()?[^()\n]*?:(\d+)(?::\d+)?\)?(?:\n|$)/g)) {
    const run = runs.findLast(([from]) => from <= line - 1);
    if (runs.length === 0) found.push({ name, place: `line ${line}` });
    else if (run !== undefined && run[1] >= 0) {
      found.push({ name, place: `${sources[run[1]]}:${run[2] + (line - 1 - run[0]) + 1}` });
    }
  }
  return found;
}

/** What was thrown, as the host takes it. What is no failure of the plugin's own goes into the log with its stack. */
function failure(thrown, code) {
  if (thrown instanceof Failure) {
    const { message, retryable, pointer, detail } = thrown;
    const kept = detail === undefined ? undefined : JSON.stringify(detail);
    return { code: String(thrown.code), message, retryable: Boolean(retryable), pointer, detail: kept };
  }
  const said = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : `thrown: ${String(thrown)}`;
  const [first, ...rest] = frames(thrown?.stack);
  const message = first === undefined ? said : `${said} (${first.place})`;
  if (first !== undefined) {
    const lines = [first, ...rest].map(({ name, place }) => `    at ${name === undefined ? place : `${name} (${place})`}`);
    log.error([said, ...lines].join('\n'));
  }
  return { code, message: message.slice(0, MESSAGE_MAX), retryable: false, pointer: undefined, detail: undefined };
}

/** Calls a function of the author, and takes its result over. */
function call(role, work, result) {
  try {
    const value = work();
    if (typeof value?.then === 'function') {
      throw new Failure('promise', `the ${role} returned a promise, and nobody waits for one: leave out \`async\` and \`await\``);
    }
    return result(value);
  } catch (thrown) {
    throw failure(thrown, 'exception');
  }
}

/** The function that a module exports for a role. */
function exported(plugin, role) {
  const made = plugin[role];
  if (typeof made !== 'function') throw new TypeError(`\`${role}\` is exported, and is no function`);
  return made;
}

/** A configuration; without one, an empty object. */
const parsed = (config) => JSON.parse(config) ?? {};

const context = (config, execution) => ({
  config: parsed(config),
  execution: execution === undefined || execution === null ? undefined : new Execution(execution),
});

export function verifier(plugin) {
  const verify = exported(plugin, 'verifier');
  return {
    verify: (callback, config) => call('verifier', () => verify(new Callback(callback), context(config)), toVerdict),
  };
}

export function parser(plugin) {
  const parse = exported(plugin, 'parser');
  return {
    parse: (callback, config) =>
      call('parser', () => parse(new Callback(callback), context(config)), (data) => toJson('parser', data)),
  };
}

export function condition(plugin) {
  const evaluate = exported(plugin, 'condition');
  return {
    evaluate: (callback, execution, config) =>
      call('condition', () => evaluate(new Callback(callback), context(config, execution)), toDecision),
  };
}

export function step(plugin) {
  const run = exported(plugin, 'step');
  return {
    run: (execution, config) =>
      call('step', () => run(new Execution(execution), context(config)), (result) => toJson('step', result)),
  };
}

export function responder(plugin) {
  const respond = exported(plugin, 'responder');
  return {
    respond: (callback, execution, config) =>
      call('responder', () => respond(new Callback(callback), context(config, execution)), toReply),
  };
}

/** The schema of a role: `schema` is one for all, or an object with one for each. */
function schemaOf(plugin, role) {
  const { schema } = plugin;
  const roles = ['verifier', 'parser', 'condition', 'step', 'responder'];
  const names = Object.keys(schema ?? {});
  return names.length > 0 && names.every((name) => roles.includes(name)) ? schema[role] : schema;
}

export function configurable(plugin) {
  const check = plugin.check === undefined ? () => undefined : exported(plugin, 'check');
  return {
    schema: (role) => {
      const schema = schemaOf(plugin, role);
      return schema === undefined ? undefined : JSON.stringify(schema);
    },
    check: (role, config) => {
      let wrong;
      try {
        wrong = check(parsed(config), { role });
      } catch (thrown) {
        throw failure(thrown, 'invalid-config');
      }
      if (wrong === undefined || wrong === null || wrong === true) return;
      throw failure(new Failure('invalid-config', wrong === false ? 'it is not accepted' : String(wrong)));
    },
  };
}

export function vectors(plugin) {
  return { cases: () => toJson('list of vectors', plugin.vectors) };
}
