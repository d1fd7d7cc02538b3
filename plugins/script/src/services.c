// What a plugin in JavaScript asks that leaves something behind: its state, and requests. Only who imports it by its name has it.
#include "engine.h"
#include <stdlib.h>
#include <string.h>

static script_string_t as_string(const struct bytes *bytes) { return (script_string_t){(uint8_t *)bytes->start, bytes->length}; }

enum of_state { GET, SET, REMOVE };

static JSValue ask_state(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments, int what) {
    (void)this;
    struct bytes key, value = {.buffer = JS_UNDEFINED};
    if (!begin_asking(true, "") || count < (what == SET ? 2 : 1) || !bytes_of(arguments[0], &key)) return JS_EXCEPTION;
    if (what == SET && !bytes_of(arguments[1], &value)) return JS_EXCEPTION;
    script_string_t name = as_string(&key);
    ringback_plugin_types_failure_t failure;
    JSValue answer = JS_UNDEFINED;
    bool is_done;
    if (what == GET) {
        script_option_list_u8_t found;
        is_done = ringback_plugin_state_get(&name, &found, &failure);
        if (is_done && found.is_some) {
            answer = JS_NewUint8ArrayCopy(ctx, found.val.ptr, found.val.len);
            script_list_u8_free(&found.val);
        }
    } else if (what == SET) {
        script_list_u8_t bytes = {(uint8_t *)value.start, value.length};
        is_done = ringback_plugin_state_set(&name, &bytes, &failure);
    } else {
        is_done = ringback_plugin_state_remove(&name, &failure);
    }
    done_with(&key), done_with(&value);
    return is_done ? answer : failed(&failure);
}

// Most headers of a request: more than anybody sends.
#define HEADERS_MAX 256

// The prelude has looked at the arguments: method, URL, pairs of names and values, and the body, if there is one.
static JSValue send(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    int64_t headers;
    if (!begin_asking(true, "") || count < 4 || JS_GetLength(ctx, arguments[2], &headers)) return JS_EXCEPTION;
    if (headers > HEADERS_MAX) return JS_ThrowRangeError(ctx, "a request has at most %d headers", HEADERS_MAX);
    struct bytes method, url, body = {.buffer = JS_UNDEFINED}, names[HEADERS_MAX], values[HEADERS_MAX];
    script_tuple2_string_string_t pairs[HEADERS_MAX];
    bool has_body = !JS_IsUndefined(arguments[3]);
    if (!bytes_of(arguments[0], &method) || !bytes_of(arguments[1], &url) || (has_body && !bytes_of(arguments[3], &body))) return JS_EXCEPTION;
    for (int64_t i = 0; i < headers; i++) {
        JSValue pair = JS_GetPropertyInt64(ctx, arguments[2], i);
        JSValue name = JS_GetPropertyUint32(ctx, pair, 0), value = JS_GetPropertyUint32(ctx, pair, 1);
        if (!bytes_of(name, &names[i]) || !bytes_of(value, &values[i])) return JS_EXCEPTION;
        pairs[i] = (script_tuple2_string_string_t){as_string(&names[i]), as_string(&values[i])};
        JS_FreeValue(ctx, pair), JS_FreeValue(ctx, name), JS_FreeValue(ctx, value);
    }
    ringback_plugin_http_request_t request = {
        .method = as_string(&method),
        .url = as_string(&url),
        .headers = {pairs, headers},
        .body = {has_body, {(uint8_t *)body.start, body.length}},
    };
    ringback_plugin_http_response_t response;
    ringback_plugin_types_failure_t failure;
    bool is_sent = ringback_plugin_http_send(&request, &response, &failure);
    for (int64_t i = 0; i < headers; i++) done_with(&names[i]), done_with(&values[i]);
    done_with(&method), done_with(&url), done_with(&body);
    if (!is_sent) return failed(&failure);
    JSValue answer = JS_NewArray(ctx);
    JS_SetPropertyUint32(ctx, answer, 0, JS_NewInt32(ctx, response.status));
    JS_SetPropertyUint32(ctx, answer, 1, pairs_of(&response.headers));
    JS_SetPropertyUint32(ctx, answer, 2, JS_NewUint8ArrayCopy(ctx, response.body.ptr, response.body.len));
    script_list_u8_free(&response.body);
    return answer;
}

void add_services(JSValueConst host) {
    static const char *const names[] = {[GET] = "getState", [SET] = "setState", [REMOVE] = "removeState"};
    for (int what = GET; what <= REMOVE; what++) {
        JSValue ask = JS_NewCFunctionMagic(context, ask_state, names[what], 2, JS_CFUNC_generic_magic, what);
        JS_SetPropertyStr(context, host, names[what], ask);
    }
    JS_SetPropertyStr(context, host, "send", JS_NewCFunction(context, send, "send", 4));
}
