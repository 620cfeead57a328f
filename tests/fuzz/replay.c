/* A fuzz target without libFuzzer: each argument is a file, or a folder of files and
 * folders, and every file is tried once, whole. Any compiler builds it. */

#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

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

static void
replay(const char *path)
{
    struct stat about;
    struct dirent *entry;
    DIR *folder;

    HOLDS(stat(path, &about) == 0);
    if (!S_ISDIR(about.st_mode)) {
        replay_file(path);
        return;
    }
    folder = opendir(path);
    HOLDS(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        char below[PATH_MAX];

        if (entry->d_name[0] != '.') {
            HOLDS(snprintf(below, sizeof below, "%s/%s", path, entry->d_name) <
                  (int)sizeof below);
            replay(below);
        }
    }
    closedir(folder);
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    printf("%ld files\n", files);
    return files > 0 ? 0 : 1; /* a corpus that is not there proves nothing */
}
