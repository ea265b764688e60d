/* The device's addresses: one region, in which blocks are found first-fit.  With
 * CUDA_HOST_PROTECT=1 it is closed but while kernels and copies run, so that host code which reads
 * or writes device memory ends there, as it would on a GPU.  By huge pages where the system has
 * them: opening and closing costs by the page, and the arena of a run has many. */
#include "cuda_internal.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace cuda_host
{

constexpr size_t region_bytes = size_t(1) << 37, page_bytes = size_t(2) << 20;
static char *region;
static size_t region_used;             /* from the start; what lies behind was never given out */
static std::map<size_t, size_t> holes; /* freed blocks: where, bytes */
static bool is_protected;
static int opened;

/* The line goes out by write alone: this is a signal handler. */
static void host_access(int, siginfo_t *info, void *)
{
    const char *at = static_cast<char *>(info->si_addr);
    if (at >= region && at < region + region_bytes) {
        static const char text[] = "cuda_host: host code reads or writes device memory\n";
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        void *frames[16];
        backtrace_symbols_fd(frames, backtrace(frames, 16), STDERR_FILENO);
    }
    signal(SIGSEGV, SIG_DFL); /* the access is tried again */
}

static bool region_create()
{
    const char *asked = getenv("CUDA_HOST_PROTECT");
    is_protected = asked && atoi(asked);
    void *at =
        mmap(nullptr, region_bytes + page_bytes, is_protected ? PROT_NONE : PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return false;
    region = static_cast<char *>(at);
    region += (page_bytes - reinterpret_cast<uintptr_t>(region) % page_bytes) % page_bytes;
    if (is_protected) {
        (void)madvise(region, region_bytes, MADV_HUGEPAGE);
        struct sigaction action = {};
        action.sa_sigaction = host_access;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, nullptr);
    }
    return true;
}

static void protect(int access)
{
    size_t bytes = (region_used + page_bytes - 1) / page_bytes * page_bytes;
    if (is_protected && bytes) mprotect(region, bytes, access);
}

device_access::device_access()
{
    if (opened++ == 0) protect(PROT_READ | PROT_WRITE);
}
device_access::~device_access()
{
    if (--opened == 0) protect(PROT_NONE);
}

/* `bytes` is a multiple of what the block is aligned to. */
char *region_allocate(size_t bytes)
{
    if (!region && !region_create()) return nullptr;
    for (auto hole = holes.begin(); hole != holes.end(); ++hole) {
        if (hole->second < bytes) continue;
        size_t at = hole->first, left = hole->second - bytes;
        holes.erase(hole);
        if (left) holes[at + bytes] = left;
        return region + at;
    }
    if (bytes > region_bytes - region_used) return nullptr;
    char *block = region + region_used;
    region_used += bytes;
    if (opened) protect(PROT_READ | PROT_WRITE);
    return block;
}

void region_free(char *block, size_t bytes)
{
    auto at = holes.emplace(size_t(block - region), bytes).first;
    auto next = std::next(at);
    if (next != holes.end() && at->first + at->second == next->first) {
        at->second += next->second;
        holes.erase(next);
    }
    if (at == holes.begin()) return;
    auto before = std::prev(at);
    if (before->first + before->second == at->first) {
        before->second += at->second;
        holes.erase(at);
    }
}
} /* namespace cuda_host */
