/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Makes exactly so many TCP connections over loopback, as fast as they go, between pairs of a
 * server and a client process, and prints what it made as one JSON object. Pair i uses port PORT +
 * i.
 */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

#define PAIRS_MAX 64
#define BYTES_MAX (1U << 20)

struct pair {
        uint64_t count; /* connections it is to make */
        uint64_t connected;
        uint64_t accepted;
        pid_t server;
        pid_t client;
        int listener;
};

static uint64_t arg_count = 1000;
static unsigned arg_processes = 1;
static uint16_t arg_port = 20000;
static unsigned arg_family = 4;
static unsigned arg_addresses = 1;
static size_t arg_to_server, arg_to_client;
static bool arg_server_first, arg_reset;

static char buffer[65536];

static void help(FILE *f) {
        fputs("churn [OPTION...]\n\n"
              "Makes TCP connections over loopback at full speed and prints what it made as "
              "JSON.\n\n"
              "  --count=N            connections in all (1000)\n"
              "  --processes=N        pairs of a server and a client (1), each on a port of its "
              "own\n"
              "  --port=N             port of the first pair (20000)\n"
              "  --family=4|6|46      IPv4, IPv6, or IPv4 between IPv6 sockets (4)\n"
              "  --addresses=N        spread over 127.0.0.1 to 127.0.0.N (1)\n"
              "  --bytes-to-server=N  sent by the client of each connection (0)\n"
              "  --bytes-to-client=N  sent by the server of each connection (0)\n"
              "  --first=client|server  who closes first (client)\n"
              "  --reset              the first to close resets the connection\n",
              f);
}

static void parse(int argc, char **argv) {
        enum { COUNT = 1, PROCESSES, PORT, FAMILY, ADDRESSES, TO_SERVER, TO_CLIENT, FIRST, RESET };
        static const struct option options[] = {
                { "count", required_argument, NULL, COUNT },
                { "processes", required_argument, NULL, PROCESSES },
                { "port", required_argument, NULL, PORT },
                { "family", required_argument, NULL, FAMILY },
                { "addresses", required_argument, NULL, ADDRESSES },
                { "bytes-to-server", required_argument, NULL, TO_SERVER },
                { "bytes-to-client", required_argument, NULL, TO_CLIENT },
                { "first", required_argument, NULL, FIRST },
                { "reset", no_argument, NULL, RESET },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case COUNT:
                        arg_count = helper_number("--count", optarg, 0, 1000000000);
                        break;
                case PROCESSES:
                        arg_processes =
                                (unsigned) helper_number("--processes", optarg, 1, PAIRS_MAX);
                        break;
                case PORT:
                        arg_port = (uint16_t) helper_number("--port", optarg, 1, 65535 - PAIRS_MAX);
                        break;
                case FAMILY:
                        arg_family = (unsigned) helper_number("--family", optarg, 4, 46);
                        break;
                case ADDRESSES:
                        arg_addresses = (unsigned) helper_number("--addresses", optarg, 1, 250);
                        break;
                case TO_SERVER:
                        arg_to_server = helper_number("--bytes-to-server", optarg, 0, BYTES_MAX);
                        break;
                case TO_CLIENT:
                        arg_to_client = helper_number("--bytes-to-client", optarg, 0, BYTES_MAX);
                        break;
                case FIRST:
                        arg_server_first = strcmp(optarg, "server") == 0;
                        if (!arg_server_first && strcmp(optarg, "client") != 0)
                                exit(HELPER_USAGE);
                        break;
                case RESET:
                        arg_reset = true;
                        break;
                case 'h':
                        help(stdout);
                        exit(EXIT_SUCCESS);
                default:
                        help(stderr);
                        exit(HELPER_USAGE);
                }
        if (optind != argc || (arg_family != 4 && arg_family != 6 && arg_family != 46) ||
            (arg_family == 6 && arg_addresses != 1)) {
                help(stderr);
                exit(HELPER_USAGE);
        }
}

static int make_listener(uint16_t port) {
        struct sockaddr_storage a;
        socklen_t length;
        int fd;

        length = helper_address(&a, arg_family == 4 ? 4 : 6,
                                arg_family == 4 ? "0.0.0.0" : "::", port);
        fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                helper_die("socket");
        helper_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (bind(fd, (struct sockaddr *) &a, length) < 0)
                helper_die("bind to port %u", port);
        if (listen(fd, 4096) < 0)
                helper_die("listen");
        return fd;
}

static void send_all(int fd, size_t n) {
        while (n > 0) {
                ssize_t sent =
                        send(fd, buffer, n < sizeof(buffer) ? n : sizeof(buffer), MSG_NOSIGNAL);

                if (sent < 0)
                        helper_die("send");
                n -= (size_t) sent;
        }
}

/*
 * When the other side resets, the reset overtakes everything: bytes that were sent, and even the
 * news that connect() has succeeded.
 */
static bool is_their_reset(bool server) {
        return errno == ECONNRESET && arg_reset && server != arg_server_first;
}

/* Reads n bytes; false when the other side has reset the connection, as it was told to. */
static bool receive_all(int fd, size_t n, bool server) {
        while (n > 0) {
                ssize_t got = recv(fd, buffer, n < sizeof(buffer) ? n : sizeof(buffer), 0);

                if (got < 0 && is_their_reset(server))
                        return false;
                if (got <= 0) {
                        errno = got < 0 ? errno : 0;
                        helper_die("%zu bytes did not come", n);
                }
                n -= (size_t) got;
        }
        return true;
}

/* Waits until the other side has closed or reset the connection. */
static void receive_end(int fd, bool server) {
        ssize_t got = recv(fd, buffer, 1, 0);

        if (got > 0 || (got < 0 && !is_their_reset(server)))
                helper_die("the connection did not end");
}

/* One end of a connection: exchanges the bytes and closes in its turn. */
static void converse(int fd, bool server) {
        bool whole;

        if (server) {
                whole = receive_all(fd, arg_to_server, server);
                send_all(fd, arg_to_client);
        } else {
                send_all(fd, arg_to_server);
                whole = receive_all(fd, arg_to_client, server);
        }
        if (server != arg_server_first) {
                if (whole)
                        receive_end(fd, server);
        } else if (arg_reset) {
                struct linger linger = { .l_onoff = 1 };

                if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
                        helper_die("SO_LINGER");
        }
        close(fd);
}

static _Noreturn void serve(struct pair *p) {
        while (p->accepted < p->count) {
                int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        helper_die("accept");
                converse(fd, true);
                p->accepted++;
        }
        exit(EXIT_SUCCESS);
}

static _Noreturn void run_client(struct pair *p, uint16_t port) {
        struct sockaddr_storage targets[250];
        socklen_t length = 0;

        for (unsigned i = 0; i < arg_addresses; i++) {
                char text[32];

                snprintf(text, sizeof(text), "127.0.0.%u", i + 1);
                length = helper_address(&targets[i], arg_family, arg_family == 6 ? NULL : text,
                                        port);
        }
        while (p->connected < p->count) {
                struct sockaddr_storage *a = &targets[p->connected % arg_addresses];
                int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (fd < 0)
                        helper_die("socket");
                if (connect(fd, (struct sockaddr *) a, length) == 0)
                        converse(fd, false);
                else if (is_their_reset(false))
                        close(fd);
                else
                        helper_die("connect number %llu to port %u",
                                   (unsigned long long) p->connected, port);
                p->connected++;
        }
        exit(EXIT_SUCCESS);
}

static pid_t start(const char *name) {
        pid_t pid = fork();

        if (pid < 0)
                helper_die("fork");
        if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NAME, name) < 0))
                helper_die("prctl");
        return pid;
}

static void reap(pid_t pid) {
        int status;

        if (waitpid(pid, &status, 0) < 0)
                helper_die("waitpid");
        errno = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                helper_die("process %d failed", (int) pid);
}

/* Returns when all writers of the pipe have gone. */
static void wait_for_end(int fd) {
        char byte;

        if (read(fd, &byte, 1) != 0)
                helper_die("a pipe that nobody writes to");
        close(fd);
}

/* What the processes that were waited for have used, user and system. */
static double children_cpu_seconds(void) {
        struct rusage u;

        if (getrusage(RUSAGE_CHILDREN, &u) < 0)
                helper_die("getrusage");
        return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
        uint64_t begin, connected = 0, accepted = 0;
        struct pair *pairs;
        int ready[2], go[2];
        double seconds;

        parse(argc, argv);
        pairs = mmap(NULL, sizeof(*pairs) * arg_processes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (pairs == MAP_FAILED)
                helper_die("mmap");
        if (pipe(ready) < 0 || pipe(go) < 0)
                helper_die("pipe");

        for (unsigned i = 0; i < arg_processes; i++) {
                struct pair *p = &pairs[i];
                pid_t pid;

                p->count = arg_count / arg_processes + (i < arg_count % arg_processes);
                pid = start("churn-server");
                if (pid == 0) {
                        p->listener = make_listener((uint16_t) (arg_port + i));
                        close(ready[1]);
                        close(go[1]);
                        serve(p);
                }
                p->server = pid; /* set here alone: the children share the table */
        }
        close(ready[1]);
        wait_for_end(ready[0]);

        for (unsigned i = 0; i < arg_processes; i++) {
                pid_t pid = start("churn-client");

                if (pid == 0) {
                        close(go[1]);
                        wait_for_end(go[0]);
                        run_client(&pairs[i], (uint16_t) (arg_port + i));
                }
                pairs[i].client = pid;
        }
        begin = helper_now_ns();
        close(go[1]);
        for (unsigned i = 0; i < arg_processes; i++) {
                reap(pairs[i].client);
                reap(pairs[i].server);
                connected += pairs[i].connected;
                accepted += pairs[i].accepted;
        }
        seconds = (double) (helper_now_ns() - begin) / 1e9;

        printf("{\"connected\":%llu,\"accepted\":%llu,\"seconds\":%.6f,\"rate\":%.1f,"
               "\"cpu_seconds\":%.6f,\"netns\":%llu,\"pairs\":[",
               (unsigned long long) connected, (unsigned long long) accepted, seconds,
               seconds > 0 ? (double) connected / seconds : 0, children_cpu_seconds(),
               (unsigned long long) helper_netns());
        for (unsigned i = 0; i < arg_processes; i++)
                printf("%s{\"port\":%u,\"server\":%d,\"client\":%d,\"count\":%llu}", i ? "," : "",
                       arg_port + i, (int) pairs[i].server, (int) pairs[i].client,
                       (unsigned long long) pairs[i].accepted);
        puts("]}");
        return connected == arg_count && accepted == arg_count ? EXIT_SUCCESS : EXIT_FAILURE;
}
