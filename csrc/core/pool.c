/* The thread pool behind nd_parallel. Contract: op.h, pool.h.
 *
 * One region runs at a time; its caller owns the pool meanwhile and works along. Whoever finds the pool taken, or calls
 * from inside a task, runs its tasks in place: never a wait for somebody else's region, so no deadlock.
 *
 * Everything that workers race for is in one word, `state`: the number of the region, the seats still free in it, and
 * the workers that are in. A worker enters by taking a seat with compare-and-swap, which also gives it its number; the
 * owner closes the region by taking all the seats away, and waits only for those who came in: nobody waits for a thread
 * that the system has not woken yet. Tasks are handed out by a counter.
 *
 * A worker without a region spins for a while (longer when regions have lately come in quick succession), then sleeps
 * on a condition variable. Threads are made when first needed, are never more than nd_threads() - 1, run with signals
 * blocked and in the caller's floating-point state, and end when nd_set_threads leaves no seat for them. After a fork
 * the child starts without any and makes its own. On Linux a worker keeps off the core that its owner runs on: the
 * scheduler may put a woken thread beside the one that woke it and leave both there for milliseconds. On Windows there is
 * one thread so far: everything runs in place. */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include "pool.h"

typedef void (*task_fn)(void *, int64_t, int);

static ND_THREAD_LOCAL int own_limit;  /* nd_parallel_limit */
static ND_THREAD_LOCAL int own_number; /* the worker that this thread is, inside a region; 0 outside */
static ND_THREAD_LOCAL int inside;     /* in a region: another one runs in place */

int nd_parallel_limit(int n) {
    const int before = own_limit;
    own_limit = n;
    return before;
}

static void in_place(int64_t tasks, task_fn fn, void *context) {
    const int before = inside;
    inside = 1;
    for (int64_t t = 0; t < tasks; t++) fn(context, t, own_number);
    inside = before;
}

#ifdef _WIN32

int nd_threads(void) { return 1; }
int32_t nd_set_threads(int32_t n) { return n < 1 || n > ND_MAX_THREADS ? ND_EVALUE : ND_OK; }

void nd_parallel(int64_t tasks, task_fn fn, void *context) {
    in_place(tasks, fn, context);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "fp.h"

/* state: region number (32 bits), flag of an owner that sleeps, free seats (12 bits), workers inside (12 bits) */
#define ACTIVE 0xfffu
#define SEAT 0x1000u
#define SEATS 0xfff000u
#define WAITING 0x1000000u
#define REGION 32

enum {
    STACK = 1 << 20,
    SPIN_MAX = 100000, /* nanoseconds */
    SPIN_MIN = 4000,
    SPIN_OWNER = 2000000, /* an owner that sleeps is woken beside the worker that wakes it, and they share a core for a while */
    PAUSES = 64,      /* between two looks at the clock */
};

#define LINE _Alignas(64)
static LINE uint64_t state;
static LINE int64_t next_task;
static LINE int owned; /* a region is running */
static int limit = 1;
static int created;    /* threads alive; changed under the lock */
static int sleepers;   /* changed under the lock */
static int refused;    /* the system gave no more threads: not asked again until nd_set_threads */
static int cores;      /* 0: not asked yet */
static int owner_core; /* where the latest region began */
/* The region; written by its owner while nobody is inside. */
static struct {
    task_fn fn;
    void *context;
    int64_t tasks;
    uint64_t fp;
} job;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define LOAD_SEQ(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)

int nd_threads(void) { return LOAD(limit); }

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#ifdef __linux__

/* The core that this thread runs on, or -1. */
static int this_core(void) { return sched_getcpu(); }

/* Takes the owner's core out of those that this thread may use; `all` keeps what they were. 0 when there is no other. */
static int leave_core(cpu_set_t *all, cpu_set_t *others) {
    const int core = LOAD(owner_core);
    if (core < 0 || core >= CPU_SETSIZE || sched_getaffinity(0, sizeof *all, all) || !CPU_ISSET(core, all)) return 0;
    *others = *all;
    CPU_CLR(core, others);
    return CPU_COUNT(others) > 0 && !sched_setaffinity(0, sizeof *others, others);
}

/* Gives them back, unless somebody has chosen others for this thread meanwhile. */
static void allow_cores(const cpu_set_t *all, const cpu_set_t *others) {
    cpu_set_t now;
    if (!sched_getaffinity(0, sizeof now, &now) && CPU_EQUAL(&now, others)) sched_setaffinity(0, sizeof *all, all);
}

#else /* threads are not moved */

typedef char cpu_set_t;
static int this_core(void) { return -1; }
static int leave_core(cpu_set_t *all, cpu_set_t *others) { return *all = *others = 0; }
static void allow_cores(const cpu_set_t *all, const cpu_set_t *others) { (void)all, (void)others; }

#endif

/* Goes to another core when this one is the owner's. */
static void step_aside(void) {
    cpu_set_t all, others;
    const int core = this_core();
    if (core >= 0 && core == LOAD(owner_core) && leave_core(&all, &others)) allow_cores(&all, &others);
}

static void work(int number) {
    const int64_t tasks = job.tasks;
    const int before = own_number;
    own_number = number;
    inside = 1;
    for (;;) {
        const int64_t t = __atomic_fetch_add(&next_task, 1, __ATOMIC_RELAXED);
        if (t >= tasks) break;
        job.fn(job.context, t, number);
    }
    inside = 0;
    own_number = before;
}

/* Whether there is a region with a free seat that this thread has not been in. */
static int calls(uint64_t s, uint32_t seen) { return (s & SEATS) != 0 && (uint32_t)(s >> REGION) != seen; }

/* Takes a seat and works; 0 when it was too late. */
static int join(uint32_t *seen) {
    uint64_t s = LOAD(state);
    while (calls(s, *seen)) {
        if (!__atomic_compare_exchange_n(&state, &s, s - SEAT + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        *seen = (uint32_t)(s >> REGION);
        step_aside();
        nd_fp_set(job.fp);
        work((int)((s & SEATS) / SEAT));
        s = __atomic_sub_fetch(&state, 1, __ATOMIC_ACQ_REL);
        if ((s & WAITING) && !(s & ACTIVE)) {
            pthread_mutex_lock(&lock);
            pthread_cond_signal(&done);
            pthread_mutex_unlock(&lock);
        }
        return 1;
    }
    return 0;
}

/* Spins until a region calls, or there has been none for `budget` nanoseconds (one that was over before this thread came
   counts: more may follow). Gives way to other threads of this core now and then: a spinning thread must not keep the
   owner, or another process, from running. */
static void spin(uint32_t seen, int64_t start, int64_t budget) {
    uint32_t region = (uint32_t)(LOAD(state) >> REGION);
    do {
        for (int i = 0; i < PAUSES; i++) {
            if (calls(LOAD(state), seen)) return;
            relax();
        }
        sched_yield();
        step_aside();
        const uint32_t latest = (uint32_t)(LOAD(state) >> REGION);
        if (latest != region) start = now();
        region = latest;
    } while (now() - start < budget);
}

/* Sleeps until a region calls, or one has come and gone. 0 when this thread is one too many and ends. */
static int sleep_until_called(uint32_t seen) {
    const uint32_t region = (uint32_t)(LOAD(state) >> REGION);
    int stay = 1;
    cpu_set_t all, others;
    const int left = leave_core(&all, &others);
    pthread_mutex_lock(&lock);
    __atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST); /* before the look at the state: the owner looks the other way round */
    while (!calls(LOAD_SEQ(state), seen) && (uint32_t)(LOAD_SEQ(state) >> REGION) == region) {
        if (created > LOAD(limit) - 1) {
            __atomic_sub_fetch(&created, 1, __ATOMIC_SEQ_CST);
            stay = 0;
            break;
        }
        pthread_cond_wait(&wake, &lock);
    }
    __atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
    if (left) allow_cores(&all, &others);
    return stay;
}

static void *worker(void *unused) {
    uint32_t seen = (uint32_t)(LOAD(state) >> REGION) - 1;
    int64_t budget = SPIN_MAX;
    (void)unused;
    for (;;) {
        const int64_t start = now();
        if (LOAD(created) < LOAD(cores)) spin(seen, start, budget);
        if (!calls(LOAD(state), seen)) {
            if (!sleep_until_called(seen)) return 0;
            if (!calls(LOAD(state), seen)) { /* too late for a short one: be there for the next */
                budget = SPIN_MAX;
                continue;
            }
        }
        budget = now() - start < SPIN_MAX ? SPIN_MAX : budget / 2 < SPIN_MIN ? SPIN_MIN : budget / 2;
        join(&seen);
    }
}

/* In the child of a fork only the forking thread is there, whatever the others held or were doing. */
static void forget_threads(void) {
    static const pthread_mutex_t fresh_lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t fresh_condition = PTHREAD_COND_INITIALIZER;
    state = 0;
    owned = created = sleepers = refused = 0;
    lock = fresh_lock;
    wake = done = fresh_condition;
}

static void prepare_once(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    STORE(cores, n < 1 ? 1 : (int)n);
    pthread_atfork(0, 0, forget_threads);
}

/* Makes threads until there are `wanted`, or as many as the system gives. */
static void make_workers(int wanted) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_once(&once, prepare_once);
    if (pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals go to the threads of the program */
    pthread_mutex_lock(&lock);
    while (created < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker, 0)) {
            STORE(refused, 1);
            break;
        }
        __atomic_add_fetch(&created, 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    pthread_attr_destroy(&attributes);
}

/* Wakes as many sleepers as there are seats that the threads already awake leave free. */
static void wake_workers(int seats) {
    int missing, asleep = LOAD_SEQ(sleepers);
    if (!asleep || (missing = seats - (LOAD(created) - asleep)) <= 0) return;
    pthread_mutex_lock(&lock);
    if (missing >= asleep) pthread_cond_broadcast(&wake);
    else
        while (missing-- > 0) pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

/* Lets nobody in any more and waits for those inside. */
static void close_region(void) {
    uint64_t s = __atomic_and_fetch(&state, ~(uint64_t)SEATS, __ATOMIC_ACQ_REL);
    const int64_t start = s & ACTIVE ? now() : 0;
    while (s & ACTIVE) {
        for (int i = 0; i < PAUSES && ((s = LOAD(state)) & ACTIVE); i++) relax();
        if (!(s & ACTIVE)) return;
        sched_yield();
        if (now() - start < SPIN_OWNER) continue;
        __atomic_or_fetch(&state, (uint64_t)WAITING, __ATOMIC_SEQ_CST);
        pthread_mutex_lock(&lock);
        while ((s = LOAD_SEQ(state)) & ACTIVE) pthread_cond_wait(&done, &lock);
        pthread_mutex_unlock(&lock);
    }
}

void nd_parallel(int64_t tasks, task_fn fn, void *context) {
    int seats = nd_threads(), free_pool = 0;
    if (own_limit > 0 && own_limit < seats) seats = own_limit;
    if (tasks < seats) seats = (int)tasks;
    seats--; /* the caller's own */
    if (seats < 1 || inside || !__atomic_compare_exchange_n(&owned, &free_pool, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        in_place(tasks, fn, context);
        return;
    }
    if (LOAD(created) < seats && !LOAD(refused)) make_workers(seats);
    job.fn = fn;
    job.context = context;
    job.tasks = tasks;
    job.fp = nd_fp_get();
    STORE(owner_core, this_core());
    __atomic_store_n(&next_task, 0, __ATOMIC_RELAXED);
    const uint64_t region = (LOAD(state) >> REGION) + 1;
    __atomic_store_n(&state, region << REGION | (uint64_t)seats * SEAT, __ATOMIC_SEQ_CST);
    wake_workers(seats);
    work(0);
    close_region();
    STORE(owned, 0);
}

int32_t nd_set_threads(int32_t n) {
    if (n < 1 || n > ND_MAX_THREADS) return ND_EVALUE;
    STORE(limit, n);
    STORE(refused, 0);
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&wake); /* those that are too many end */
    pthread_mutex_unlock(&lock);
    return ND_OK;
}

#endif
