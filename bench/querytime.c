/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Times one question on an open socket, asked again and again: from the write to the last byte of
 * the last reply. Prints the quantiles as one JSON object. The replies' bytes are counted, not
 * read.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

#define ROUNDS_MAX 10000000

static unsigned arg_rounds = 1000;
static unsigned arg_warmup = 20;

static char buffer[1 << 20];

static _Noreturn void usage(void) {
        fputs("querytime [--rounds=N] [--warmup=N] SOCKET CALL\n\n"
              "CALL is a varlink call as JSON text, without its end.\n",
              stderr);
        exit(HELPER_USAGE);
}

static int connect_to(const char *path) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        errno = 0;
        if (strlen(path) >= sizeof(a.sun_path))
                helper_die("the path of the socket is too long");
        strcpy(a.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *) &a, sizeof(a)) < 0)
                helper_die("%s", path);
        return fd;
}

/*
 * Whether a reply's end says that another one follows. continues is a key of the envelope, which
 * comes behind or before the parameters: look at both ends of what there is.
 */
static bool continues(const char *begin, const char *end) {
        static const char word[] = "\"continues\":true";
        size_t n = (size_t) (end - begin), window = n < 64 ? n : 64;

        return memmem(begin, window, word, sizeof(word) - 1) ||
               memmem(end - window, window, word, sizeof(word) - 1);
}

/* Takes replies up to the last one of the call; returns how many bytes they were. */
static size_t take_replies(int fd) {
        size_t have = 0, total = 0;

        for (;;) {
                ssize_t n = read(fd, buffer + have, sizeof(buffer) - have);
                char *end;

                if (n <= 0)
                        helper_die("the server has closed");
                have += (size_t) n;
                total += (size_t) n;
                while ((end = memchr(buffer, '\0', have))) {
                        bool more = continues(buffer, end);
                        size_t used = (size_t) (end - buffer) + 1;

                        errno = 0;
                        if (memmem(buffer, used, "\"error\":", 8))
                                helper_die("an error: %s", buffer);
                        if (!more)
                                return total;
                        have -= used;
                        memmove(buffer, buffer + used, have);
                }
                errno = 0;
                if (have == sizeof(buffer))
                        helper_die("a reply of more than %zu bytes", sizeof(buffer));
        }
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "rounds", required_argument, NULL, 'r' },
                { "warmup", required_argument, NULL, 'w' },
                {},
        };
        uint64_t *ns;
        size_t length, bytes = 0;
        int c, fd;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'r':
                        arg_rounds = (unsigned) helper_number("--rounds", optarg, 1, ROUNDS_MAX);
                        break;
                case 'w':
                        arg_warmup = (unsigned) helper_number("--warmup", optarg, 0, ROUNDS_MAX);
                        break;
                default:
                        usage();
                }
        if (optind + 2 != argc)
                usage();
        ns = calloc(arg_rounds, sizeof(*ns));
        if (!ns)
                helper_die("calloc");
        fd = connect_to(argv[optind]);
        length = strlen(argv[optind + 1]) + 1;

        for (unsigned i = 0; i < arg_warmup + arg_rounds; i++) {
                uint64_t begin = helper_now_ns();

                if (write(fd, argv[optind + 1], length) != (ssize_t) length)
                        helper_die("write");
                bytes = take_replies(fd);
                if (i >= arg_warmup)
                        ns[i - arg_warmup] = helper_now_ns() - begin;
        }
        qsort(ns, arg_rounds, sizeof(*ns), compare);
        printf("{\"rounds\":%u,\"bytes\":%zu,\"p50_usec\":%.1f,\"p90_usec\":%.1f,"
               "\"p99_usec\":%.1f,\"max_usec\":%.1f}\n",
               arg_rounds, bytes, (double) ns[arg_rounds / 2] / 1000,
               (double) ns[(size_t) arg_rounds * 90 / 100] / 1000,
               (double) ns[(size_t) arg_rounds * 99 / 100] / 1000,
               (double) ns[arg_rounds - 1] / 1000);
        free(ns);
        close(fd);
        return EXIT_SUCCESS;
}
