// Scripts: the source comes with the configuration, is evaluated, and is gone after the call.
//
// The configuration is `{"source": "…", "line": 3, "scope": {"data": …}}`: the source, the number of its first line, and
// the values of the names that it sees, which a check does not have.
#include "quickjs.h"
#include "script.h"
#include <stdlib.h>
#include <string.h>

typedef ringback_plugin_types_failure_t failure_t;

extern bool is_building;
void __wasm_call_ctors(void);

// Deeper, and a script gets an error; the engine's own stack allows for little more.
#define STACK_BYTES (96 * 1024)
// What a call may allocate before it looks for garbage, which touches all of the memory that calls share until they do.
#define GARBAGE_BYTES (4 * 1024 * 1024)
// Free memory that every call begins with: to grow costs more.
#define FREE_BYTES (384 * 1024)
#define FILE_NAME "script"

static const char prelude[] = {
#embed "prelude.js"
    , 0};

static JSRuntime *runtime;
static JSContext *context;
// What the prelude answers: what a script's value becomes, by role.
static JSValue answers;

static JSValue write_log(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this;
    int32_t level;
    size_t length;
    if (count < 2 || JS_ToInt32(ctx, &level, arguments[0])) return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(ctx, &length, arguments[1]);
    if (!text) return JS_EXCEPTION;
    // Each line is one: the host keeps a number of them.
    for (const char *end = text + length; text <= end;) {
        const char *stop = memchr(text, '\n', end - text);
        if (!stop) stop = end;
        script_string_t line = {(uint8_t *)text, stop - text};
        ringback_plugin_log_write(level, &line);
        text = stop + 1;
    }
    return JS_UNDEFINED;
}

// Seeded once a call by the host: what is in the engine's memory is the same in every call.
static JSValue random_number(JSContext *ctx, JSValueConst this, int count, JSValueConst *arguments) {
    (void)this, (void)count, (void)arguments;
    static uint64_t state;
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

// Called once, when the engine is built; its memory is kept as it is then.
__attribute__((export_name("wizer.initialize"))) void initialize(void) {
    __wasm_call_ctors();
    is_building = true;
    runtime = JS_NewRuntime();
    context = JS_NewContext(runtime);
    JS_SetGCThreshold(runtime, GARBAGE_BYTES);
    JSValue make = JS_Eval(context, prelude, sizeof prelude - 1, "prelude", 0);
    JSValue tools[] = {JS_NewCFunction(context, write_log, "log", 2), JS_NewCFunction(context, random_number, "random", 0)};
    answers = JS_Call(context, make, JS_UNDEFINED, 2, tools);
    if (JS_IsException(answers)) abort();
    free(malloc(FREE_BYTES));
    is_building = false;
}

static void set(script_string_t *to, const char *text) { script_string_dup(to, text); }

static bool fail(failure_t *failure, const char *code, const char *message) {
    set(&failure->code, code);
    set(&failure->message, message);
    failure->retryable = false;
    return false;
}

// The value of a member as text, `otherwise` where it has none.
static const char *text_of(JSValueConst object, const char *member, const char *otherwise) {
    JSValue value = JS_GetPropertyStr(context, object, member);
    const char *text = JS_IsUndefined(value) || JS_IsException(value) ? NULL : JS_ToCString(context, value);
    if (!text) JS_FreeValue(context, JS_GetException(context));
    return text ? text : otherwise;
}

// Where in the script something was thrown, from the first line of its stack that is the script's: `3:14`.
static const char *place_of(JSValueConst error) {
    const char *place = strstr(text_of(error, "stack", ""), FILE_NAME ":");
    return place ? place + sizeof FILE_NAME : NULL;
}

// What the prelude says about an error.
static const char *said_by(const char *function, JSValueConst error, const char *otherwise) {
    JSValue said = JS_Call(context, JS_GetPropertyStr(context, answers, function), JS_UNDEFINED, 1, &error);
    const char *text = JS_IsException(said) ? NULL : JS_ToCString(context, said);
    if (!text) JS_FreeValue(context, JS_GetException(context));
    return text ? text : otherwise;
}

static bool threw(failure_t *failure) {
    JSValue error = JS_GetException(context);
    return fail(failure, "script-threw", said_by("thrown", error, "the script threw something that cannot be shown"));
}

// What stands around a script, the first part on its first line: as an expression, and as the body of a function.
struct brackets {
    const char *expression, *expression_end, *body, *body_end;
};
#define BODY "(function () { 'use strict'; "
static const struct brackets ROUND = {"(function () { 'use strict'; return (", "\n); })", BODY, "\n})"};
// Nothing closes these that closes the others: who ends what stands before him, and begins something of his own, fits into one of them alone.
static const struct brackets SQUARE = {"(function () { 'use strict'; return [", "\n]; })", "[function () { 'use strict'; ", "\n}]"};

static JSValue evaluate(const char *before, const char *source, size_t length, const char *after, int line, int flags) {
    size_t head = strlen(before), tail = strlen(after);
    char *text = malloc(head + length + tail + 1);
    memcpy(text, before, head);
    memcpy(text + head, source, length);
    memcpy(text + head + length, after, tail + 1);
    JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, flags, FILE_NAME, line};
    return JS_Eval2(context, text, head + length + tail, &options);
}

// The script as a function: an expression, or what is between the braces of a function.
static JSValue compile(const struct brackets *within, const char *source, size_t length, int line, int flags) {
    size_t end = length;
    while (end && strchr("; \t\r\n", source[end - 1])) end--;
    JSValue function = evaluate(within->expression, source, end, within->expression_end, line, flags);
    if (!JS_IsException(function)) return function;
    JS_FreeValue(context, JS_GetException(context));
    return evaluate(within->body, source, length, within->body_end, line, flags);
}

// Takes the configuration apart.
static bool take(script_string_t *config, JSValue *parsed, const char **source, size_t *length, int *line, failure_t *failure) {
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    JS_UpdateStackTop(runtime);
    // The parser wants a zero behind the text.
    char *text_of_config = realloc(config->ptr, config->len + 1);
    text_of_config[config->len] = 0;
    config->ptr = (uint8_t *)text_of_config;
    *parsed = JS_ParseJSON(context, text_of_config, config->len, "config");
    if (JS_IsException(*parsed)) return threw(failure);
    JSValue text = JS_GetPropertyStr(context, *parsed, "source"), number = JS_GetPropertyStr(context, *parsed, "line");
    int32_t first = 1;
    if (JS_IsNumber(number)) JS_ToInt32(context, &first, number);
    *line = first;
    if (!JS_IsString(text)) return fail(failure, "invalid-config", "`source` is missing");
    *source = JS_ToCStringLen(context, length, text);
    return *source || threw(failure);
}

static bool begins_with(const char *text, const char *start) { return !strncmp(text, start, strlen(start)); }

// Whether a script can be run, as far as it can be seen without running it: a mistake begins with its place, `3:14: `.
static bool check(script_string_t *config, failure_t *failure) {
    JSValue parsed;
    const char *source;
    size_t length;
    int line;
    if (!take(config, &parsed, &source, &length, &line, failure)) return false;
    while (length && strchr(" \t\r\n", source[length - 1])) length--;
    JSValue function = compile(&ROUND, source, length, line, JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(function)) function = compile(&SQUARE, source, length, line, JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(function)) return true;
    int lines = 1;
    for (size_t i = 0; i < length; i++) lines += source[i] == '\n';
    JSValue error = JS_GetException(context);
    const char *place = place_of(error), *said = said_by("unread", error, "it cannot be read");
    char *rest = NULL;
    long at = place ? strtol(place, &rest, 10) : line, column = rest && *rest == ':' ? strtol(rest + 1, NULL, 10) : 1;
    const char *start = source, *end = source + length;
    for (long i = line; i < at && start < end; start++) i += *start == '\n';
    char message[2048];
    // Of some mistakes the engine knows the line alone, and says 1.
    long head = sizeof BODY - 1;
    if (at == line) column = column > head ? column - head : 1;
    if (at >= line + lines) {
        for (start = end; start > source && start[-1] != '\n';) start--;
        at = line + lines - 1;
        column = end - start + 1;
        said = "the script ends too early: something is not closed, or misses its other half";
    } else if (begins_with(start + strspn(start, " \t"), "import") || begins_with(start + strspn(start, " \t"), "export")) {
        said = "a script imports and exports nothing: write what it needs into it";
    }
    snprintf(message, sizeof message, "%ld:%ld: %s", at, column, said);
    return fail(failure, "invalid-script", message);
}

// Runs a script, and makes of its value what the role answers.
static bool run(script_string_t *config, const char *role, JSValue *answer, failure_t *failure) {
    JSValue parsed;
    const char *source;
    size_t length;
    int line;
    if (!take(config, &parsed, &source, &length, &line, failure)) return false;
    JSValue global = JS_GetGlobalObject(context), scope = JS_GetPropertyStr(context, parsed, "scope");
    JSPropertyEnum *names;
    uint32_t count = 0;
    if (JS_IsObject(scope) && JS_GetOwnPropertyNames(context, &names, &count, scope, JS_GPN_STRING_MASK)) return threw(failure);
    for (uint32_t i = 0; i < count; i++) {
        JSValue value = JS_GetProperty(context, scope, names[i].atom);
        JS_DefinePropertyValue(context, global, names[i].atom, value, JS_PROP_C_W_E);
    }
    JSValue function = compile(&ROUND, source, length, line, 0);
    if (JS_IsException(function)) return threw(failure);
    JSValue value = JS_Call(context, function, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(value)) return threw(failure);
    JSValue into = JS_GetPropertyStr(context, answers, role);
    *answer = JS_Call(context, into, answers, 1, &value);
    if (!JS_IsException(*answer)) return true;
    JSValue error = JS_GetException(context);
    if (JS_IsError(error)) {
        JS_Throw(context, error);
        return threw(failure);
    }
    return fail(failure, text_of(error, "code", "script-threw"), text_of(error, "message", "what the script returned cannot be read"));
}

// A copy that the caller frees.
static bool copy_text(JSValueConst value, script_string_t *to, failure_t *failure) {
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, value);
    if (!text) return threw(failure);
    script_string_dup_n(to, text, length);
    return true;
}

bool exports_ringback_plugin_condition_check(script_string_t *config, failure_t *failure) { return check(config, failure); }
bool exports_ringback_plugin_parser_check(script_string_t *config, failure_t *failure) { return check(config, failure); }
bool exports_ringback_plugin_step_check(script_string_t *config, failure_t *failure) { return check(config, failure); }
bool exports_ringback_plugin_responder_check(script_string_t *config, failure_t *failure) { return check(config, failure); }

bool exports_ringback_plugin_condition_evaluate(exports_ringback_plugin_condition_own_callback_t callback,
                                                exports_ringback_plugin_condition_own_execution_t *execution,
                                                script_string_t *config, bool *holds, failure_t *failure) {
    (void)callback, (void)execution;
    JSValue answer;
    if (!run(config, "condition", &answer, failure)) return false;
    *holds = JS_ToBool(context, answer) == 1;
    return true;
}

bool exports_ringback_plugin_parser_parse(exports_ringback_plugin_parser_own_callback_t callback, script_string_t *config,
                                          script_string_t *data, failure_t *failure) {
    (void)callback;
    JSValue answer;
    return run(config, "parser", &answer, failure) && copy_text(answer, data, failure);
}

bool exports_ringback_plugin_step_run(exports_ringback_plugin_step_own_execution_t execution, script_string_t *config,
                                      script_string_t *result, failure_t *failure) {
    (void)execution;
    JSValue answer;
    return run(config, "step", &answer, failure) && copy_text(answer, result, failure);
}

bool exports_ringback_plugin_responder_respond(exports_ringback_plugin_responder_own_callback_t callback,
                                               exports_ringback_plugin_responder_own_execution_t *execution,
                                               script_string_t *config, exports_ringback_plugin_responder_reply_t *reply,
                                               failure_t *failure) {
    (void)callback, (void)execution;
    JSValue answer;
    if (!run(config, "responder", &answer, failure)) return false;
    int32_t status = 0;
    JS_ToInt32(context, &status, JS_GetPropertyStr(context, answer, "status"));
    reply->status = status;
    JSValue lines = JS_GetPropertyStr(context, answer, "headers");
    int64_t count = 0;
    JS_GetLength(context, lines, &count);
    reply->headers.len = count;
    reply->headers.ptr = calloc(count + 1, sizeof *reply->headers.ptr);
    for (int64_t i = 0; i < count; i++) {
        JSValue line = JS_GetPropertyInt64(context, lines, i);
        if (!copy_text(JS_GetPropertyUint32(context, line, 0), &reply->headers.ptr[i].f0, failure)) return false;
        if (!copy_text(JS_GetPropertyUint32(context, line, 1), &reply->headers.ptr[i].f1, failure)) return false;
    }
    script_string_t body;
    if (!copy_text(JS_GetPropertyStr(context, answer, "body"), &body, failure)) return false;
    reply->body.ptr = body.ptr;
    reply->body.len = body.len;
    return true;
}
