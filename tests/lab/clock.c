// A clock for programs in User Mode Linux, to be preloaded. There, reading the time is a system call of 16 µs; on any other Linux
// it is none, and takes less than 0.1 µs. Who reads it often would be measured by that, and by little else. All programs that are
// compared get this one: the processor's counter, set right by the kernel's clock each second.

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { SECOND = 1000000000, KNOWN = CLOCK_MONOTONIC + 1 };

static double length_of_tick; // in nanoseconds; 0 before the start
static _Thread_local struct { uint64_t tick; int64_t time; bool set; } last[KNOWN];

static int64_t kernel(clockid_t id) {
    struct timespec at;
    syscall(SYS_clock_gettime, id, &at);
    return (int64_t)at.tv_sec * SECOND + at.tv_nsec;
}

__attribute__((constructor)) static void start(void) {
    uint64_t tick = __rdtsc();
    int64_t begin = kernel(CLOCK_MONOTONIC), end;
    do end = kernel(CLOCK_MONOTONIC); while (end - begin < SECOND / 200);
    length_of_tick = (double)(end - begin) / (double)(__rdtsc() - tick);
}

static int64_t now(clockid_t id) {
    if (length_of_tick == 0) return kernel(id);
    uint64_t tick = __rdtsc();
    int64_t since = (int64_t)((double)(tick - last[id].tick) * length_of_tick);
    if (!last[id].set || since > SECOND) {
        int64_t time = kernel(id), expected = last[id].time + since;
        // Time never goes back where it was promised.
        bool back = last[id].set && id == CLOCK_MONOTONIC && time < expected;
        last[id].time = back ? expected : time;
        last[id].tick = tick;
        last[id].set = true;
        since = 0;
    }
    return last[id].time + since;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (id < 0 || id >= KNOWN) return (int)syscall(SYS_clock_gettime, id, at);
    int64_t time = now(id);
    *at = (struct timespec){ .tv_sec = time / SECOND, .tv_nsec = time % SECOND };
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    int64_t time = now(CLOCK_REALTIME);
    *at = (struct timeval){ .tv_sec = time / SECOND, .tv_usec = time % SECOND / 1000 };
    return 0;
}

time_t time(time_t *at) {
    time_t seconds = now(CLOCK_REALTIME) / SECOND;
    if (at) *at = seconds;
    return seconds;
}
