#pragma once
#include "quickjs.h"
#include "script.h"

// Nobody can be asked while the engine is built.
extern bool is_building;
// While the file of a plugin is read, once for all calls, there is no call to ask about, and no time: whether one was asked for.
extern bool is_reading, has_asked_early;

extern JSContext *context;

// What a call is about; `NULL` for what there is not.
void subject_is(const ringback_plugin_types_own_callback_t *callback, const ringback_plugin_types_own_execution_t *execution);
bool has_execution(void);

// The functions by which the prelude asks the host.
JSValue host_functions(void);
