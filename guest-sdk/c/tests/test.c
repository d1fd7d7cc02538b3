/* The parts of the SDK that need no host, and the host of the tests. */
#include "../ringback_test.h"

#include <string.h>

static rb_json json(const char *text) {
  return rb_text_of(text);
}

static void text_is_put_together(void) {
  RB_ASSERT(rb_text_of(NULL).at == NULL && !rb_is(rb_text_of(NULL), "") && rb_is(rb_text_of(""), ""));
  rb_buffer out = {0};
  RB_ASSERT(rb_is(rb_added(&out), ""));
  rb_add_int(&out, INT64_MIN);
  rb_add_string(&out, " ");
  rb_add_int(&out, 0);
  RB_ASSERT(rb_is(rb_added(&out), "-9223372036854775808 0"));
  rb_buffer quoted = {0};
  rb_add_json(&quoted, rb_text_of("a\"b\\c\n\x01 \xc3\xa9"));
  rb_add_json(&quoted, (rb_text){0});
  RB_ASSERT(rb_is(rb_added(&quoted), "\"a\\u0022b\\u005cc\\u000a\\u0001 \xc3\xa9\"null"));
}

static void json_is_read(void) {
  rb_json order = json(" { \"a\" : [1, -2.5e1 ,{\"b\":\"]}\\\"\"}], \"\":null,\"t\":true , \"s\": \"x\" } ");
  RB_ASSERT(rb_json_kind(order) == RB_OBJECT && rb_json_size(order) == 4);
  double number = 7;
  RB_ASSERT(rb_json_number(rb_json_at(rb_json_get(order, "a"), 1), &number) && number == -25);
  rb_text text;
  RB_ASSERT(rb_json_string(rb_json_get(rb_json_at(rb_json_get(order, "a"), 2), "b"), &text) && rb_is(text, "]}\""));
  RB_ASSERT(rb_json_kind(rb_json_get(order, "")) == RB_NULL);
  bool truth = false;
  RB_ASSERT(rb_json_bool(rb_json_get(order, "t"), &truth) && truth);
  /* Of another kind, or not there: nothing, and the value stays. */
  RB_ASSERT(!rb_json_number(rb_json_get(order, "s"), &number) && !rb_json_bool(rb_json_get(order, "s"), &truth));
  RB_ASSERT(!rb_json_string(rb_json_get(rb_json_get(order, "none"), "b"), &text) && number == -25 && truth);
  RB_ASSERT(rb_json_at(rb_json_get(order, "a"), 3).at == NULL && rb_json_at(order, 0).at == NULL);
  RB_ASSERT(rb_json_size(json("[]")) == 0 && rb_json_size(json("{ }")) == 0 && rb_json_size(json("1")) == 0);
  RB_ASSERT(rb_json_string(json("\"\\u00e9\\ud83d\\ude00\\ud83d \\/\\b\\f\\n\\r\\t\""), &text));
  RB_ASSERT(rb_is(text, "\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd /\b\f\n\r\t"));
}

static void nothing_is_read_behind_broken_json(void) {
  static const char whole[] = "{\"a\": [1, {\"b\\u0041\\\"\": \"c\\ud83d\\ude00\"}, true], \"d\": null}";
  for (size_t size = 0; size < sizeof whole; size++) {
    char *cut = malloc(size + 1);
    memcpy(cut, whole, size);
    rb_json broken = {realloc(cut, size ? size : 1), size};
    for (rb_items items = rb_json_items(broken); rb_json_next(&items);) {
      rb_text text;
      double number;
      for (rb_items inner = rb_json_items(items.value); rb_json_next(&inner);) {
        rb_json_string(rb_json_get(inner.value, "bA\""), &text);
        rb_json_number(inner.value, &number);
      }
    }
    rb_text text;
    rb_json_string((rb_json){whole + size, sizeof whole - 1 - size}, &text);
  }
}

static void the_host_of_the_tests_answers(void) {
  rb_callback *callback = rb_test_callback("{\"order\": {\"lines\": [{\"price\": 1}, {\"price\": 2}]}}");
  rb_test_request("PUT", "https://shop.test/h/key?a=1&b=caf%C3%A9+x&a=2&c");
  rb_test_header("X-A", "one");
  rb_test_header("x-a", "two");
  RB_ASSERT(rb_is(rb_callback_path(callback), "/h/key") && rb_is(rb_callback_method(callback), "PUT"));
  RB_ASSERT(rb_callback_query(callback, "a").size == 2 && rb_is(rb_callback_query(callback, "c").at[0], ""));
  RB_ASSERT(rb_is(rb_callback_query(callback, "b").at[0], "caf\xc3\xa9 x"));
  RB_ASSERT(rb_is(rb_callback_header(callback, "X-a"), "one, two") && rb_callback_header(callback, "x-b").at == NULL);
  rb_json values;
  RB_ASSERT(rb_callback_select(callback, "$.order.lines[*].price", &values) && rb_is(values, "[1,2]"));
  RB_ASSERT(rb_callback_select(callback, "$['order'].lines[1]", &values) && rb_is(values, "[{\"price\": 2}]"));
  RB_ASSERT(rb_callback_select(callback, "$.none.at", &values) && rb_is(values, "[]"));
  RB_ASSERT(!rb_callback_select(callback, "order", &values) && rb_is(rb_failed.code, "invalid-path"));
  rb_test_data(NULL);
  RB_ASSERT(!rb_callback_data(callback, &values) && rb_is(rb_failed.code, "not-parsed"));

  bool answer;
  RB_ASSERT(!rb_secret_equals("TOKEN", rb_text_of("x"), &answer) && rb_is(rb_failed.code, "unknown-secret"));
  rb_test_secret("TOKEN", "open sesame");
  RB_ASSERT(rb_secret_equals("TOKEN", rb_text_of("x"), &answer) && !answer);
  RB_ASSERT(rb_secret_equals("TOKEN", rb_text_of("open sesame"), &answer) && answer);

  rb_text value;
  RB_ASSERT(!rb_state_set(rb_text_of(""), rb_text_of("1")) && rb_is(rb_failed.code, "too-large"));
  RB_ASSERT(rb_state_get(rb_text_of("k"), &value) && value.at == NULL);
  RB_ASSERT(rb_state_set(rb_text_of("k"), rb_text_of("1")) && rb_state_get(rb_text_of("k"), &value) && rb_is(value, "1"));
  RB_ASSERT(rb_state_remove(rb_text_of("k")) && rb_state_get(rb_text_of("k"), &value) && value.at == NULL);
  rb_response response;
  RB_ASSERT(!rb_http_send(&(rb_request){0}, &response) && rb_is(rb_failed.code, "host-not-allowed"));
  rb_info("seen");
  RB_ASSERT(strcmp(rb_test_log(), "info: seen\n") == 0);
}

int main(void) {
  text_is_put_together();
  json_is_read();
  nothing_is_read_behind_broken_json();
  the_host_of_the_tests_answers();
  puts("4 passed, 0 failed");
}
