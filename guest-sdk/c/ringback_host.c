/* The host as plugins ask it: between ringback.h and the generated bindings. */
#include "bindings/plugin.h"
#include "ringback.h"

#include <stdlib.h>

/* The address of a callback is its handle. */
static ringback_plugin_types_borrow_callback_t of_callback(rb_callback *callback) {
  return (ringback_plugin_types_borrow_callback_t){(int32_t)(intptr_t)callback};
}

static ringback_plugin_types_borrow_execution_t of_execution(rb_execution *execution) {
  return (ringback_plugin_types_borrow_execution_t){(int32_t)(intptr_t)execution};
}

static rb_text text(plugin_string_t from) {
  return (rb_text){from.ptr ? (const char *)from.ptr : "", from.len};
}

static rb_text bytes(plugin_list_u8_t from) {
  return (rb_text){from.ptr ? (const char *)from.ptr : "", from.len};
}

static plugin_string_t lowered(rb_text from) {
  return (plugin_string_t){(uint8_t *)(from.at ? from.at : ""), from.size};
}

static plugin_list_u8_t lowered_bytes(rb_text from) {
  return (plugin_list_u8_t){(uint8_t *)(from.at ? from.at : ""), from.size};
}

static plugin_string_t lowered_string(const char *from) {
  return lowered(rb_text_of(from));
}

static bool failed(bool worked, const ringback_plugin_types_failure_t *failure) {
  if (worked) return true;
  rb_failed = (rb_failure){.code = text(failure->code), .message = text(failure->message), .retryable = failure->retryable};
  if (failure->pointer.is_some) rb_failed.pointer = text(failure->pointer.val);
  if (failure->detail.is_some) rb_failed.detail = text(failure->detail.val);
  return false;
}

void rb_panic(const char *message) {
  rb_log(RB_LOG_ERROR, rb_text_of(message));
  __builtin_trap();
}

/* ---- The callback and the execution ---- */

#define OF_CALLBACK(name) \
  rb_text rb_callback_##name(rb_callback *callback) { \
    plugin_string_t found; \
    ringback_plugin_types_method_callback_##name(of_callback(callback), &found); \
    return text(found); \
  }
#define OPTIONAL_OF_CALLBACK(name) \
  rb_text rb_callback_##name(rb_callback *callback) { \
    plugin_string_t found; \
    bool there = ringback_plugin_types_method_callback_##name(of_callback(callback), &found); \
    return there ? text(found) : (rb_text){0}; \
  }
#define FAILING_OF_CALLBACK(name) \
  bool rb_callback_##name(rb_callback *callback, rb_text *value) { \
    plugin_string_t found; \
    ringback_plugin_types_failure_t failure; \
    bool worked = ringback_plugin_types_method_callback_##name(of_callback(callback), &found, &failure); \
    if (worked) *value = text(found); \
    return failed(worked, &failure); \
  }
#define OF_EXECUTION(name) \
  rb_text rb_execution_##name(rb_execution *execution) { \
    plugin_string_t found; \
    ringback_plugin_types_method_execution_##name(of_execution(execution), &found); \
    return text(found); \
  }

OF_CALLBACK(id)
OF_CALLBACK(environment)
OF_CALLBACK(method)
OF_CALLBACK(url)
OF_CALLBACK(path)
OPTIONAL_OF_CALLBACK(flow)
OPTIONAL_OF_CALLBACK(trigger)
OPTIONAL_OF_CALLBACK(remote_address)
OPTIONAL_OF_CALLBACK(claims)
FAILING_OF_CALLBACK(text)
FAILING_OF_CALLBACK(data)
OF_EXECUTION(id)
OF_EXECUTION(flow)
OF_EXECUTION(environment)
OF_EXECUTION(scope)

uint64_t rb_callback_received_at(rb_callback *callback) {
  return ringback_plugin_types_method_callback_received_at(of_callback(callback));
}

size_t rb_callback_body_size(rb_callback *callback) {
  return ringback_plugin_types_method_callback_body_size(of_callback(callback));
}

rb_text rb_callback_body(rb_callback *callback) {
  plugin_list_u8_t found;
  ringback_plugin_types_method_callback_body(of_callback(callback), &found);
  return bytes(found);
}

rb_text rb_callback_header(rb_callback *callback, const char *name) {
  plugin_string_t found, wanted = lowered_string(name);
  bool there = ringback_plugin_types_method_callback_header(of_callback(callback), &wanted, &found);
  return there ? text(found) : (rb_text){0};
}

/* Texts and pairs are laid out in the same way on both sides. */
_Static_assert(sizeof(rb_text) == sizeof(plugin_string_t) && sizeof(rb_pair) == sizeof(plugin_tuple2_string_string_t),
               "the layouts differ");

static rb_pairs pairs(plugin_list_tuple2_string_string_t from) {
  return (rb_pairs){(const rb_pair *)from.ptr, from.len};
}

rb_texts rb_callback_query(rb_callback *callback, const char *name) {
  plugin_list_string_t found;
  plugin_string_t wanted = lowered_string(name);
  ringback_plugin_types_method_callback_query(of_callback(callback), &wanted, &found);
  return (rb_texts){(const rb_text *)found.ptr, found.len};
}

rb_pairs rb_callback_query_pairs(rb_callback *callback) {
  plugin_list_tuple2_string_string_t found;
  ringback_plugin_types_method_callback_query_pairs(of_callback(callback), &found);
  return pairs(found);
}

rb_pairs rb_callback_headers(rb_callback *callback) {
  plugin_list_tuple2_string_string_t found;
  ringback_plugin_types_method_callback_headers(of_callback(callback), &found);
  return pairs(found);
}

bool rb_callback_select(rb_callback *callback, const char *path, rb_json *values) {
  plugin_string_t found, wanted = lowered_string(path);
  ringback_plugin_types_failure_t failure;
  bool worked = ringback_plugin_types_method_callback_select(of_callback(callback), &wanted, &found, &failure);
  if (worked) *values = text(found);
  return failed(worked, &failure);
}

bool rb_execution_select(rb_execution *execution, const char *path, rb_json *values) {
  plugin_string_t found, wanted = lowered_string(path);
  ringback_plugin_types_failure_t failure;
  bool worked = ringback_plugin_types_method_execution_select(of_execution(execution), &wanted, &found, &failure);
  if (worked) *values = text(found);
  return failed(worked, &failure);
}

/* ---- What the host can be asked ---- */

void rb_log(rb_level level, rb_text message) {
  plugin_string_t line = lowered(message);
  ringback_plugin_log_write((ringback_plugin_log_level_t)level, &line);
}

uint64_t rb_now(void) {
  return ringback_plugin_call_now();
}

rb_text rb_random(size_t size) {
  plugin_list_u8_t found;
  ringback_plugin_call_random((uint32_t)size, &found);
  return bytes(found);
}

static ringback_plugin_secrets_list_part_t parts_of(const rb_part *message, size_t parts) {
  ringback_plugin_secrets_part_t *all = malloc((parts + 1) * sizeof *all);
  if (all == NULL) rb_panic("out of memory");
  for (size_t at = 0; at < parts; at++) {
    all[at].tag = message[at].body ? RINGBACK_PLUGIN_SECRETS_PART_BODY : RINGBACK_PLUGIN_SECRETS_PART_BYTES;
    if (!message[at].body) all[at].val.bytes = lowered_bytes(message[at].bytes);
  }
  return (ringback_plugin_secrets_list_part_t){all, parts};
}

static ringback_plugin_secrets_encoded_t encoded(rb_encoded from) {
  /* The kinds are numbered alike, and each holds a pointer and a size. */
  return (ringback_plugin_secrets_encoded_t){.tag = (uint8_t)from.encoding, .val.bytes = lowered_bytes(from.value)};
}

bool rb_verify_mac(const char *secret, rb_key_form form, rb_mac_algorithm algorithm, const rb_part *message, size_t parts,
                   rb_encoded mac, bool *genuine) {
  plugin_string_t name = lowered_string(secret);
  ringback_plugin_secrets_list_part_t all = parts_of(message, parts);
  ringback_plugin_secrets_encoded_t given = encoded(mac);
  ringback_plugin_types_failure_t failure;
  return failed(ringback_plugin_secrets_verify_mac(&name, (uint8_t)form, (uint8_t)algorithm, &all, &given, genuine, &failure),
                &failure);
}

bool rb_verify_signature(const char *key, rb_signature_algorithm algorithm, const rb_part *message, size_t parts,
                         rb_encoded signature, bool *genuine) {
  plugin_string_t name = lowered_string(key);
  ringback_plugin_secrets_list_part_t all = parts_of(message, parts);
  ringback_plugin_secrets_encoded_t given = encoded(signature);
  ringback_plugin_types_failure_t failure;
  return failed(ringback_plugin_secrets_verify_signature(&name, (uint8_t)algorithm, &all, &given, genuine, &failure), &failure);
}

bool rb_secret_equals(const char *secret, rb_text value, bool *equal) {
  plugin_string_t name = lowered_string(secret);
  plugin_list_u8_t given = lowered_bytes(value);
  ringback_plugin_types_failure_t failure;
  return failed(ringback_plugin_secrets_equals(&name, &given, equal, &failure), &failure);
}

bool rb_state_get(rb_text key, rb_text *value) {
  plugin_string_t name = lowered(key);
  plugin_option_list_u8_t found;
  ringback_plugin_types_failure_t failure;
  bool worked = ringback_plugin_state_get(&name, &found, &failure);
  if (worked) *value = found.is_some ? bytes(found.val) : (rb_text){0};
  return failed(worked, &failure);
}

bool rb_state_set(rb_text key, rb_text value) {
  plugin_string_t name = lowered(key);
  plugin_list_u8_t given = lowered_bytes(value);
  ringback_plugin_types_failure_t failure;
  return failed(ringback_plugin_state_set(&name, &given, &failure), &failure);
}

bool rb_state_remove(rb_text key) {
  plugin_string_t name = lowered(key);
  ringback_plugin_types_failure_t failure;
  return failed(ringback_plugin_state_remove(&name, &failure), &failure);
}

bool rb_http_send(const rb_request *request, rb_response *response) {
  ringback_plugin_http_request_t sent = {
      .method = lowered(request->method),
      .url = lowered(request->url),
      .headers = {(plugin_tuple2_string_string_t *)request->headers.at, request->headers.size},
      .body = {request->body.at != NULL, lowered_bytes(request->body)},
  };
  ringback_plugin_http_response_t found;
  ringback_plugin_types_failure_t failure;
  bool worked = ringback_plugin_http_send(&sent, &found, &failure);
  if (worked) *response = (rb_response){found.status, pairs(found.headers), bytes(found.body)};
  return failed(worked, &failure);
}
