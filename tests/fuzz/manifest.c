/* The manifest of a checkpoint: as it is, and with the hash of itself put right. */
#include "src/checkpoint/manifest.h"
#include "src/base/file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t step;
    fuzz_put("model.h5", "model", 5);
    fuzz_put("manifest.json", data, size);
    fuzz_ended(checkpoint_verify(fuzz_folder(), &step));
    char *text = malloc(size + 128), hex[SHA256_HEX];
    struct sha256 *hash = sha256_begin();
    sha256_add(hash, data, size);
    if (size) memcpy(text, data, size);
    fuzz_ended(sha256_end(hash, hex));
    const int tail = snprintf(text + size, 128, "\"manifest_sha256\": \"%s\"}\n", hex);
    fuzz_put("manifest.json", text, size + (size_t)tail);
    fuzz_ended(checkpoint_verify(fuzz_folder(), &step));
    free(text);
    return 0;
}
