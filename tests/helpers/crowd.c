/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A machine with much on it: so many processes, each with a listener and open files, and
 * connections among them that stay. Prints one JSON line when all stands and leaves when stdin
 * ends.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

#define DESCRIPTORS_SPARE 32 /* beside files and sockets: pipes, standard streams */

static unsigned arg_processes = 400;
static unsigned arg_files = 50;
static unsigned arg_sockets = 16000;
static uint16_t arg_port = 10000;

static void help(FILE *f) {
        fputs("crowd [OPTION...]\n\n"
              "Makes processes that each listen, hold files and are connected to each other.\n"
              "Prints a JSON line when all stands, and ends when its standard input does.\n\n"
              "  --processes=N  processes, each with one listener (400)\n"
              "  --files=N      open files of each (50)\n"
              "  --sockets=N    established sockets in all, both ends counted (16000)\n"
              "  --port=N       the first listener's port (10000)\n",
              f);
}

static void parse(int argc, char **argv) {
        enum { PROCESSES = 1, FILES, SOCKETS, PORT };
        static const struct option options[] = {
                { "processes", required_argument, NULL, PROCESSES },
                { "files", required_argument, NULL, FILES },
                { "sockets", required_argument, NULL, SOCKETS },
                { "port", required_argument, NULL, PORT },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case PROCESSES:
                        arg_processes = (unsigned) helper_number("--processes", optarg, 1, 5000);
                        break;
                case FILES:
                        arg_files = (unsigned) helper_number("--files", optarg, 0, 10000);
                        break;
                case SOCKETS:
                        arg_sockets = (unsigned) helper_number("--sockets", optarg, 0, 1000000);
                        break;
                case PORT:
                        arg_port = (uint16_t) helper_number("--port", optarg, 1, 60000);
                        break;
                case 'h':
                        help(stdout);
                        exit(EXIT_SUCCESS);
                default:
                        help(stderr);
                        exit(HELPER_USAGE);
                }
        if (optind != argc || arg_port + arg_processes > 65535) {
                help(stderr);
                exit(HELPER_USAGE);
        }
}

/* Returns when all other ends of the pipe are closed. */
static void wait_for_end(int fd) {
        char byte;
        ssize_t n;

        do
                n = read(fd, &byte, 1);
        while (n > 0 || (n < 0 && errno == EINTR));
        if (n < 0)
                helper_die("read");
}

static int make_listener(uint16_t port) {
        struct sockaddr_storage a;
        socklen_t length = helper_address(&a, 4, NULL, port);
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0)
                helper_die("socket");
        helper_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (bind(fd, (struct sockaddr *) &a, length) < 0 || listen(fd, 4096) < 0)
                helper_die("listening on port %u", port);
        return fd;
}

/*
 * Member number of the crowd: connects to the next one's listener and accepts from the one before.
 * n connections each; what is not accepted yet waits in the queue, so nobody waits for anybody.
 */
static _Noreturn void live(unsigned number, unsigned n, int listening, int all_listen, int ready,
                           int end) {
        struct sockaddr_storage a;
        socklen_t length =
                helper_address(&a, 4, NULL, (uint16_t) (arg_port + (number + 1) % arg_processes));
        int listener = make_listener((uint16_t) (arg_port + number));

        for (unsigned i = 0; i < arg_files; i++)
                if (open("/dev/null", O_RDONLY) < 0)
                        helper_die("/dev/null");
        close(listening);
        wait_for_end(all_listen);
        for (unsigned i = 0; i < n; i++) {
                int fd = socket(AF_INET, SOCK_STREAM, 0);

                if (fd < 0)
                        helper_die("socket");
                if (connect(fd, (struct sockaddr *) &a, length) < 0)
                        helper_die("connect");
        }
        for (unsigned i = 0; i < n; i++)
                if (accept(listener, NULL, NULL) < 0)
                        helper_die("accept");
        close(ready);
        wait_for_end(end);
        _exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
        int listening[2], all_listen[2], ready[2], end[2], result = EXIT_SUCCESS;
        struct rlimit limit;
        unsigned per_process;

        parse(argc, argv);
        per_process = arg_sockets / 2 / arg_processes;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                helper_die("getrlimit");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                helper_die("setrlimit");
        errno = 0;
        if (arg_files + per_process * 2 + DESCRIPTORS_SPARE > limit.rlim_max)
                helper_die("a process may not open so many files");
        if (pipe(listening) < 0 || pipe(all_listen) < 0 || pipe(ready) < 0 || pipe(end) < 0)
                helper_die("pipe");

        for (unsigned i = 0; i < arg_processes; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        helper_die("fork");
                if (pid > 0)
                        continue;
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NAME, "crowd-member") < 0)
                        helper_die("prctl");
                close(listening[0]);
                close(all_listen[1]);
                close(ready[0]);
                close(end[1]);
                live(i, per_process, listening[1], all_listen[0], ready[1], end[0]);
        }
        close(listening[1]);
        close(all_listen[0]);
        close(ready[1]);
        close(end[0]);
        wait_for_end(listening[0]);
        close(all_listen[1]);
        wait_for_end(ready[0]);

        printf("{\"processes\":%u,\"listeners\":%u,\"files\":%u,\"established\":%u,\"port\":%u,"
               "\"netns\":%llu}\n",
               arg_processes, arg_processes, arg_files, per_process * arg_processes * 2, arg_port,
               (unsigned long long) helper_netns());
        fflush(stdout);
        wait_for_end(STDIN_FILENO);
        close(end[1]);
        for (;;) {
                int status;

                if (wait(&status) < 0)
                        break;
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                        result = EXIT_FAILURE;
        }
        return result;
}
