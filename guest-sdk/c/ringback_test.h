/* What stands in for the host when a plugin's functions are tested natively: include the plugin's source and this, compile
 * with ringback.c and ringback_test.c. */
#ifndef RINGBACK_TEST_H
#define RINGBACK_TEST_H

#include "ringback.h"

#include <stdio.h>
#include <stdlib.h>

/* A POST with this body, which is also its data. */
rb_callback *rb_test_callback(const char *body);
/* Of the last callback: its method, URL, a header more, the data where it is not the body (NULL: not parsed yet). */
void rb_test_request(const char *method, const char *url);
void rb_test_header(const char *name, const char *value);
void rb_test_data(const char *json);
/* An execution with what expressions see. */
rb_execution *rb_test_execution(const char *scope);

/* A secret for rb_secret_equals. */
void rb_test_secret(const char *name, const char *value);
/* What rb_verify_mac and rb_verify_signature say of a secret that is there; keys are checked by the real host only. */
void rb_test_genuine(bool genuine);
/* What every rb_http_send is answered; without it `host-not-allowed`. */
void rb_test_http(unsigned status, const char *body);
/* The lines that were logged, as `level: message`. */
const char *rb_test_log(void);

/* Ends the test with the line of what is not so. */
#define RB_ASSERT(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      if (rb_failed.code.at) fprintf(stderr, "  the last failure: %s\n", rb_string(rb_failed.message)); \
      exit(1); \
    } \
  } while (0)

#endif
