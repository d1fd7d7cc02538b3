// JSONPath (RFC 9535) for tests; a host has its own.

const NAME_FIRST = /[a-z_\u0080-\ud7ff\ue000-\u{10ffff}]/iu;
const NAME = /[a-z0-9_\u0080-\ud7ff\ue000-\u{10ffff}]/iu;
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/;
const INTEGER = /^(?:0|-?[1-9][0-9]*)/;

/** What functions take and give: `value` a value, `nodes` what a query selects, `logical` whether something holds. */
const FUNCTIONS = {
  length: { takes: ['value'], gives: 'value' },
  count: { takes: ['nodes'], gives: 'value' },
  value: { takes: ['nodes'], gives: 'value' },
  match: { takes: ['value', 'value'], gives: 'logical' },
  search: { takes: ['value', 'value'], gives: 'logical' },
};

class Parser {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail(why) {
    throw new SyntaxError(`${why} at ${this.at}`);
  }

  get rest() {
    return this.text.slice(this.at);
  }

  space() {
    this.at += /^[ \t\n\r]*/.exec(this.rest)[0].length;
  }

  /** Whether this comes next; then it is taken. */
  takes(token) {
    if (!this.text.startsWith(token, this.at)) return false;
    this.at += token.length;
    return true;
  }

  expect(token) {
    if (!this.takes(token)) this.fail(`\`${token}\` is missing`);
  }

  path() {
    this.expect('$');
    const segments = this.segments();
    if (this.at < this.text.length) this.fail('more than a path');
    return segments;
  }

  segments() {
    const segments = [];
    for (;;) {
      const begun = this.at;
      this.space();
      if (this.takes('..')) segments.push({ deep: true, selectors: this.text[this.at] === '[' ? this.bracket() : [this.shorthand()] });
      else if (this.takes('.')) segments.push({ deep: false, selectors: [this.shorthand()] });
      else if (this.text[this.at] === '[') segments.push({ deep: false, selectors: this.bracket() });
      else {
        this.at = begun;
        return segments;
      }
    }
  }

  shorthand() {
    if (this.takes('*')) return { all: true };
    const [first] = this.rest;
    if (first === undefined || !NAME_FIRST.test(String.fromCodePoint(this.rest.codePointAt(0)))) this.fail('a name is missing');
    let name = '';
    for (const letter of this.rest) {
      if (!NAME.test(letter)) break;
      name += letter;
    }
    this.at += name.length;
    return { name };
  }

  bracket() {
    this.expect('[');
    const selectors = [];
    do {
      this.space();
      selectors.push(this.selector());
      this.space();
    } while (this.takes(','));
    this.expect(']');
    return selectors;
  }

  selector() {
    const next = this.text[this.at];
    if (next === "'" || next === '"') return { name: this.string() };
    if (this.takes('*')) return { all: true };
    if (this.takes('?')) {
      this.space();
      return { filter: this.or() };
    }
    const start = this.integer();
    const before = this.at;
    this.space();
    if (!this.takes(':')) {
      this.at = before;
      if (start === undefined) this.fail('a selector is missing');
      return { index: start };
    }
    this.space();
    const end = this.integer();
    const afterEnd = this.at;
    this.space();
    if (!this.takes(':')) {
      this.at = afterEnd;
      return { slice: [start, end, 1] };
    }
    const colon = this.at;
    this.space();
    const step = this.integer();
    if (step === undefined) this.at = colon;
    return { slice: [start, end, step ?? 1] };
  }

  integer() {
    const found = INTEGER.exec(this.rest)?.[0];
    if (found === undefined) return undefined;
    this.at += found.length;
    const number = Number(found);
    if (!Number.isSafeInteger(number)) this.fail('the number is too large');
    return number;
  }

  string() {
    const quote = this.text[this.at++];
    const escapes = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '/': '/', '\\': '\\', [quote]: quote };
    let string = '';
    for (;;) {
      const letter = this.text[this.at++];
      if (letter === undefined || letter < ' ') this.fail('a text does not end');
      if (letter === quote) return string;
      if (letter !== '\\') {
        string += letter;
        continue;
      }
      const escaped = this.text[this.at++];
      if (escaped === 'u') string += this.unicode();
      else if (Object.hasOwn(escapes, escaped)) string += escapes[escaped];
      else this.fail('an escape is unknown');
    }
  }

  unicode() {
    const unit = () => {
      const digits = /^[0-9a-fA-F]{4}/.exec(this.rest)?.[0];
      if (digits === undefined) this.fail('an escape has four digits');
      this.at += 4;
      return parseInt(digits, 16);
    };
    const first = unit();
    if (first >= 0xdc00 && first <= 0xdfff) this.fail('half of a surrogate pair');
    if (first < 0xd800 || first > 0xdbff) return String.fromCharCode(first);
    if (!this.takes('\\u')) this.fail('half of a surrogate pair');
    const second = unit();
    if (second < 0xdc00 || second > 0xdfff) this.fail('half of a surrogate pair');
    return String.fromCharCode(first, second);
  }

  or() {
    const parts = [this.and()];
    for (this.space(); this.takes('||'); this.space()) {
      this.space();
      parts.push(this.and());
    }
    return parts.length === 1 ? parts[0] : { or: parts };
  }

  and() {
    const parts = [this.basic()];
    for (this.space(); this.takes('&&'); this.space()) {
      this.space();
      parts.push(this.basic());
    }
    return parts.length === 1 ? parts[0] : { and: parts };
  }

  basic() {
    if (this.takes('!')) {
      this.space();
      const inner = this.text[this.at] === '(' ? this.group() : this.test(this.operand());
      return { not: inner };
    }
    if (this.text[this.at] === '(') return this.group();
    const left = this.operand();
    const before = this.at;
    this.space();
    const operator = ['==', '!=', '<=', '>=', '<', '>'].find((token) => this.takes(token));
    if (operator === undefined) {
      this.at = before;
      return this.test(left);
    }
    this.space();
    return { operator, left: this.comparable(left), right: this.comparable(this.operand()) };
  }

  group() {
    this.expect('(');
    this.space();
    const inner = this.or();
    this.space();
    this.expect(')');
    return inner;
  }

  /** What may stand alone: a query, and a function that says whether something holds. */
  test(operand) {
    if (operand.query === undefined && (operand.call === undefined || FUNCTIONS[operand.call].gives !== 'logical')) {
      this.fail('a value is no condition');
    }
    return { test: operand };
  }

  /** What may be compared: a value, one that a query without choice selects, and one that a function gives. */
  comparable(operand) {
    const isSingular = operand.query?.segments.every(
      ({ deep, selectors: [first, ...more] }) => !deep && more.length === 0 && (first.name !== undefined || first.index !== undefined),
    );
    const isValue = operand.query ? isSingular : operand.call === undefined || FUNCTIONS[operand.call].gives === 'value';
    if (!isValue) this.fail('what is compared is to be one value');
    return operand;
  }

  operand() {
    const next = this.text[this.at];
    if (next === '@' || next === '$') {
      this.at += 1;
      return { query: { root: next === '$', segments: this.segments() } };
    }
    if (next === "'" || next === '"') return { literal: this.string() };
    const call = /^([a-z][a-z_0-9]*)\(/.exec(this.rest)?.[1];
    if (call !== undefined) return this.call(call);
    for (const [word, literal] of [['true', true], ['false', false], ['null', null]]) {
      if (this.takes(word)) return { literal };
    }
    const number = NUMBER.exec(this.rest)?.[0];
    if (number === undefined) this.fail('a value is missing');
    this.at += number.length;
    return { literal: Number(number) };
  }

  call(name) {
    const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : this.fail(`the function ${name} is unknown`);
    this.at += name.length + 1;
    const given = [];
    this.space();
    if (this.text[this.at] !== ')') {
      do {
        this.space();
        given.push(this.operand());
        this.space();
      } while (this.takes(','));
    }
    this.expect(')');
    if (given.length !== known.takes.length) this.fail(`${name} takes ${known.takes.length} arguments`);
    known.takes.forEach((kind, index) => {
      if (kind === 'value') this.comparable(given[index]);
      else if (given[index].query === undefined) this.fail(`${name} takes a query`);
    });
    return { call: name, given };
  }
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const children = (value) => (Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []);
const withDescendants = (value) => [value, ...children(value).flatMap(withDescendants)];

function equal(left, right) {
  if (Array.isArray(left) || Array.isArray(right)) {
    return Array.isArray(left) && Array.isArray(right) && left.length === right.length && left.every((item, at) => equal(item, right[at]));
  }
  if (!isObject(left) || !isObject(right)) return left === right;
  const names = Object.keys(left);
  return names.length === Object.keys(right).length && names.every((name) => Object.hasOwn(right, name) && equal(left[name], right[name]));
}

/** By characters, not by the halves of which JavaScript has some. */
function less(left, right) {
  if (typeof left === 'number' && typeof right === 'number') return left < right;
  if (typeof left !== 'string' || typeof right !== 'string') return false;
  const [first, second] = [[...left], [...right]].map((letters) => letters.map((letter) => letter.codePointAt(0)));
  const at = first.findIndex((code, index) => code !== second[index]);
  return at < 0 ? first.length < second.length : at < second.length && first[at] < second[at];
}

function matches(text, pattern, whole) {
  if (typeof text !== 'string' || typeof pattern !== 'string') return false;
  try {
    // A dot is any character but the two line ends.
    const dots = pattern.replace(/\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*\]|\./g, (part) => (part === '.' ? '[^\\n\\r]' : part));
    return new RegExp(whole ? `^(?:${dots})$` : dots, 'u').test(text);
  } catch {
    return false;
  }
}

class Evaluation {
  constructor(root) {
    this.root = root;
  }

  select(segments, from) {
    return segments.reduce((values, { deep, selectors }) => {
      const from = deep ? values.flatMap(withDescendants) : values;
      return from.flatMap((value) => selectors.flatMap((selector) => this.apply(selector, value)));
    }, [from]);
  }

  apply(selector, value) {
    if (selector.all) return children(value);
    if (selector.name !== undefined) {
      return isObject(value) && Object.hasOwn(value, selector.name) ? [value[selector.name]] : [];
    }
    if (selector.filter !== undefined) return children(value).filter((child) => this.holds(selector.filter, child));
    if (!Array.isArray(value)) return [];
    if (selector.index !== undefined) {
      const index = selector.index < 0 ? value.length + selector.index : selector.index;
      return index >= 0 && index < value.length ? [value[index]] : [];
    }
    return this.slice(selector.slice, value);
  }

  slice([start, end, step], list) {
    if (step === 0) return [];
    const clamp = (index, low, high) => Math.min(Math.max(index < 0 ? list.length + index : index, low), high);
    const found = [];
    if (step > 0) {
      const until = clamp(end ?? list.length, 0, list.length);
      for (let index = clamp(start ?? 0, 0, list.length); index < until; index += step) found.push(list[index]);
    } else {
      const until = end === undefined ? -1 : clamp(end, -1, list.length - 1);
      for (let index = clamp(start ?? list.length - 1, -1, list.length - 1); index > until; index += step) found.push(list[index]);
    }
    return found;
  }

  holds(filter, value) {
    if (filter.or) return filter.or.some((part) => this.holds(part, value));
    if (filter.and) return filter.and.every((part) => this.holds(part, value));
    if (filter.not) return !this.holds(filter.not, value);
    if (filter.test) {
      const { query } = filter.test;
      return query ? this.nodes(query, value).length > 0 : this.call(filter.test, value);
    }
    const [left, right] = [this.value(filter.left, value), this.value(filter.right, value)];
    switch (filter.operator) {
      case '==':
        return equal(left, right);
      case '!=':
        return !equal(left, right);
      case '<':
        return less(left, right);
      case '>':
        return less(right, left);
      case '<=':
        return less(left, right) || equal(left, right);
      default:
        return less(right, left) || equal(left, right);
    }
  }

  nodes({ root, segments }, value) {
    return this.select(segments, root ? this.root : value);
  }

  /** The value of an operand; `undefined` for nothing. */
  value(operand, value) {
    if (operand.query) return this.nodes(operand.query, value)[0];
    return operand.call === undefined ? operand.literal : this.call(operand, value);
  }

  call({ call, given }, value) {
    if (call === 'count') return this.nodes(given[0].query, value).length;
    if (call === 'value') {
      const nodes = this.nodes(given[0].query, value);
      return nodes.length === 1 ? nodes[0] : undefined;
    }
    const [first, second] = given.map((operand) => this.value(operand, value));
    if (call !== 'length') return matches(first, second, call === 'match');
    if (typeof first === 'string') return [...first].length;
    return typeof first === 'object' && first !== null ? children(first).length : undefined;
  }
}

/** The values that a path selects, in order; a SyntaxError when it is none. */
export function select(path, root) {
  return new Evaluation(root).select(new Parser(path).path(), root);
}
