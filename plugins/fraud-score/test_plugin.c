/* The plugin's functions, natively; vectors.json has what the server tries when it is uploaded. */
#include "plugin.c"
#include "ringback_test.h"

#include <string.h>

static const char *const order = "{\"data\": {\"total\": 250, \"card\": \"4111\", \"country\": \"NL\", \"ip\": \"US\"}}";

static rb_json of(const char *rule) {
  rb_buffer config = {0};
  rb_add_string(&config, "{\"review\": 10, \"refuse\": 50, \"rules\": [{\"name\": \"r\", \"points\": 20, ");
  rb_add_string(&config, rule);
  rb_add_string(&config, "}]}");
  return rb_added(&config);
}

static bool found(const char *rule) {
  rb_json result;
  RB_ASSERT(score(rb_test_execution(order), of(rule), &result));
  bool review = rb_is(result, "{\"score\":20,\"decision\":\"review\",\"reasons\":[\"r\"]}");
  RB_ASSERT(review || rb_is(result, "{\"score\":0,\"decision\":\"accept\",\"reasons\":[]}"));
  return review;
}

static bool refused(const char *rule) {
  bool taken = check("step", of(rule));
  RB_ASSERT(taken || (rb_is(rb_failed.code, "invalid-config") && rb_is(rb_failed.pointer, "/rules/0")));
  return !taken;
}

int main(void) {
  RB_ASSERT(refused("\"path\": \"$.a\"") && refused("\"path\": \"$.a\", \"above\": 1, \"below\": 2"));
  RB_ASSERT(refused("\"path\": \"$.a\", \"more_often\": 1") && refused("\"path\": \"$.a\", \"in\": [], \"within_minutes\": 1"));
  RB_ASSERT(!refused("\"path\": \"$.a\", \"more_often\": 1, \"within_minutes\": 1"));

  RB_ASSERT(!found("\"path\": \"$.data.total\", \"above\": 250") && found("\"path\": \"$.data.total\", \"above\": 249.5"));
  RB_ASSERT(!found("\"path\": \"$.data.none\", \"above\": 1") && !found("\"path\": \"$.data.card\", \"above\": 1"));
  RB_ASSERT(!found("\"path\": \"$.data.total\", \"below\": 250") && found("\"path\": \"$.data.total\", \"below\": 251"));
  RB_ASSERT(!found("\"path\": \"$.data.country\", \"in\": [\"US\"]") && found("\"path\": \"$.data.country\", \"in\": [1, \"N\\u004c\"]"));
  RB_ASSERT(!found("\"path\": \"$.data.total\", \"not_in\": [2.5e2]") && found("\"path\": \"$.data.total\", \"not_in\": [\"250\"]"));
  RB_ASSERT(!found("\"path\": \"$.data.none\", \"not_in\": []") && !found("\"path\": \"$.data.total\", \"missing\": true"));
  RB_ASSERT(found("\"path\": \"$.data.none\", \"missing\": true"));
  RB_ASSERT(!found("\"path\": \"$.data.country\", \"differs_from\": \"$.data.none\""));
  RB_ASSERT(found("\"path\": \"$.data.country\", \"differs_from\": \"$.data.ip\""));

  /* The same execution again is counted once, one that is too old not at all. */
  const char *often = "\"path\": \"$.data.card\", \"more_often\": 1, \"within_minutes\": 60";
  RB_ASSERT(!found(often) && !found(often));
  rb_text key = key_of("r", rb_text_of("\"4111\""));
  RB_ASSERT(rb_state_set(key, rb_text_of("[[1767225500000,\"other\"]]")) && found(often));
  RB_ASSERT(rb_state_set(key, rb_text_of("[[1767220000000,\"other\"]]")) && !found(often));

  /* What is remembered of a value is bounded. */
  rb_buffer many = {0};
  rb_add_string(&many, "[[1767225500000,\"0\"]");
  for (int at = 1; at < 500; at++) {
    rb_add_string(&many, ",[1767225500000,\"");
    rb_add_int(&many, at);
    rb_add_string(&many, "\"]");
  }
  rb_add_string(&many, "]");
  rb_text kept;
  RB_ASSERT(rb_state_set(key, rb_added(&many)) && found(often));
  RB_ASSERT(rb_state_get(key, &kept) && rb_json_size(kept) == REMEMBERED);
  puts("1 passed, 0 failed");
}
