/* probe: what every source of reward has to climb on a data set, before any training; with --fit a
 * checker learned from labelled replies. */
#include "mpi/data.h"
#include "src/base/json.h"
#include "src/fit/within.h"
#include "src/probe/report.h"
#include "src/source/source.h"
#include "tools/regard/command.h"

#include <string.h>

const char probe_formats[] =
    "Generates probe.candidates replies to every assistant turn of --data (dialogues, a JSON line\n"
    "each, or a built-in set), trains nothing, and prints for every source of reward, form and\n"
    "control: the share of its variance within histories, its rank correlation within a history\n"
    "with each metric and with length, and what the best reply by it has more than a random one.\n"
    "--fit TARGET: fits the target's ranks on columns of attention, log-probability, overlap and\n"
    "words, and says how each does on dialogues that were not fitted on.  TARGET is rouge_l, "
    "chrf,\n"
    "slots or verifier, or a field of labelled replies, which are read in place of sampled ones:\n"
    "  what generate wrote, a JSON line a reply, with that field added: a number, true or false\n"
    "  "
    "{\"messages\":[{\"role\":\"user\",\"content\":\"...\"}],\"replies\":[{\"content\":\"...\","
    "FIELD:1},..]}\n"
    "  lines with the same messages are one history, those with the same id of one dialogue\n"
    "--out, a folder: probe.json, probe.html and, with --fit, fit.json (reward.fit of train).\n";

/* --fit TARGET: of dialogues, whose replies are sampled; else a field of labelled replies. */
static bool of_dialogues(const char *target)
{
    static const char *const targets[] = {"rouge_l", "chrf", "slots", "verifier"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (!strcmp(target, targets[i])) return true;
    return false;
}

/* Whether a verifier finds in every line what to judge replies by; slots are of replies to come. */
static bool verifiable(const struct dataset *data, bool labelled)
{
    for (int64_t d = 0; d < data->count; d++)
        if (!data->dialogues[d].answer && (labelled || !data->dialogues[d].slots)) return false;
    return true;
}

/* All sources that these settings can open for the data; their columns are beside those of
 * attention, whose every head is read. */
static void sources_list(struct config *config, const struct dataset *data, bool labelled)
{
    config->attention.all_heads = true;
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (i == SOURCE_GOLD) continue; /* the metric rouge_l */
        if (i == SOURCE_FITTED && !config->reward.fit[0]) continue;
        if (i == SOURCE_MODEL && !config->reward.model[0]) continue;
        if (i == SOURCE_FORMAT && !config->reward.format[0]) continue;
        if (i == SOURCE_VERIFIER && config->verifier.form == VERIFY_AUTO &&
            !verifiable(data, labelled))
            continue;
        if (i == SOURCE_PLUGIN && !config->reward.plugin[0]) continue;
        if (i == SOURCE_COMMAND && !config->reward.command[0]) continue;
        config->reward.sources.listed[i] = true;
        config->reward.sources.weight[i] = 1;
    }
}

/* Whether a metric has two distinct outcomes in any history: data without answers has none. */
static bool outcomes_differ(const struct probe_data *data, const struct probe_column *metric)
{
    const struct fit_replies *replies = &data->replies;
    for (int64_t h = 0; h < replies->history_count; h++)
        if (within_differ(metric->value + replies->first[h],
                          replies->first[h + 1] - replies->first[h]))
            return true;
    return false;
}

static status target_find(const struct probe_data *data, const char *name,
                          const struct probe_column **out)
{
    /* Without --fit verdicts are of the verifier where it tells replies apart. */
    if (!name) {
        *out = probe_metric_find(data, "verifier");
        if (!*out || !outcomes_differ(data, *out)) *out = probe_metric_find(data, "rouge_l");
        return NULL;
    }
    char names[256] = "";
    *out = probe_metric_find(data, name);
    for (int64_t m = 0; m < data->metric_count; m++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", m ? ", " : "", data->metric[m].name);
    }
    if (!*out)
        FAIL(STATUS_INPUT, "--fit %s: the data have no such target; there are %s", name, names);
    return NULL;
}

static status file_make(const char *folder, const char *name, struct file_writer *out)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_begin(out, path);
}

static status files_write(const struct command *command, const json_t *report,
                          const struct probe_fits *fits, bool shuffled, const char *folder)
{
    struct file_writer out;
    TRY(file_make(folder, "probe.json", &out));
    json_dumpf(report, out.stream, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    fprintf(out.stream, "\n");
    TRY(file_commit(&out));
    TRY(file_make(folder, "probe.html", &out));
    probe_report_page(report, out.stream);
    TRY(file_commit(&out));
    if (!fits) return NULL;
    struct fit_about about = {.shuffled = shuffled};
    snprintf(about.target, sizeof about.target, "%s", command->fit);
    snprintf(about.data, sizeof about.data, "%s", command->data);
    snprintf(about.model, sizeof about.model, "%s", command->model);
    TRY(file_make(folder, "fit.json", &out));
    fit_write(out.stream, &fits->fit, &about, probe_report_fits(report));
    return file_commit(&out);
}

static status probe_run(const struct command *command, struct session *session,
                        const struct probe_settings *settings, const struct dataset *data,
                        const struct labelled *labelled)
{
    struct probe_data found;
    struct probe_fits fits = {0};
    struct folder_writer folder;
    const struct probe_column *target = NULL;
    TRY(probe_collect(session->generator, settings, session->language, data, labelled,
                      session->sources, &found));
    status s = target_find(&found, command->fit, &target);
    if (!s && command->fit) s = probe_fits_make(&found, target, settings, &fits);
    if (s && target) {
        /* Sampling was the long part: its tables are shown before the fit is refused. */
        json_t *report =
            probe_report(&found, settings, NULL, target, command->model, command->data);
        probe_report_text(report, stdout);
        json_decref(report);
    }
    if (!s) {
        json_t *report = probe_report(&found, settings, command->fit ? &fits : NULL, target,
                                      command->model, command->data);
        s = output_begin(command->out, &folder);
        if (!s) {
            s = files_write(command, report, command->fit ? &fits : NULL, settings->shuffled,
                            folder.temporary);
            s = output_end(&folder, s);
        }
        if (!s) probe_report_text(report, stdout);
        json_decref(report);
    }
    probe_fits_free(&fits);
    probe_data_free(&found);
    return s;
}

/* Told before anything is sampled: a history is of one dialogue, so there are no more dialogues
 * than either. */
static status enough_for_fit(const struct command *command, const struct dataset *data,
                             const struct probe_settings *settings)
{
    const int64_t most = settings->histories > 0 && settings->histories < data->count
                             ? settings->histories
                             : data->count;
    if (most < FIT_DIALOGUES_MIN)
        FAIL(STATUS_INPUT,
             "--fit %s: a fit needs %d dialogues, and there are at most %lld of them in %s%s",
             command->fit, FIT_DIALOGUES_MIN, (long long)most, data->path,
             most < data->count ? "; raise probe.histories" : "");
    return NULL;
}

static status data_probe(struct command *command, const struct dataset *data,
                         const struct labelled *labelled)
{
    struct session session;
    struct probe_settings settings;
    sources_list(&command->config, data, labelled != NULL);
    TRY(probe_settings_of(&command->config, &settings));
    if (command->fit) TRY(enough_for_fit(command, data, &settings));
    TRY(session_open(command, false, &session));
    status s = probe_settings_fit(&settings, &command->config, model_shape(session.model),
                                  session.language->tokenizer);
    if (!s) s = session_check_tokens(&session, data);
    if (!s) s = sources_check(session.sources, data);
    for (int64_t d = 0; !s && d < data->count; d++)
        if (data->dialogues[d].has_tokens)
            s = ERROR(STATUS_INPUT, "%s:%lld: a probe reads text, not token lines", data->path,
                      (long long)data->dialogues[d].line);
    if (!s) s = probe_run(command, &session, &settings, data, labelled);
    session_close(&session);
    return s;
}

status verb_probe(struct command *command)
{
    struct dataset *data = NULL;
    struct labelled *labelled = NULL;
    TRY(output_free(command->out));
    if (command->fit && !of_dialogues(command->fit))
        TRY(data_read_labelled(&command->config, command->data, command->fit, &labelled));
    else
        TRY(data_read(&command->config, command->data, DATASET_TRAIN, &data));
    status s = data_probe(command, labelled ? &labelled->histories : data, labelled);
    dataset_free(data);
    labelled_free(labelled);
    return s;
}
