/* Text, JSON and failures: what needs no host. */
#include "ringback.h"

#include <stdlib.h>
#include <string.h>

/* ---- Text ---- */

static void *allocate(size_t size) {
  void *memory = malloc(size ? size : 1);
  if (memory == NULL) rb_panic("out of memory");
  return memory;
}

rb_text rb_text_of(const char *string) {
  return (rb_text){string, string ? strlen(string) : 0};
}

bool rb_equal(rb_text a, rb_text b) {
  return a.at && b.at && a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

bool rb_is(rb_text text, const char *string) {
  return rb_equal(text, rb_text_of(string));
}

const char *rb_string(rb_text text) {
  char *string = allocate(text.size + 1);
  if (text.size) memcpy(string, text.at, text.size);
  string[text.size] = 0;
  return string;
}

void rb_add(rb_buffer *buffer, rb_text text) {
  if (text.size > buffer->room - buffer->size) {
    size_t room = (buffer->size + text.size) * 2;
    char *at = room > text.size ? realloc(buffer->at, room) : NULL;
    if (at == NULL) rb_panic("out of memory");
    buffer->at = at;
    buffer->room = room;
  }
  if (text.size) memcpy(buffer->at + buffer->size, text.at, text.size);
  buffer->size += text.size;
}

void rb_add_string(rb_buffer *buffer, const char *string) {
  rb_add(buffer, rb_text_of(string));
}

void rb_add_int(rb_buffer *buffer, int64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  do {
    digits[--at] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  if (number < 0) digits[--at] = '-';
  rb_add(buffer, (rb_text){digits + at, sizeof digits - at});
}

void rb_add_json(rb_buffer *buffer, rb_text text) {
  if (text.at == NULL) {
    rb_add_string(buffer, "null");
    return;
  }
  rb_add_string(buffer, "\"");
  size_t from = 0;
  for (size_t at = 0; at < text.size; at++) {
    unsigned char byte = (unsigned char)text.at[at];
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    static const char hex[] = "0123456789abcdef";
    char escape[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    rb_add(buffer, (rb_text){text.at + from, at - from});
    rb_add(buffer, (rb_text){escape, sizeof escape});
    from = at + 1;
  }
  rb_add(buffer, (rb_text){text.at + from, text.size - from});
  rb_add_string(buffer, "\"");
}

rb_text rb_added(const rb_buffer *buffer) {
  return (rb_text){buffer->at ? buffer->at : "", buffer->size};
}

rb_text rb_pair_value(rb_pairs pairs, const char *name) {
  for (size_t at = 0; at < pairs.size; at++)
    if (rb_is(pairs.at[at].name, name)) return pairs.at[at].value;
  return (rb_text){0};
}

void rb_reply_header(rb_reply *reply, const char *name, rb_text value) {
  rb_pair *pairs = allocate((reply->headers.size + 1) * sizeof *pairs);
  if (reply->headers.size) memcpy(pairs, reply->headers.at, reply->headers.size * sizeof *pairs);
  pairs[reply->headers.size] = (rb_pair){rb_text_of(name), value};
  reply->headers = (rb_pairs){pairs, reply->headers.size + 1};
}

/* ---- JSON ----
 * The host gives what is well formed. What is not ends at the end of the text: nothing is read behind it. */

static rb_json spaces(rb_json json) {
  while (json.size && (*json.at == ' ' || *json.at == '\n' || *json.at == '\t' || *json.at == '\r')) {
    json.at++;
    json.size--;
  }
  return json;
}

/* The bytes of the string at the beginning, in its quotes. */
static size_t string_size(rb_json json) {
  size_t at = 1;
  while (at < json.size && json.at[at] != '"') at += json.at[at] == '\\' ? 2 : 1;
  return at < json.size ? at + 1 : json.size;
}

/* The bytes of the value at the beginning. */
static size_t value_size(rb_json json) {
  size_t depth = 0, at = 0;
  while (at < json.size) {
    char byte = json.at[at];
    if (byte == '"') {
      at += string_size((rb_json){json.at + at, json.size - at});
      if (depth == 0) return at;
      continue;
    }
    bool ends = byte == ',' || byte == ']' || byte == '}' || byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
    if (depth == 0 && ends) return at;
    if (byte == '[' || byte == '{') depth++;
    at++;
    if ((byte == ']' || byte == '}') && --depth == 0) return at;
  }
  return json.size;
}

rb_kind rb_json_kind(rb_json json) {
  json = spaces(json);
  if (json.size == 0) return RB_NOTHING;
  switch (*json.at) {
    case 'n': return RB_NULL;
    case 't':
    case 'f': return RB_BOOL;
    case '"': return RB_STRING;
    case '[': return RB_ARRAY;
    case '{': return RB_OBJECT;
    default: return RB_NUMBER;
  }
}

rb_items rb_json_items(rb_json json) {
  json = spaces(json);
  rb_kind kind = rb_json_kind(json);
  return (rb_items){.rest = kind == RB_ARRAY || kind == RB_OBJECT ? json : (rb_json){0}};
}

bool rb_json_next(rb_items *items) {
  rb_json rest = spaces(items->rest);
  /* At the beginning the bracket, later the comma; anything else is the end. */
  if (rest.size == 0 || (*rest.at != '[' && *rest.at != '{' && *rest.at != ',')) return false;
  bool first = *rest.at != ',', named = *rest.at == '{' || items->name.at != NULL;
  rest = spaces((rb_json){rest.at + 1, rest.size - 1});
  if (rest.size == 0 || (first && (*rest.at == ']' || *rest.at == '}'))) return false;
  if (named) {
    size_t size = string_size(rest);
    if (!rb_json_string((rb_json){rest.at, size}, &items->name)) return false;
    rest = spaces((rb_json){rest.at + size, rest.size - size});
    if (rest.size == 0 || *rest.at != ':') return false;
    rest = spaces((rb_json){rest.at + 1, rest.size - 1});
  }
  size_t size = value_size(rest);
  items->value = (rb_json){rest.at, size};
  items->rest = (rb_json){rest.at + size, rest.size - size};
  return size > 0;
}

rb_json rb_json_get(rb_json object, const char *name) {
  if (rb_json_kind(object) != RB_OBJECT) return (rb_json){0};
  for (rb_items items = rb_json_items(object); rb_json_next(&items);)
    if (rb_is(items.name, name)) return items.value;
  return (rb_json){0};
}

rb_json rb_json_at(rb_json array, size_t index) {
  if (rb_json_kind(array) != RB_ARRAY) return (rb_json){0};
  for (rb_items items = rb_json_items(array); rb_json_next(&items);)
    if (index-- == 0) return items.value;
  return (rb_json){0};
}

size_t rb_json_size(rb_json json) {
  size_t size = 0;
  for (rb_items items = rb_json_items(json); rb_json_next(&items);) size++;
  return size;
}

bool rb_json_bool(rb_json json, bool *value) {
  if (rb_json_kind(json) != RB_BOOL) return false;
  *value = *spaces(json).at == 't';
  return true;
}

bool rb_json_number(rb_json json, double *value) {
  if (rb_json_kind(json) != RB_NUMBER) return false;
  json = spaces(json);
  const char *digits = rb_string(json);
  char *end;
  double number = strtod(digits, &end);
  if (end == digits) return false;
  *value = number;
  return true;
}

static unsigned hex(rb_json json, size_t at) {
  unsigned value = 0;
  for (size_t digit = at; digit < at + 4; digit++) {
    char byte = digit < json.size ? json.at[digit] : '0';
    value = value * 16 + (unsigned)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
  }
  return value;
}

static char *utf8(char *out, unsigned point) {
  if (point < 0x80) {
    *out++ = (char)point;
  } else if (point < 0x800) {
    *out++ = (char)(0xc0 | point >> 6);
    *out++ = (char)(0x80 | (point & 63));
  } else if (point < 0x10000) {
    *out++ = (char)(0xe0 | point >> 12);
    *out++ = (char)(0x80 | (point >> 6 & 63));
    *out++ = (char)(0x80 | (point & 63));
  } else {
    *out++ = (char)(0xf0 | point >> 18);
    *out++ = (char)(0x80 | (point >> 12 & 63));
    *out++ = (char)(0x80 | (point >> 6 & 63));
    *out++ = (char)(0x80 | (point & 63));
  }
  return out;
}

bool rb_json_string(rb_json json, rb_text *value) {
  if (rb_json_kind(json) != RB_STRING) return false;
  json = spaces(json);
  size_t size = string_size(json);
  json = (rb_json){json.at + 1, size > 1 ? size - 2 : 0};
  if (json.size == 0 || memchr(json.at, '\\', json.size) == NULL) {
    *value = json;
    return true;
  }
  char *text = allocate(json.size), *out = text;
  for (size_t at = 0; at < json.size; at++) {
    if (json.at[at] != '\\' || at + 1 == json.size) {
      *out++ = json.at[at];
      continue;
    }
    static const char escapes[] = "b\bf\fn\nr\rt\t";
    char escape = json.at[++at];
    const char *known = escape == 'u' || escape == 0 ? NULL : strchr(escapes, escape);
    if (escape == 'u') {
      unsigned point = hex(json, at + 1);
      at += 4;
      bool pair = point >> 10 == 0xd800 >> 10 && at + 6 < json.size && json.at[at + 1] == '\\' && json.at[at + 2] == 'u';
      if (pair) {
        point = 0x10000 + ((point & 0x3ff) << 10) + (hex(json, at + 3) & 0x3ff);
        at += 6;
      } else if (point >> 11 == 0xd800 >> 11) {
        point = 0xfffd; /* Half of a pair is no character. */
      }
      out = utf8(out, point);
    } else {
      *out++ = known && (known - escapes) % 2 == 0 ? known[1] : escape;
    }
  }
  *value = (rb_text){text, (size_t)(out - text)};
  return true;
}

/* ---- Failures ---- */

rb_failure rb_failed;

bool rb_fail_about(const char *code, const char *message, rb_text about) {
  rb_buffer text = {0};
  rb_add_string(&text, message);
  if (about.at) {
    rb_add_string(&text, ": ");
    rb_add(&text, about);
  }
  rb_failed = (rb_failure){.code = rb_text_of(code), .message = rb_added(&text)};
  return false;
}

bool rb_fail(const char *code, const char *message) {
  return rb_fail_about(code, message, (rb_text){0});
}

void rb_info(const char *message) {
  rb_log(RB_LOG_INFO, rb_text_of(message));
}
