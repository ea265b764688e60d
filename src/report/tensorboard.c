/* TensorBoard events; see tensorboard.h. */
#include "src/report/tensorboard.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event.pb-c.h"

struct tensorboard {
    FILE *stream;
    char path[1024];
};

uint32_t tensorboard_masked_crc(const void *data, size_t size)
{
    uint32_t crc = crc32c(0, data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void little_endian(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> (8 * i));
}

static status event_write(struct tensorboard *board, const Regard__Event *event)
{
    size_t size = regard__event__get_packed_size(event);
    unsigned char *record = memory_allocate(size + 16);
    little_endian(record, size, 8);
    little_endian(record + 8, tensorboard_masked_crc(record, 8), 4);
    regard__event__pack(event, record + 12);
    little_endian(record + 12 + size, tensorboard_masked_crc(record + 12, size), 4);
    bool failed = fwrite(record, 1, size + 16, board->stream) != size + 16 || fflush(board->stream);
    free(record);
    if (failed) FAIL(STATUS_INPUT, "cannot write %s: %s", board->path, strerror(errno));
    return NULL;
}

static double wall_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

status tensorboard_open(struct tensorboard **out, const char *folder)
{
    *out = NULL;
    struct tensorboard *board = memory_allocate(sizeof *board);
    char host[65] = "host";
    if (gethostname(host, sizeof host - 1)) strcpy(host, "host");
    snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%010lld.%s.%ld", folder,
             (long long)time(NULL), host, (long)getpid());
    board->stream = fopen(board->path, "ab");
    status s = NULL;
    if (!board->stream)
        s = ERROR(STATUS_INPUT, "cannot write %s: %s", board->path, strerror(errno));
    if (!s) {
        char version[] = "brain.Event:2";
        Regard__Event event = REGARD__EVENT__INIT;
        event.wall_time = wall_time();
        event.what_case = REGARD__EVENT__WHAT_FILE_VERSION;
        event.file_version = version;
        s = event_write(board, &event);
    }
    if (s) return status_first(s, tensorboard_close(board));
    *out = board;
    return NULL;
}

status tensorboard_write(struct tensorboard *board, int64_t step, const struct metric *list,
                         int64_t count)
{
    Regard__Summary__Value *values = memory_allocate((size_t)count * sizeof *values);
    Regard__Summary__Value **pointers = memory_allocate((size_t)count * sizeof *pointers);
    size_t numbers = 0;
    for (int64_t i = 0; i < count; i++) {
        if (list[i].json) continue;
        regard__summary__value__init(&values[i]);
        values[i].tag = (char *)(uintptr_t)list[i].name;
        values[i].value_case = REGARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
        values[i].simple_value = (float)list[i].value;
        pointers[numbers++] = &values[i];
    }
    Regard__Summary summary = REGARD__SUMMARY__INIT;
    summary.n_value = numbers;
    summary.value = pointers;
    Regard__Event event = REGARD__EVENT__INIT;
    event.wall_time = wall_time();
    event.step = step;
    event.what_case = REGARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    status s = event_write(board, &event);
    free(values);
    free(pointers);
    return s;
}

status tensorboard_close(struct tensorboard *board)
{
    if (!board) return NULL;
    status s = NULL;
    if (board->stream && fclose(board->stream) != 0)
        s = ERROR(STATUS_INPUT, "cannot write %s: %s", board->path, strerror(errno));
    free(board);
    return s;
}

const char *tensorboard_path(const struct tensorboard *board)
{
    return board->path;
}
