/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Many client processes, each with so many connections to one port on which a few workers accept,
 * and the truth about it as one JSON object: which process was at which end of each connection.
 * Every client has a source address, and every connection of it a port, of its own, so that
 * addresses alone tell the connections apart for as long as the history reaches.
 */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

#define CLIENTS_MAX     1000
#define CONNECTIONS_MAX 10000
#define WORKERS_MAX     64
#define PORT_FIRST      2000
#define PORT_SPREAD     257 /* so that not all clients begin with the same port */
#define PORT_RANGE      50000
#define ADDRESS_FIRST   0x7F010001U /* 127.1.0.1 */

static unsigned arg_processes = 200, arg_connections = 100, arg_workers = 4, arg_seconds = 120;
static uint16_t arg_port = 21000;
static bool arg_no_exec, arg_one_by_one;
static int arg_client = -1, arg_go = -1;

/* Shared with the workers. */
static struct board {
        _Atomic uint64_t n_accepted;
        pid_t acceptors[];
} * board;

static struct {
        pid_t pid;
        uint64_t usec; /* from its start to its end */
} clients[CLIENTS_MAX];
static pid_t workers[WORKERS_MAX];

static void help(FILE *f) {
        fputs("swarm [OPTION...]\n\n"
              "Short-lived processes that connect, at once or one after the other; says in JSON "
              "who "
              "did.\n\n"
              "  --processes=N    client processes (200)\n"
              "  --connections=N  of each of them (100)\n"
              "  --workers=N      processes that accept (4)\n"
              "  --port=N         where they listen; another one for each swarm of a namespace "
              "(21000)\n"
              "  --one-by-one     a client starts when the one before has ended\n"
              "  --no-exec        clients are forked only, and so live shorter\n"
              "  --seconds=N      gives up after that time (120)\n",
              f);
}

static uint32_t client_address(unsigned client) {
        return ADDRESS_FIRST + client;
}

static uint16_t client_port(unsigned client) {
        return (uint16_t) (PORT_FIRST + client * PORT_SPREAD % PORT_RANGE);
}

/* The last connection is left to the end of the process. */
static _Noreturn void run_client(unsigned client) {
        char byte;

        if (arg_go >= 0 && read(arg_go, &byte, 1) != 0)
                helper_die("a pipe that nobody writes to");
        for (unsigned i = 0; i < arg_connections; i++) {
                struct sockaddr_in from = {
                        .sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(client_address(client)),
                        .sin_port = htons((uint16_t) (client_port(client) + i)),
                };
                struct sockaddr_in to = {
                        .sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(arg_port),
                };
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (fd < 0)
                        helper_die("socket");
                /* The swarm before this one, on another port, has left its in TIME_WAIT. */
                helper_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
                if (bind(fd, (struct sockaddr *) &from, sizeof(from)) < 0)
                        helper_die("bind of client %u to port %u", client, ntohs(from.sin_port));
                if (connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0)
                        helper_die("connect number %u of client %u", i, client);
                /* Without an answer the queue of who has not been accepted would grow and grow. */
                if (read(fd, &byte, 1) != 1)
                        helper_die("no answer to connection %u of client %u", i, client);
                if (i + 1 < arg_connections)
                        close(fd);
        }
        _exit(EXIT_SUCCESS);
}

static _Noreturn void run_worker(int listener) {
        for (;;) {
                struct sockaddr_in from;
                socklen_t length = sizeof(from);
                unsigned client, i;
                char byte;
                int fd;

                fd = accept4(listener, (struct sockaddr *) &from, &length, SOCK_CLOEXEC);
                if (fd < 0)
                        helper_die("accept");
                client = ntohl(from.sin_addr.s_addr) - ADDRESS_FIRST;
                i = ntohs(from.sin_port) - client_port(client);
                errno = 0;
                if (client >= arg_processes || i >= arg_connections)
                        helper_die("a connection of somebody else");
                board->acceptors[client * arg_connections + i] = getpid();
                if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
                        helper_die("send");
                if (read(fd, &byte, 1) != 0)
                        helper_die("the connection did not end");
                close(fd);
                atomic_fetch_add(&board->n_accepted, 1);
        }
}

static pid_t start(const char *name) {
        pid_t pid = fork();

        if (pid < 0)
                helper_die("fork");
        if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NAME, name) < 0))
                helper_die("prctl");
        return pid;
}

static _Noreturn void execute_client(const char *program, unsigned client) {
        char index[32], connections[32], port[32], go[32];

        snprintf(index, sizeof(index), "--client=%u", client);
        snprintf(connections, sizeof(connections), "--connections=%u", arg_connections);
        snprintf(port, sizeof(port), "--port=%u", arg_port);
        snprintf(go, sizeof(go), "--go=%d", arg_go);
        execl(program, program, index, connections, port, arg_go < 0 ? NULL : go, NULL);
        helper_die("%s", program);
}

static void reap(unsigned client, uint64_t began) {
        int status;

        if (waitpid(clients[client].pid, &status, 0) < 0)
                helper_die("waitpid");
        errno = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                helper_die("client %u failed", client);
        clients[client].usec = (helper_now_ns() - began) / 1000;
}

/* All of them wait for the pipe's end, or each is waited for before the next one starts. */
static void run_clients(const char *program) {
        uint64_t began = 0;
        int go[2] = { -1, -1 };

        if (!arg_one_by_one && (pipe(go) < 0))
                helper_die("pipe");
        arg_go = go[0];
        for (unsigned i = 0; i < arg_processes; i++) {
                pid_t pid;

                began = helper_now_ns();
                pid = start("swarm-client");
                if (pid == 0) {
                        if (go[1] >= 0)
                                close(go[1]);
                        if (arg_no_exec)
                                run_client(i);
                        execute_client(program, i);
                }
                clients[i].pid = pid;
                if (arg_one_by_one)
                        reap(i, began);
        }
        if (arg_one_by_one)
                return;
        close(go[0]);
        began = helper_now_ns();
        close(go[1]);
        for (unsigned i = 0; i < arg_processes; i++)
                reap(i, began);
}

static int make_listener(void) {
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(arg_port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                helper_die("socket");
        helper_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (bind(fd, (struct sockaddr *) &at, sizeof(at)) < 0 || listen(fd, 4096) < 0)
                helper_die("port %u", arg_port);
        return fd;
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static uint64_t median_usec(void) {
        uint64_t usec[CLIENTS_MAX];

        for (unsigned i = 0; i < arg_processes; i++)
                usec[i] = clients[i].usec;
        qsort(usec, arg_processes, sizeof(*usec), compare);
        return usec[arg_processes / 2];
}

static void print(const char *program, double seconds) {
        uint32_t a;

        printf("{\"program\":\"%s\",\"netns\":%llu,\"port\":%u,\"listener\":%d,\"connections\":%u,"
               "\"seconds\":%.3f,\"median_usec\":%llu,\"workers\":[",
               program, (unsigned long long) helper_netns(), arg_port, (int) getpid(),
               arg_connections, seconds, (unsigned long long) median_usec());
        for (unsigned i = 0; i < arg_workers; i++)
                printf("%s%d", i ? "," : "", (int) workers[i]);
        fputs("],\"clients\":[", stdout);
        for (unsigned i = 0; i < arg_processes; i++) {
                a = client_address(i);
                printf("%s{\"pid\":%d,\"address\":\"%u.%u.%u.%u\",\"first_port\":%u}", i ? "," : "",
                       (int) clients[i].pid, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
                       client_port(i));
        }
        fputs("],\"acceptors\":[", stdout);
        for (unsigned i = 0; i < arg_processes * arg_connections; i++)
                printf("%s%d", i ? "," : "", (int) board->acceptors[i]);
        puts("]}");
}

static void parse(int argc, char **argv) {
        enum { PROCESSES = 1, CONNECTIONS, WORKERS, PORT, ONE, NO_EXEC, SECONDS, CLIENT, GO };
        static const struct option options[] = {
                { "processes", required_argument, NULL, PROCESSES },
                { "connections", required_argument, NULL, CONNECTIONS },
                { "workers", required_argument, NULL, WORKERS },
                { "port", required_argument, NULL, PORT },
                { "one-by-one", no_argument, NULL, ONE },
                { "no-exec", no_argument, NULL, NO_EXEC },
                { "seconds", required_argument, NULL, SECONDS },
                { "client", required_argument, NULL, CLIENT },
                { "go", required_argument, NULL, GO },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case PROCESSES:
                        arg_processes =
                                (unsigned) helper_number("--processes", optarg, 1, CLIENTS_MAX);
                        break;
                case CONNECTIONS:
                        arg_connections = (unsigned) helper_number("--connections", optarg, 1,
                                                                   CONNECTIONS_MAX);
                        break;
                case WORKERS:
                        arg_workers = (unsigned) helper_number("--workers", optarg, 1, WORKERS_MAX);
                        break;
                case PORT:
                        arg_port = (uint16_t) helper_number("--port", optarg, 1, 65535);
                        break;
                case ONE:
                        arg_one_by_one = true;
                        break;
                case NO_EXEC:
                        arg_no_exec = true;
                        break;
                case SECONDS:
                        arg_seconds = (unsigned) helper_number("--seconds", optarg, 1, 3600);
                        break;
                case CLIENT:
                        arg_client = (int) helper_number("--client", optarg, 0, CLIENTS_MAX - 1);
                        break;
                case GO:
                        arg_go = (int) helper_number("--go", optarg, 0, 1 << 20);
                        break;
                case 'h':
                        help(stdout);
                        exit(EXIT_SUCCESS);
                default:
                        help(stderr);
                        exit(HELPER_USAGE);
                }
        if (optind != argc) {
                help(stderr);
                exit(HELPER_USAGE);
        }
}

int main(int argc, char **argv) {
        const struct timespec pause = { .tv_nsec = 1000000 };
        uint64_t began, n;
        char program[4096];
        ssize_t length;
        int listener;

        parse(argc, argv);
        if (arg_client >= 0)
                run_client((unsigned) arg_client);
        /* Should anything hang, this ends all of it: the others die with this process. */
        alarm(arg_seconds);
        length = readlink("/proc/self/exe", program, sizeof(program) - 1);
        if (length < 0)
                helper_die("/proc/self/exe");
        program[length] = '\0';
        n = (uint64_t) arg_processes * arg_connections;
        board = mmap(NULL, sizeof(*board) + n * sizeof(pid_t), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (board == MAP_FAILED)
                helper_die("mmap");
        listener = make_listener();
        for (unsigned i = 0; i < arg_workers; i++) {
                workers[i] = start("swarm-worker");
                if (workers[i] == 0)
                        run_worker(listener);
        }
        began = helper_now_ns();
        run_clients(program);
        while (atomic_load(&board->n_accepted) < n)
                nanosleep(&pause, NULL);
        print(program, (double) (helper_now_ns() - began) / 1e9);
        for (unsigned i = 0; i < arg_workers; i++) {
                kill(workers[i], SIGTERM);
                waitpid(workers[i], NULL, 0);
        }
        return EXIT_SUCCESS;
}
