/* Runs a fuzz target over files: corpora and old finds, with any compiler. */
#include "test/fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/macros.h"
#include "common/base/mem.h"

enum { INPUT_MAX = 1 << 20 };

static unsigned replay_dir(const char *path)
{
    struct dirent *d;
    unsigned n = 0;
    DIR *dir = opendir(path);

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        AUTO(mem_freep) char *name = mem_printf("%s/%s", path, d->d_name);
        AUTO(mem_freep) char *data = NULL;
        size_t size;

        if (d->d_name[0] == '.' || !file_read(name, INPUT_MAX, &data, &size, NULL))
            continue;
        fprintf(stderr, "%s\n", name);
        LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        n++;
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = 0;

    for (int i = 1; i < argc; i++)
        n += replay_dir(argv[i]);
    fprintf(stderr, "%u inputs\n", n);
    return n > 0 ? 0 : 1;
}
