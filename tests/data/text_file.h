/* A file of a text, for readers that take a path. */
#ifndef REGARD_TESTS_DATA_TEXT_FILE_H
#define REGARD_TESTS_DATA_TEXT_FILE_H

enum { TEXT_FILE_PATH = 64 };

struct dataset;
/* A new file of the lines that a set was read from. */
void dataset_file(const struct dataset *dataset, char path[TEXT_FILE_PATH]);
/* A new file; the caller unlinks it. */
void text_file(const char *text, char path[TEXT_FILE_PATH]);

#endif
