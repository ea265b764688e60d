/* TensorBoard's event file: TFRecord frames (length, masked CRC32C of it, bytes, masked
 * CRC32C of them; little endian) round protobuf Events. */
#ifndef REGARD_REPORT_TENSORBOARD_H
#define REGARD_REPORT_TENSORBOARD_H

#include "src/report/metrics.h"

#include <stddef.h>

struct tensorboard;

/* A new file FOLDER/events.out.tfevents.SECONDS.HOST.PID; the folder must exist. */
status tensorboard_open(struct tensorboard **out, const char *folder);
status tensorboard_write(struct tensorboard *board, int64_t step, const struct metric *list,
                         int64_t count);
status tensorboard_close(struct tensorboard *board); /* frees it in any case */
const char *tensorboard_path(const struct tensorboard *board);

/* TFRecord's mask, so that a CRC of data that holds CRCs stays a good one. */
uint32_t tensorboard_masked_crc(const void *data, size_t size);

#endif
