/* See README.md beside this directory. */
#include "ringback.h"

static bool number_of(rb_json object, const char *name, double *number) {
  return rb_json_number(rb_json_get(object, name), number);
}

static rb_text text_of(rb_json object, const char *name) {
  rb_text text = rb_text_of("");
  rb_json_string(rb_json_get(object, name), &text);
  return text;
}

/* `"name":` and what follows, with a comma before all but the first. */
static void add_name(rb_buffer *out, const char *name) {
  rb_add_string(out, out->size > 1 ? "," : "");
  rb_add_json(out, rb_text_of(name));
  rb_add_string(out, ":");
}

static void add_text(rb_buffer *out, const char *name, rb_text value) {
  add_name(out, name);
  rb_add_json(out, value);
}

static void add_int(rb_buffer *out, const char *name, int64_t value) {
  add_name(out, name);
  rb_add_int(out, value);
}

static void add(rb_buffer *out, const char *name, rb_json value) {
  add_name(out, name);
  rb_add(out, value);
}

static bool verify(rb_callback *callback, rb_json config, rb_verdict *verdict) {
  rb_text signature = rb_callback_header(callback, "x-signature");
  if (signature.at == NULL) {
    verdict->reason = rb_text_of("there is no x-signature");
    return true;
  }
  rb_part message[] = {RB_BYTES(rb_callback_header(callback, "x-timestamp")), RB_BYTES(rb_text_of(".")), RB_BODY};
  const char *secret = rb_string(text_of(config, "secret"));
  if (!rb_verify_mac(secret, RB_KEY_PLAIN, RB_HMAC_SHA256, message, 3, RB_HEX(signature), &verdict->accepted)) return false;
  verdict->reason = rb_text_of("the signature is wrong");
  verdict->delivery_id = rb_callback_header(callback, "x-id");
  verdict->subject = rb_text_of("conformance");
  rb_buffer claims = {0};
  rb_add_string(&claims, "{");
  add_int(&claims, "bytes", (int64_t)rb_callback_body_size(callback));
  add_text(&claims, "flow", rb_callback_flow(callback));
  rb_add_string(&claims, "}");
  verdict->claims = rb_added(&claims);
  return true;
}

RB_VERIFIER(verify);
RB_SCHEMA(verifier, "{\"type\": \"object\", \"properties\": {\"secret\": {\"type\": \"string\"}}, \"required\": [\"secret\"], "
                    "\"additionalProperties\": false}");

static bool parse(rb_callback *callback, rb_json config, rb_json *data) {
  if (rb_is(text_of(config, "do"), "data")) return rb_callback_data(callback, data);
  rb_text text;
  if (!rb_callback_text(callback, &text)) return false;
  rb_buffer out = {0};
  rb_add_string(&out, "{");
  add_text(&out, "method", rb_callback_method(callback));
  add_text(&out, "path", rb_callback_path(callback));
  add_name(&out, "query");
  rb_pairs query = rb_callback_query_pairs(callback);
  for (size_t at = 0; at < query.size; at++) {
    rb_add_string(&out, at ? ",[" : "[[");
    rb_add_json(&out, query.at[at].name);
    rb_add_string(&out, ",");
    rb_add_json(&out, query.at[at].value);
    rb_add_string(&out, "]");
  }
  rb_add_string(&out, query.size ? "]" : "[]");
  add_name(&out, "a");
  rb_texts a = rb_callback_query(callback, "a");
  rb_add_string(&out, "[");
  for (size_t at = 0; at < a.size; at++) {
    rb_add_string(&out, at ? "," : "");
    rb_add_json(&out, a.at[at]);
  }
  rb_add_string(&out, "]");
  add_text(&out, "header", rb_callback_header(callback, "X-A"));
  add_int(&out, "headers", (int64_t)rb_callback_headers(callback).size);
  add_int(&out, "size", (int64_t)rb_callback_body_size(callback));
  add_text(&out, "environment", rb_callback_environment(callback));
  add_text(&out, "flow", rb_callback_flow(callback));
  add_text(&out, "trigger", rb_callback_trigger(callback));
  add_text(&out, "from", rb_callback_remote_address(callback));
  add_text(&out, "text", text);
  rb_add_string(&out, "}");
  *data = rb_added(&out);
  return true;
}

RB_PARSER(parse);
RB_SCHEMA(parser, "{\"type\": \"object\", \"properties\": {\"do\": {\"enum\": [\"text\", \"data\"]}}, \"required\": [\"do\"], "
                  "\"additionalProperties\": false}");

static bool evaluate(rb_callback *callback, rb_execution *execution, rb_json config, rb_decision *decision) {
  const char *path = rb_string(text_of(config, "path"));
  rb_json values;
  if (rb_is(text_of(config, "of"), "execution")) {
    if (execution == NULL) return rb_fail("no-execution", "no execution waits");
    if (!rb_execution_select(execution, path, &values)) return false;
  } else if (!rb_callback_select(callback, path, &values)) {
    return false;
  }
  double value, minimum = 0;
  number_of(config, "minimum", &minimum);
  if (!rb_json_number(rb_json_at(values, 0), &value)) {
    decision->reason = rb_text_of("there is none");
    return true;
  }
  decision->holds = value >= minimum;
  decision->reason = rb_text_of(decision->holds ? "it is large enough" : "it is too small");
  return true;
}

RB_CONDITION(evaluate);
RB_SCHEMA(condition, "{\"type\": \"object\", \"properties\": {\"path\": {\"type\": \"string\"}, \"minimum\": {\"type\": \"number\"}, "
                     "\"of\": {\"enum\": [\"data\", \"execution\"]}}, \"required\": [\"path\", \"minimum\"], "
                     "\"additionalProperties\": false}");

static bool count(rb_text key, rb_json *result) {
  rb_text before;
  if (!rb_state_get(key, &before)) return false;
  double number = 0;
  rb_json_number(before, &number);
  rb_buffer counted = {0}, out = {0};
  rb_add_int(&counted, (int64_t)number + 1);
  if (!rb_state_set(key, rb_added(&counted))) return false;
  rb_add_string(&out, "{");
  add(&out, "count", rb_added(&counted));
  rb_add_string(&out, "}");
  *result = rb_added(&out);
  return true;
}

static bool fetch(rb_text url, rb_json *result) {
  rb_pair header = {rb_text_of("x-ping"), rb_text_of("1")};
  rb_request request = {rb_text_of("POST"), url, {&header, 1}, rb_text_of("ping")};
  rb_response response;
  if (!rb_http_send(&request, &response)) return false;
  rb_buffer out = {0};
  rb_add_string(&out, "{");
  add_int(&out, "status", response.status);
  add_text(&out, "pong", rb_pair_value(response.headers, "x-pong"));
  add_text(&out, "text", response.body);
  rb_add_string(&out, "}");
  *result = rb_added(&out);
  return true;
}

static bool seen(rb_execution *execution, rb_json *result) {
  rb_json lines;
  if (!rb_execution_select(execution, "$.data.lines[*]", &lines)) return false;
  rb_buffer out = {0};
  rb_add_string(&out, "{");
  add_text(&out, "id", rb_execution_id(execution));
  add_text(&out, "flow", rb_execution_flow(execution));
  add_text(&out, "environment", rb_execution_environment(execution));
  add(&out, "scope", rb_execution_scope(execution));
  add(&out, "lines", lines);
  rb_add_string(&out, "}");
  *result = rb_added(&out);
  return true;
}

static void random_digits(rb_json *result) {
  rb_text bytes = rb_random(8);
  rb_buffer out = {0};
  rb_add_string(&out, "\"");
  for (size_t at = 0; at < bytes.size; at++) {
    static const char digits[] = "0123456789abcdef";
    char both[] = {digits[(bytes.at[at] >> 4) & 15], digits[bytes.at[at] & 15]};
    rb_add(&out, (rb_text){both, 2});
  }
  rb_add_string(&out, "\"");
  *result = rb_added(&out);
}

static bool run(rb_execution *execution, rb_json config, rb_json *result) {
  rb_text what = text_of(config, "do");
  *result = rb_text_of("null");
  if (rb_is(what, "echo")) {
    *result = rb_json_get(config, "value");
  } else if (rb_is(what, "seen")) {
    return seen(execution, result);
  } else if (rb_is(what, "count")) {
    return count(text_of(config, "key"), result);
  } else if (rb_is(what, "forget")) {
    return rb_state_remove(text_of(config, "key"));
  } else if (rb_is(what, "fetch")) {
    return fetch(text_of(config, "url"), result);
  } else if (rb_is(what, "token")) {
    bool equal;
    if (!rb_secret_equals(rb_string(text_of(config, "secret")), text_of(config, "value"), &equal)) return false;
    *result = rb_text_of(equal ? "true" : "false");
  } else if (rb_is(what, "random")) {
    random_digits(result);
  } else if (rb_is(what, "fail")) {
    rb_fail(rb_string(text_of(config, "code")), "failed on purpose");
    rb_failed.retryable = true;
    rb_failed.detail = rb_text_of("{\"on\": \"purpose\"}");
    return false;
  } else if (rb_is(what, "crash")) {
    rb_panic("crashed on purpose");
  } else {
    rb_log(RB_LOG_DEBUG, rb_text_of("a"));
    rb_info("b");
    rb_log(RB_LOG_WARN, rb_text_of("c"));
    rb_log(RB_LOG_ERROR, rb_text_of("d"));
  }
  return true;
}

RB_STEP(run);
RB_SCHEMA(step, "{\"type\": \"object\", \"properties\": {\"do\": {\"enum\": [\"echo\", \"seen\", \"count\", \"forget\", "
                "\"fetch\", \"token\", \"random\", \"fail\", \"crash\", \"log\"]}, \"value\": {}, \"key\": {\"type\": \"string\"}, "
                "\"url\": {\"type\": \"string\"}, \"secret\": {\"type\": \"string\"}, \"code\": {\"type\": \"string\"}}, "
                "\"required\": [\"do\"], \"additionalProperties\": false}");

static bool respond(rb_callback *callback, rb_execution *execution, rb_json config, rb_reply *reply) {
  double status = 200;
  number_of(config, "status", &status);
  reply->status = (unsigned)status;
  rb_buffer size = {0}, body = {0};
  rb_add_int(&size, (int64_t)rb_callback_body_size(callback));
  rb_reply_header(reply, "content-type", rb_text_of("text/plain"));
  rb_reply_header(reply, "x-size", rb_added(&size));
  rb_json bytes = rb_json_get(config, "bytes");
  if (bytes.at) {
    for (rb_items items = rb_json_items(bytes); rb_json_next(&items);) {
      double value = 0;
      rb_json_number(items.value, &value);
      char byte = (char)(unsigned char)value;
      rb_add(&body, (rb_text){&byte, 1});
    }
  } else {
    rb_add(&body, text_of(config, "text"));
    rb_add_string(&body, ":");
    rb_add(&body, execution ? rb_execution_id(execution) : rb_text_of("none"));
  }
  reply->body = rb_added(&body);
  return true;
}

RB_RESPONDER(respond);
RB_SCHEMA(responder, "{\"type\": \"object\", \"properties\": {\"status\": {\"type\": \"integer\"}, \"text\": {\"type\": \"string\"}, "
                     "\"bytes\": {\"type\": \"array\", \"items\": {\"type\": \"integer\"}}}, \"required\": [\"status\"], "
                     "\"additionalProperties\": false}");
