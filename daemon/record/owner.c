/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "owner.h"
#include "cgroup.h"
#include "process.h"

#define BUCKETS   4096U
#define IDLE_MAX  1024U /* owners without sockets that are kept for the process's next one */
#define PROCESSES 4096U /* direct-mapped; who was pushed out is asked of /proc */

/* What makes an owner: another executable, user or control group is another owner. */
struct owner_key {
        uint64_t start_ns;
        uint64_t cgroup_id;
        uint32_t pid;
        uint32_t uid;
        uint32_t exec_id;
        uint32_t reserved;
        char name[EVENT_NAME_SIZE];
};

struct meta {
        struct owner_key key;
        uint64_t serial;
        uint32_t references;
        uint32_t chain; /* next of the bucket */
        uint32_t older; /* idle list, by how long they have been idle */
        uint32_t newer;
};

struct process {
        uint64_t start_ns;
        uint32_t pid;
        uint32_t exec_id;
        char executable[sizeof(((struct owner *) 0)->executable)];
};

struct owners {
        struct live *live;
        struct cgroups *cgroups;
        struct meta *metas;
        uint64_t seed;
        uint32_t buckets[BUCKETS];
        uint32_t idle_oldest;
        uint32_t idle_newest;
        uint32_t n_idle;
        uint64_t serial;
        struct process processes[PROCESSES];
};

int owners_new(struct owners **ret, struct live *live) {
        struct owners *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;
        o->live = live;
        o->metas = calloc(live->header->capacity[LIVE_OWNERS], sizeof(*o->metas));
        /* A seed of 0 is no worse than none. */
        (void) !getrandom(&o->seed, sizeof(o->seed), GRND_NONBLOCK);
        if (!o->metas || cgroups_new(&o->cgroups) < 0) {
                owners_free(o);
                return -ENOMEM;
        }
        memset(o->buckets, 0xFF, sizeof(o->buckets));
        o->idle_oldest = o->idle_newest = OWNER_NONE;
        *ret = o;
        return 0;
}

struct owners *owners_free(struct owners *o) {
        if (!o)
                return NULL;
        cgroups_free(o->cgroups);
        free(o->metas);
        free(o);
        return NULL;
}

/* ---- Idle owners ---- */

static void idle_remove(struct owners *o, uint32_t slot) {
        struct meta *m = &o->metas[slot];

        if (m->older != OWNER_NONE)
                o->metas[m->older].newer = m->newer;
        else
                o->idle_oldest = m->newer;
        if (m->newer != OWNER_NONE)
                o->metas[m->newer].older = m->older;
        else
                o->idle_newest = m->older;
        o->n_idle--;
}

static void idle_add(struct owners *o, uint32_t slot) {
        struct meta *m = &o->metas[slot];

        m->older = o->idle_newest;
        m->newer = OWNER_NONE;
        if (o->idle_newest != OWNER_NONE)
                o->metas[o->idle_newest].newer = slot;
        else
                o->idle_oldest = slot;
        o->idle_newest = slot;
        o->n_idle++;
}

/* By all of the key, from a seed: whoever names processes must not be able to make one long chain.
 */
static uint32_t *bucket_of(struct owners *o, const struct owner_key *key) {
        uint64_t words[sizeof(*key) / sizeof(uint64_t)], h = o->seed;

        memcpy(words, key, sizeof(words));
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                h = (h ^ words[i]) * 0x9E3779B97F4A7C15ULL;
                h ^= h >> 32;
        }
        return &o->buckets[h * 0x9E3779B97F4A7C15ULL >> 52];
}

_Static_assert(sizeof(struct owner_key) % sizeof(uint64_t) == 0, "the hash takes it by words");
_Static_assert(BUCKETS == 1U << (64 - 52), "the hash above fills the table");

static void forget_oldest(struct owners *o) {
        uint32_t slot = o->idle_oldest;
        uint32_t *link = bucket_of(o, &o->metas[slot].key);

        while (*link != slot)
                link = &o->metas[*link].chain;
        *link = o->metas[slot].chain;
        idle_remove(o, slot);
        live_release(o->live, LIVE_OWNERS, slot);
}

void owners_ref(struct owners *o, uint32_t slot) {
        if (o->metas[slot].references++ == 0)
                idle_remove(o, slot);
}

void owners_unref(struct owners *o, uint32_t slot) {
        if (--o->metas[slot].references > 0)
                return;
        idle_add(o, slot);
        if (o->n_idle > IDLE_MAX)
                forget_oldest(o);
}

/* ---- Finding and filling ---- */

static uint32_t find(struct owners *o, const struct owner_key *key) {
        uint32_t slot = *bucket_of(o, key);

        while (slot != OWNER_NONE && memcmp(&o->metas[slot].key, key, sizeof(*key)) != 0)
                slot = o->metas[slot].chain;
        return slot;
}

/* A slot for a key that has none, with one reference. */
static uint32_t take(struct owners *o, const struct owner_key *key, const struct owner *owner) {
        uint32_t *bucket = bucket_of(o, key);
        uint32_t slot;

        if (live_take(o->live, LIVE_OWNERS, &slot) < 0) {
                if (o->n_idle == 0) {
                        live_count(o->live, LIVE_LOST_OWNERS, 1);
                        return OWNER_NONE;
                }
                forget_oldest(o);
                if (live_take(o->live, LIVE_OWNERS, &slot) < 0)
                        return OWNER_NONE;
        }
        o->metas[slot] = (struct meta){
                .key = *key,
                .serial = ++o->serial,
                .references = 1,
                .chain = *bucket,
        };
        *bucket = slot;
        live_write_owner(o->live, slot, owner);
        return slot;
}

static struct process *process_slot(struct owners *o, uint32_t pid) {
        return &o->processes[pid % PROCESSES];
}

/* The executable: as the kernel told it, else as /proc has it now. */
static void fill_executable(struct owners *o, const struct event *ev, struct owner *owner) {
        const struct process *p = process_slot(o, ev->pid);

        if (p->pid == ev->pid && p->start_ns == ev->start_ns && p->exec_id == ev->exec_id &&
            p->executable[0])
                memcpy(owner->executable, p->executable, sizeof(owner->executable));
        else
                process_executable(ev->pid, ev->start_ns, owner->executable,
                                   sizeof(owner->executable));
}

static void fill_place(struct owners *o, const struct event *ev, struct owner *owner) {
        const struct cgroup_place *place = cgroups_get(o->cgroups, ev->cgroup_id);
        struct cgroup_place read;

        if (!place && ev->pid != 0) {
                char path[1024];

                if (process_cgroup(ev->pid, ev->start_ns, path, sizeof(path)) >= 0) {
                        cgroup_parse(path, &read);
                        place = &read;
                }
        }
        if (place) {
                memcpy(owner->unit, place->unit, sizeof(owner->unit));
                memcpy(owner->container, place->container, sizeof(owner->container));
        }
}

uint32_t owners_of(struct owners *o, const struct event *ev) {
        struct owner_key key = {
                .start_ns = ev->start_ns,
                .cgroup_id = ev->cgroup_id,
                .pid = ev->pid,
                .uid = ev->uid,
                .exec_id = ev->exec_id,
        };
        struct owner owner = { .start_ns = ev->start_ns, .pid = ev->pid, .uid = ev->uid };
        uint32_t slot;

        if (ev->pid == 0 && ev->cgroup_id == 0 && ev->uid == UID_UNKNOWN)
                return OWNER_NONE;
        memcpy(key.name, ev->name, strnlen(ev->name, sizeof(key.name) - 1));
        slot = find(o, &key);
        if (slot != OWNER_NONE) {
                owners_ref(o, slot);
                return slot;
        }
        memcpy(owner.name, key.name, sizeof(owner.name));
        if (ev->pid != 0)
                fill_executable(o, ev, &owner);
        fill_place(o, ev, &owner);
        return take(o, &key, &owner);
}

uint32_t owners_adopt(struct owners *o, const struct owner *owner) {
        /* Its control group's id is not in the table: its content stands in for it. */
        struct owner_key key = {
                .start_ns = owner->start_ns,
                .cgroup_id = record_checksum(owner, sizeof(*owner)),
                .pid = owner->pid,
                .uid = owner->uid,
                .exec_id = UINT32_MAX,
        };
        uint32_t slot;

        memcpy(key.name, owner->name, sizeof(key.name));
        slot = find(o, &key);
        if (slot == OWNER_NONE)
                return take(o, &key, owner);
        owners_ref(o, slot);
        return slot;
}

const struct owner *owners_get(const struct owners *o, uint32_t slot, uint64_t *ret_key) {
        *ret_key = o->metas[slot].serial;
        return &o->live->owners[slot].owner;
}

/* ---- What the kernel tells ---- */

/* Puts the components, last one first and each ended by NUL, into a path. */
static void join_path(const struct event_process *ev, char *to, size_t to_size) {
        const char *components[EVENT_PATH_SIZE / 2];
        size_t used = 0, n = 0;

        to[0] = 0;
        if (ev->truncated || ev->n_components == 0 ||
            ev->n_components > sizeof(components) / sizeof(components[0]))
                return;
        for (size_t offset = 0; n < ev->n_components; n++) {
                size_t size = strnlen(ev->path + offset, sizeof(ev->path) - offset);

                if (offset + size >= sizeof(ev->path))
                        return;
                components[n] = ev->path + offset;
                offset += size + 1;
        }
        while (n > 0) {
                size_t size = strlen(components[--n]);

                if (used + 1 + size + 1 > to_size)
                        break;
                to[used++] = '/';
                memcpy(to + used, components[n], size);
                used += size;
        }
        to[used] = 0;
}

void owners_learn(struct owners *o, const struct event *ev, size_t size) {
        if (ev->type == EVENT_PROCESS && size >= sizeof(struct event_process) && ev->pid != 0) {
                struct process *p = process_slot(o, ev->pid);

                p->pid = ev->pid;
                p->start_ns = ev->start_ns;
                p->exec_id = ev->exec_id;
                join_path((const struct event_process *) ev, p->executable, sizeof(p->executable));
        } else if (ev->type == EVENT_CGROUP && size >= sizeof(struct event_cgroup)) {
                const struct event_cgroup *c = (const struct event_cgroup *) ev;

                if (memchr(c->path, 0, sizeof(c->path)))
                        cgroups_learn(o->cgroups, ev->cgroup_id, c->path);
        }
}
