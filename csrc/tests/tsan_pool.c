/* The pool on its own, for run_tsan.sh: every task of every region runs exactly once on a worker that the limits allow,
   with several callers, nested regions, resizing and forks. "tsan_pool time" measures regions instead. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../core/fp.h"
#include "../core/pool.h"

enum { TASKS = 100, CALLERS = 4 };

static int failures;

static void expect(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "FAILED: %s\n", what);
    __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
}

typedef struct {
    int64_t value[TASKS];              /* plain memory: the pool itself must order it */
    int64_t by_worker[ND_MAX_THREADS]; /* likewise: one worker at a time has a number */
    int most, nested;
    uint64_t fp;
} region;

static void inner(void *context, int64_t task, int worker) {
    int64_t *sum = context;
    (void)worker;
    *sum += task; /* in place: no other thread */
}

static void task(void *context, int64_t t, int worker) {
    region *r = context;
    expect(worker >= 0 && worker < r->most, "the number of the worker is within the limit");
    expect((nd_fp_get() & ~0x3full) == (r->fp & ~0x3full), "the floating-point state is the caller's");
    r->value[t] += t + 1;
    r->by_worker[worker]++;
    if (r->nested) {
        int64_t sum = 0;
        nd_parallel(10, inner, &sum);
        expect(sum == 45, "a region inside a task runs in place");
    }
}

static void check_region(int64_t tasks, int most, int nested) {
    region r;
    memset(&r, 0, sizeof r);
    r.most = most;
    r.nested = nested;
    r.fp = nd_fp_get();
    nd_parallel(tasks, task, &r);
    int64_t done = 0;
    for (int i = 0; i < ND_MAX_THREADS; i++) done += r.by_worker[i];
    for (int64_t t = 0; t < TASKS; t++) expect(r.value[t] == (t < tasks ? t + 1 : 0), "every task ran once");
    expect(done == tasks, "no task too many");
}

static void *caller(void *rounds) {
    const uint64_t before = nd_fp_enter();
    for (int i = 0; i < *(int *)rounds; i++) check_region(i % (TASKS + 1), ND_MAX_THREADS, i % 3 == 0);
    nd_fp_set(before);
    return 0;
}

static void many_callers(int rounds, int resize) {
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        if (pthread_create(&threads[i], 0, caller, &rounds)) abort();
    for (int i = 0; resize && i < rounds; i++) expect(nd_set_threads(1 + i % 7) == ND_OK, "nd_set_threads");
    for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], 0);
}

static void forks(int rounds) {
    for (int i = 0; i < rounds; i++) {
        check_region(TASKS, 4, 0);
        const pid_t child = fork();
        if (child == 0) {
            failures = 0;
            for (int k = 0; k < 20; k++) check_region(TASKS, 4, 1);
            _exit(failures != 0);
        }
        int status = 1;
        expect(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a forked child has a pool of its own");
    }
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void nothing(void *context, int64_t t, int worker) {
    (void)context;
    (void)t;
    (void)worker;
}

/* Each task waits for all the others: the region lasts until every worker is there. */
static void meet(void *context, int64_t t, int worker) {
    int *missing = context;
    (void)t;
    (void)worker;
    __atomic_sub_fetch(missing, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(missing, __ATOMIC_ACQUIRE) > 0) {}
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Median and 90th percentile of a region, `idle` microseconds after the one before. */
static void measure(const char *what, void (*fn)(void *, int64_t, int), int threads, int idle) {
    enum { N = 2000 };
    static int64_t times[N];
    nd_set_threads(threads);
    for (int i = 0; i < N; i++) {
        int missing = threads;
        for (int64_t start = now(); now() - start < idle * 1000;) {}
        const int64_t start = now();
        nd_parallel(threads, fn, &missing);
        times[i] = now() - start;
    }
    qsort(times, N, sizeof times[0], compare);
    printf("%s, %d threads, %3d us apart: median %5d ns, 90 %% below %5d ns\n", what, threads, idle, (int)times[N / 2],
           (int)times[N * 9 / 10]);
}

int main(int argc, char **argv) {
    const int apart[] = {0, 5, 20, 200};
    if (argc > 1 && strcmp(argv[1], "time") == 0) {
        for (int i = 0; i < 4; i++) measure("empty", nothing, 2, apart[i]);
        for (int i = 0; i < 4; i++) measure("meeting", meet, 2, apart[i]);
        return 0;
    }
    const int rounds = argc > 1 ? atoi(argv[1]) : 2000;
    expect(nd_set_threads(0) == ND_EVALUE && nd_set_threads(ND_MAX_THREADS + 1) == ND_EVALUE, "sizes out of range");
    check_region(TASKS, 1, 1); /* one thread until told otherwise */
    expect(nd_set_threads(4) == ND_OK && nd_threads() == 4, "nd_set_threads");
    const uint64_t before = nd_fp_enter();
    for (int i = 0; i < rounds; i++) check_region(i % (TASKS + 1), 4, i % 2);
    expect(nd_parallel_limit(2) == 0, "no limit to begin with");
    for (int i = 0; i < rounds; i++) check_region(TASKS, 2, 0);
    expect(nd_parallel_limit(0) == 2, "the limit");
    nd_fp_set(before);
    usleep(1000); /* asleep, then woken */
    for (int i = 0; i < rounds / 20; i++) {
        check_region(TASKS, 4, 0);
        usleep(200);
    }
    many_callers(rounds, 0);
    many_callers(rounds, 1);
    nd_set_threads(4);
    forks(rounds / 100);
    printf("pool: %s\n", failures ? "FAILED" : "all as it should be");
    return failures != 0;
}
