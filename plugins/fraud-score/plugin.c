/* A step that says how likely an order is fraud: rules give points, and their sum decides. */
#include "ringback.h"

/* The most times that are remembered of one value. */
#define REMEMBERED 64

RB_SCHEMA(step,
          "{\"type\": \"object\", \"required\": [\"rules\", \"review\", \"refuse\"], \"additionalProperties\": false,"
          " \"properties\": {"
          "  \"review\": {\"type\": \"number\", \"description\": \"From so many points on somebody has to look.\"},"
          "  \"refuse\": {\"type\": \"number\", \"description\": \"From so many points on it is refused.\"},"
          "  \"rules\": {\"type\": \"array\", \"maxItems\": 64, \"items\": {"
          "   \"type\": \"object\", \"required\": [\"name\", \"path\", \"points\"], \"additionalProperties\": false,"
          "   \"properties\": {"
          "    \"name\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 64},"
          "    \"path\": {\"type\": \"string\", \"description\": \"A JSONPath in the scope of the flow.\"},"
          "    \"points\": {\"type\": \"number\"},"
          "    \"above\": {\"type\": \"number\"},"
          "    \"below\": {\"type\": \"number\"},"
          "    \"in\": {\"type\": \"array\"},"
          "    \"not_in\": {\"type\": \"array\"},"
          "    \"missing\": {\"const\": true},"
          "    \"differs_from\": {\"type\": \"string\", \"description\": \"A JSONPath.\"},"
          "    \"more_often\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 63,"
          "     \"description\": \"Executions with the same value within `within_minutes`.\"},"
          "    \"within_minutes\": {\"type\": \"number\", \"exclusiveMinimum\": 0}}}}}}");

static double number_of(rb_json object, const char *name) {
  double number = 0;
  rb_json_number(rb_json_get(object, name), &number);
  return number;
}

static const char *string_of(rb_json object, const char *name) {
  rb_text text = rb_text_of("");
  rb_json_string(rb_json_get(object, name), &text);
  return rb_string(text);
}

/* What a schema cannot say: a rule asks one thing. */
static bool check(const char *role, rb_json config) {
  (void)role;
  size_t at = 0;
  for (rb_items rules = rb_json_items(rb_json_get(config, "rules")); rb_json_next(&rules); at++) {
    static const char *const kinds[] = {"above", "below", "in", "not_in", "missing", "differs_from", "more_often"};
    size_t kinds_given = 0;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
      kinds_given += rb_json_get(rules.value, kinds[kind]).at != NULL;
    bool often = rb_json_get(rules.value, "more_often").at != NULL;
    bool within = rb_json_get(rules.value, "within_minutes").at != NULL;
    if (kinds_given == 1 && often == within) continue;
    const char *says = kinds_given == 1 ? "`more_often` and `within_minutes` go together"
                                        : "a rule has one of above, below, in, not_in, missing, differs_from, more_often";
    rb_fail("invalid-config", says);
    rb_buffer pointer = {0};
    rb_add_string(&pointer, "/rules/");
    rb_add_int(&pointer, (int64_t)at);
    rb_failed.pointer = rb_added(&pointer);
    return false;
  }
  return true;
}

RB_CHECK(check);

/* Values are equal as they are written; of numbers and texts, by what they mean. */
static bool equal(rb_json a, rb_json b) {
  double x, y;
  rb_text s, t;
  if (rb_json_number(a, &x) && rb_json_number(b, &y)) return x == y;
  if (rb_json_string(a, &s) && rb_json_string(b, &t)) return rb_equal(s, t);
  return rb_equal(a, b);
}

static bool is_in(rb_json value, rb_json list) {
  for (rb_items items = rb_json_items(list); rb_json_next(&items);)
    if (equal(value, items.value)) return true;
  return false;
}

/* The first value at a path; none when there is none. */
static bool find(rb_execution *execution, const char *path, rb_json *value) {
  rb_json values;
  if (!rb_execution_select(execution, path, &values)) return false;
  *value = rb_json_at(values, 0);
  return true;
}

/* The key of a value of a rule: of any length, and nothing of the value itself is kept (FNV-1a). */
static rb_text key_of(const char *rule, rb_json value) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t at = 0; at < value.size; at++) hash = (hash ^ (unsigned char)value.at[at]) * 0x100000001b3;
  rb_buffer key = {0};
  rb_add_string(&key, rule);
  rb_add_string(&key, ":");
  rb_add_int(&key, (int64_t)hash);
  return rb_added(&key);
}

/* Whether other executions had this value within a time more often than so, and that this one has it. */
static bool more_often(rb_execution *execution, rb_json rule, rb_json value, bool *holds) {
  rb_text key = key_of(string_of(rule, "name"), value), before, id = rb_execution_id(execution);
  if (!rb_state_get(key, &before)) return false;
  double now = (double)rb_now(), since = now - number_of(rule, "within_minutes") * 60000;
  size_t skip = rb_json_size(before) < REMEMBERED ? 0 : rb_json_size(before) - REMEMBERED + 1;
  double times = 0;
  rb_buffer after = {0};
  rb_add_string(&after, "[");
  for (rb_items seen = rb_json_items(before); rb_json_next(&seen);) {
    double time = 0;
    rb_text who = rb_text_of("");
    rb_json_number(rb_json_at(seen.value, 0), &time);
    rb_json_string(rb_json_at(seen.value, 1), &who);
    /* A step may run again: an execution counts once. */
    if (skip ? skip-- : time < since || rb_equal(who, id)) continue;
    times++;
    rb_add(&after, seen.value);
    rb_add_string(&after, ",");
  }
  rb_add_string(&after, "[");
  rb_add_int(&after, (int64_t)now);
  rb_add_string(&after, ",");
  rb_add_json(&after, id);
  rb_add_string(&after, "]]");
  *holds = times + 1 > number_of(rule, "more_often");
  return rb_state_set(key, rb_added(&after));
}

static bool holds(rb_execution *execution, rb_json rule, bool *answer) {
  rb_json value, other;
  double number;
  if (!find(execution, string_of(rule, "path"), &value)) return false;
  bool is_number = rb_json_number(value, &number), is_there = value.at && rb_json_kind(value) != RB_NULL;
  if (rb_json_get(rule, "missing").at) {
    *answer = !is_there;
  } else if (rb_json_get(rule, "above").at) {
    *answer = is_number && number > number_of(rule, "above");
  } else if (rb_json_get(rule, "below").at) {
    *answer = is_number && number < number_of(rule, "below");
  } else if (rb_json_get(rule, "in").at) {
    *answer = is_there && is_in(value, rb_json_get(rule, "in"));
  } else if (rb_json_get(rule, "not_in").at) {
    *answer = is_there && !is_in(value, rb_json_get(rule, "not_in"));
  } else if (rb_json_get(rule, "differs_from").at) {
    if (!find(execution, string_of(rule, "differs_from"), &other)) return false;
    *answer = is_there && other.at && rb_json_kind(other) != RB_NULL && !equal(value, other);
  } else {
    return !is_there || more_often(execution, rule, value, answer);
  }
  return true;
}

static bool score(rb_execution *execution, rb_json config, rb_json *result) {
  double points = 0;
  rb_buffer reasons = {0}, out = {0};
  for (rb_items rules = rb_json_items(rb_json_get(config, "rules")); rb_json_next(&rules);) {
    bool answer = false;
    if (!holds(execution, rules.value, &answer)) return false;
    if (!answer) continue;
    points += number_of(rules.value, "points");
    if (reasons.size) rb_add_string(&reasons, ",");
    rb_add_json(&reasons, rb_text_of(string_of(rules.value, "name")));
  }
  bool refuse = points >= number_of(config, "refuse"), review = points >= number_of(config, "review");
  rb_add_string(&out, "{\"score\":");
  rb_add_int(&out, (int64_t)points);
  rb_add_string(&out, refuse ? ",\"decision\":\"refuse\"" : review ? ",\"decision\":\"review\"" : ",\"decision\":\"accept\"");
  rb_add_string(&out, ",\"reasons\":[");
  rb_add(&out, rb_added(&reasons));
  rb_add_string(&out, "]}");
  *result = rb_added(&out);
  return true;
}

RB_STEP(score);
