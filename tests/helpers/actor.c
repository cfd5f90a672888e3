/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/actor.h"
#include "tests/helpers/helper.h"
#include "tests/helpers/uring.h"

static struct {
        int orders[2];  /* [0] the stage's end, [1] the actor's */
        int mailbox[2]; /* descriptors passed: any actor writes to [0], the owner reads [1] */
} channels[ACTORS_MAX];

static int n_actors;

/* The actor's own. */
static int slots[ACTOR_SLOTS];
static char bytes[65536];

void actor_prepare(void) {
        for (unsigned i = 0; i < ACTORS_MAX; i++)
                if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channels[i].orders) < 0 ||
                    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channels[i].mailbox) < 0)
                        helper_die("socketpair");
        for (unsigned i = 0; i < ACTOR_SLOTS; i++)
                slots[i] = -1;
        /* Children of actors are ours to wait for when their parents have gone. */
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                helper_die("prctl");
}

static int receive_bytes(int fd, size_t n) {
        size_t have = 0;

        while (have < n) {
                size_t want = n - have < sizeof(bytes) ? n - have : sizeof(bytes);
                ssize_t got = recv(fd, bytes, want, 0);

                if (got < 0)
                        return -errno;
                if (got == 0)
                        return 0;
                have += (size_t) got;
        }
        return 0;
}

static int send_bytes(int fd, const struct task *t) {
        const struct sockaddr *to =
                t->address_length > 0 ? (const struct sockaddr *) &t->address : NULL;
        size_t left = (size_t) t->value;

        do {
                size_t n = left < sizeof(bytes) ? left : sizeof(bytes);
                ssize_t sent = sendto(fd, bytes, n, t->flags | MSG_NOSIGNAL, to, t->address_length);

                if (sent < 0)
                        return -errno;
                left -= (size_t) sent;
        } while (left > 0);
        return 0;
}

static int swallow(int fd) {
        struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
        struct sock_fprog program = { .len = 1, .filter = &drop };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
                                                                                           : 0;
}

static int pass(int fd, int mailbox) {
        char control[CMSG_SPACE(sizeof(int))] = {};
        struct iovec iov = { .iov_base = bytes, .iov_len = 1 };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        return sendmsg(mailbox, &m, 0) < 0 ? -errno : 0;
}

static int take(int mailbox) {
        char control[CMSG_SPACE(sizeof(int))] = {};
        struct iovec iov = { .iov_base = bytes, .iov_len = 1 };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        struct cmsghdr *c;
        int fd;

        if (recvmsg(mailbox, &m, 0) < 0)
                return -errno;
        c = CMSG_FIRSTHDR(&m);
        if (!c || c->cmsg_type != SCM_RIGHTS)
                return -EBADMSG;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        return fd;
}

static int give_up(unsigned slot, bool reset) {
        struct linger linger = { .l_onoff = 1 };

        if (reset && setsockopt(slots[slot], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
                return -errno;
        if (close(slots[slot]) < 0)
                return -errno;
        slots[slot] = -1;
        return 0;
}

/* Puts a new descriptor in its slot: 0, or the negative errno it is. */
static int keep(unsigned slot, int fd) {
        if (fd < 0)
                return fd;
        slots[slot] = fd;
        return 0;
}

static _Noreturn void serve(int number);

static int fork_at(unsigned target) {
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0)
                serve((int) target);
        return 0;
}

/* Goes on in another program, which finds its place and its slots in its arguments. */
static int execute(const char *program, int number) {
        char state[ACTOR_SLOTS * 8 + 64], *at = state;

        at += snprintf(at, 64, "--resume=%d:%d:%d", number, channels[number].orders[1],
                       channels[number].mailbox[1]);
        for (unsigned i = 0; i < ACTOR_SLOTS; i++)
                at += snprintf(at, 8, ":%d", slots[i]);
        execl(program, program, state, NULL);
        return -errno;
}

static int perform(const struct task *t, int number) {
        const struct sockaddr *address = (const struct sockaddr *) &t->address;
        int fd = slots[t->slot], one;

        switch (t->order) {
        case ORDER_SOCKET:
                fd = socket(t->family, t->type, t->protocol);
                return keep(t->slot, fd < 0 ? -errno : fd);
        case ORDER_OPTION:
                one = t->value;
                return setsockopt(fd, t->level, t->option, &one, sizeof(one)) < 0 ? -errno : 0;
        case ORDER_BIND:
                return bind(fd, address, t->address_length) < 0 ? -errno : 0;
        case ORDER_LISTEN:
                return listen(fd, t->value) < 0 ? -errno : 0;
        case ORDER_CONNECT:
                return connect(fd, address, t->address_length) < 0 ? -errno : 0;
        case ORDER_ACCEPT:
                fd = accept(fd, NULL, NULL);
                return keep(t->target, fd < 0 ? -errno : fd);
        case ORDER_IO_URING_ACCEPT:
                return keep(t->target, uring_accept(fd));
        case ORDER_SEND:
                return send_bytes(fd, t);
        case ORDER_RECEIVE:
                return receive_bytes(fd, (size_t) t->value);
        case ORDER_SHUTDOWN:
                return shutdown(fd, t->value) < 0 ? -errno : 0;
        case ORDER_CLOSE:
        case ORDER_RESET:
                return give_up(t->slot, t->order == ORDER_RESET);
        case ORDER_SWALLOW:
                return swallow(fd);
        case ORDER_DESCRIBE:
                return 0;
        case ORDER_FORK:
                return fork_at(t->target);
        case ORDER_PASS:
                return pass(fd, channels[t->target].mailbox[0]);
        case ORDER_TAKE:
                return keep(t->slot, take(channels[number].mailbox[1]));
        case ORDER_RENAME:
                return prctl(PR_SET_NAME, t->text) < 0 ? -errno : 0;
        case ORDER_BECOME:
                return setresuid((uid_t) t->value, (uid_t) t->value, (uid_t) t->value) < 0 ? -errno
                                                                                           : 0;
        case ORDER_EXECUTE:
                return execute(t->text, number);
        }
        return -EINVAL;
}

struct in_thread {
        const struct task *task;
        int number;
        int result;
};

static void *perform_in_thread(void *userdata) {
        struct in_thread *i = userdata;

        pthread_setname_np(pthread_self(), "worker");
        i->result = perform(i->task, i->number);
        return NULL;
}

static int perform_where_told(const struct task *t, int number) {
        struct in_thread i = { .task = t, .number = number };
        pthread_t thread;

        if (!t->in_thread)
                return perform(t, number);
        errno = pthread_create(&thread, NULL, perform_in_thread, &i);
        if (!errno)
                errno = pthread_join(thread, NULL);
        return errno ? -errno : i.result;
}

static void describe(int fd, struct socket_facts *f) {
        socklen_t n;

        n = sizeof(f->family);
        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &f->family, &n) < 0)
                return;
        n = sizeof(f->type);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &f->type, &n);
        n = sizeof(f->protocol);
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &f->protocol, &n);
        n = sizeof(f->cookie);
        getsockopt(fd, SOL_SOCKET, SO_COOKIE, &f->cookie, &n);
        n = sizeof(f->local);
        getsockname(fd, (struct sockaddr *) &f->local, &n);
        n = sizeof(f->remote);
        if (getpeername(fd, (struct sockaddr *) &f->remote, &n) < 0)
                f->remote.ss_family = AF_UNSPEC;
}

static void answer(int number, unsigned slot, int result) {
        struct socket_facts f = { .pid = getpid(), .error = result < 0 ? -result : 0 };

        describe(slots[slot], &f);
        if (send(channels[number].orders[1], &f, sizeof(f), MSG_NOSIGNAL) < 0)
                helper_die("send");
}

static _Noreturn void serve(int number) {
        int fd = channels[number].orders[1];

        for (;;) {
                struct task t;
                ssize_t n = recv(fd, &t, sizeof(t), 0);
                bool into_target;
                int r;

                if (n == 0)
                        _exit(EXIT_SUCCESS);
                if (n != sizeof(t))
                        helper_die("an order of %zd bytes", n);
                r = perform_where_told(&t, number);
                into_target = t.order == ORDER_ACCEPT || t.order == ORDER_IO_URING_ACCEPT;
                answer(number, into_target ? t.target : t.slot, r);
        }
}

static pid_t start(int number) {
        pid_t pid = fork();

        if (pid < 0)
                helper_die("fork");
        if (pid > 0)
                return pid;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                helper_die("prctl");
        /* Held here they would keep the others from seeing the end of their orders. */
        for (int i = 0; i < ACTORS_MAX; i++)
                close(channels[i].orders[0]);
        serve(number);
}

struct actor actor_start(const char *name, uid_t uid) {
        struct task rename = { .order = ORDER_RENAME };
        struct actor a = { .number = n_actors++ };

        errno = 0;
        if (a.number >= ACTORS_MAX)
                helper_die("too many actors");
        a.pid = start(a.number);
        snprintf(rename.text, sizeof(rename.text), "%s", name);
        actor_do(a, &rename);
        if (uid != (uid_t) -1)
                actor_do(a, &(struct task){ .order = ORDER_BECOME, .value = (int) uid });
        return a;
}

void actor_begin(struct actor a, const struct task *t) {
        if (send(channels[a.number].orders[0], t, sizeof(*t), MSG_NOSIGNAL) < 0)
                helper_die("an order to actor %d", a.number);
}

struct socket_facts actor_finish(struct actor a, const struct task *t) {
        struct pollfd p = { .fd = channels[a.number].orders[0], .events = POLLIN };
        struct socket_facts f;

        /* An actor that died would leave us waiting: its end of the channel is held by others too.
         */
        for (int r = 0; r == 0;) {
                r = poll(&p, 1, 200);
                if (r < 0)
                        helper_die("poll");
                errno = 0;
                if (r == 0 && waitpid(-1, NULL, WNOHANG) > 0)
                        helper_die("an actor has died");
        }
        if (recv(p.fd, &f, sizeof(f), 0) != sizeof(f))
                helper_die("no answer from actor %d", a.number);
        errno = f.error;
        if (f.error && !t->may_fail)
                helper_die("actor %d, order %d, slot %u", a.number, (int) t->order, t->slot);
        return f;
}

struct socket_facts actor_do(struct actor a, const struct task *t) {
        actor_begin(a, t);
        return actor_finish(a, t);
}

struct actor actor_fork(struct actor a) {
        struct actor child = { .number = n_actors++ };

        errno = 0;
        if (child.number >= ACTORS_MAX)
                helper_die("too many actors");
        actor_do(a, &(struct task){ .order = ORDER_FORK, .target = (unsigned) child.number });
        child.pid = actor_do(child, &(struct task){ .order = ORDER_DESCRIBE }).pid;
        return child;
}

void actor_end(struct actor a) {
        if (shutdown(channels[a.number].orders[0], SHUT_WR) < 0)
                helper_die("shutdown");
        /* A child of another actor cannot be waited for while its parent lives: ask for its end. */
        if (waitpid(a.pid, NULL, 0) < 0 && errno != ECHILD)
                helper_die("waitpid");
}

_Noreturn void actor_resume(const char *state) {
        char *at;
        int number;

        number = (int) strtol(state, &at, 10);
        if (number < 0 || number >= ACTORS_MAX || *at != ':')
                helper_die("a state that makes no sense");
        channels[number].orders[1] = (int) strtol(at + 1, &at, 10);
        channels[number].mailbox[1] = *at ? (int) strtol(at + 1, &at, 10) : -1;
        for (unsigned i = 0; i < ACTOR_SLOTS; i++)
                slots[i] = *at ? (int) strtol(at + 1, &at, 10) : -1;
        /* The order to execute is answered by the program that was executed. */
        answer(number, 0, 0);
        serve(number);
}
