// What the C library would ask of WASI, which the engine does not have: the time is the call's, and there is nothing else.
#include "engine.h"
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

static uint64_t now(void) {
    has_asked_early |= is_reading;
    return is_building || is_reading ? 0 : ringback_plugin_call_now();
}

int gettimeofday(struct timeval *restrict value, void *restrict zone) {
    (void)zone;
    value->tv_sec = now() / 1000;
    value->tv_usec = now() % 1000 * 1000;
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *value) {
    (void)clock;
    value->tv_sec = now() / 1000;
    value->tv_nsec = now() % 1000 * 1000000;
    return 0;
}

// The C library's streams are linked and never used.
#define ERRNO_BADF 8
int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t a) {
    (void)a;
    return ERRNO_BADF;
}
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t a, int32_t b) {
    (void)a, (void)b;
    return ERRNO_BADF;
}
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t a, int64_t b, int32_t c, int32_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return ERRNO_BADF;
}
int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t a, int32_t b, int32_t c, int32_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return ERRNO_BADF;
}
_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t a) {
    (void)a;
    __builtin_trap();
}
