#include "src/checkpoint/adapter_folder.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/model/adapted.h"
#include "src/model/peft.h"

#include <stdlib.h>
#include <string.h>

static bool is_checkpoint(const char *folder)
{
    char path[CHECKPOINT_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    return file_exists(path);
}

/* A relative path begins at the checkpoint's folder. */
static status base_resolve(const char *folder, struct checkpoint_adapter *adapter)
{
    char path[2 * CHECKPOINT_PATH_MAX + 2];
    if (adapter->base[0] == '/') return NULL;
    snprintf(path, sizeof path, "%s/%s", folder, adapter->base);
    if (strlen(path) >= sizeof adapter->base)
        FAIL(STATUS_INPUT, "%s: the path of its base is too long", folder);
    strcpy(adapter->base, path);
    return NULL;
}

status adapter_folder_look(const char *folder, bool *found, struct checkpoint_adapter *out)
{
    memset(out, 0, sizeof *out);
    if (!is_checkpoint(folder)) {
        *found = peft_is_folder(folder);
        return *found ? peft_settings(folder, &out->settings, out->base) : NULL;
    }
    TRY(checkpoint_read_adapter(folder, found, out));
    return *found ? base_resolve(folder, out) : NULL;
}

static status base_check(const char *folder, struct model *model)
{
    struct checkpoint_adapter adapter;
    char hex[65];
    bool found;
    TRY(checkpoint_read_adapter(folder, &found, &adapter));
    TRY(model_base_hash(model, hex));
    if (strcmp(hex, adapter.base_sha256) != 0)
        FAIL(STATUS_INPUT,
             "%s: its adapters are for a base whose parameters have the hash %.12s, this one's is "
             "%.12s",
             folder, adapter.base_sha256, hex);
    return NULL;
}

status adapter_folder_load(const char *folder, struct model *model)
{
    if (!is_checkpoint(folder)) return peft_load(folder, model);
    struct parameters *trained = model_trained(model);
    TRY(base_check(folder, model));
    TRY(checkpoint_load_model(folder, trained));
    return model_refresh(model);
}
