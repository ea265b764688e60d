/* A model's folder: config.json and, behind "====", model.safetensors; and PEFT's
 * adapter_config.json of the same bytes. */
#include "src/model/folder.h"
#include "src/model/peft.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *tensors;
    size_t tensors_size;
    struct model_shape *shape;
    struct adapter_settings adapter;
    char base[PEFT_PATH_MAX];
    const size_t first = fuzz_part(data, size, &tensors, &tensors_size);
    fuzz_put("config.json", data, first);
    fuzz_put("adapter_config.json", data, first);
    fuzz_put("model.safetensors", tensors, tensors_size);
    status s = model_folder_shape(fuzz_folder(), &shape);
    if (!s) {
        fuzz_ended(model_folder_check(fuzz_folder(), shape));
        free(shape);
    }
    fuzz_ended(s);
    fuzz_ended(peft_settings(fuzz_folder(), &adapter, base));
    return 0;
}
