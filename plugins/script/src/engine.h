#pragma once
#include "quickjs.h"
#include "script.h"

// Nobody can be asked while the engine is built.
extern bool is_building;
// While the file of a plugin is read, once for all calls, there is no call to ask about, and no time: whether one was asked for.
extern bool is_reading, has_asked_early;

extern JSContext *context;
// What errors are by which the host says why it could not do something.
extern JSValue failure_prototype;

// What a call is about; `NULL` for what there is not.
void subject_is(const ringback_plugin_types_own_callback_t *callback, const ringback_plugin_types_own_execution_t *execution);
bool has_execution(void);

// The functions by which the prelude asks the host.
JSValue host_functions(void);
// Those among them that leave something behind.
void add_services(JSValueConst host);

// Whether the host can be asked now, about what is there.
bool begin_asking(bool is_there, const char *what);
// What the host could not do is an error with its code, by which a call ends as it would without a script.
JSValue failed(ringback_plugin_types_failure_t *failure);
JSValue pairs_of(script_list_tuple2_string_string_t *answer);

// Bytes that a value has: those of a text in UTF-8, or those of an array; and what has them until they are not needed.
struct bytes {
    const uint8_t *start;
    size_t length;
    const char *text;
    JSValue buffer;
};
bool bytes_of(JSValueConst value, struct bytes *bytes);
void done_with(struct bytes *bytes);

// In `imports.c`, a part of QuickJS: whether a module imports something by this name, or all that there is under another.
bool JS_ModuleImports(JSContext *ctx, JSModuleDef *module, const char *name);
