/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ports.h"
#include "record.h"

#define REGISTRY_MAX_BYTES (4U * 1024 * 1024)
#define SYSTEM_LAST        1023U
#define USER_LAST          49151U

static const char *const category_names[CATEGORY_MAX] = {
        [CATEGORY_SYSTEM] = "system",
        [CATEGORY_USER] = "user",
        [CATEGORY_DYNAMIC] = "dynamic",
};

/* A bit for each transport of record.h. */
#define TRANSPORT_BIT(t)   (1U << (t))
#define TRANSPORT_BITS_ALL (TRANSPORT_BIT(TRANSPORT_TCP) | TRANSPORT_BIT(TRANSPORT_UDP))

/* Few ports to a group, so that finding one is a step or two. */
#define GROUP_PORTS 16U
#define N_GROUPS    (65536U / GROUP_PORTS)

struct service {
        uint32_t name; /* offset in the text */
        uint16_t port;
        uint16_t transports; /* TRANSPORT_BIT() */
};

struct services {
        char *text;
        struct service *table; /* by port, those of one port in the order of the file */
        size_t n;
        /* The row of the first one whose port is in this group of ports, or in a later one. */
        uint32_t first[N_GROUPS + 1];
};

enum category category_of(uint16_t port) {
        if (port <= SYSTEM_LAST)
                return CATEGORY_SYSTEM;
        return port <= USER_LAST ? CATEGORY_USER : CATEGORY_DYNAMIC;
}

const char *category_name(unsigned category) {
        return category < CATEGORY_MAX ? category_names[category] : NULL;
}

int category_parse(const char *name) {
        for (unsigned i = 0; i < CATEGORY_MAX; i++)
                if (strcmp(category_names[i], name) == 0)
                        return (int) i;
        return -EINVAL;
}

/* Reads until the end or the buffer is full. */
static int read_fully(int fd, char *to, size_t size, size_t *ret_size) {
        size_t n = 0;

        while (n < size) {
                ssize_t k = read(fd, to + n, size - n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        *ret_size = n;
        return 0;
}

/* The whole file, with a NUL behind it. */
static int read_bounded(int fd, size_t max, char **ret, size_t *ret_size) {
        size_t allocated = 64U * 1024, size = 0, n = 0;
        char *text = malloc(allocated);

        while (text) {
                int r = read_fully(fd, text + size, allocated - size, &n);
                char *larger;

                size += n;
                if (r < 0 || size > max) {
                        free(text);
                        return r < 0 ? r : -EFBIG;
                }
                if (size < allocated) {
                        text[size] = 0;
                        *ret = text;
                        *ret_size = size;
                        return 0;
                }
                allocated *= 2;
                larger = realloc(text, allocated);
                if (!larger)
                        free(text);
                text = larger;
        }
        return -ENOMEM;
}

/* A decimal number of at most 65535 without a sign. */
static int parse_port(const char *s, uint16_t *ret) {
        unsigned value = 0;

        if (*s == 0)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                value = value * 10 + (unsigned) (*s - '0');
                if (value > UINT16_MAX)
                        return -EINVAL;
        }
        *ret = (uint16_t) value;
        return 0;
}

/* "tcp,udp,sctp" to bits; transports that are not recorded here count for nothing. Cuts the list
 * up. */
static unsigned parse_transports(char *list) {
        unsigned bits = 0;
        char *word;

        while ((word = strsep(&list, ","))) {
                int t = transport_parse(word);

                if (t > 0)
                        bits |= TRANSPORT_BIT(t);
        }
        return bits;
}

/* 1: a service, 0: nothing for us, negative: malformed. Cuts the line up. */
static int parse_line(const struct services *s, char *line, struct service *ret) {
        char *port, *transports, *name;
        uint16_t number;

        if (line[0] == '#' || line[0] == 0)
                return 0;
        port = strsep(&line, "\t");
        transports = strsep(&line, "\t");
        name = strsep(&line, "\t");
        if (!transports || !name || line || transports[0] == 0 || name[0] == 0 ||
            parse_port(port, &number) < 0)
                return -EINVAL;
        *ret = (struct service){
                .name = (uint32_t) (name - s->text),
                .port = number,
                .transports = (uint16_t) parse_transports(transports),
        };
        return ret->transports != 0;
}

static int compare_services(const void *a, const void *b) {
        const struct service *x = a, *y = b;

        if (x->port != y->port)
                return x->port < y->port ? -1 : 1;
        /* qsort() is not stable; what stands earlier in the file has the lower offset. */
        return x->name < y->name ? -1 : x->name > y->name;
}

static void index_table(struct services *s) {
        unsigned group = 0;

        for (size_t i = 0; i < s->n; i++)
                while (group <= s->table[i].port / GROUP_PORTS)
                        s->first[group++] = (uint32_t) i;
        while (group <= N_GROUPS)
                s->first[group++] = (uint32_t) s->n;
}

int services_load(struct services **ret, int fd, unsigned *ret_skipped) {
        struct services *s;
        size_t size = 0, lines = 0;
        unsigned skipped = 0;
        char *rest, *line;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        r = read_bounded(fd, REGISTRY_MAX_BYTES, &s->text, &size);
        if (r < 0)
                goto fail;
        if (memchr(s->text, 0, size)) {
                r = -EBADMSG;
                goto fail;
        }
        for (size_t i = 0; i < size; i++)
                lines += s->text[i] == '\n';
        s->table = calloc(lines + 1, sizeof(*s->table));
        if (!s->table) {
                r = -ENOMEM;
                goto fail;
        }

        rest = s->text;
        while ((line = strsep(&rest, "\n"))) {
                r = parse_line(s, line, &s->table[s->n]);
                if (r > 0)
                        s->n++;
                else if (r < 0)
                        skipped++;
        }
        qsort(s->table, s->n, sizeof(*s->table), compare_services);
        index_table(s);

        if (ret_skipped)
                *ret_skipped = skipped;
        *ret = s;
        return 0;
fail:
        services_free(s);
        return r;
}

struct services *services_free(struct services *s) {
        if (!s)
                return NULL;
        free(s->table);
        free(s->text);
        free(s);
        return NULL;
}

/* The first row that is not below the port. */
static size_t find_port(const struct services *s, uint16_t port) {
        size_t i = s->first[port / GROUP_PORTS], end = s->first[port / GROUP_PORTS + 1];

        while (i < end && s->table[i].port < port)
                i++;
        return i;
}

static unsigned wanted_bits(unsigned transport) {
        if (transport == 0)
                return TRANSPORT_BITS_ALL;
        return transport < TRANSPORT_MAX ? TRANSPORT_BIT(transport) : 0;
}

const char *services_lookup(const struct services *s, uint16_t port, unsigned transport) {
        const char *name = NULL;

        return services_list(s, port, transport, &name, 1) > 0 ? name : NULL;
}

static bool contains(const char **names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

size_t services_list(const struct services *s, uint16_t port, unsigned transport,
                     const char **names, size_t max) {
        unsigned bits = wanted_bits(transport);
        size_t n = 0;

        if (!s)
                return 0;
        for (size_t i = find_port(s, port); i < s->n && s->table[i].port == port && n < max; i++) {
                const char *name = s->text + s->table[i].name;

                if ((s->table[i].transports & bits) && !contains(names, n, name))
                        names[n++] = name;
        }
        return n;
}

int ports_ephemeral_range(uint16_t *ret_first, uint16_t *ret_last) {
        char text[64], *rest = text, *first;
        uint16_t from, to;
        size_t n = 0;
        int fd, r;

        fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = read_fully(fd, text, sizeof(text) - 1, &n);
        close(fd);
        if (r < 0)
                return r;
        text[n] = 0;
        text[strcspn(text, "\n")] = 0;
        first = strsep(&rest, "\t ");
        if (!rest || parse_port(first, &from) < 0 || parse_port(rest, &to) < 0 || from > to)
                return -EBADMSG;
        *ret_first = from;
        *ret_last = to;
        return 0;
}
