/* A fuzz target without libFuzzer: each argument is a file, or a folder of files and
 * folders, and every file is tried once, whole. Any compiler builds it. */

#include "fuzz.h"

#include <ftw.h>

static long files;

static void
replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(1 << 20);

    HOLDS(file != NULL && data != NULL);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that fails */
    LLVMFuzzerTestOneInput(data, fread(data, 1, 1 << 20, file));
    fclose(file);
    free(data);
    files++;
}

static int
visit(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)where;
    if (kind == FTW_F) {
        replay_file(path);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        HOLDS(nftw(argv[i], visit, 16, FTW_PHYS) == 0);
    }
    printf("%ld files\n", files);
    return files > 0 ? 0 : 1; /* a corpus that is not there proves nothing */
}
