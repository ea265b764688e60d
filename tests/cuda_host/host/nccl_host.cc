/* NCCL's calls between processes of one machine: a socket from every rank to every other, whose
 * abstract name is in the unique id.  Nothing waits: sockets are read and written when somebody
 * asks (ncclCommGetAsyncError, the stream's turn), so a rank that died is an error, and one that
 * was stopped is silence until the caller's deadline. */
#include "nccl_host.h"

#include "cuda_internal.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace
{
struct peer {
    int socket = -1;
    bool greeted = false, left = false;
    std::string out, in; /* bytes to leave, bytes that came */
};

/* First of all bytes on a connection. */
struct greeting {
    int rank, device;
    char host[64]; /* NCCL_HOSTID, or nothing: ranks of one host may not share a device */
};

/* Goes before the floats of each call, so that ranks whose calls differ notice. */
struct header {
    uint64_t number;
    int kind, root;
    uint64_t count;
};

enum kind { REDUCE = 1, BROADCAST };

struct one_call {
    kind what;
    const float *send;
    float *receive;
    size_t count;
    int root;
};

/* The calls of one group on one stream: their turn has come when it is asked. */
struct batch {
    std::vector<one_call> calls;
    cudaStream_t stream;
    size_t next = 0;    /* call */
    bool begun = false; /* of that call: what leaves was handed over */
    uint64_t number;    /* of the first call */
};
} /* namespace */

struct ncclComm {
    int rank, ranks, device, listener = -1;
    std::string name, last;
    std::vector<peer> peers;
    ncclResult_t error = ncclInProgress; /* of the communicator; success once all are there */
    int asked = 0; /* since the group ended: a group is issued at the second */
    std::vector<std::shared_ptr<batch>> ended; /* groups not issued yet */
    uint64_t number = 0;
    bool connected = false, finalized = false;
    std::shared_ptr<bool> gone = std::make_shared<bool>(false);
};

static int group_depth;
static std::vector<std::pair<ncclComm_t, std::shared_ptr<batch>>> group;

static ncclResult_t comm_fail(ncclComm_t comm, ncclResult_t error, const std::string &text)
{
    if (comm->error == ncclSuccess || comm->error == ncclInProgress) {
        comm->error = error;
        comm->last = text;
    }
    return error;
}

static sockaddr_un address_of(const std::string &name, int rank, socklen_t *length)
{
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string full = name + "-" + std::to_string(rank);
    memcpy(address.sun_path + 1, full.data(), full.size()); /* abstract: it begins with a zero */
    *length = socklen_t(offsetof(sockaddr_un, sun_path) + 1 + full.size());
    return address;
}

static greeting greeting_of(ncclComm_t comm)
{
    greeting mine = {};
    mine.rank = comm->rank, mine.device = comm->device;
    const char *host = getenv("NCCL_HOSTID");
    if (host) snprintf(mine.host, sizeof mine.host, "%s", host);
    return mine;
}

static void rank_gone(ncclComm_t comm, int rank)
{
    comm_fail(comm, ncclRemoteError, "rank " + std::to_string(rank) + " is gone");
}

/* What can leave leaves, what came is kept. */
static void peer_move(ncclComm_t comm, int rank)
{
    peer &p = comm->peers[size_t(rank)];
    if (p.socket < 0) return;
    while (!p.out.empty()) {
        ssize_t sent = send(p.socket, p.out.data(), p.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (sent < 0) {
            rank_gone(comm, rank);
            break;
        }
        p.out.erase(0, size_t(sent));
    }
    static char bytes[1 << 16];
    for (;;) {
        ssize_t got = recv(p.socket, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            p.left = true; /* what it sent before is still good */
            close(p.socket);
            p.socket = -1;
            return;
        }
        p.in.append(bytes, size_t(got));
    }
}

static void greeting_check(ncclComm_t comm, int rank)
{
    peer &p = comm->peers[size_t(rank)];
    if (p.greeted || p.in.size() < sizeof(greeting)) return;
    greeting theirs, mine = greeting_of(comm);
    memcpy(&theirs, p.in.data(), sizeof theirs);
    p.in.erase(0, sizeof theirs);
    p.greeted = true;
    if (theirs.device == mine.device && !strcmp(theirs.host, mine.host))
        comm_fail(comm, ncclInvalidUsage, "Duplicate GPU detected");
}

/* A rank calls those below it and is called by those above. */
static void comm_connect(ncclComm_t comm)
{
    const greeting mine = greeting_of(comm);
    for (int r = 0; r < comm->rank; r++) {
        peer &p = comm->peers[size_t(r)];
        if (p.socket >= 0) continue;
        socklen_t length;
        sockaddr_un to = address_of(comm->name, r, &length);
        int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(made, reinterpret_cast<sockaddr *>(&to), length)) { /* not there yet */
            close(made);
            continue;
        }
        p.socket = made;
        p.out.assign(reinterpret_cast<const char *>(&mine), sizeof mine);
    }
    for (;;) {
        int came = accept4(comm->listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (came < 0) break;
        greeting theirs; /* its writer sends it before anything else, at once */
        if (recv(came, &theirs, sizeof theirs, MSG_WAITALL) != ssize_t(sizeof theirs) ||
            theirs.rank <= comm->rank || theirs.rank >= comm->ranks) {
            close(came);
            continue;
        }
        peer &p = comm->peers[size_t(theirs.rank)];
        p.socket = came;
        p.in.assign(reinterpret_cast<const char *>(&theirs), sizeof theirs);
        p.out.assign(reinterpret_cast<const char *>(&mine), sizeof mine);
    }
    bool all = true;
    for (int r = 0; r < comm->ranks; r++) {
        if (r == comm->rank) continue;
        peer_move(comm, r);
        greeting_check(comm, r);
        if (comm->peers[size_t(r)].left && !comm->peers[size_t(r)].greeted) rank_gone(comm, r);
        all = all && comm->peers[size_t(r)].greeted && comm->peers[size_t(r)].out.empty();
    }
    if (all && comm->error == ncclInProgress) {
        comm->connected = true;
        comm->error = ncclSuccess;
        close(comm->listener);
        comm->listener = -1;
    }
}

static void comm_move(ncclComm_t comm)
{
    if (!comm->connected) return comm_connect(comm);
    for (int r = 0; r < comm->ranks; r++)
        if (r != comm->rank) peer_move(comm, r);
}

/* One call, when its turn has come: true once it is done. */
static bool call_run(ncclComm_t comm, batch &b)
{
    const one_call &c = b.calls[b.next];
    const size_t bytes = c.count * sizeof(float);
    const header mine = {b.number + b.next, c.what, c.root, c.count};
    const bool root = comm->rank == c.root, sends = root == (c.what == BROADCAST);
    if (!b.begun) {
        b.begun = true;
        const char *name = c.what == REDUCE ? "ncclReduce" : "ncclBroadcast";
        if (!cuda_host::range_is_device(name, sends || root ? c.send : c.receive, bytes))
            return comm_fail(comm, ncclUnhandledCudaError, "not device memory"), false;
        for (int r = 0; r < comm->ranks; r++)
            if (sends && r != comm->rank && (c.what == BROADCAST || r == c.root)) {
                std::string &out = comm->peers[size_t(r)].out;
                out.append(reinterpret_cast<const char *>(&mine), sizeof mine);
                out.append(reinterpret_cast<const char *>(c.send), bytes);
            }
    }
    comm_move(comm);
    if (comm->error != ncclSuccess) return false;
    bool ready = true;
    for (int r = 0; r < comm->ranks; r++) {
        peer &p = comm->peers[size_t(r)];
        if (r == comm->rank) continue;
        ready = ready && p.out.empty();
        if (p.left && !p.out.empty()) return rank_gone(comm, r), false;
        if (sends || (c.what == BROADCAST && r != c.root)) continue;
        if (p.in.size() >= sizeof(header) && memcmp(p.in.data(), &mine, sizeof mine)) {
            cuda_host::misuse(cudaErrorLaunchFailure, "NCCL: ranks %d and %d make different calls",
                              comm->rank, r);
            return comm_fail(comm, ncclInvalidUsage, "different calls"), false;
        }
        ready = ready && p.in.size() >= sizeof mine + bytes;
        if (p.left && p.in.size() < sizeof mine + bytes) return rank_gone(comm, r), false;
    }
    if (!ready) return false;
    if (!sends) { /* the sum's order is that of the ranks, from 0 */
        std::vector<float> sum(c.count), one(c.count);
        bool first = true;
        for (int r = 0; r < comm->ranks; r++) {
            if (c.what == BROADCAST && r != c.root) continue;
            std::string &in = comm->peers[size_t(r)].in;
            const bool own = r == comm->rank;
            const void *from = own ? static_cast<const void *>(c.send) : in.data() + sizeof mine;
            memcpy(one.data(), from, bytes);
            for (size_t i = 0; i < c.count; i++) sum[i] = first ? one[i] : sum[i] + one[i];
            first = false;
            if (!own) in.erase(0, sizeof mine + bytes);
        }
        memcpy(c.receive, sum.data(), bytes);
        cuda_host::check_written(c.receive, nullptr, bytes);
    }
    b.begun = false;
    return true;
}

static bool batch_run(ncclComm_t comm, const std::shared_ptr<bool> &gone, batch &b)
{
    if (*gone) return true; /* aborted: the stream goes on, the ranges hold anything */
    while (b.next < b.calls.size()) {
        if (!call_run(comm, b)) return false;
        b.next++;
    }
    return true;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int made;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *id = {};
    snprintf(id->internal, sizeof id->internal, "regard-nccl-%d-%lld-%ld-%d", int(getpid()),
             static_cast<long long>(now.tv_sec), now.tv_nsec, made++);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    if (config->blocking != 0 || rank < 0 || rank >= ranks) return ncclInvalidArgument;
    ncclComm_t comm = *out = new ncclComm;
    comm->rank = rank, comm->ranks = ranks, comm->name = id.internal;
    cudaGetDevice(&comm->device);
    comm->peers.resize(size_t(ranks));
    comm->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length;
    sockaddr_un at = address_of(comm->name, rank, &length);
    if (comm->listener < 0 || bind(comm->listener, reinterpret_cast<sockaddr *>(&at), length) ||
        listen(comm->listener, ranks))
        return comm_fail(comm, ncclSystemError, "a socket cannot be had");
    return ncclInProgress;
}

/* A group is not in its stream before this has said success. */
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    comm_move(comm);
    *error = comm->error;
    if (comm->error != ncclSuccess || comm->ended.empty()) return ncclSuccess;
    *error = ncclInProgress;
    if (++comm->asked < 2) return ncclSuccess;
    *error = ncclSuccess;
    comm->asked = 0;
    std::vector<std::shared_ptr<batch>> issued;
    issued.swap(comm->ended);
    for (const std::shared_ptr<batch> &b : issued) {
        std::shared_ptr<bool> gone = comm->gone;
        cuda_host::stream_poll(b->stream, [=] { return batch_run(comm, gone, *b); });
    }
    return ncclSuccess;
}

static ncclResult_t call_add(ncclComm_t comm, const one_call &call, cudaStream_t stream)
{
    if (!group_depth) { /* allowed by NCCL, not needed here */
        cuda_host::misuse(cudaErrorInvalidValue, "NCCL: a call outside a group");
        return ncclInvalidUsage;
    }
    if (comm->error != ncclSuccess || !comm->ended.empty()) {
        cuda_host::misuse(cudaErrorInvalidValue, "NCCL: a call before the last one was issued");
        return comm_fail(comm, ncclInvalidUsage, "a call before the last one was issued");
    }
    if (call.root < 0 || call.root >= comm->ranks || !call.count) {
        cuda_host::misuse(cudaErrorInvalidValue, "NCCL: root %d of %d, %zu floats", call.root,
                          comm->ranks, call.count);
        return ncclInvalidArgument;
    }
    if (group.empty() || group.back().first != comm || group.back().second->stream != stream) {
        group.push_back({comm, std::make_shared<batch>()});
        group.back().second->stream = stream;
        group.back().second->number = comm->number;
    }
    group.back().second->calls.push_back(call);
    comm->number++;
    return ncclSuccess;
}

ncclResult_t ncclReduce(const void *send, void *receive, size_t count, ncclDataType_t, ncclRedOp_t,
                        int root, ncclComm_t comm, cudaStream_t stream)
{
    return call_add(
        comm,
        {REDUCE, static_cast<const float *>(send), static_cast<float *>(receive), count, root},
        stream);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    return call_add(
        comm,
        {BROADCAST, static_cast<const float *>(send), static_cast<float *>(receive), count, root},
        stream);
}

ncclResult_t ncclGroupStart(void)
{
    return group_depth++, ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (!group_depth) return ncclInvalidUsage;
    if (--group_depth) return ncclSuccess;
    for (auto &[comm, b] : group) comm->ended.push_back(b);
    group.clear();
    return ncclInProgress;
}

static void comm_close(ncclComm_t comm)
{
    *comm->gone = true;
    if (comm->listener >= 0) close(comm->listener);
    for (peer &p : comm->peers)
        if (p.socket >= 0) close(p.socket);
    delete comm;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    if (!comm->ended.empty() || comm->finalized) return ncclInvalidUsage;
    comm->finalized = true; /* the others may leave from now on */
    return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (!comm->finalized)
        cuda_host::misuse(cudaErrorInvalidValue, "NCCL: destroyed, not finalized");
    return comm_close(comm), ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    return comm_close(comm), ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const words[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return result >= 0 && result < 8 ? words[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    return comm ? comm->last.c_str() : "";
}
