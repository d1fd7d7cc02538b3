// Scripts and plugins in JavaScript, which nobody builds.
//
// A script comes with the configuration, is evaluated, and is gone after the call: `{"source": "…", "line": 3, "scope":
// {"data": …}}`, its source, the number of its first line (and the name of its `file`, where it is one), and the values of the names that it sees, which a check does not
// have. One that is called often is read once, as the file of a plugin is: the memory as it is then is what its calls begin with.
#include "engine.h"
#include <stdlib.h>
#include <string.h>

typedef ringback_plugin_types_failure_t failure_t;

void __wasm_call_ctors(void);

// Deeper, and a script gets an error; the engine's own stack allows for little more.
#define STACK_BYTES (96 * 1024)
// What a call may allocate before it looks for garbage, which touches all of the memory that calls share until they do.
#define GARBAGE_BYTES (4 * 1024 * 1024)
// Free memory that every call begins with: to grow costs more.
#define FREE_BYTES (384 * 1024)
// What the engine calls the source in its messages.
#define SCRIPT "script"
#define PLUGIN "plugin.js"

static const char prelude[] = {
#embed "prelude.js"
    , 0};

static JSRuntime *runtime;
JSContext *context;
// What the prelude answers: what a value becomes, by role, and what is said of mistakes.
static JSValue answers;
// Whether the file of a plugin has been read: then that is asked, and the configuration is its own.
static bool has_plugin;
// The function of the script that has been read, if one has.
static JSValue script = JS_UNDEFINED;

// What a function of the prelude answers.
static JSValue ask(const char *function, int count, JSValueConst *arguments) {
    JSValue asked = JS_GetPropertyStr(context, answers, function);
    JSValue answer = JS_Call(context, asked, answers, count, arguments);
    JS_FreeValue(context, asked);
    return answer;
}

// What is imported by this name is in the engine.
#define SDK "@ringback/plugin"

static void each_of_library(void (*work)(JSModuleDef *module, const char *name, JSValue value), JSModuleDef *module) {
    JSValue library = JS_GetPropertyStr(context, answers, "library");
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(context, &names, &count, library, JS_GPN_STRING_MASK)) abort();
    for (uint32_t i = 0; i < count; i++) {
        work(module, JS_AtomToCString(context, names[i].atom), JS_GetProperty(context, library, names[i].atom));
    }
}

static void declare(JSModuleDef *module, const char *name, JSValue value) {
    JS_FreeValue(context, value);
    JS_AddModuleExport(context, module, name);
}

static void define(JSModuleDef *module, const char *name, JSValue value) { JS_SetModuleExport(context, module, name, value); }

static int define_library(JSContext *ctx, JSModuleDef *module) {
    (void)ctx;
    each_of_library(define, module);
    return 0;
}

static JSModuleDef *find_module(JSContext *ctx, const char *name, void *nothing, JSValueConst attributes) {
    (void)nothing, (void)attributes;
    if (!strcmp(name, SDK)) {
        JSModuleDef *module = JS_NewCModule(ctx, name, define_library);
        each_of_library(declare, module);
        return module;
    }
    JSValue import = JS_NewString(ctx, name);
    JS_FreeValue(ctx, ask("cannotImport", 1, &import));
    JS_FreeValue(ctx, import);
    return NULL;
}

// Called once, when the engine is built; its memory is kept as it is then.
__attribute__((export_name("wizer.initialize"))) void initialize(void) {
    __wasm_call_ctors();
    is_building = true;
    runtime = JS_NewRuntime();
    context = JS_NewContext(runtime);
    JS_SetGCThreshold(runtime, GARBAGE_BYTES);
    JS_SetModuleLoaderFunc2(runtime, NULL, find_module, NULL, NULL);
    JSValue make = JS_Eval(context, prelude, sizeof prelude - 1, "prelude", 0), host = host_functions();
    answers = JS_Call(context, make, JS_UNDEFINED, 1, &host);
    if (JS_IsException(answers)) abort();
    JSValue library = JS_GetPropertyStr(context, answers, "library");
    failure_prototype = JS_GetPropertyStr(context, JS_GetPropertyStr(context, library, "Failure"), "prototype");
    free(malloc(FREE_BYTES));
    is_building = false;
}

static void set(script_string_t *to, const char *text) { script_string_dup(to, text); }

static bool fail(failure_t *failure, const char *code, const char *message) {
    set(&failure->code, code);
    set(&failure->message, message);
    failure->retryable = failure->pointer.is_some = failure->detail.is_some = false;
    return false;
}

// The value of a member as text, `otherwise` where it has none.
static const char *text_of(JSValueConst object, const char *member, const char *otherwise) {
    JSValue value = JS_GetPropertyStr(context, object, member);
    const char *text = JS_IsString(value) ? JS_ToCString(context, value) : NULL;
    if (!text) JS_FreeValue(context, JS_GetException(context));
    return text ? text : otherwise;
}

static const char *said_by(const char *function, int count, JSValueConst *arguments, const char *otherwise) {
    JSValue said = ask(function, count, arguments);
    const char *text = JS_IsString(said) ? JS_ToCString(context, said) : NULL;
    if (!text) JS_FreeValue(context, JS_GetException(context));
    return text ? text : otherwise;
}

static const char *thrown(JSValueConst error) { return said_by("thrown", 1, &error, "it threw something that cannot be shown"); }

// A copy that the caller frees, of a member that is a text.
static void copy_member(JSValueConst object, const char *member, bool *is_some, script_string_t *to) {
    size_t length;
    const char *text = NULL;
    JSValue value = JS_GetPropertyStr(context, object, member);
    if (JS_IsString(value)) text = JS_ToCStringLen(context, &length, value);
    *is_some = text;
    if (text) script_string_dup_n(to, text, length);
    else JS_FreeValue(context, JS_GetException(context));
}

// What was thrown: what the prelude refuses, or the host, with its code; or what a script threw.
static bool threw(failure_t *failure) {
    JSValue error = JS_GetException(context);
    if (JS_IsError(error)) {
        bool may_pass = JS_ToBool(context, JS_GetPropertyStr(context, error, "retryable")) == 1;
        fail(failure, text_of(error, "code", has_plugin ? "exception" : "script-threw"), thrown(error));
        failure->retryable = may_pass;
        copy_member(error, "pointer", &failure->pointer.is_some, &failure->pointer.val);
        JSValue detail = JS_JSONStringify(context, JS_GetPropertyStr(context, error, "detail"), JS_UNDEFINED, JS_UNDEFINED);
        JSValue holder = JS_NewObject(context);
        JS_SetPropertyStr(context, holder, "detail", detail);
        copy_member(holder, "detail", &failure->detail.is_some, &failure->detail.val);
        return false;
    }
    // Of what is no error, only what the prelude refuses has both.
    const char *code = JS_IsObject(error) ? text_of(error, "code", NULL) : NULL;
    const char *message = code ? text_of(error, "message", NULL) : NULL;
    return message ? fail(failure, code, message) : fail(failure, has_plugin ? "exception" : "script-threw", thrown(error));
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
    JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, flags, SCRIPT, line};
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

static void begin(void) {
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    JS_UpdateStackTop(runtime);
}

static bool parse(script_string_t *config, JSValue *parsed, failure_t *failure) {
    // The parser wants a zero behind the text.
    char *text = realloc(config->ptr, config->len + 1);
    text[config->len] = 0;
    config->ptr = (uint8_t *)text;
    *parsed = JS_ParseJSON(context, text, config->len, "config");
    return !JS_IsException(*parsed) || threw(failure);
}

// Takes the configuration of a script apart.
static bool take(script_string_t *config, JSValue *parsed, const char **source, size_t *length, int *line, failure_t *failure) {
    if (!parse(config, parsed, failure)) return false;
    JSValue text = JS_GetPropertyStr(context, *parsed, "source"), number = JS_GetPropertyStr(context, *parsed, "line");
    int32_t first = 1;
    if (JS_IsNumber(number)) JS_ToInt32(context, &first, number);
    *line = first;
    JSValue file = JS_GetPropertyStr(context, *parsed, "file");
    if (JS_IsString(file)) JS_FreeValue(context, ask("isFile", 1, &file));
    if (!JS_IsString(text)) return fail(failure, "invalid-config", "`source` is missing");
    *source = JS_ToCStringLen(context, length, text);
    return *source || threw(failure);
}

// What cannot be read, with its place before it: `3:14: …`.
static const char *mistake(JSValueConst source, int line, size_t before, bool is_script) {
    JSValue arguments[] = {
        JS_GetException(context), source, JS_NewInt32(context, line), JS_NewInt32(context, before), JS_NewBool(context, is_script)};
    return said_by("mistake", 5, arguments, "1:1: it cannot be read");
}

// Whether a script can be run, as far as it can be seen without running it.
static bool check_script(script_string_t *config, failure_t *failure) {
    JSValue parsed;
    const char *source;
    size_t length;
    int line;
    if (!take(config, &parsed, &source, &length, &line, failure)) return false;
    while (length && strchr(" \t\r\n", source[length - 1])) length--;
    JSValue function = compile(&ROUND, source, length, line, JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(function)) function = compile(&SQUARE, source, length, line, JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(function)) return true;
    return fail(failure, "invalid-script", mistake(JS_NewStringLen(context, source, length), line, sizeof BODY - 1, true));
}

static bool check(const char *role, script_string_t *config, failure_t *failure) {
    begin();
    subject_is(NULL, NULL);
    if (!has_plugin) return check_script(config, failure);
    JSValue arguments[] = {JS_NewString(context, role), JS_UNDEFINED};
    if (!parse(config, &arguments[1], failure)) return false;
    JSValue wrong = ask("check", 2, arguments);
    if (JS_IsException(wrong)) return threw(failure);
    return JS_IsUndefined(wrong) || fail(failure, "invalid-config", JS_ToCString(context, wrong));
}

// Calls the function of a script, which sees what the configuration has.
static JSValue call_script(JSValueConst parsed, const char *role, JSValueConst function) {
    JSValue global = JS_GetGlobalObject(context), scope = JS_GetPropertyStr(context, parsed, "scope");
    JSPropertyEnum *names;
    uint32_t count = 0;
    if (JS_IsObject(scope) && JS_GetOwnPropertyNames(context, &names, &count, scope, JS_GPN_STRING_MASK)) return JS_EXCEPTION;
    for (uint32_t i = 0; i < count; i++) {
        // A result that is called as something of the language does not hide it.
        if (JS_GetOwnProperty(context, NULL, global, names[i].atom)) continue;
        JSValue value = JS_GetProperty(context, scope, names[i].atom);
        JS_DefinePropertyValue(context, global, names[i].atom, value, JS_PROP_C_W_E);
    }
    // These are about bytes.
    if (!strcmp(role, "verifier") || !strcmp(role, "parser")) JS_FreeValue(context, ask("prepare", 0, NULL));
    JSValue value = JS_Call(context, function, JS_UNDEFINED, 0, NULL);
    return JS_IsException(value) ? value : ask(role, 1, &value);
}

// Asks a script or a plugin in a role, and makes of its value what the role answers.
static bool run(script_string_t *config, const char *role, JSValue *answer, failure_t *failure) {
    begin();
    JSValue parsed, function = script;
    if (has_plugin) {
        if (!parse(config, &parsed, failure)) return false;
        JSValue arguments[] = {JS_NewString(context, role), parsed, JS_NewBool(context, has_execution())};
        *answer = ask("call", 3, arguments);
        return !JS_IsException(*answer) || threw(failure);
    }
    if (!JS_IsUndefined(script)) {
        if (!parse(config, &parsed, failure)) return false;
    } else {
        const char *source;
        size_t length;
        int line;
        if (!take(config, &parsed, &source, &length, &line, failure)) return false;
        function = compile(&ROUND, source, length, line, 0);
    }
    *answer = JS_IsException(function) ? function : call_script(parsed, role, function);
    return !JS_IsException(*answer) || threw(failure);
}

// Reads the file of a plugin: the value of its module, or an exception.
static JSValue read_module(const char *source, size_t length, JSModuleDef **module) {
    JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY, PLUGIN, 1};
    JSValue compiled = JS_Eval2(context, source, length, &options);
    if (JS_IsException(compiled)) return compiled;
    *module = JS_VALUE_GET_PTR(compiled);
    JSValue imports[] = {
        JS_NewBool(context, JS_ModuleImports(context, *module, "state")),
        JS_NewBool(context, JS_ModuleImports(context, *module, "http")),
    };
    JS_FreeValue(context, ask("uses", 2, imports));
    return JS_EvalFunction(context, compiled);
}

// An error in a plugin that is read: with its place, where there is one.
static const char *unread(JSValueConst source) {
    JSValue error = JS_GetException(context);
    const char *stack = JS_IsError(error) ? text_of(error, "stack", "") : "";
    if (JS_IsError(error) && strstr(stack, PLUGIN ":")) {
        JS_Throw(context, error);
        return mistake(source, 1, 0, false);
    }
    const char *code = JS_IsObject(error) && !JS_IsError(error) ? text_of(error, "code", NULL) : NULL;
    return code ? text_of(error, "message", "it cannot be read") : thrown(error);
}

// All of the memory, as it is now, with free memory that calls begin with.
static script_list_u8_t memory(void) {
    JS_RunGC(runtime);
    void *unused = malloc(FREE_BYTES);
    // What was there once would be part of the image.
    memset(unused, 0, FREE_BYTES);
    free(unused);
    return (script_list_u8_t){.ptr = 0, .len = __builtin_wasm_memory_size(0) * 65536};
}

bool exports_script_read_plugin(script_string_t *source, script_tuple2_string_list_u8_t *image, script_string_t *wrong) {
    begin();
    // The parser wants a zero behind the text.
    char *text = realloc(source->ptr, source->len + 1);
    text[source->len] = 0;
    JSValue value = JS_NewStringLen(context, text, source->len);
    JSModuleDef *module = NULL;
    JS_FreeValue(context, ask("reads", 0, NULL));
    is_reading = true;
    JSValue promise = read_module(text, source->len, &module);
    JSContext *other;
    while (!JS_IsException(promise) && JS_ExecutePendingJob(runtime, &other) > 0) continue;
    if (!JS_IsException(promise)) {
        switch (JS_PromiseState(context, promise)) {
            case JS_PROMISE_REJECTED: promise = JS_Throw(context, JS_PromiseResult(context, promise)); break;
            case JS_PROMISE_PENDING:
                set(wrong, "the file waits for something that never comes, at an `await` outside its functions");
                return false;
            default: break;
        }
    }
    JSValue roles = promise;
    if (!JS_IsException(promise)) {
        JSValue exported = JS_GetModuleNamespace(context, module);
        roles = ask("load", 1, &exported);
    }
    is_reading = false;
    if (has_asked_early) {
        set(wrong, "where the file is read there is no time, no random number, no callback, no secret, no state and no request, since it "
                   "is read once, for all calls: ask for them within a function");
        return false;
    }
    if (JS_IsException(roles)) {
        set(wrong, unread(value));
        return false;
    }
    free(text), JS_FreeValue(context, value);
    size_t length;
    const char *has = JS_ToCStringLen(context, &length, roles);
    script_string_dup_n(&image->f0, has, length);
    has_plugin = true;
    image->f1 = memory();
    return true;
}

bool exports_script_read_script(script_string_t *config, script_list_u8_t *image, script_string_t *wrong) {
    begin();
    JSValue parsed;
    const char *source;
    size_t length;
    int line;
    failure_t failure;
    if (!take(config, &parsed, &source, &length, &line, &failure)) {
        *wrong = failure.message;
        return false;
    }
    is_reading = true;
    script = compile(&ROUND, source, length, line, 0);
    is_reading = false;
    if (has_asked_early || JS_IsException(script)) {
        set(wrong, "it cannot be read");
        return false;
    }
    JS_FreeCString(context, source), JS_FreeValue(context, parsed), script_string_free(config);
    *image = memory();
    return true;
}

// A copy that the caller frees.
static bool copy_text(JSValueConst value, script_string_t *to, failure_t *failure) {
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, value);
    if (!text) return threw(failure);
    script_string_dup_n(to, text, length);
    return true;
}

// The same of a text or an array of bytes.
static bool copy_bytes(JSValueConst value, script_list_u8_t *to, failure_t *failure) {
    script_string_t text;
    if (JS_IsString(value)) {
        if (!copy_text(value, &text, failure)) return false;
        to->ptr = text.ptr, to->len = text.len;
        return true;
    }
    size_t length;
    uint8_t *bytes = JS_GetUint8Array(context, &length, value);
    if (!bytes && length) return threw(failure);
    script_string_dup_n(&text, (const char *)bytes, length);
    to->ptr = text.ptr, to->len = text.len;
    return true;
}

static bool copy_if_there(JSValueConst object, const char *member, bool *is_some, script_string_t *to, failure_t *failure) {
    JSValue value = JS_GetPropertyStr(context, object, member);
    *is_some = JS_IsString(value);
    return !*is_some || copy_text(value, to, failure);
}

static const char *c_string(const script_string_t *text) {
    char *copy = malloc(text->len + 1);
    memcpy(copy, text->ptr, text->len);
    copy[text->len] = 0;
    return copy;
}

// What the prelude says as text, of a plugin.
static bool says(const char *function, int count, JSValueConst *arguments, script_string_t *to) {
    begin();
    subject_is(NULL, NULL);
    JSValue said = has_plugin ? ask(function, count, arguments) : JS_UNDEFINED;
    JSValue holder = JS_NewObject(context);
    JS_SetPropertyStr(context, holder, "said", said);
    bool is_some;
    copy_member(holder, "said", &is_some, to);
    return is_some;
}

bool exports_ringback_plugin_configurable_schema(script_string_t *role, script_string_t *schema) {
    JSValue name = JS_NewStringLen(context, (char *)role->ptr, role->len);
    return says("schema", 1, &name, schema);
}

bool exports_ringback_plugin_configurable_check(script_string_t *role, script_string_t *config, failure_t *failure) {
    return check(c_string(role), config, failure);
}

void exports_ringback_plugin_vectors_cases(script_string_t *cases) {
    if (!says("vectors", 0, NULL, cases)) set(cases, "[]");
}

bool exports_ringback_plugin_verifier_verify(exports_ringback_plugin_verifier_own_callback_t callback, script_string_t *config,
                                             exports_ringback_plugin_verifier_verdict_t *verdict, failure_t *failure) {
    subject_is(&callback, NULL);
    JSValue answer;
    if (!run(config, "verifier", &answer, failure)) return false;
    if (JS_ToBool(context, JS_GetPropertyStr(context, answer, "accepted")) != 1) {
        verdict->tag = EXPORTS_RINGBACK_PLUGIN_VERIFIER_VERDICT_REJECTED;
        return copy_text(JS_GetPropertyStr(context, answer, "reason"), &verdict->val.rejected, failure);
    }
    verdict->tag = EXPORTS_RINGBACK_PLUGIN_VERIFIER_VERDICT_ACCEPTED;
    exports_ringback_plugin_verifier_proof_t *proof = &verdict->val.accepted;
    return copy_if_there(answer, "id", &proof->delivery_id.is_some, &proof->delivery_id.val, failure)
        && copy_if_there(answer, "subject", &proof->subject.is_some, &proof->subject.val, failure)
        && copy_if_there(answer, "claims", &proof->claims.is_some, &proof->claims.val, failure);
}

bool exports_ringback_plugin_condition_evaluate(exports_ringback_plugin_condition_own_callback_t callback,
                                                exports_ringback_plugin_condition_own_execution_t *execution,
                                                script_string_t *config,
                                                exports_ringback_plugin_condition_decision_t *decision, failure_t *failure) {
    subject_is(&callback, execution);
    JSValue answer;
    if (!run(config, "condition", &answer, failure)) return false;
    decision->holds = JS_ToBool(context, JS_GetPropertyStr(context, answer, "holds")) == 1;
    return copy_if_there(answer, "reason", &decision->reason.is_some, &decision->reason.val, failure);
}

bool exports_ringback_plugin_parser_parse(exports_ringback_plugin_parser_own_callback_t callback, script_string_t *config,
                                          script_string_t *data, failure_t *failure) {
    subject_is(&callback, NULL);
    JSValue answer;
    return run(config, "parser", &answer, failure) && copy_text(answer, data, failure);
}

bool exports_ringback_plugin_step_run(exports_ringback_plugin_step_own_execution_t execution, script_string_t *config,
                                      script_string_t *result, failure_t *failure) {
    subject_is(NULL, &execution);
    JSValue answer;
    return run(config, "step", &answer, failure) && copy_text(answer, result, failure);
}

bool exports_ringback_plugin_responder_respond(exports_ringback_plugin_responder_own_callback_t callback,
                                               exports_ringback_plugin_responder_own_execution_t *execution,
                                               script_string_t *config, exports_ringback_plugin_responder_reply_t *reply,
                                               failure_t *failure) {
    subject_is(&callback, execution);
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
    return copy_bytes(JS_GetPropertyStr(context, answer, "body"), &reply->body, failure);
}
