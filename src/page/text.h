/* Texts of runs in the page's JSON. */
#ifndef REGARD_PAGE_TEXT_H
#define REGARD_PAGE_TEXT_H

#include <stdio.h>

/* Quoted and escaped; what is no UTF-8 is U+FFFD. */
void page_text(FILE *out, const char *text);

#endif
