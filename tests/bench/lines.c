/* lines COUNT [SECONDS]: so many lines of 100 bytes in blocks of nearly 64 KiB, faster than anybody reads; then it sleeps. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 100, BLOCK = 655 };

int main(int argc, char **argv)
{
    static char block[BLOCK * LINE];
    memset(block, 'x', sizeof block);
    for (size_t end = LINE; end <= sizeof block; end += LINE)
        block[end - 1] = '\n';
    for (long left = argc > 1 ? atol(argv[1]) : 0; left > 0; left -= BLOCK) {
        size_t length = (left < BLOCK ? left : BLOCK) * LINE, at = 0;
        while (at < length) {
            ssize_t count = write(1, block + at, length - at);
            if (count <= 0)
                return 1;
            at += count;
        }
    }
    return argc > 2 ? (int)sleep(atoi(argv[2])) : 0;
}
