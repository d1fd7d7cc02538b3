/* Write ringback plugins as plain C functions.
 *
 * A plugin plays one or more roles. For each, write one function and name it in one macro line:
 *
 *   role                                   function                                                            macro
 *   verifier: proves who called            bool f(rb_callback *, rb_json config, rb_verdict *)                  RB_VERIFIER(f)
 *   parser: turns the body into data       bool f(rb_callback *, rb_json config, rb_json *data)                 RB_PARSER(f)
 *   condition: does a callback count       bool f(rb_callback *, rb_execution *, rb_json config, rb_decision *) RB_CONDITION(f)
 *   step: one piece of work in a flow      bool f(rb_execution *, rb_json config, rb_json *result)              RB_STEP(f)
 *   responder: builds the answer           bool f(rb_callback *, rb_execution *, rb_json config, rb_reply *)    RB_RESPONDER(f)
 *
 * A function answers through its last parameter and returns true. Where it cannot do its work it says
 * `return rb_fail("no-total", "there is no total")`; functions of the host that can fail return false in the same way:
 * `if (!rb_callback_select(callback, "$.total", &totals)) return false;`.
 *
 * `rb_execution *` is NULL where there is none. `config` is the `with:` of the flow as JSON, checked by the schema that
 * RB_SCHEMA gives, when the flow is deployed.
 *
 * Memory: a call begins with fresh memory and all of it is gone afterwards. Nothing that these functions give need be freed.
 */
#ifndef RINGBACK_H
#define RINGBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Text ---- */

/* Some bytes, UTF-8 where they are text; without a zero at the end. `at` is NULL where there is none at all. */
typedef struct {
  const char *at;
  size_t size;
} rb_text;

typedef struct {
  const rb_text *at;
  size_t size;
} rb_texts;

typedef struct {
  rb_text name;
  rb_text value;
} rb_pair;

typedef struct {
  const rb_pair *at;
  size_t size;
} rb_pairs;

/* A text from a string of C; none from NULL. */
rb_text rb_text_of(const char *string);
/* Whether a text is this one; none is equal to nothing. */
bool rb_is(rb_text text, const char *string);
bool rb_equal(rb_text a, rb_text b);
/* The text as a string of C, with a zero behind it. */
const char *rb_string(rb_text text);

/* A text that is put together; begin with `rb_buffer out = {0};`. */
typedef struct {
  char *at;
  size_t size;
  size_t room;
} rb_buffer;

void rb_add(rb_buffer *buffer, rb_text text);
void rb_add_string(rb_buffer *buffer, const char *string);
void rb_add_int(rb_buffer *buffer, int64_t number);
/* Adds a text as a JSON string, in its quotes; none as null. */
void rb_add_json(rb_buffer *buffer, rb_text text);
/* What was added so far. */
rb_text rb_added(const rb_buffer *buffer);

/* ---- JSON ---- */

/* JSON text. What is asked of `at == NULL`, of a member that is not there, is not there either. */
typedef rb_text rb_json;

typedef enum { RB_NOTHING, RB_NULL, RB_BOOL, RB_NUMBER, RB_STRING, RB_ARRAY, RB_OBJECT } rb_kind;

rb_kind rb_json_kind(rb_json json);
/* The member of an object. */
rb_json rb_json_get(rb_json object, const char *name);
/* The item of an array. */
rb_json rb_json_at(rb_json array, size_t index);
size_t rb_json_size(rb_json array_or_object);
/* The value; false, and `*value` as it was, where it is of another kind. */
bool rb_json_bool(rb_json json, bool *value);
bool rb_json_number(rb_json json, double *value);
bool rb_json_string(rb_json json, rb_text *value);

/* Goes through an array or an object:
 * `for (rb_items items = rb_json_items(json); rb_json_next(&items);) … items.name … items.value` */
typedef struct {
  rb_json rest;
  rb_text name; /* Of a member, decoded; none of an item. */
  rb_json value;
} rb_items;

rb_items rb_json_items(rb_json array_or_object);
bool rb_json_next(rb_items *items);

/* ---- Failures ---- */

/* Why the function could not do its work; the caller of the callback does not see it. */
typedef struct {
  rb_text code;    /* In kebab-case, such as `no-total`. */
  rb_text message; /* One sentence for the operator. */
  bool retryable;  /* Whether the same call may succeed later. */
  rb_text pointer; /* For a mistake in the configuration its place, such as `/rules/0` (RFC 6901); or none. */
  rb_json detail;  /* More for whoever looks into it; or none. */
} rb_failure;

/* What the last failure was, of the plugin or of the host. Add to it before `return false`. */
extern rb_failure rb_failed;

/* Fails: always false. */
bool rb_fail(const char *code, const char *message);
/* The same with `message: about`. */
bool rb_fail_about(const char *code, const char *message, rb_text about);
/* Ends the call at once; the line is in the trace as the reason. */
_Noreturn void rb_panic(const char *message);

/* ---- The callback and the execution ---- */

typedef struct rb_callback rb_callback;
typedef struct rb_execution rb_execution;

rb_text rb_callback_id(rb_callback *callback);
uint64_t rb_callback_received_at(rb_callback *callback); /* Milliseconds since 1970. */
rb_text rb_callback_environment(rb_callback *callback);
rb_text rb_callback_flow(rb_callback *callback);           /* None for a ticket without one. */
rb_text rb_callback_trigger(rb_callback *callback);        /* None for a ticket without a flow. */
rb_text rb_callback_remote_address(rb_callback *callback); /* None when it is not known any more. */
rb_text rb_callback_method(rb_callback *callback);
rb_text rb_callback_url(rb_callback *callback);
rb_text rb_callback_path(rb_callback *callback);
rb_texts rb_callback_query(rb_callback *callback, const char *name);
rb_pairs rb_callback_query_pairs(rb_callback *callback);
rb_text rb_callback_header(rb_callback *callback, const char *name); /* None when absent; in any case. */
rb_pairs rb_callback_headers(rb_callback *callback);
size_t rb_callback_body_size(rb_callback *callback);
rb_text rb_callback_body(rb_callback *callback);
rb_json rb_callback_claims(rb_callback *callback); /* Of the verifier; none when it said nothing. */
/* The body as text: `not-text`. */
bool rb_callback_text(rb_callback *callback, rb_text *text);
/* The parsed data: `not-parsed` in a verifier or a parser. */
bool rb_callback_data(rb_callback *callback, rb_json *data);
/* An array of what a JSONPath (RFC 9535) selects in the data: `invalid-path`, `not-parsed`. */
bool rb_callback_select(rb_callback *callback, const char *path, rb_json *values);

rb_text rb_execution_id(rb_execution *execution);
rb_text rb_execution_flow(rb_execution *execution);
rb_text rb_execution_environment(rb_execution *execution);
/* What expressions of the flow can see: `data`, `fields`, `triggers`, and results by their `as` names. */
rb_json rb_execution_scope(rb_execution *execution);
bool rb_execution_select(rb_execution *execution, const char *path, rb_json *values);

/* ---- What the host can be asked ---- */

typedef enum { RB_LOG_DEBUG, RB_LOG_INFO, RB_LOG_WARN, RB_LOG_ERROR } rb_level;

/* Writes a line, or several, to the trace. */
void rb_log(rb_level level, rb_text message);
void rb_info(const char *message);

/* When this call began, in milliseconds since 1970. */
uint64_t rb_now(void);
/* Random bytes, at most 4,096. */
rb_text rb_random(size_t size);

/* A part of a message: bytes, or the body of the callback, which does not enter the plugin. */
typedef struct {
  bool body;
  rb_text bytes;
} rb_part;

#define RB_BODY ((rb_part){.body = true})
#define RB_BYTES(text) ((rb_part){.bytes = (text)})

/* A keyed hash or a signature as a caller sent it. */
typedef struct {
  enum { RB_ENCODED_BYTES, RB_ENCODED_HEX, RB_ENCODED_BASE64 } encoding;
  rb_text value;
} rb_encoded;

#define RB_HEX(text) ((rb_encoded){RB_ENCODED_HEX, (text)})
#define RB_BASE64(text) ((rb_encoded){RB_ENCODED_BASE64, (text)})
#define RB_RAW(text) ((rb_encoded){RB_ENCODED_BYTES, (text)})

/* How a secret's value says the key. */
typedef enum { RB_KEY_PLAIN, RB_KEY_HEX, RB_KEY_BASE64 } rb_key_form;
typedef enum { RB_HMAC_SHA1, RB_HMAC_SHA256, RB_HMAC_SHA384, RB_HMAC_SHA512 } rb_mac_algorithm;
typedef enum {
  RB_ED25519,
  RB_ECDSA_P256_SHA256,
  RB_ECDSA_P384_SHA384,
  RB_RSA_PKCS1_SHA1,
  RB_RSA_PKCS1_SHA256,
  RB_RSA_PKCS1_SHA512,
  RB_RSA_PSS_SHA256
} rb_signature_algorithm;

/* Whether `mac` is the keyed hash of the parts under the secret of that name, whose value never enters the plugin:
 * `unknown-secret`, `invalid-key`. */
bool rb_verify_mac(const char *secret, rb_key_form form, rb_mac_algorithm algorithm, const rb_part *message, size_t parts,
                   rb_encoded mac, bool *genuine);
/* Whether `signature` signs the parts under the public key of that name: `unknown-secret`, `invalid-key`. */
bool rb_verify_signature(const char *key, rb_signature_algorithm algorithm, const rb_part *message, size_t parts,
                         rb_encoded signature, bool *genuine);
/* Whether `value` is the secret of that name: `unknown-secret`. */
bool rb_secret_equals(const char *secret, rb_text value, bool *equal);

/* The plugin's own store: keys of 1 to 256 bytes, values of at most 64 KiB (`too-large`), 10,000 keys (`too-many-keys`). */
bool rb_state_get(rb_text key, rb_text *value); /* None when it is not set. */
bool rb_state_set(rb_text key, rb_text value);
bool rb_state_remove(rb_text key);

typedef struct {
  rb_text method;
  rb_text url;
  rb_pairs headers;
  rb_text body; /* None for none. */
} rb_request;

typedef struct {
  unsigned status;
  rb_pairs headers; /* Names in lower case. */
  rb_text body;
} rb_response;

/* Sends a request to a host that the operator allows: `host-not-allowed`, `invalid-request`, `too-large`, `unreachable`. */
bool rb_http_send(const rb_request *request, rb_response *response);
/* The first header of that name, in lower case; or none. */
rb_text rb_pair_value(rb_pairs pairs, const char *name);

/* ---- Roles ---- */

typedef struct {
  bool accepted;
  rb_text reason;      /* Why not, for the trace; the caller only sees 401. */
  rb_text delivery_id; /* The sender's id of this delivery, the same when it is sent again; or none. */
  rb_text subject;     /* Who sent it; or none. */
  rb_json claims;      /* What else is proved; or none. */
} rb_verdict;

typedef struct {
  bool holds;
  rb_text reason; /* Why, or why not, for the trace; or none. */
} rb_decision;

typedef struct {
  unsigned status; /* 200 to 599; 200 unless it is set. */
  rb_pairs headers;
  rb_text body;
} rb_reply;

/* Adds a header. */
void rb_reply_header(rb_reply *reply, const char *name, rb_text value);

typedef bool rb_verify_function(rb_callback *callback, rb_json config, rb_verdict *verdict);
typedef bool rb_parse_function(rb_callback *callback, rb_json config, rb_json *data);
typedef bool rb_evaluate_function(rb_callback *callback, rb_execution *execution, rb_json config, rb_decision *decision);
typedef bool rb_run_function(rb_execution *execution, rb_json config, rb_json *result);
typedef bool rb_respond_function(rb_callback *callback, rb_execution *execution, rb_json config, rb_reply *reply);

#define RB_VERIFIER(function) RB_EXPORT(verifier) rb_verify_function *const rb_verifier = function
#define RB_PARSER(function) RB_EXPORT(parser) rb_parse_function *const rb_parser = function
#define RB_CONDITION(function) RB_EXPORT(condition) rb_evaluate_function *const rb_condition = function
#define RB_STEP(function) RB_EXPORT(step) rb_run_function *const rb_step = function
#define RB_RESPONDER(function) RB_EXPORT(responder) rb_respond_function *const rb_responder = function

/* The JSON Schema of a role's configuration, as a string of C: `RB_SCHEMA(condition, "{…}");`. The host checks by it when a
 * flow is deployed. */
#define RB_SCHEMA(role, schema) RB_EXPORT_ABOUT(role) const char *const rb_schema_##role = schema

/* A check of what a schema cannot say: `bool f(const char *role, rb_json config)` fails with `invalid-config`. */
#define RB_CHECK(function) RB_EXPORT_ABOUT(check) rb_check_function *const rb_check = function
typedef bool rb_check_function(const char *role, rb_json config);

/* What makes the linker take the part of a role, and its type. */
#ifdef __wasm__
#define RB_EXPORT(name) \
  extern const char rb_export_##name; \
  __attribute__((used)) static const char *const rb_exports_##name = &rb_export_##name;
#define RB_EXPORT_ABOUT(name) \
  extern const char rb_export_configurable; \
  __attribute__((used)) static const char *const rb_exports_schema_##name = &rb_export_configurable;
#else
#define RB_EXPORT(name)
#define RB_EXPORT_ABOUT(name)
#endif

extern rb_verify_function *const rb_verifier;
extern rb_parse_function *const rb_parser;
extern rb_evaluate_function *const rb_condition;
extern rb_run_function *const rb_step;
extern rb_respond_function *const rb_responder;
extern rb_check_function *const rb_check;

#endif
