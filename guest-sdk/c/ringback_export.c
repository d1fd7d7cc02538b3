/* What a plugin exports. Compiled once for each export, with RB_EXPORT_verifier, RB_EXPORT_parser, … defined: the linker takes
 * the parts that a plugin names in its macro lines. */
#include "bindings/plugin.h"
#include "ringback.h"

#include <stdlib.h>

#include "bindings/exports.h"

/* The symbol that the macro of ringback.h refers to, and the type of the export, which is taken with it. */
#define EXPORT(name) \
  const char rb_export_##name = 0; \
  extern void __component_type_object_force_link_rb_##name(void); \
  extern void __component_type_object_force_link_rb_imports(void); \
  __attribute__((used)) static void types_of_##name(void) { \
    __component_type_object_force_link_rb_##name(); \
    __component_type_object_force_link_rb_imports(); \
  }

__attribute__((unused)) static rb_text text(const plugin_string_t *from) {
  return (rb_text){from->ptr ? (const char *)from->ptr : "", from->len};
}

__attribute__((unused)) static plugin_string_t lowered(rb_text from) {
  return (plugin_string_t){(uint8_t *)(from.at ? from.at : ""), from.size};
}

__attribute__((unused)) static plugin_option_string_t optional(rb_text from) {
  return (plugin_option_string_t){from.at != NULL, lowered(from)};
}

__attribute__((unused)) static bool fail(ringback_plugin_types_failure_t *failure) {
  if (rb_failed.code.at == NULL) rb_fail("failed", "it returned false and did not say why with rb_fail");
  failure->code = lowered(rb_failed.code);
  failure->message = lowered(rb_failed.message);
  failure->retryable = rb_failed.retryable;
  failure->pointer = optional(rb_failed.pointer);
  failure->detail.is_some = rb_failed.detail.at != NULL;
  failure->detail.val = lowered(rb_failed.detail);
  return false;
}

/* The address of a callback is its handle. */
#define CALLBACK(handle) ((rb_callback *)(intptr_t)(handle).__handle)
#define EXECUTION(handle) ((rb_execution *)(intptr_t)(handle).__handle)

#ifdef RB_EXPORT_verifier
EXPORT(verifier)

bool exports_ringback_plugin_verifier_verify(exports_ringback_plugin_verifier_own_callback_t callback,
                                             exports_ringback_plugin_verifier_json_t *config,
                                             exports_ringback_plugin_verifier_verdict_t *answer,
                                             exports_ringback_plugin_verifier_failure_t *failure) {
  rb_verdict verdict = {0};
  if (!rb_verifier(CALLBACK(callback), text(config), &verdict)) return fail(failure);
  if (!verdict.accepted) {
    answer->tag = EXPORTS_RINGBACK_PLUGIN_VERIFIER_VERDICT_REJECTED;
    answer->val.rejected = lowered(verdict.reason);
    return true;
  }
  answer->tag = EXPORTS_RINGBACK_PLUGIN_VERIFIER_VERDICT_ACCEPTED;
  answer->val.accepted.delivery_id = optional(verdict.delivery_id);
  answer->val.accepted.subject = optional(verdict.subject);
  answer->val.accepted.claims.is_some = verdict.claims.at != NULL;
  answer->val.accepted.claims.val = lowered(verdict.claims);
  return true;
}
#endif

#ifdef RB_EXPORT_parser
EXPORT(parser)

bool exports_ringback_plugin_parser_parse(exports_ringback_plugin_parser_own_callback_t callback,
                                          exports_ringback_plugin_parser_json_t *config,
                                          exports_ringback_plugin_parser_json_t *answer,
                                          exports_ringback_plugin_parser_failure_t *failure) {
  rb_json data = {0};
  if (!rb_parser(CALLBACK(callback), text(config), &data)) return fail(failure);
  *answer = lowered(data.at ? data : rb_text_of("null"));
  return true;
}
#endif

#ifdef RB_EXPORT_condition
EXPORT(condition)

bool exports_ringback_plugin_condition_evaluate(exports_ringback_plugin_condition_own_callback_t callback,
                                                exports_ringback_plugin_condition_own_execution_t *execution,
                                                exports_ringback_plugin_condition_json_t *config,
                                                exports_ringback_plugin_condition_decision_t *answer,
                                                exports_ringback_plugin_condition_failure_t *failure) {
  rb_decision decision = {0};
  if (!rb_condition(CALLBACK(callback), execution ? EXECUTION(*execution) : NULL, text(config), &decision))
    return fail(failure);
  answer->holds = decision.holds;
  answer->reason = optional(decision.reason);
  return true;
}
#endif

#ifdef RB_EXPORT_step
EXPORT(step)

bool exports_ringback_plugin_step_run(exports_ringback_plugin_step_own_execution_t execution,
                                      exports_ringback_plugin_step_json_t *config,
                                      exports_ringback_plugin_step_json_t *answer,
                                      exports_ringback_plugin_step_failure_t *failure) {
  rb_json result = {0};
  if (!rb_step(EXECUTION(execution), text(config), &result)) return fail(failure);
  *answer = lowered(result.at ? result : rb_text_of("null"));
  return true;
}
#endif

#ifdef RB_EXPORT_responder
EXPORT(responder)

bool exports_ringback_plugin_responder_respond(exports_ringback_plugin_responder_own_callback_t callback,
                                               exports_ringback_plugin_responder_own_execution_t *execution,
                                               exports_ringback_plugin_responder_json_t *config,
                                               exports_ringback_plugin_responder_reply_t *answer,
                                               exports_ringback_plugin_responder_failure_t *failure) {
  rb_reply reply = {.status = 200};
  if (!rb_responder(CALLBACK(callback), execution ? EXECUTION(*execution) : NULL, text(config), &reply))
    return fail(failure);
  answer->status = (uint16_t)reply.status;
  answer->headers.ptr = (plugin_tuple2_string_string_t *)reply.headers.at;
  answer->headers.len = reply.headers.size;
  answer->body.ptr = (uint8_t *)reply.body.at;
  answer->body.len = reply.body.size;
  return true;
}
#endif

#ifdef RB_EXPORT_configurable
EXPORT(configurable)

/* Those that the plugin has. */
extern const char *const rb_schema_verifier __attribute__((weak));
extern const char *const rb_schema_parser __attribute__((weak));
extern const char *const rb_schema_condition __attribute__((weak));
extern const char *const rb_schema_step __attribute__((weak));
extern const char *const rb_schema_responder __attribute__((weak));
extern rb_check_function *const rb_check __attribute__((weak));

bool exports_ringback_plugin_configurable_schema(plugin_string_t *role,
                                                 exports_ringback_plugin_configurable_json_t *answer) {
  const struct {
    const char *role;
    const char *const *schema;
  } all[] = {{"verifier", &rb_schema_verifier},
             {"parser", &rb_schema_parser},
             {"condition", &rb_schema_condition},
             {"step", &rb_schema_step},
             {"responder", &rb_schema_responder}};
  for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
    if (all[at].schema == NULL || !rb_is(text(role), all[at].role)) continue;
    *answer = lowered(rb_text_of(*all[at].schema));
    return true;
  }
  return false;
}

bool exports_ringback_plugin_configurable_check(plugin_string_t *role,
                                                exports_ringback_plugin_configurable_json_t *config,
                                                exports_ringback_plugin_configurable_failure_t *failure) {
  return &rb_check == NULL || (*rb_check)(rb_string(text(role)), text(config)) || fail(failure);
}
#endif

#ifdef RB_EXPORT_vectors
EXPORT(vectors)

/* The file that the Makefile found beside the plugin. */
static const char vectors[] = {
#embed RB_VECTORS
};

void exports_ringback_plugin_vectors_cases(exports_ringback_plugin_vectors_json_t *answer) {
  *answer = lowered((rb_text){vectors, sizeof vectors});
}
#endif
