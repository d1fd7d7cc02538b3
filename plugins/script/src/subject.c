// What a script asks of the host: what its call is about, and whether a secret fits.
#include "engine.h"
#include <stdlib.h>
#include <string.h>

bool is_building = false, is_reading = false, has_asked_early = false;
JSValue failure_prototype;

static struct {
    bool is_some;
    int32_t handle;
} callback, execution;

void subject_is(const ringback_plugin_types_own_callback_t *of_callback, const ringback_plugin_types_own_execution_t *of_execution) {
    callback.is_some = of_callback, execution.is_some = of_execution;
    if (of_callback) callback.handle = ringback_plugin_types_borrow_callback(*of_callback).__handle;
    if (of_execution) execution.handle = ringback_plugin_types_borrow_execution(*of_execution).__handle;
}

bool has_execution(void) { return execution.is_some; }

// What the host answered becomes a value, and its memory is free again.
static JSValue text_of(script_string_t *answer) {
    JSValue value = JS_NewStringLen(context, (char *)answer->ptr, answer->len);
    script_string_free(answer);
    return value;
}

static JSValue json_of(script_string_t *answer) {
    // The parser wants a zero behind the text.
    char *text = realloc(answer->ptr, answer->len + 1);
    text[answer->len] = 0;
    JSValue value = JS_ParseJSON(context, text, answer->len, "json");
    free(text);
    return value;
}

JSValue pairs_of(script_list_tuple2_string_string_t *answer) {
    JSValue list = JS_NewArray(context);
    for (size_t i = 0; i < answer->len; i++) {
        JSValue pair = JS_NewArray(context);
        script_string_t *name = &answer->ptr[i].f0, *value = &answer->ptr[i].f1;
        JS_SetPropertyUint32(context, pair, 0, JS_NewStringLen(context, (char *)name->ptr, name->len));
        JS_SetPropertyUint32(context, pair, 1, JS_NewStringLen(context, (char *)value->ptr, value->len));
        JS_SetPropertyUint32(context, list, i, pair);
    }
    script_list_tuple2_string_string_free(answer);
    return list;
}

JSValue failed(ringback_plugin_types_failure_t *failure) {
    JSValue error = JS_NewError(context);
    JS_DefinePropertyValueStr(context, error, "message", text_of(&failure->message), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(context, error, "code", text_of(&failure->code), JS_PROP_C_W_E);
    if (failure->detail.is_some) JS_DefinePropertyValueStr(context, error, "detail", json_of(&failure->detail.val), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(context, error, "retryable", JS_NewBool(context, failure->retryable), JS_PROP_C_W_E);
    JS_SetPrototype(context, error, failure_prototype);
    return JS_Throw(context, error);
}

bool bytes_of(JSValueConst value, struct bytes *bytes) {
    *bytes = (struct bytes){.buffer = JS_UNDEFINED};
    if (JS_IsString(value)) {
        bytes->text = JS_ToCStringLen(context, &bytes->length, value);
        bytes->start = (const uint8_t *)bytes->text;
        return bytes->text;
    }
    size_t offset = 0, length = 0, each, all;
    bytes->buffer = JS_GetTypedArrayBuffer(context, value, &offset, &length, &each);
    if (JS_IsException(bytes->buffer)) return false;
    uint8_t *start = JS_GetArrayBuffer(context, &all, bytes->buffer);
    if (!start && length) return false;
    bytes->start = start + offset, bytes->length = length;
    return true;
}

void done_with(struct bytes *bytes) {
    if (bytes->text) JS_FreeCString(context, bytes->text);
    JS_FreeValue(context, bytes->buffer);
}

bool begin_asking(bool is_there, const char *what) {
    if (is_reading) has_asked_early = true;
    else if (is_there) return true;
    JS_ThrowTypeError(context, "there is no %s here", what);
    return false;
}

enum of_callback { ID, METHOD, URL, PATH, OF_ENVIRONMENT, OF_FLOW, TRIGGER, REMOTE_ADDRESS, CLAIMS, RECEIVED_AT, HEADERS, HEADER, QUERY, TEXT, BYTES, BODY_SIZE, DATA, SELECT };

static JSValue ask_callback(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments, int what) {
    (void)this;
    if (!begin_asking(callback.is_some, "callback")) return JS_EXCEPTION;
    ringback_plugin_types_borrow_callback_t self = {callback.handle};
    script_string_t text;
    ringback_plugin_types_failure_t failure;
    switch (what) {
        case ID: ringback_plugin_types_method_callback_id(self, &text); return text_of(&text);
        case METHOD: ringback_plugin_types_method_callback_method(self, &text); return text_of(&text);
        case URL: ringback_plugin_types_method_callback_url(self, &text); return text_of(&text);
        case PATH: ringback_plugin_types_method_callback_path(self, &text); return text_of(&text);
        case OF_ENVIRONMENT: ringback_plugin_types_method_callback_environment(self, &text); return text_of(&text);
        case OF_FLOW: return ringback_plugin_types_method_callback_flow(self, &text) ? text_of(&text) : JS_UNDEFINED;
        case TRIGGER: return ringback_plugin_types_method_callback_trigger(self, &text) ? text_of(&text) : JS_UNDEFINED;
        case REMOTE_ADDRESS:
            return ringback_plugin_types_method_callback_remote_address(self, &text) ? text_of(&text) : JS_UNDEFINED;
        case CLAIMS: return ringback_plugin_types_method_callback_claims(self, &text) ? json_of(&text) : JS_UNDEFINED;
        case RECEIVED_AT: return JS_NewInt64(ctx, ringback_plugin_types_method_callback_received_at(self));
        case HEADERS:
        case QUERY: {
            script_list_tuple2_string_string_t pairs;
            if (what == HEADERS) ringback_plugin_types_method_callback_headers(self, &pairs);
            else ringback_plugin_types_method_callback_query_pairs(self, &pairs);
            return pairs_of(&pairs);
        }
        case BODY_SIZE: return JS_NewInt64(ctx, ringback_plugin_types_method_callback_body_size(self));
        case TEXT:
            return ringback_plugin_types_method_callback_text(self, &text, &failure) ? text_of(&text) : failed(&failure);
        case BYTES: {
            script_list_u8_t body;
            ringback_plugin_types_method_callback_body(self, &body);
            JSValue array = JS_NewUint8ArrayCopy(ctx, body.ptr, body.len);
            script_list_u8_free(&body);
            return array;
        }
        case DATA:
            return ringback_plugin_types_method_callback_data(self, &text, &failure) ? json_of(&text) : failed(&failure);
        default: {
            size_t length;
            const char *path = count ? JS_ToCStringLen(ctx, &length, arguments[0]) : NULL;
            if (!path) return JS_EXCEPTION;
            script_string_t asked = {(uint8_t *)path, length};
            bool is_found = what == HEADER ? ringback_plugin_types_method_callback_header(self, &asked, &text)
                                           : ringback_plugin_types_method_callback_select(self, &asked, &text, &failure);
            JS_FreeCString(ctx, path);
            if (what == HEADER) return is_found ? text_of(&text) : JS_UNDEFINED;
            return is_found ? json_of(&text) : failed(&failure);
        }
    }
}

enum of_execution { EXECUTION_ID, FLOW, ENVIRONMENT, SCOPE, SELECT_IN_SCOPE };

static JSValue ask_execution(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments, int what) {
    (void)this;
    if (!begin_asking(execution.is_some, "execution")) return JS_EXCEPTION;
    ringback_plugin_types_borrow_execution_t self = {execution.handle};
    script_string_t text;
    ringback_plugin_types_failure_t failure;
    switch (what) {
        case EXECUTION_ID: ringback_plugin_types_method_execution_id(self, &text); return text_of(&text);
        case FLOW: ringback_plugin_types_method_execution_flow(self, &text); return text_of(&text);
        case ENVIRONMENT: ringback_plugin_types_method_execution_environment(self, &text); return text_of(&text);
        case SCOPE: ringback_plugin_types_method_execution_scope(self, &text); return json_of(&text);
        default: {
            size_t length;
            const char *path = count ? JS_ToCStringLen(ctx, &length, arguments[0]) : NULL;
            if (!path) return JS_EXCEPTION;
            script_string_t asked = {(uint8_t *)path, length};
            bool is_found = ringback_plugin_types_method_execution_select(self, &asked, &text, &failure);
            JS_FreeCString(ctx, path);
            return is_found ? json_of(&text) : failed(&failure);
        }
    }
}

// Most parts of a message: more than anybody signs.
#define PARTS_MAX 64

// The prelude has looked at the arguments: name, algorithm, parts (`null` for the body), form, what was sent, and of a hash the form
// of the key.
enum proof { MAC, SIGNATURE };

static JSValue verify(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments, int proof) {
    (void)this;
    int32_t algorithm, form, key = 0;
    int64_t parts;
    if (!begin_asking(true, "") || count < 5 || JS_ToInt32(ctx, &algorithm, arguments[1]) || JS_ToInt32(ctx, &form, arguments[3])
        || JS_GetLength(ctx, arguments[2], &parts) || (count > 5 && JS_ToInt32(ctx, &key, arguments[5]))) {
        return JS_EXCEPTION;
    }
    if (parts > PARTS_MAX) return JS_ThrowRangeError(ctx, "a message has at most %d parts", PARTS_MAX);
    struct bytes of[PARTS_MAX], secret, hash;
    ringback_plugin_secrets_part_t message[PARTS_MAX];
    for (int64_t i = 0; i < parts; i++) {
        JSValue part = JS_GetPropertyInt64(ctx, arguments[2], i);
        of[i] = (struct bytes){.buffer = JS_UNDEFINED};
        message[i].tag = JS_IsNull(part) ? RINGBACK_PLUGIN_SECRETS_PART_BODY : RINGBACK_PLUGIN_SECRETS_PART_BYTES;
        if (!JS_IsNull(part) && !bytes_of(part, &of[i])) return JS_EXCEPTION;
        message[i].val.bytes = (script_list_u8_t){(uint8_t *)of[i].start, of[i].length};
        JS_FreeValue(ctx, part);
    }
    if (!bytes_of(arguments[0], &secret) || !bytes_of(arguments[4], &hash)) return JS_EXCEPTION;
    script_string_t name = {(uint8_t *)secret.start, secret.length};
    ringback_plugin_secrets_list_part_t list = {message, parts};
    ringback_plugin_secrets_encoded_t sent = {.tag = form};
    if (form == RINGBACK_PLUGIN_SECRETS_ENCODED_BYTES) sent.val.bytes = (script_list_u8_t){(uint8_t *)hash.start, hash.length};
    else sent.val.hex = (script_string_t){(uint8_t *)hash.start, hash.length};
    bool fits;
    ringback_plugin_types_failure_t failure;
    bool is_known = proof == MAC ? ringback_plugin_secrets_verify_mac(&name, key, algorithm, &list, &sent, &fits, &failure)
                                 : ringback_plugin_secrets_verify_signature(&name, algorithm, &list, &sent, &fits, &failure);
    for (int64_t i = 0; i < parts; i++) done_with(&of[i]);
    done_with(&secret), done_with(&hash);
    return is_known ? JS_NewBool(ctx, fits) : failed(&failure);
}

static JSValue equals_secret(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    struct bytes secret, value;
    if (!begin_asking(true, "") || count < 2 || !bytes_of(arguments[0], &secret) || !bytes_of(arguments[1], &value)) return JS_EXCEPTION;
    script_string_t name = {(uint8_t *)secret.start, secret.length};
    script_list_u8_t bytes = {(uint8_t *)value.start, value.length};
    bool fits;
    ringback_plugin_types_failure_t failure;
    bool is_known = ringback_plugin_secrets_equals(&name, &bytes, &fits, &failure);
    done_with(&secret), done_with(&value);
    return is_known ? JS_NewBool(ctx, fits) : failed(&failure);
}

static JSValue write_log(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    int32_t level;
    size_t length;
    if (count < 2 || JS_ToInt32(ctx, &level, arguments[0])) return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(ctx, &length, arguments[1]);
    if (!text) return JS_EXCEPTION;
    script_string_t lines = {(uint8_t *)text, length};
    ringback_plugin_log_write(level, &lines);
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

// Seeded once a call by the host: what is in the engine's memory is the same in every call.
static JSValue random_number(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this, (void)count, (void)arguments;
    static uint64_t state;
    if (!begin_asking(true, "")) return JS_EXCEPTION;
    while (!state) {
        script_list_u8_t bytes;
        ringback_plugin_call_random(sizeof state, &bytes);
        memcpy(&state, bytes.ptr, sizeof state);
        script_list_u8_free(&bytes);
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return JS_NewFloat64(ctx, (double)(state * 0x2545F4914F6CDD1D >> 11) / 9007199254740992.0);
}

static JSValue random_bytes(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    uint32_t length;
    if (!begin_asking(true, "") || count < 1 || JS_ToUint32(ctx, &length, arguments[0])) return JS_EXCEPTION;
    if (length > 4096) return JS_ThrowRangeError(ctx, "at most 4096 random bytes at a time");
    script_list_u8_t bytes;
    ringback_plugin_call_random(length, &bytes);
    JSValue array = JS_NewUint8ArrayCopy(ctx, bytes.ptr, bytes.len);
    script_list_u8_free(&bytes);
    return array;
}

static JSValue to_utf8(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    struct bytes bytes;
    if (count < 1 || !bytes_of(arguments[0], &bytes)) return JS_EXCEPTION;
    JSValue array = JS_NewUint8ArrayCopy(ctx, bytes.start, bytes.length);
    done_with(&bytes);
    return array;
}

// What is no UTF-8 becomes U+FFFD.
static JSValue from_utf8(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    struct bytes bytes;
    if (count < 1 || !bytes_of(arguments[0], &bytes)) return JS_EXCEPTION;
    JSValue text = JS_NewStringLen(ctx, (const char *)bytes.start, bytes.length);
    done_with(&bytes);
    return text;
}

JSValue host_functions(void) {
    static const struct {
        const char *name;
        JSCFunctionMagic *ask;
        int what;
    } questions[] = {
        {"id", ask_callback, ID},
        {"method", ask_callback, METHOD},
        {"url", ask_callback, URL},
        {"path", ask_callback, PATH},
        {"callbackEnvironment", ask_callback, OF_ENVIRONMENT},
        {"callbackFlow", ask_callback, OF_FLOW},
        {"trigger", ask_callback, TRIGGER},
        {"remoteAddress", ask_callback, REMOTE_ADDRESS},
        {"claims", ask_callback, CLAIMS},
        {"receivedAt", ask_callback, RECEIVED_AT},
        {"headers", ask_callback, HEADERS},
        {"header", ask_callback, HEADER},
        {"query", ask_callback, QUERY},
        {"text", ask_callback, TEXT},
        {"bytes", ask_callback, BYTES},
        {"bodySize", ask_callback, BODY_SIZE},
        {"data", ask_callback, DATA},
        {"select", ask_callback, SELECT},
        {"executionId", ask_execution, EXECUTION_ID},
        {"flow", ask_execution, FLOW},
        {"environment", ask_execution, ENVIRONMENT},
        {"scope", ask_execution, SCOPE},
        {"selectInScope", ask_execution, SELECT_IN_SCOPE},
    };
    JSValue host = JS_NewObject(context);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        JSValue ask = JS_NewCFunctionMagic(context, questions[i].ask, questions[i].name, 1, JS_CFUNC_generic_magic, questions[i].what);
        JS_SetPropertyStr(context, host, questions[i].name, ask);
    }
    JS_SetPropertyStr(context, host, "log", JS_NewCFunction(context, write_log, "log", 2));
    JS_SetPropertyStr(context, host, "random", JS_NewCFunction(context, random_number, "random", 0));
    JS_SetPropertyStr(context, host, "randomBytes", JS_NewCFunction(context, random_bytes, "randomBytes", 1));
    JS_SetPropertyStr(context, host, "toUtf8", JS_NewCFunction(context, to_utf8, "toUtf8", 1));
    JS_SetPropertyStr(context, host, "fromUtf8", JS_NewCFunction(context, from_utf8, "fromUtf8", 1));
    JS_SetPropertyStr(context, host, "mac", JS_NewCFunctionMagic(context, verify, "mac", 6, JS_CFUNC_generic_magic, MAC));
    JS_SetPropertyStr(context, host, "signature", JS_NewCFunctionMagic(context, verify, "signature", 5, JS_CFUNC_generic_magic, SIGNATURE));
    JS_SetPropertyStr(context, host, "equals", JS_NewCFunction(context, equals_secret, "equals", 2));
    add_services(host);
    return host;
}
