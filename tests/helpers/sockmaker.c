/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Makes one situation of sockets by its name. After each step it prints a JSON line that says what
 * there is now and whose it is, and waits for a line on its standard input before the next one.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

struct wishes wish = { .family = 4, .number = 2, .uid = (uid_t) -1 };

static const struct situation *const tables[] = { situations_tcp, situations_owner, situations_udp,
                                                  situations_more, situations_other };

#define N_TABLES (sizeof(tables) / sizeof(*tables))

struct actor situation_actor(const char *name) {
        return actor_start(wish.name ?: name, wish.uid);
}

struct task situation_at(enum order order, unsigned slot, uint16_t port) {
        struct task t = { .order = order, .slot = slot };

        t.address_length = helper_address(&t.address, wish.family, wish.address, port);
        return t;
}

struct socket_facts situation_listen(struct actor a, unsigned slot) {
        struct task at = situation_at(ORDER_BIND, slot, wish.port);

        DO(a, .order = ORDER_SOCKET, .slot = slot, .family = at.address.ss_family,
           .type = SOCK_STREAM);
        DO(a, .order = ORDER_OPTION, .slot = slot, .level = SOL_SOCKET, .option = SO_REUSEADDR,
           .value = 1);
        actor_do(a, &at);
        return DO(a, .order = ORDER_LISTEN, .slot = slot, .value = 128);
}

struct socket_facts situation_connect(struct actor a, unsigned slot,
                                      const struct socket_facts *listener) {
        struct task at = situation_at(ORDER_CONNECT, slot, helper_port(&listener->local));

        DO(a, .order = ORDER_SOCKET, .slot = slot, .family = at.address.ss_family,
           .type = SOCK_STREAM);
        return actor_do(a, &at);
}

void step_begin(const char *step) {
        printf("{\"step\":\"%s\",\"netns\":%llu", step, (unsigned long long) helper_netns());
}

void step_socket(const char *role, const struct socket_facts *f) {
        printf(",\"%s\":{\"pid\":%d,\"error\":%d,\"cookie\":%llu,\"family\":%d,\"local\":", role,
               (int) f->pid, f->error, (unsigned long long) f->cookie,
               f->family == AF_INET6  ? 6
               : f->family == AF_INET ? 4
                                      : 0);
        helper_print_endpoint(stdout, &f->local);
        fputs(",\"remote\":", stdout);
        helper_print_endpoint(stdout, &f->remote);
        fputc('}', stdout);
}

void step_number(const char *role, long long value) {
        printf(",\"%s\":%lld", role, value);
}

void step_end(void) {
        int c;

        puts("}");
        if (fflush(stdout) != 0)
                helper_die("stdout");
        do
                c = getchar();
        while (c != '\n' && c != EOF);
        if (c == EOF)
                exit(EXIT_SUCCESS);
}

void step_pair(const char *step, const struct socket_facts *listener,
               const struct socket_facts *client, const struct socket_facts *accepted) {
        step_begin(step);
        step_socket("listener", listener);
        step_socket("client", client);
        step_socket("accepted", accepted);
        step_end();
}

static void list(FILE *f) {
        for (size_t i = 0; i < N_TABLES; i++)
                for (const struct situation *s = tables[i]; s->name; s++)
                        fprintf(f, "  %-20s %s\n", s->name, s->help);
}

static void help(FILE *f) {
        fputs("sockmaker [OPTION...] SITUATION\n\n"
              "Makes a situation of sockets step by step. After each step it prints a JSON line\n"
              "and waits for a line of input.\n\n"
              "  --family=4|6|46      IPv4, IPv6, or IPv4 between IPv6 sockets (4)\n"
              "  --address=ADDRESS    where it happens (the loopback address)\n"
              "  --port=N             of the listener (0: the kernel chooses)\n"
              "  --number=N           how many, where there are several (2)\n"
              "  --bytes-to-server=N  sent by the client (0)\n"
              "  --bytes-to-client=N  sent by the server (0)\n"
              "  --first=client|server  who closes first (client)\n"
              "  --reset              the first to close resets the connection\n"
              "  --name=NAME          of the processes (what they are: server, client, ...)\n"
              "  --uid=N              the user they run as\n"
              "  --execute=PROGRAM    what the situation 'execute' goes on as: another "
              "sockmaker\n\n"
              "Situations:\n",
              f);
        list(f);
}

static const struct situation *find(const char *name) {
        for (size_t i = 0; i < N_TABLES; i++)
                for (const struct situation *s = tables[i]; s->name; s++)
                        if (strcmp(s->name, name) == 0)
                                return s;
        return NULL;
}

int main(int argc, char **argv) {
        enum {
                FAMILY = 1,
                ADDRESS,
                PORT,
                NUMBER,
                TO_SERVER,
                TO_CLIENT,
                FIRST,
                RESET,
                NAME,
                UID,
                EXECUTE,
                RESUME,
        };
        static const struct option options[] = {
                { "family", required_argument, NULL, FAMILY },
                { "address", required_argument, NULL, ADDRESS },
                { "port", required_argument, NULL, PORT },
                { "number", required_argument, NULL, NUMBER },
                { "bytes-to-server", required_argument, NULL, TO_SERVER },
                { "bytes-to-client", required_argument, NULL, TO_CLIENT },
                { "first", required_argument, NULL, FIRST },
                { "reset", no_argument, NULL, RESET },
                { "name", required_argument, NULL, NAME },
                { "uid", required_argument, NULL, UID },
                { "execute", required_argument, NULL, EXECUTE },
                { "resume", required_argument, NULL, RESUME },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        const struct situation *s;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case FAMILY:
                        wish.family = (unsigned) helper_number("--family", optarg, 4, 46);
                        break;
                case ADDRESS:
                        wish.address = optarg;
                        break;
                case PORT:
                        wish.port = (uint16_t) helper_number("--port", optarg, 0, 65535);
                        break;
                case NUMBER:
                        wish.number = (unsigned) helper_number("--number", optarg, 1, 32);
                        break;
                case TO_SERVER:
                        wish.bytes_to_server =
                                (int) helper_number("--bytes-to-server", optarg, 0, 1 << 24);
                        break;
                case TO_CLIENT:
                        wish.bytes_to_client =
                                (int) helper_number("--bytes-to-client", optarg, 0, 1 << 24);
                        break;
                case FIRST:
                        wish.server_first = strcmp(optarg, "server") == 0;
                        break;
                case RESET:
                        wish.reset = true;
                        break;
                case NAME:
                        wish.name = optarg;
                        break;
                case UID:
                        wish.uid = (uid_t) helper_number("--uid", optarg, 0, UINT32_MAX - 1);
                        break;
                case EXECUTE:
                        wish.execute = optarg;
                        break;
                case RESUME:
                        actor_resume(optarg);
                case 'h':
                        help(stdout);
                        return EXIT_SUCCESS;
                default:
                        help(stderr);
                        return HELPER_USAGE;
                }
        s = optind + 1 == argc ? find(argv[optind]) : NULL;
        if (!s || (wish.family != 4 && wish.family != 6 && wish.family != 46)) {
                help(stderr);
                return HELPER_USAGE;
        }
        actor_prepare();
        s->play();
        return EXIT_SUCCESS;
}
