/* The host in memory, for tests. One of everything: a test is a process. */
#include "ringback_test.h"

#include <string.h>

struct rb_callback {
  const char *method, *url, *body, *data;
  rb_pair headers[64];
  size_t header_count;
};

struct rb_execution {
  const char *scope;
};

static rb_callback *last;
static rb_pair secrets[16], state[64];
static size_t secret_count, state_count;
static bool genuine_answer, answers;
static rb_response answer;
static rb_buffer logged;

/* A plugin frees nothing, and neither do its tests. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "detect_leaks=0";
}

static void *zeroed(size_t size) {
  void *memory = calloc(1, size);
  if (memory == NULL) rb_panic("out of memory");
  return memory;
}

void rb_panic(const char *message) {
  fprintf(stderr, "panic: %s\n", message);
  exit(1);
}

rb_callback *rb_test_callback(const char *body) {
  last = zeroed(sizeof *last);
  *last = (rb_callback){.method = "POST", .url = "https://example.test/h/key", .body = body, .data = body};
  return last;
}

void rb_test_request(const char *method, const char *url) {
  last->method = method;
  last->url = url;
}

void rb_test_header(const char *name, const char *value) {
  if (last->header_count == 64) rb_panic("a test's callback has at most 64 headers");
  last->headers[last->header_count++] = (rb_pair){rb_text_of(name), rb_text_of(value)};
}

void rb_test_data(const char *json) {
  last->data = json;
}

rb_execution *rb_test_execution(const char *scope) {
  rb_execution *execution = zeroed(sizeof *execution);
  execution->scope = scope;
  return execution;
}

void rb_test_secret(const char *name, const char *value) {
  if (secret_count == 16) rb_panic("a test has at most 16 secrets");
  secrets[secret_count++] = (rb_pair){rb_text_of(name), rb_text_of(value)};
}

void rb_test_genuine(bool genuine) {
  genuine_answer = genuine;
}

void rb_test_http(unsigned status, const char *body) {
  answers = true;
  answer = (rb_response){.status = status, .body = rb_text_of(body)};
}

const char *rb_test_log(void) {
  return rb_string(rb_added(&logged));
}

/* ---- The callback and the execution ---- */

rb_text rb_callback_id(rb_callback *callback) {
  (void)callback;
  return rb_text_of("0190d6f0-0000-7000-8000-000000000001");
}

uint64_t rb_callback_received_at(rb_callback *callback) {
  (void)callback;
  return rb_now();
}

rb_text rb_callback_environment(rb_callback *callback) {
  (void)callback;
  return rb_text_of("default");
}

rb_text rb_callback_flow(rb_callback *callback) {
  (void)callback;
  return rb_text_of("test");
}

rb_text rb_callback_trigger(rb_callback *callback) {
  (void)callback;
  return rb_text_of("hook");
}

rb_text rb_callback_remote_address(rb_callback *callback) {
  (void)callback;
  return rb_text_of("192.0.2.1");
}

rb_json rb_callback_claims(rb_callback *callback) {
  (void)callback;
  return (rb_json){0};
}

rb_text rb_callback_method(rb_callback *callback) {
  return rb_text_of(callback->method);
}

rb_text rb_callback_url(rb_callback *callback) {
  return rb_text_of(callback->url);
}

rb_text rb_callback_path(rb_callback *callback) {
  const char *scheme = strstr(callback->url, "://");
  const char *path = strchr(scheme ? scheme + 3 : callback->url, '/');
  return path ? (rb_text){path, strcspn(path, "?")} : rb_text_of("/");
}

static int digit(char byte) {
  return byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10 : -1;
}

static rb_text decoded(const char *from, size_t size) {
  rb_buffer out = {0};
  rb_add_string(&out, "");
  for (size_t at = 0; at < size; at++) {
    char byte = from[at] == '+' ? ' ' : from[at];
    if (byte == '%' && at + 2 < size && digit(from[at + 1]) >= 0 && digit(from[at + 2]) >= 0) {
      byte = (char)(digit(from[at + 1]) * 16 + digit(from[at + 2]));
      at += 2;
    }
    rb_add(&out, (rb_text){&byte, 1});
  }
  return rb_added(&out);
}

rb_pairs rb_callback_query_pairs(rb_callback *callback) {
  const char *query = strchr(callback->url, '?');
  rb_pair *pairs = zeroed((strlen(callback->url) + 1) * sizeof *pairs);
  size_t count = 0;
  for (const char *at = query ? query + 1 : ""; *at;) {
    size_t size = strcspn(at, "&"), name = strcspn(at, "=&");
    bool valued = name < size;
    pairs[count++] = (rb_pair){decoded(at, name), valued ? decoded(at + name + 1, size - name - 1) : rb_text_of("")};
    at += size + (at[size] == '&');
  }
  return (rb_pairs){pairs, count};
}

rb_texts rb_callback_query(rb_callback *callback, const char *name) {
  rb_pairs pairs = rb_callback_query_pairs(callback);
  rb_text *values = zeroed((pairs.size + 1) * sizeof *values);
  size_t count = 0;
  for (size_t at = 0; at < pairs.size; at++)
    if (rb_is(pairs.at[at].name, name)) values[count++] = pairs.at[at].value;
  return (rb_texts){values, count};
}

static rb_text lower(rb_text text) {
  char *copy = (char *)rb_string(text);
  for (size_t at = 0; at < text.size; at++)
    if (copy[at] >= 'A' && copy[at] <= 'Z') copy[at] |= 32;
  return (rb_text){copy, text.size};
}

rb_pairs rb_callback_headers(rb_callback *callback) {
  rb_pair *pairs = zeroed((callback->header_count + 1) * sizeof *pairs);
  for (size_t at = 0; at < callback->header_count; at++)
    pairs[at] = (rb_pair){lower(callback->headers[at].name), callback->headers[at].value};
  return (rb_pairs){pairs, callback->header_count};
}

rb_text rb_callback_header(rb_callback *callback, const char *name) {
  rb_pairs pairs = rb_callback_headers(callback);
  rb_text wanted = lower(rb_text_of(name));
  rb_buffer joined = {0};
  bool found = false;
  for (size_t at = 0; at < pairs.size; at++) {
    if (!rb_equal(pairs.at[at].name, wanted)) continue;
    if (found) rb_add_string(&joined, ", ");
    rb_add(&joined, pairs.at[at].value);
    found = true;
  }
  return found ? rb_added(&joined) : (rb_text){0};
}

size_t rb_callback_body_size(rb_callback *callback) {
  return strlen(callback->body);
}

rb_text rb_callback_body(rb_callback *callback) {
  return rb_text_of(callback->body);
}

bool rb_callback_text(rb_callback *callback, rb_text *text) {
  *text = rb_text_of(callback->body);
  return true;
}

bool rb_callback_data(rb_callback *callback, rb_json *data) {
  *data = rb_text_of(callback->data);
  return data->at || rb_fail("not-parsed", "the body has not been parsed yet");
}

/* Names, indexes and wildcards of JSONPath; the host knows the rest. */
static bool select_in(rb_json value, const char *path, rb_buffer *found) {
  if (*path == 0) {
    if (found->size > 1) rb_add_string(found, ",");
    rb_add(found, value);
    return true;
  }
  char name[256] = {0};
  size_t size;
  bool bracket = *path == '[', quoted = bracket && (path[1] == '\'' || path[1] == '"');
  if (*path != '.' && !bracket) return rb_fail("invalid-path", path);
  path += quoted ? 2 : 1;
  size = quoted ? strcspn(path, "'\"") : strcspn(path, bracket ? "]" : ".[");
  const char *rest = path + size + quoted + bracket;
  if (size == 0 || size >= sizeof name || strpbrk(path, "?(:") || (bracket && rest[-1] != ']'))
    return rb_fail("invalid-path", "the host of the tests knows names, indexes and [*] only");
  memcpy(name, path, size);
  if (strcmp(name, "*") == 0 && !quoted) {
    for (rb_items items = rb_json_items(value); rb_json_next(&items);)
      if (!select_in(items.value, rest, found)) return false;
    return true;
  }
  rb_json next = bracket && !quoted ? rb_json_at(value, (size_t)strtoul(name, NULL, 10)) : rb_json_get(value, name);
  return next.at == NULL || select_in(next, rest, found);
}

static bool selected(rb_json value, const char *path, rb_json *values) {
  rb_buffer found = {0};
  rb_add_string(&found, "[");
  if (*path != '$') return rb_fail("invalid-path", path);
  if (!select_in(value, path + 1, &found)) return false;
  rb_add_string(&found, "]");
  *values = rb_added(&found);
  return true;
}

bool rb_callback_select(rb_callback *callback, const char *path, rb_json *values) {
  rb_json data;
  return rb_callback_data(callback, &data) && selected(data, path, values);
}

rb_text rb_execution_id(rb_execution *execution) {
  (void)execution;
  return rb_text_of("0190d6f0-0000-7000-8000-000000000002");
}

rb_text rb_execution_flow(rb_execution *execution) {
  (void)execution;
  return rb_text_of("test");
}

rb_text rb_execution_environment(rb_execution *execution) {
  (void)execution;
  return rb_text_of("default");
}

rb_json rb_execution_scope(rb_execution *execution) {
  return rb_text_of(execution->scope);
}

bool rb_execution_select(rb_execution *execution, const char *path, rb_json *values) {
  return selected(rb_text_of(execution->scope), path, values);
}

/* ---- What the host can be asked ---- */

void rb_log(rb_level level, rb_text message) {
  static const char *const levels[] = {"debug: ", "info: ", "warn: ", "error: "};
  rb_add_string(&logged, levels[level]);
  rb_add(&logged, message);
  rb_add_string(&logged, "\n");
}

uint64_t rb_now(void) {
  return 1767225600000; /* 2026-01-01T00:00:00Z */
}

rb_text rb_random(size_t size) {
  char *bytes = zeroed(size + 1);
  for (size_t at = 0; at < size; at++) bytes[at] = (char)(at * 167 >> 3);
  return (rb_text){bytes, size};
}

static bool find(const char *name, rb_text *value) {
  for (size_t at = 0; at < secret_count; at++) {
    if (!rb_is(secrets[at].name, name)) continue;
    *value = secrets[at].value;
    return true;
  }
  return rb_fail_about("unknown-secret", "there is no secret of this name", rb_text_of(name));
}

bool rb_verify_mac(const char *secret, rb_key_form form, rb_mac_algorithm algorithm, const rb_part *message, size_t parts,
                   rb_encoded mac, bool *genuine) {
  (void)form, (void)algorithm, (void)message, (void)parts, (void)mac;
  rb_text value;
  *genuine = genuine_answer;
  return find(secret, &value);
}

bool rb_verify_signature(const char *key, rb_signature_algorithm algorithm, const rb_part *message, size_t parts,
                         rb_encoded signature, bool *genuine) {
  (void)algorithm;
  return rb_verify_mac(key, RB_KEY_PLAIN, RB_HMAC_SHA256, message, parts, signature, genuine);
}

bool rb_secret_equals(const char *secret, rb_text value, bool *equal) {
  rb_text found;
  if (!find(secret, &found)) return false;
  *equal = rb_equal(found, value);
  return true;
}

static bool fits(rb_text key, size_t value) {
  bool right = key.size >= 1 && key.size <= 256 && value <= 64 * 1024;
  return right || rb_fail("too-large", "a key has 1 to 256 bytes, a value at most 64 KiB");
}

static rb_pair *entry(rb_text key) {
  size_t at = 0;
  while (at < state_count && !rb_equal(state[at].name, key)) at++;
  if (at == 64) rb_panic("a test has at most 64 keys");
  return &state[at];
}

bool rb_state_get(rb_text key, rb_text *value) {
  if (!fits(key, 0)) return false;
  *value = entry(key)->value;
  return true;
}

bool rb_state_set(rb_text key, rb_text value) {
  if (!fits(key, value.size)) return false;
  rb_pair *found = entry(key);
  if (found == &state[state_count]) state_count++;
  *found = (rb_pair){key, {rb_string(value), value.size}};
  return true;
}

bool rb_state_remove(rb_text key) {
  if (!fits(key, 0)) return false;
  entry(key)->value = (rb_text){0};
  return true;
}

bool rb_http_send(const rb_request *request, rb_response *response) {
  (void)request;
  *response = answer;
  return answers || rb_fail("host-not-allowed", "this test answers no requests; see rb_test_http");
}
