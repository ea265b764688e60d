/* The files of a page, as bytes in the program (embed.cmake). */
#ifndef REGARD_PAGE_ASSETS_H
#define REGARD_PAGE_ASSETS_H

#include <stddef.h>

struct asset {
    const char *name;
    const unsigned char *bytes; /* [size], and a 0 behind them */
    size_t size;
};
extern const struct asset assets[];
extern const int asset_count;

#endif
