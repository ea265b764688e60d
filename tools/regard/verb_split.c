/* split: the lines of a data set into three files. */
#include "src/data/split.h"
#include "tools/regard/command.h"

#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>

const char split_formats[] =
    "--data: lines of JSON objects of any kind (dialogues, questions, preferences), or a built-in "
    "set.\n"
    "--out, a folder: train.jsonl, valid.jsonl and test.jsonl, which have the lines as they stand; "
    "a\n"
    "part whose share is 0 has no file.  A line's part is a hash of its text and the seed: equal "
    "lines\n"
    "fall to one part, and lines that are added move none.  With split.by=FIELD it is a hash of "
    "that\n"
    "field: set it to messages or id where several lines are of one history or dialogue.\n"
    "A part that is split again needs another seed: by the same one its lines fall to the same "
    "part.\n";

static status shares_check(const struct config *config)
{
    const double sum = config->split.train + config->split.valid + config->split.test;
    if (fabs(sum - 1) < 1e-9) return NULL;
    FAIL(STATUS_INPUT, "split.train, split.valid and split.test are %g together; they must be 1",
         sum);
}

/* The data must not be what they are parted into: its lines would be gone. */
static status data_check(const struct command *command)
{
    struct stat data, part;
    if (stat(command->data, &data) != 0) return NULL; /* a made set; or its reader says why not */
    for (int p = 0; p < SPLIT_PARTS; p++) {
        char path[1200];
        snprintf(path, sizeof path, "%s/%s.jsonl", command->out, split_part_name(p));
        if (stat(path, &part) == 0 && part.st_dev == data.st_dev && part.st_ino == data.st_ino)
            FAIL(STATUS_INPUT, "--data is %s, which split would write anew; take another --out",
                 path);
    }
    return NULL;
}

/* The folder's file of a part; without a share it has none.  One that is there from another split
 * would be taken for this one's. */
static status part_begin(const struct command *command, const struct split_settings *settings,
                         enum split_part part, const char *folder, struct file_writer *out)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s.jsonl", command->out, split_part_name(part));
    if (settings->share[part] == 0) {
        if (file_exists(path))
            FAIL(STATUS_INPUT, "%s is there, but split.%s is 0 and writes none; remove it", path,
                 split_part_name(part));
        return NULL;
    }
    snprintf(path, sizeof path, "%s/%s.jsonl", folder, split_part_name(part));
    return file_begin(out, path);
}

status verb_split(struct command *command)
{
    const struct config *config = &command->config;
    const struct split_settings settings = {
        .seed = config->seed,
        .share = {config->split.train, config->split.valid, config->split.test},
        .by = config->split.by};
    struct folder_writer folder;
    struct split_counts counts;
    struct file_writer files[SPLIT_PARTS] = {{NULL}};
    FILE *out[SPLIT_PARTS];
    TRY(shares_check(config));
    TRY(data_check(command));
    TRY(output_free(command->out));
    status s = output_begin(command->out, &folder);
    for (int p = 0; !s && p < SPLIT_PARTS; p++)
        s = part_begin(command, &settings, p, folder.temporary, &files[p]);
    for (int p = 0; p < SPLIT_PARTS; p++) out[p] = files[p].stream;
    if (!s) s = split_lines(&settings, command->data, out, &counts);
    for (int p = 0; p < SPLIT_PARTS; p++) {
        if (!s && files[p].stream) s = file_commit(&files[p]);
        file_abandon(&files[p]);
    }
    s = output_end(&folder, s);
    if (!s)
        printf("%" PRId64 " train, %" PRId64 " valid, %" PRId64 " test\n",
               counts.lines[SPLIT_TRAIN], counts.lines[SPLIT_VALID], counts.lines[SPLIT_TEST]);
    return s;
}
