/* Checks every memory access of kernels compiled with -fsanitize=thread. g++ then calls the
 * __tsan_* functions below before each access; the program must be LINKED WITHOUT that flag, so
 * that they are ours and not ThreadSanitizer's. Per byte of device and shared memory a cell
 * remembers the last write and read: who, and when on a clock that ticks at each barrier,
 * __syncwarp and block. Finds: accesses outside allocations (reads too) and to host memory,
 * misaligned ones, reads of what nobody wrote, races within a block (also of warps without
 * __syncwarp), races between blocks of a launch (excused when the writer's block has fenced since).
 */
#include "cuda_internal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <vector>

namespace cuda_host
{

constexpr uint16_t many = 0x8000; /* readers of one warp (its number below), or of several */
constexpr uint16_t several_warps = 0xffff, by_atomic = 0x4000, in_flight = 0x2000,
                   thread_bits = 0x3ff;
struct cell {
    uint32_t written, read; /* clock; 0: never; 1: from the host */
    uint16_t writer, reader;
};
struct block_span {
    uint32_t begin, fenced;
};

static bool is_on;
static uint32_t clock_now = 2, launch_begin = 2, block_begin = 2, barrier_at = 2;
static std::vector<block_span> spans; /* blocks of this launch, in running order */
static uint32_t met[32][32][32];      /* [warp][lane][lane]: last common __syncwarp */
static std::vector<cell> shared_cells, fixed_cells;

cell *check_cells_create(size_t bytes)
{
    return is_on ? static_cast<cell *>(calloc(bytes, sizeof(cell))) : nullptr;
}
void check_cells_destroy(cell *cells)
{
    free(cells);
}

void check_written(void *to, const void *from, size_t bytes)
{
    const allocation *a = is_on ? allocation_find(to) : nullptr,
                     *b = from ? allocation_find(from) : nullptr;
    for (size_t i = 0; a && i < bytes; i++) {
        bool known = !b || b->cells[static_cast<const char *>(from) - b->data + i].written;
        a->cells[static_cast<char *>(to) - a->data + i] = {known, 0, 0, 0};
    }
}

void check_launch_begins()
{
    if (!is_on) return;
    spans.clear();
    launch_begin = ++clock_now;
    shared_cells.resize(size_t(now.shared_end - now.shared));
    fixed_cells.resize(size_t(now.fixed_end - now.fixed));
}
void check_block_begins()
{
    if (!is_on) return;
    block_begin = barrier_at = ++clock_now;
    spans.push_back({clock_now, 0});
}
void check_barrier()
{
    barrier_at = ++clock_now;
}
void check_syncwarp(unsigned warp, unsigned mask)
{
    if (!is_on) return;
    ++clock_now;
    for (unsigned a = 0; a < 32; a++)
        for (unsigned b = 0; b < 32; b++)
            if (mask >> a & mask >> b & 1) met[warp][a][b] = clock_now;
}
void check_fence()
{
    if (is_on) spans.back().fenced = clock_now;
}

/* Is what `who` did at clock `when`, in this block, sure to come before what runs now? */
static bool before(uint16_t who, uint32_t when)
{
    if (when < barrier_at) return true;
    if (who == several_warps) return false;
    unsigned me = now.thread, warp = me / 32;
    if (who & many) {
        if ((who & 31) != warp) return false;
        for (unsigned l = 0; l < 32; l++)
            if (l != me % 32 && met[warp][l][me % 32] <= when) return false;
        return true;
    }
    unsigned other = who & thread_bits;
    return other == me || (other / 32 == warp && met[warp][other % 32][me % 32] > when);
}

static bool fenced_since(uint32_t when)
{ /* did the block that ran at `when` fence at or after it? */
    auto after = std::upper_bound(spans.begin(), spans.end(), when,
                                  [](uint32_t w, const block_span &s) { return w < s.begin; });
    return after != spans.begin() && (after - 1)->fenced >= when;
}

static const char *line_of(const void *code)
{ /* "file:line" by addr2line */
    static char text[300];
    char command[600];
    Dl_info object;
    snprintf(text, sizeof text, "code %p", code);
    if (!code || !dladdr(code, &object)) return text;
    size_t offset =
        size_t(static_cast<const char *>(code) - static_cast<char *>(object.dli_fbase)) - 1;
    snprintf(command, sizeof command, "addr2line -s -e '%s' 0x%zx 2>&1", object.dli_fname, offset);
    FILE *answer = popen(command, "r");
    if (answer && fgets(text, sizeof text, answer)) text[strcspn(text, " \n")] = 0;
    if (answer) pclose(answer);
    return text;
}

static void conflict(const char *first, const char *second, const char *space, const void *address,
                     uint16_t who, uint32_t when, const void *code)
{
    if (when < block_begin)
        fault("race between blocks: %s memory %p is %s by one block and %s by this one at %s",
              space, address, first, second, line_of(code));
    if (who & many)
        fault("race: %s memory %p is %s by several threads and %s by this one with no barrier "
              "between at %s",
              space, address, first, second, line_of(code));
    fault("race: %s memory %p is %s by thread %d and %s by this one with no barrier between at %s",
          space, address, first, int(who & thread_bits), second, line_of(code));
}

static bool copy_issued; /* the write that is checked now is that of a cp.async under way */

static void check_cell(cell *c, const void *address, bool global, bool write, bool atomic,
                       const void *code)
{
    const char *space = global ? "device" : "shared";
    uint32_t oldest =
        global ? launch_begin : block_begin; /* what came earlier is ordered or gone */
    bool both_atomic = atomic && c->writer & by_atomic;
    if (!write || atomic)
        if (global ? !c->written : c->written < block_begin)
            fault("reads %s memory %p that nobody has written at %s", space, address,
                  line_of(code));
    if (c->written >= oldest && !both_atomic) {
        bool ordered = c->written < block_begin ? fenced_since(c->written)
                                                : before(c->writer & thread_bits, c->written);
        if (!ordered)
            conflict("written",
                     atomic  ? "changed atomically"
                     : write ? "written"
                             : "read",
                     space, address, c->writer & thread_bits, c->written, code);
    }
    if (write) {
        if (c->read >= oldest) {
            bool ordered =
                c->read < block_begin ? fenced_since(c->read) : before(c->reader, c->read);
            if (!ordered) conflict("read", "written", space, address, c->reader, c->read, code);
        }
        c->written = clock_now;
        c->writer = uint16_t(now.thread | (atomic ? by_atomic : 0) | (copy_issued ? in_flight : 0));
    } else {
        if (c->written >= oldest && c->writer & in_flight)
            fault("reads %s memory %p before thread %d has waited for its cp.async at %s", space,
                  address, int(c->writer & thread_bits), line_of(code));
        uint16_t me = uint16_t(now.thread), warp = uint16_t(many | me / 32);
        bool fresh = c->read < barrier_at || c->reader == me;
        if (fresh)
            c->reader = me;
        else
            c->reader = c->reader == warp || (!(c->reader & many) && c->reader / 32 == me / 32)
                            ? warp
                            : several_warps;
        c->read = clock_now;
    }
}

void check_access(const void *address, size_t bytes, bool write, bool atomic, const void *code)
{
    if (!is_on || !now.in_kernel) return;
    const char *p = static_cast<const char *>(address);
    if (p >= now.stack && p + bytes <= now.stack_end) return;
    if (p >= now.call && p + bytes <= now.call + now.call_bytes) return;
    if (p == reinterpret_cast<char *>(&threadIdx) ||
        (p >= reinterpret_cast<char *>(&threadIdx) && p < reinterpret_cast<char *>(&threadIdx + 1)))
        return;
    for (const char *builtin :
         {reinterpret_cast<char *>(&blockIdx), reinterpret_cast<char *>(&blockDim),
          reinterpret_cast<char *>(&gridDim)})
        if (p >= builtin && p < builtin + sizeof(uint3)) return;
    cell *cells = nullptr;
    bool global = false;
    if (p >= now.shared && p + bytes <= now.shared_end) {
        cells = &shared_cells[size_t(p - now.shared)];
    } else if (p >= now.fixed && p + bytes <= now.fixed_end) {
        cells = &fixed_cells[size_t(p - now.fixed)];
    } else if (const allocation *a = allocation_find(p)) {
        if (size_t(p - a->data) + bytes > a->bytes)
            fault("%s %zu bytes across the end of an allocation of %zu bytes at %s",
                  write ? "writes" : "reads", bytes, a->bytes, line_of(code));
        cells = a->cells + (p - a->data);
        global = true;
    } else {
        fault("%s %zu bytes at %p: neither device nor shared memory of this block: past an end, "
              "freed, or the host's at %s",
              write ? "writes" : "reads", bytes, address, line_of(code));
    }
    for (size_t i = 0; i < bytes; i++) check_cell(cells + i, p + i, global, write, atomic, code);
}

void check_copy(const void *to, size_t bytes, bool landed, const void *code)
{
    copy_issued = !landed;
    check_access(to, bytes, true, false, code);
    copy_issued = false;
}

static void check_aligned(void *address, size_t bytes, bool write, void *code)
{
    if (now.in_kernel && bytes > 1 && reinterpret_cast<uintptr_t>(address) % bytes)
        fault("%s %zu bytes at %p: misaligned at %s", write ? "writes" : "reads", bytes, address,
              line_of(code));
    check_access(address, bytes, write, false, code);
}
} /* namespace cuda_host */

/* what g++ -fsanitize=thread calls */
using namespace cuda_host;
extern "C" {
void __tsan_init()
{
    is_on = true;
} /* from a constructor of each file so compiled */
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit()
{
}
#define CUDA_CHECK(bytes)                                                                          \
    void __tsan_read##bytes(void *p)                                                               \
    {                                                                                              \
        check_aligned(p, bytes, false, __builtin_return_address(0));                               \
    }                                                                                              \
    void __tsan_write##bytes(void *p)                                                              \
    {                                                                                              \
        check_aligned(p, bytes, true, __builtin_return_address(0));                                \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *p)                                                     \
    {                                                                                              \
        check_access(p, bytes, false, false, __builtin_return_address(0));                         \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *p)                                                    \
    {                                                                                              \
        check_access(p, bytes, true, false, __builtin_return_address(0));                          \
    }
CUDA_CHECK(1)
CUDA_CHECK(2) CUDA_CHECK(4) CUDA_CHECK(8) CUDA_CHECK(16) void __tsan_read_range(void *p, size_t n)
{
    check_access(p, n, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t n)
{
    check_access(p, n, true, false, __builtin_return_address(0));
}
void __tsan_vptr_update(void **, void *)
{
}
void __tsan_vptr_read(void **)
{
}
}
