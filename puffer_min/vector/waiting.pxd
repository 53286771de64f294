"""Waiting for a word in memory to change: spin, then yield, then sleep in the kernel. Used by handoff.pyx.

A *word* is a 32-bit counter that only grows (and wraps). A waiter has seen a value and waits for another one.

    waiter   spins for spin_ns, yields its core for yield_ns, then adds 1 to `sleepers` and sleeps
    waker    adds 1 to the word; makes the system call that wakes only where `sleepers` is not 0

No wake is lost: the kernel puts the waiter to sleep only if the word still has the value it has seen. All
operations are sequentially consistent, so the waiter finds the new value or the waker finds the sleeper.

Linux: futex, not private, so that it works between processes. Elsewhere the sleep is a short one, of 50
microseconds at first and 1 millisecond in the end, after which the waiter looks again.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <sched.h>
    #include <stdint.h>
    #include <time.h>
    #if defined(__linux__)
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #endif

    #if defined(__x86_64__) || defined(__i386__)
    #define PUFFER_PAUSE() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define PUFFER_PAUSE() __asm__ __volatile__("yield")
    #else
    #define PUFFER_PAUSE() ((void) 0)
    #endif

    static inline uint32_t puffer_load(uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static inline void puffer_store(uint32_t* word, uint32_t n) {
        __atomic_store_n(word, n, __ATOMIC_SEQ_CST);
    }
    static inline uint32_t puffer_add(uint32_t* word, uint32_t n) {
        return __atomic_fetch_add(word, n, __ATOMIC_SEQ_CST);
    }
    static inline int puffer_swap(uint32_t* word, uint32_t from, uint32_t to) {
        return __atomic_compare_exchange_n(word, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }

    static inline int32_t puffer_ahead(uint32_t word, uint32_t other) { return (int32_t) (word - other); }

    static inline int64_t puffer_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
    }

    static inline void puffer_sleep(uint32_t* word, uint32_t seen, int64_t ns, int turn) {
        struct timespec t;
    #if defined(__linux__)
        (void) turn;
        t.tv_sec = ns / 1000000000; t.tv_nsec = ns % 1000000000;
        syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
    #else
        int64_t nap = turn < 20 ? 50000 : 1000000;
        if (nap > ns) nap = ns;
        t.tv_sec = 0; t.tv_nsec = nap;
        if (puffer_load(word) == seen) nanosleep(&t, NULL);
    #endif
    }

    static inline void puffer_wake(uint32_t* word, uint32_t* sleepers, int count) {
        puffer_add(word, 1);
        if (puffer_load(sleepers) == 0) return;
    #if defined(__linux__)
        syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    #else
        (void) count;
    #endif
    }

    /* Waits until *word != seen, at most limit_ns or until a signal arrives; returns whether it changed. */
    static int puffer_wait(uint32_t* word, uint32_t seen, uint32_t* sleepers,
                           int64_t spin_ns, int64_t yield_ns, int64_t limit_ns) {
        int64_t start = puffer_now(), now = start;
        int turn;
        if (limit_ns < spin_ns) spin_ns = limit_ns;
        while (now - start < spin_ns) {
            for (turn = 0; turn < 32; turn++) {
                if (puffer_load(word) != seen) return 1;
                PUFFER_PAUSE();
            }
            now = puffer_now();
        }
        while (now - start < spin_ns + yield_ns && now - start < limit_ns) {
            if (puffer_load(word) != seen) return 1;
            sched_yield();
            now = puffer_now();
        }
        puffer_add(sleepers, 1);
        for (turn = 0; puffer_load(word) == seen && now - start < limit_ns; turn++) {
            errno = 0;
            puffer_sleep(word, seen, limit_ns - (now - start), turn);
            if (errno == EINTR) break;
            now = puffer_now();
        }
        puffer_add(sleepers, (uint32_t) -1);
        return puffer_load(word) != seen;
    }
    """
    uint32_t load "puffer_load"(uint32_t* word) noexcept
    void store "puffer_store"(uint32_t* word, uint32_t value) noexcept
    uint32_t add "puffer_add"(uint32_t* word, uint32_t value) noexcept              # returns the value before
    bint swap "puffer_swap"(uint32_t* word, uint32_t old, uint32_t new) noexcept    # whether it was `old`
    int32_t ahead "puffer_ahead"(uint32_t word, uint32_t other) noexcept            # also after a wrap
    int64_t now "puffer_now"() noexcept                                             # ns of a monotonic clock
    void wake "puffer_wake"(uint32_t* word, uint32_t* sleepers, int count) noexcept # wakes `count`
    bint wait "puffer_wait"(uint32_t* word, uint32_t seen, uint32_t* sleepers,
                            int64_t spin_ns, int64_t yield_ns, int64_t limit_ns) noexcept
