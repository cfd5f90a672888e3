/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Times whole processes against each other: each round runs every command once, in an order that
 * moves on by one a round, from posix_spawn() until it has been reaped. Prints one JSON object with
 * the medians, and the median of the ratios to the first command within each round.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

#define COMMANDS_MAX 16
#define ROUNDS_MAX   100000

extern char **environ;

struct command {
        char **argv;
        double *wall_usec; /* of each round */
        double *cpu_usec;
        double *ratio;
};

static unsigned arg_rounds = 20;
static unsigned arg_warmup = 1;

static _Noreturn void usage(void) {
        fputs("spawntime [--rounds=N] [--warmup=N] -- COMMAND [ARG...] [--- COMMAND [ARG...]]...\n",
              stderr);
        exit(HELPER_USAGE);
}

static void *allocate(size_t n, size_t size) {
        void *p = calloc(n, size);

        if (!p)
                helper_die("calloc");
        return p;
}

/* Cuts argv at "---" into commands; returns how many. */
static unsigned split(char **argv, struct command *commands) {
        unsigned n = 0;

        while (*argv) {
                if (n == COMMANDS_MAX)
                        usage();
                commands[n++].argv = argv;
                while (*argv && strcmp(*argv, "---") != 0)
                        argv++;
                if (*argv)
                        *argv++ = NULL;
                if (!commands[n - 1].argv[0])
                        usage();
        }
        return n;
}

static void run(const struct command *c, const posix_spawn_file_actions_t *actions,
                double *ret_wall_usec, double *ret_cpu_usec) {
        uint64_t begin = helper_now_ns();
        struct rusage usage_of;
        int status;
        pid_t pid;

        errno = posix_spawnp(&pid, c->argv[0], actions, NULL, c->argv, environ);
        if (errno)
                helper_die("%s", c->argv[0]);
        if (wait4(pid, &status, 0, &usage_of) < 0)
                helper_die("wait4");
        *ret_wall_usec = (double) (helper_now_ns() - begin) / 1000;
        *ret_cpu_usec = (double) (usage_of.ru_utime.tv_sec + usage_of.ru_stime.tv_sec) * 1e6 +
                        (double) (usage_of.ru_utime.tv_usec + usage_of.ru_stime.tv_usec);
        errno = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                helper_die("%s failed, status %#x", c->argv[0], (unsigned) status);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

/* Sorts the values; the one at a fraction of the way. */
static double quantile(double *values, unsigned n, double fraction) {
        qsort(values, n, sizeof(*values), compare);
        return values[(unsigned) ((double) (n - 1) * fraction + 0.5)];
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "rounds", required_argument, NULL, 'r' },
                { "warmup", required_argument, NULL, 'w' },
                {},
        };
        struct command commands[COMMANDS_MAX] = {};
        posix_spawn_file_actions_t actions;
        unsigned n;
        int c;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
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
        n = split(argv + optind, commands);
        if (n == 0)
                usage();
        errno = posix_spawn_file_actions_init(&actions);
        if (!errno)
                errno = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                                         O_RDONLY, 0);
        if (!errno)
                errno = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                                         O_WRONLY, 0);
        if (errno)
                helper_die("posix_spawn_file_actions");

        for (unsigned i = 0; i < n; i++) {
                commands[i].wall_usec = allocate(arg_rounds, sizeof(double));
                commands[i].cpu_usec = allocate(arg_rounds, sizeof(double));
                commands[i].ratio = allocate(arg_rounds, sizeof(double));
        }
        for (unsigned round = 0; round < arg_warmup; round++)
                for (unsigned i = 0; i < n; i++)
                        run(&commands[i], &actions, &commands[i].wall_usec[0],
                            &commands[i].cpu_usec[0]);
        for (unsigned round = 0; round < arg_rounds; round++) {
                for (unsigned k = 0; k < n; k++) {
                        struct command *m = &commands[(k + round) % n];

                        run(m, &actions, &m->wall_usec[round], &m->cpu_usec[round]);
                }
                for (unsigned i = 0; i < n; i++)
                        commands[i].ratio[round] =
                                commands[i].wall_usec[round] / commands[0].wall_usec[round];
        }

        printf("{\"rounds\":%u,\"commands\":[", arg_rounds);
        for (unsigned i = 0; i < n; i++)
                printf("%s{\"wall_usec\":%.1f,\"wall_usec_p10\":%.1f,\"wall_usec_p90\":%.1f,"
                       "\"cpu_usec\":%.1f,\"ratio\":%.5f}",
                       i ? "," : "", quantile(commands[i].wall_usec, arg_rounds, 0.5),
                       quantile(commands[i].wall_usec, arg_rounds, 0.1),
                       quantile(commands[i].wall_usec, arg_rounds, 0.9),
                       quantile(commands[i].cpu_usec, arg_rounds, 0.5),
                       quantile(commands[i].ratio, arg_rounds, 0.5));
        puts("]}");
        for (unsigned i = 0; i < n; i++) {
                free(commands[i].wall_usec);
                free(commands[i].cpu_usec);
                free(commands[i].ratio);
        }
        posix_spawn_file_actions_destroy(&actions);
        return EXIT_SUCCESS;
}
