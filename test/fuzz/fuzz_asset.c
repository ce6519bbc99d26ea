/* Static files: the first line is a path, the second a Range, the third a list of tags. No path
 * ever names anything outside of, or hidden in, the directory; no answer ever lies outside of the
 * file. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "common/base/mem.h"
#include "lb/core/asset.h"

enum { FILE_SIZE = 1000 };

static void check_path(struct sv path)
{
    char name[300];
    bool folder;

    if (asset_path(path, name, sizeof(name), &folder) != ASSET_PATH_OK)
        return;
    MUST(strlen(name) < sizeof(name) && name[0] != '\0' && name[0] != '/');
    MUST(strcmp(name, ".") == 0 || name[0] != '.');
    MUST(strstr(name, "/.") == NULL && strstr(name, "//") == NULL && strchr(name, '\\') == NULL);
    MUST(name[strlen(name) - 1] != '/' && asset_type(name) != NULL);
    for (const char *p = name; *p != '\0'; p++)
        MUST((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void check_answer(const char *range, const char *tags)
{
    const struct asset_file f = {.size = FILE_SIZE, .modified_s = 784111777, .etag = "\"a\""};
    const struct asset_ask asks[] = {
        {.range = range},
        {.range = range, .if_range = tags},
        {.range = range, .if_match = tags},
        {.range = range, .if_none_match = tags},
        {.range = range, .if_modified_since = tags, .if_unmodified_since = tags},
        {.head = true, .range = range},
    };

    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        struct asset_answer a = asset_decide(&f, &asks[i]);

        MUST(a.first <= FILE_SIZE && a.n <= FILE_SIZE - a.first);
        MUST(a.status != 206 || a.n > 0);
        MUST(a.status != 200 || a.n == FILE_SIZE);
        MUST(!asks[i].head || a.status == 200);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(mem_freep) char *text = mem_zalloc(size + 1);
    char *line, *range, *tags;

    if (size > 0)
        memcpy(text, data, size);
    line = size > 0 ? memchr(text, '\n', size) : NULL;
    check_path((struct sv){text, line != NULL ? (size_t)(line - text) : size});
    range = line != NULL ? line + 1 : text + size;
    tags = strchr(range, '\n');
    if (tags != NULL)
        *tags++ = '\0';
    check_answer(range, tags != NULL ? tags : range);
    return 0;
}
