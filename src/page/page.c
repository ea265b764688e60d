/* The page; see page.h. */
#include "src/page/page.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/base/version.h"
#include "src/page/assets.h"
#include "src/page/parting.h"
#include "src/page/samples.h"
#include "src/page/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct asset *asset_find(const char *name)
{
    for (int i = 0; i < asset_count; i++)
        if (!strcmp(assets[i].name, name)) return &assets[i];
    return NULL;
}

bool page_has_charts(void)
{
    const struct asset *chart = asset_find("chart");
    return chart && chart->size > 0;
}

/* "sha256-...", as a Content-Security-Policy names a script: nothing else runs in the page,
 * whatever a reply holds. */
static status policy_write(FILE *out, const struct asset *asset)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char hex[SHA256_HEX];
    unsigned char bytes[33] = {0};
    struct sha256 *hash = sha256_begin();
    sha256_add(hash, asset->bytes, asset->size);
    TRY(sha256_end(hash, hex));
    for (int i = 0; i < 32; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    fputs(" 'sha256-", out);
    for (int i = 0; i < 33; i += 3) {
        const unsigned group =
            (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | (unsigned)bytes[i + 2];
        for (int k = 0; k < 4; k++)
            fputc(i == 30 && k == 3 ? '=' : digits[group >> (18 - 6 * k) & 63], out);
    }
    fputc('\'', out);
    return NULL;
}

static const char *const scripts[] = {"chart",  "tools",   "curves", "settings",
                                      "tokens", "samples", "main"};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

static void asset_write(FILE *out, const char *name)
{
    const struct asset *asset = asset_find(name);
    fwrite(asset->bytes, 1, asset->size, out);
}

static status head_write(FILE *out)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src "
          "data:; script-src",
          out);
    for (int i = 0; i < SCRIPTS; i++) TRY(policy_write(out, asset_find(scripts[i])));
    fputs("; style-src", out);
    TRY(policy_write(out, asset_find("style")));
    fputs("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<title>regard report</title>\n<style>",
          out);
    asset_write(out, "style");
    fputs("</style>\n</head>\n<body>\n", out);
    asset_write(out, "body");
    return NULL;
}

/* JSON between two tags: < is written as an escape, so that no text of a run ends the element. */
static void data_write(FILE *out, const char *name, const char *json, size_t size)
{
    fprintf(out, "<script type=\"application/json\" data-part=\"%s\">", name);
    for (size_t i = 0; i < size;) {
        const char *less = memchr(json + i, '<', size - i);
        const size_t length = (less ? (size_t)(less - json) : size) - i;
        fwrite(json + i, 1, length, out);
        i += length;
        if (less) {
            fputs("\\u003c", out);
            i++;
        }
    }
    fputs("</script>\n", out);
}

/* Six digits: more than a curve shows. */
static void number_write(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.6g", value);
    else
        fputs("null", out);
}

static void member_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    if (text)
        page_text(out, text);
    else
        fputs("null", out);
}

static void settings_write(FILE *out, const char *name, const struct setting_list *settings)
{
    fprintf(out, ",\"%s\":{", name);
    for (int64_t i = 0; i < settings->count; i++) {
        if (i) fputc(',', out);
        page_text(out, settings->list[i].key);
        fputc(':', out);
        page_text(out, settings->list[i].value);
    }
    fputc('}', out);
}

static void columns_write(FILE *out, const struct run_record *run)
{
    fputs(",\"steps\":[", out);
    for (int64_t i = 0; i < run->rows; i++) fprintf(out, "%s%.0f", i ? "," : "", run->step[i]);
    fputs("],\"columns\":{", out);
    for (int64_t c = 0; c < run->columns; c++) {
        if (c) fputc(',', out);
        page_text(out, run->column[c].name);
        fputs(":[", out);
        for (int64_t i = 0; i < run->rows; i++) {
            if (i) fputc(',', out);
            number_write(out, run->column[c].value[i]);
        }
        fputc(']', out);
    }
    fputc('}', out);
}

static void ranks_write(FILE *out, const struct run_record *run)
{
    const char *kind;
    json_t *seconds, *one;
    size_t rank;
    bool any = false;
    fputs(",\"ranks\":{", out);
    json_object_foreach(run->by_rank, kind, seconds)
    {
        if (any) fputc(',', out);
        any = true;
        page_text(out, kind);
        fputs(":[", out);
        json_array_foreach(seconds, rank, one)
        {
            if (rank) fputc(',', out);
            number_write(out, json_real_value(one));
        }
        fputc(']', out);
    }
    fputc('}', out);
}

/* For every metric that could be chosen. */
static void parting_write(FILE *out, const struct run_record *run)
{
    fputs(",\"audit\":", out);
    number_write(out, parting_by_audit(run));
    member_text(out, "quality", parting_quality(run));
    fputs(",\"parting\":{", out);
    bool any = false;
    for (int64_t c = 0; c < run->columns; c++) {
        const char *name = run->column[c].name;
        if (!parting_is_quality(run, name)) continue;
        if (any) fputc(',', out);
        any = true;
        page_text(out, name);
        fputc(':', out);
        number_write(out, parting_by_metric(run, name));
    }
    fputc('}', out);
}

static void run_write(FILE *out, const struct run_record *run)
{
    fprintf(out, "{\"lines\":%lld", (long long)run->lines);
    member_text(out, "name", run->name);
    member_text(out, "path", run->path);
    member_text(out, "kind", run->kind);
    member_text(out, "about", run->about);
    settings_write(out, "settings", &run->settings);
    parting_write(out, run);
    columns_write(out, run);
    ranks_write(out, run);
    fputc('}', out);
}

static void notes_write(FILE *out, const struct run_record *run)
{
    fputc('[', out);
    for (int64_t i = 0; i < run->note_count; i++) {
        if (i) fputc(',', out);
        page_text(out, run->notes[i]);
    }
    fputc(']', out);
}

/* When, by what; and the defaults, which settings stand beside. */
static status page_data_write(FILE *out, double watch)
{
    char now[64];
    const time_t seconds = time(NULL);
    struct tm local;
    struct setting_list defaults;
    TRY(settings_default(&defaults));
    localtime_r(&seconds, &local);
    strftime(now, sizeof now, "%Y-%m-%d %H:%M:%S %z", &local);
    fprintf(out, "{\"watch\":%.6g,\"charts\":%s", watch, page_has_charts() ? "true" : "false");
    member_text(out, "made", now);
    member_text(out, "program", version_text);
    settings_write(out, "defaults", &defaults);
    fputc('}', out);
    settings_free(&defaults);
    return NULL;
}

/* The JSON of one part, made by the caller's function. */
struct part {
    char *text;
    size_t size;
    FILE *stream;
};

static struct part *part_begin(struct part *part)
{
    part->stream = memory_stream(&part->text, &part->size);
    return part;
}

static void part_end(struct part *part, FILE *out, const char *name)
{
    memory_stream_close(part->stream);
    if (name) data_write(out, name, part->text, part->size);
    free(part->text);
}

static status runs_write(FILE *out, struct run_record *const *runs, int64_t count)
{
    /* What the curves leave is for the samples, shared alike. */
    struct part *curves = memory_allocate(((size_t)count + 1) * sizeof *curves);
    size_t used = 0;
    status s = NULL;
    struct sample_steps samples;
    for (int64_t i = 0; i < count; i++) {
        run_write(part_begin(&curves[i])->stream, runs[i]);
        memory_stream_flush(curves[i].stream);
        used += curves[i].size;
    }
    const size_t left = used < PAGE_BYTES_MAX ? PAGE_BYTES_MAX - used : 0;
    for (int64_t i = 0; i < count; i++) {
        if (!s) s = samples_read(runs[i], left / (size_t)count, &samples);
        part_end(&curves[i], out, s ? NULL : "run");
        if (s) continue;
        data_write(out, "samples", samples.json, samples.size);
        free(samples.json);
        struct part notes; /* the last: reading samples adds some */
        notes_write(part_begin(&notes)->stream, runs[i]);
        part_end(&notes, out, "notes");
    }
    free(curves);
    return s;
}

status page_write(FILE *out, struct run_record *const *runs, int64_t count, double watch)
{
    struct part page;
    TRY(head_write(out));
    part_begin(&page);
    status s = page_data_write(page.stream, watch);
    part_end(&page, out, s ? NULL : "page");
    if (!s) s = runs_write(out, runs, count);
    if (s) return s;
    fputs("<!--\n", out);
    asset_write(out, "licence");
    fputs("-->\n", out);
    for (int i = 0; i < SCRIPTS; i++) {
        fputs("<script>", out);
        asset_write(out, scripts[i]);
        fputs("</script>\n", out);
    }
    fputs("</body>\n</html>\n", out);
    return NULL;
}
