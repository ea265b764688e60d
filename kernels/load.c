/* Looks for the CUDA module and asks it for a queue; see load.h.  A module stays loaded as long as
 * the program runs: its code is behind every queue. */
#include "kernels/load.h"

#include "kernels/sleep.h"
#include "src/base/log.h"
#include "src/base/timeline.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char module_name[] = "regard_cuda.so";
/* Where an installed program has it, from the program's folder. */
static const char installed_name[] = REGARD_MODULE_INSTALLED "/regard_cuda.so";
static const char driver_name[] = "libcuda.so.1";

typedef status queue_create_function(int device, const struct queue_options *options,
                                     struct queue **out);

/* Spans of time are ranges for a profiler of CUDA, where the module was built with NVTX. */
static void ranges_install(void *module)
{
    void *push = dlsym(module, "regard_cuda_range_push"),
         *pop = dlsym(module, "regard_cuda_range_pop");
    if (!push || !pop) return;
    void (*begin)(const char *name);
    void (*end)(void);
    memcpy(&begin, &push, sizeof begin);
    memcpy(&end, &pop, sizeof end);
    timeline_on_span(begin, end);
}

static bool library_loads(const char *name)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (library) dlclose(library);
    return library;
}

/* The module beside the program, else where it is installed, or the one that the environment names.
 */
static status module_path(char path[PATH_MAX])
{
    const char *chosen = getenv("REGARD_CUDA_MODULE");
    if (chosen) {
        if ((size_t)snprintf(path, PATH_MAX, "%s", chosen) >= PATH_MAX)
            FAIL(STATUS_INPUT, "REGARD_CUDA_MODULE is too long");
        return NULL;
    }
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof installed_name - 1);
    if (length < 0) FAIL(STATUS_INTERNAL, "/proc/self/exe cannot be read");
    path[length] = 0;
    char *slash = strrchr(path, '/');
    char *name = slash ? slash + 1 : path;
    strcpy(name, module_name);
    if (!access(path, R_OK)) return NULL;
    strcpy(name, installed_name);
    if (!access(path, R_OK)) return NULL;
    const int folder = (int)(name - path);
    FAIL(STATUS_INPUT,
         "device: cuda: there is no %.*s%s, nor %s; build it where nvcc is (docs/gpu.md)", folder,
         path, module_name, path);
}

static status cuda_queue_create(int device, const struct queue_options *options, struct queue **out)
{
    char path[PATH_MAX];
    TRY(module_path(path));
    if (access(path, R_OK))
        FAIL(STATUS_INPUT, "device: cuda: there is no %s; build it where nvcc is (docs/gpu.md)",
             path);
    /* Asked first: without a driver the CUDA libraries need not be loaded at all. */
    if (!getenv("REGARD_CUDA_MODULE") && !library_loads(driver_name))
        FAIL(STATUS_INPUT, "device: cuda: there is no NVIDIA driver here (%s)", driver_name);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) FAIL(STATUS_INPUT, "device: cuda: %s", dlerror());
    void *symbol = dlsym(module, "regard_cuda_queue_create");
    if (!symbol) FAIL(STATUS_INPUT, "device: cuda: %s is not regard's CUDA module", path);
    queue_create_function *create;
    memcpy(&create, &symbol, sizeof create); /* C has no cast from an object to a function */
    TRY(create(device, options, out));
    ranges_install(module);
    return NULL;
}

/* A device's name without its number, which goes to *number. */
static bool device_is(const char *device, const char *name, int *number)
{
    const size_t length = strlen(name);
    if (strncmp(device, name, length) || (device[length] && device[length] != ':')) return false;
    *number = device[length] ? atoi(device + length + 1) : 0;
    return true;
}

static status cpu_create(const struct queue_options *options, struct queue **out)
{
    if (options->real_bytes && options->real_bytes != sizeof(float))
        FAIL(STATUS_INPUT, "the CPU's activations are fp32: precision: bf16 needs device: cuda");
    return cpu_queue_create(options->threads ? options->threads : 1,
                            options->instructions ? options->instructions : "auto", out);
}

status queue_create(const struct queue_options *options, struct queue **out)
{
    *out = NULL;
    struct queue_options cuda = *options;
    if (options->narrow_on_cuda) cuda.real_bytes = 2;
    const char *device = options->device ? options->device : "auto";
    int number;
    if (device_is(device, "cuda", &number)) return cuda_queue_create(number, &cuda, out);
    if (device_is(device, "cpu", &number)) return cpu_create(options, out);
    if (device_is(device, "sleep", &number))
        return sleep_queue_create(&options->rates, cuda.real_bytes, out);
    if (!device_is(device, "auto", &number))
        FAIL(STATUS_INPUT, "device: \"%s\" is none of auto, cpu, cuda, sleep", device);
    status s = cuda_queue_create(number, &cuda, out);
    if (!s) return NULL;
    if (options->real_bytes == 2) {
        status refused = status_context(cpu_create(options, out), "%s", status_message(s));
        status_free(s);
        return refused;
    }
    /* No driver is how most machines are; a driver whose GPU is not used is worth a line. */
    const bool expected = !getenv("REGARD_CUDA_MODULE") && !library_loads(driver_name);
    log_line(expected ? LOG_DEBUG : LOG_INFO, "%s; running on the CPU", status_message(s));
    status_free(s);
    return cpu_create(options, out);
}
