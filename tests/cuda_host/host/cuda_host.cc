/* Runs blocks one after another on one OS thread, the threads of a block as fibers that change
 * places only where CUDA lets threads wait. Owns the fibers, the block's state and the fault
 * report. Not thread-safe: one OS thread calls CUDA. */
#include "cuda_internal.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>
#if defined(CUDA_HOST_PORTABLE) || !defined(__x86_64__)
#include <csetjmp> /* build without _FORTIFY_SOURCE, whose longjmp stays on one stack */
#include <ucontext.h>
#define FIBER_PORTABLE 1
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
extern char __start_device_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_device_shared[] __attribute__((weak, visibility("hidden")));

namespace cuda_host
{

constexpr unsigned all_lanes = 0xffffffffu;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t stack_bytes = 256 * 1024;
#else
constexpr size_t stack_bytes = 64 * 1024;
#endif

/* fibers */
struct fiber {
#ifdef FIBER_PORTABLE
    ucontext_t context; /* for the start; swapcontext would cost two system calls a switch */
    jmp_buf jump;
    bool started;
#else
    void *sp;
#endif
    char *stack;  /* lowest address; null for the scheduler, which runs on the program's stack */
    void *shadow; /* AddressSanitizer's fake stack */
    bool ended;   /* it will not be resumed */
};

#ifndef FIBER_PORTABLE
extern "C" void cuda_host_switch(void **from, void *to);
asm(R"(
  .text
  .globl cuda_host_switch
  .type cuda_host_switch, @function
cuda_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size cuda_host_switch, .-cuda_host_switch
)");
#endif

static void fiber_prepare(fiber *f, void (*entry)(void), size_t index)
{
#ifdef __SANITIZE_ADDRESS__ /* the thread that had this stack before never returned from its last  \
                               frames */
    __asan_unpoison_memory_region(f->stack, stack_bytes);
#endif
#ifdef FIBER_PORTABLE
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = stack_bytes - index * 192 % 4096 / 16 * 16;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
    f->started = false;
#else /* tops at different cache lines: in one cache set a shuffle costs 29 ns instead of 18 */
    void **top = reinterpret_cast<void **>(f->stack + stack_bytes - index * 192 % 4096);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    f->sp = top - 6;
#endif
}

#ifdef __SANITIZE_ADDRESS__
static const void *program_stack; /* learnt on the first switch ever, which leaves it */
static size_t program_stack_bytes;
#endif

static void fiber_entered(fiber *f)
{ /* first thing on arriving on a stack */
#ifdef __SANITIZE_ADDRESS__
    const void *left;
    size_t left_bytes;
    __sanitizer_finish_switch_fiber(f->shadow, &left, &left_bytes);
    if (!program_stack) program_stack = left, program_stack_bytes = left_bytes;
#else
    (void)f;
#endif
}

static void fiber_switch(fiber *from, fiber *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(from->ended ? nullptr : &from->shadow,
                                   to->stack ? to->stack : program_stack,
                                   to->stack ? stack_bytes : program_stack_bytes);
#endif
#ifdef FIBER_PORTABLE
    from->started = true;
    if (_setjmp(from->jump) == 0) {
        if (to->started) _longjmp(to->jump, 1);
        setcontext(&to->context);
    }
#else
    cuda_host_switch(&from->sp, to->sp);
#endif
    fiber_entered(from);
}

/* the block that runs */
enum thread_state { thread_new, thread_ready, thread_at_barrier, thread_in_warp, thread_done };
struct pending_copy {
    void *to;
    const void *from;
    size_t bytes;
    unsigned group;
}; /* from: null when done */
struct thread {
    thread_state state;
    fiber *on; /* null until it runs first */
    uint3 index;
    const char *what, *file; /* where it waits */
    int line;
    unsigned mask;
    combine_fn combine;
    void *argument;
    unsigned groups; /* cp.async groups committed */
    std::vector<pending_copy> copies;
};

running now;
static struct {
    const call *what;
    thread threads[max_threads];
    unsigned count, done, current;
    unsigned ready[32], ready_warps; /* lanes that may run, warps that have some */
    unsigned in_warp[32],
        ended[32]; /* lanes that wait in a warp operation, that have ended or never were */
    bool stopped;
    fiber scheduler, fibers[max_threads];
    std::vector<fiber *> spare;
    char *stacks;
    std::vector<char> shared;
    order *with;
} block;
fault_state state;

static unsigned random_below(unsigned n)
{ /* xorshift64* */
    uint64_t x = block.with->random;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    block.with->random = x;
    return unsigned((x * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

static void report(const char *format, va_list list)
{
    int n = 0;
    if (block.what) {
        const call *c = block.what;
        n = snprintf(state.message, sizeof state.message, "%s:%d: %s: ", c->file, c->line, c->name);
        if (now.in_kernel)
            n += snprintf(state.message + n, sizeof state.message - size_t(n),
                          "block (%u,%u,%u) thread (%u,%u,%u): ", blockIdx.x, blockIdx.y,
                          blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    }
    vsnprintf(state.message + n, sizeof state.message - size_t(n), format, list);
    fprintf(stderr, "cuda_host: %s\n", state.message);
    state.faults++;
    state.error = cudaErrorLaunchFailure;
}

cudaError_t misuse(cudaError_t error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    report(format, list);
    va_end(list);
    return state.error = error;
}

void fault(const char *format, ...)
{ /* in a kernel: the block ends here */
    va_list list;
    va_start(list, format);
    report(format, list);
    va_end(list);
    if (getenv("CUDA_HOST_ABORT")) abort();
    block.stopped = true;
    now.in_kernel = false;
    fiber_switch(block.threads[block.current].on, &block.scheduler);
    abort(); /* never resumed */
}

static void make_ready(unsigned thread)
{
    block.threads[thread].state = thread_ready;
    block.ready[thread / 32] |= 1u << thread % 32;
    block.ready_warps |= 1u << thread / 32;
}

static void not_ready(unsigned thread)
{
    if (!(block.ready[thread / 32] &= ~(1u << thread % 32)))
        block.ready_warps &= ~(1u << thread / 32);
}

static unsigned random_bit(unsigned mask)
{
    for (unsigned skip = random_below(unsigned(__builtin_popcount(mask))); skip; skip--)
        mask &= mask - 1;
    return unsigned(__builtin_ctz(mask));
}

/* The next thread to run, or -1. Forward and backward run one warp as far as it gets before the
 * next: the order that shows most missing block barriers. */
static int pick()
{
    if (!block.ready_warps) return -1;
    unsigned warp, lane;
    if (block.with->kind == forward) {
        warp = unsigned(__builtin_ctz(block.ready_warps));
        lane = unsigned(__builtin_ctz(block.ready[warp]));
    } else if (block.with->kind == backward) {
        warp = 31u - unsigned(__builtin_clz(block.ready_warps));
        lane = 31u - unsigned(__builtin_clz(block.ready[warp]));
    } else {
        warp = block.current / 32;
        if (!block.ready[warp] || random_below(8) == 0) warp = random_bit(block.ready_warps);
        lane = random_bit(block.ready[warp]);
    }
    return int(warp * 32 + lane);
}

static void thread_enter(unsigned index)
{ /* the running code is now this thread's */
    block.current = index;
    thread *t = &block.threads[index];
    threadIdx = t->index;
    now.thread = index;
    now.stack = t->on->stack;
    now.stack_end = t->on->stack + stack_bytes;
}

static void thread_main();

static void resume(fiber *from, int next)
{
    thread *t = &block.threads[next];
    if (!t->on) {
        t->on = block.spare.back();
        block.spare.pop_back();
        fiber_prepare(t->on, thread_main, size_t(t->on - block.fibers));
    }
    block.current = unsigned(next);
    fiber_switch(from, t->on);
}

static void thread_main()
{
    fiber *mine = block.threads[block.current].on;
    mine->shadow = nullptr, mine->ended = false;
    fiber_entered(mine);
    for (;;) {
        thread_enter(block.current);
        block.what->run();
        copy_wait(0);
        thread *t = &block.threads[block.current];
        t->state = thread_done;
        block.done++;
        block.ended[block.current / 32] |= 1u << block.current % 32;
        not_ready(block.current);
        int next = pick();
        if (next >= 0 && !block.threads[next].on) { /* a new thread can have this stack */
            block.threads[next].on = mine;
            block.current = unsigned(next);
            continue;
        }
        block.spare.push_back(mine);
        mine->ended = true;
        if (next >= 0)
            resume(mine, next);
        else
            fiber_switch(mine, &block.scheduler);
    }
}

static void wait(thread_state why)
{ /* until another thread makes this one ready */
    unsigned me = block.current;
    block.threads[me].state = why;
    not_ready(me);
    fiber *mine = block.threads[me].on;
    int next = pick();
    if (next >= 0)
        resume(mine, next);
    else
        fiber_switch(mine, &block.scheduler);
    thread_enter(me);
}

void barrier(const char *file, int line)
{
    thread *t = &block.threads[block.current];
    t->what = "__syncthreads", t->file = file, t->line = line;
    wait(thread_at_barrier);
}

unsigned lane()
{
    return block.current % 32;
}

void warp_meet(unsigned mask, const char *name, combine_fn combine, void *argument,
               const char *file, int line)
{
    unsigned me = block.current, first = me / 32 * 32;
    thread *t = &block.threads[me];
    t->what = name, t->file = file, t->line = line;
    t->mask = mask, t->combine = combine, t->argument = argument;
    unsigned *here = &block.in_warp[me / 32], gone = mask & block.ended[me / 32];
    if (!(mask >> me % 32 & 1))
        fault("%s at %s:%d: the thread is not in its own mask %08x", name, file, line, mask);
    if (gone)
        fault("%s at %s:%d: lane %d is in mask %08x but has ended or never was", name, file, line,
              __builtin_ctz(gone), mask);
    *here |= 1u << me % 32;
    bool complete = (*here & mask) == mask;
    for (unsigned rest = complete ? mask & ~(1u << me % 32) : 0; rest; rest &= rest - 1) {
        const thread *o = &block.threads[first + unsigned(__builtin_ctz(rest))];
        if (o->mask != mask)
            complete = false; /* it waits for others */
        else if (strcmp(o->what, name) != 0 || o->line != line || o->combine != combine)
            fault("%s at %s:%d meets %s at %s:%d of lane %d", name, file, line, o->what, o->file,
                  o->line, __builtin_ctz(rest));
    }
    if (complete) {
        void *arguments[32] = {};
        *here &= ~mask;
        for (unsigned rest = mask; rest; rest &= rest - 1) {
            unsigned other = first + unsigned(__builtin_ctz(rest));
            arguments[other % 32] = block.threads[other].argument;
            make_ready(other);
        }
        if (combine)
            combine(arguments, mask);
        else
            check_syncwarp(me / 32, mask);
        int next = pick();
        if (unsigned(next) == me) return;
        fiber *mine = t->on;
        resume(mine, next);
        thread_enter(me);
        return;
    }
    wait(thread_in_warp);
}

void *dynamic_shared()
{
    return now.shared;
}
void fence()
{
    check_fence();
}
void atomic_access(void *address, size_t bytes)
{
    check_access(address, bytes, true, true, __builtin_return_address(0));
}

/* cp.async may land at any moment from its start to the wait. Backward: at once; forward: at the
 * wait; shuffled: either. Checked accesses: the write counts at both ends. */
void copy_later(void *to, const void *from, size_t bytes)
{
    thread *t = &block.threads[block.current];
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes)
        fault("cp.async: address not a multiple of %zu", bytes);
    check_access(from, bytes, false, false, __builtin_return_address(0));
    check_copy(to, bytes, false, __builtin_return_address(0));
    t->copies.push_back({to, from, bytes, t->groups});
    if (block.with->kind == backward || (block.with->kind == shuffled && random_below(2)))
        memcpy(to, from, bytes), t->copies.back().from = nullptr;
}
void copy_commit()
{
    block.threads[block.current].groups++;
}
void copy_wait(unsigned groups_left)
{
    thread *t = &block.threads[block.current];
    size_t ended = 0;
    while (ended < t->copies.size() &&
           (groups_left == 0 || t->copies[ended].group + groups_left < t->groups)) {
        const pending_copy &c = t->copies[ended++];
        check_copy(c.to, c.bytes, true, __builtin_return_address(0));
        if (c.from) memcpy(c.to, c.from, c.bytes);
    }
    t->copies.erase(t->copies.begin(), t->copies.begin() + std::ptrdiff_t(ended));
}

static const char *where(const thread *t, char *text, size_t bytes)
{
    if (t->state == thread_done) return "has ended";
    snprintf(text, bytes, "waits in %s at %s:%d (mask %08x)", t->what, t->file, t->line,
             t->state == thread_in_warp ? t->mask : all_lanes);
    return text;
}

/* No thread can run. True when all wait at one barrier; otherwise it says who waits where. */
static bool barrier_complete()
{
    char text[2][200];
    const thread *first = nullptr;
    for (unsigned i = 0; i < block.count && !first; i++)
        if (block.threads[i].state != thread_done) first = &block.threads[i];
    for (unsigned i = 0; i < block.count; i++) {
        const thread *t = &block.threads[i];
        if (t == first || (t->state == first->state && t->state == thread_at_barrier &&
                           t->line == first->line && !strcmp(t->file, first->file)))
            continue;
        if (t->state == thread_in_warp && first->state == thread_in_warp &&
            t->line == first->line && t->mask == first->mask)
            continue;
        block.stopped = true;
        misuse(cudaErrorLaunchFailure,
               "block (%u,%u,%u): threads part ways: thread %u %s, thread %u %s", blockIdx.x,
               blockIdx.y, blockIdx.z, unsigned(first - block.threads),
               where(first, text[0], sizeof text[0]), i, where(t, text[1], sizeof text[1]));
        return false;
    }
    return first->state == thread_at_barrier;
}

static void block_run()
{
    for (unsigned i = 0; i < block.count; i++) {
        thread *t = &block.threads[i];
        t->on = nullptr;
        t->groups = 0;
        t->copies.clear();
        t->index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        make_ready(i);
    }
    block.done = 0;
    for (unsigned w = 0; w < 32; w++) block.in_warp[w] = 0, block.ended[w] = ~block.ready[w];
    memset(now.shared, 0xff,
           size_t(now.shared_end - now.shared)); /* NaN in fp32 and bf16, -1 in int */
    memset(now.fixed, 0xff, size_t(now.fixed_end - now.fixed));
    check_block_begins();
    for (int next; (next = pick()) >= 0;) {
        now.in_kernel = true;
        resume(&block.scheduler, next);
        now.in_kernel = false;
        if (block.stopped) return;
        if (block.ready_warps || block.done == block.count) continue;
        if (!barrier_complete()) return; /* the fault is reported */
        check_barrier();
        for (unsigned i = 0; i < block.count; i++) make_ready(i);
    }
}

static void stacks_create()
{
    size_t page = 4096, each = stack_bytes + page; /* an unmapped page below each stack */
    block.stacks = static_cast<char *>(mmap(nullptr, each * max_threads, PROT_NONE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (block.stacks == MAP_FAILED) perror("cuda_host: stacks"), abort();
    for (size_t i = 0; i < max_threads; i++) {
        block.fibers[i].stack = block.stacks + each * i + page;
        if (mprotect(block.fibers[i].stack, stack_bytes, PROT_READ | PROT_WRITE))
            perror("cuda_host: stacks"), abort();
#ifdef VALGRIND_STACK_REGISTER
        (void)VALGRIND_STACK_REGISTER(block.fibers[i].stack, block.fibers[i].stack + stack_bytes);
#endif
    }
}

void blocks_run(const call *c, order *with)
{
    if (state.error) return;
    if (!block.stacks) stacks_create();
    block.what = c;
    block.with = with;
    gridDim = c->grid, blockDim = c->block;
    block.count = blockDim.x * blockDim.y * blockDim.z;
    block.stopped = false;
    block.shared.resize(c->shared + 16);
    now.shared =
        block.shared.data() + (16 - reinterpret_cast<uintptr_t>(block.shared.data()) % 16) % 16;
    now.shared_end = now.shared + c->shared;
    now.fixed = __start_device_shared, now.fixed_end = __stop_device_shared;
    now.call = reinterpret_cast<const char *>(c), now.call_bytes = c->bytes;
    memset(block.ready, 0, sizeof block.ready);
    block.ready_warps = 0;
    block.spare.clear();
    for (size_t i = max_threads; i > 0; i--) block.spare.push_back(&block.fibers[i - 1]);
    check_launch_begins();
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    std::vector<uint64_t> shuffle(with->kind == shuffled ? blocks : 0);
    for (uint64_t i = 0; i < shuffle.size(); i++) {
        uint64_t j = random_below(unsigned(i + 1));
        shuffle[i] = shuffle[j], shuffle[j] = i;
    }
    for (uint64_t i = 0; i < blocks && !block.stopped; i++) {
        uint64_t b = with->kind == forward    ? i
                     : with->kind == backward ? blocks - 1 - i
                                              : shuffle[i];
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y),
                    unsigned(b / gridDim.x / gridDim.y)};
        block_run();
    }
    guards_check();
    launch_count(c->name);
    block.what = nullptr;
}

order order_named(const char *name)
{
    order_kind kind = !name || !strcmp(name, "forward") ? forward
                      : !strcmp(name, "backward")       ? backward
                                                        : shuffled;
    return {kind, (name ? strtoull(name, nullptr, 10) : 0) * 0x9e3779b97f4a7c15ull | 1};
}
} /* namespace cuda_host */
using namespace cuda_host;

void __syncwarp(unsigned mask, const char *file, int line)
{
    warp_meet(mask, "__syncwarp", nullptr, nullptr, file, line);
}
