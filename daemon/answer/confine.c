/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/answer/confine.h"

/* Heap and stacks; the tables are mapped files and do not count. Replies are bounded far below. */
#define DATA_MAX_BYTES (384U * 1024 * 1024)

/* Sanitizers open files, map shadow memory without bounds, and fork to look for leaks. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/*
 * All that answering takes. mmap(), mprotect() and tgkill() are below, with conditions. Not
 * shutdown(): the listening socket outlives us, and would never be heard again.
 */
static const int allowed[] = {
        /* The event loop: its descriptors were made before. */
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_pwait2),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(signalfd4), /* when the loop is freed */
        SCMP_SYS(timerfd_settime),
        SCMP_SYS(timerfd_settime64),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_gettime64),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        /* Clients. */
        SCMP_SYS(accept4),
        SCMP_SYS(getsockopt),
        SCMP_SYS(recv),
        SCMP_SYS(recvfrom),
        SCMP_SYS(send),
        SCMP_SYS(sendto),
        SCMP_SYS(close),
        /* Doorbell, signals, timer; messages to stderr. */
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),
        /* Memory. */
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(getrandom),
        SCMP_SYS(sysinfo), /* qsort() asks how much there is */
        /* The C library: locks, signals' ends, and how to die. */
        SCMP_SYS(futex),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigreturn),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
};

/* Libraries may try to open a file and can do without. */
static const int answered_eperm[] = {
        SCMP_SYS(open),     SCMP_SYS(openat),     SCMP_SYS(access), SCMP_SYS(faccessat),
        SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(ioctl),
};

/* What even a program with sanitizers never does. */
static const int forbidden[] = {
        SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(socket),    SCMP_SYS(connect),
        SCMP_SYS(bind),   SCMP_SYS(bpf),      SCMP_SYS(mount),     SCMP_SYS(unshare),
        SCMP_SYS(setns),  SCMP_SYS(setuid),   SCMP_SYS(setresuid),
};

/* Calls that another architecture has and this one has not are passed over. */
static int add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r = seccomp_rule_add(filter, action, calls[i], 0);

                if (r < 0 && r != -EDOM && r != -EFAULT)
                        return r;
        }
        return 0;
}

#define N(table) (sizeof(table) / sizeof((table)[0]))

static int add_strict_rules(scmp_filter_ctx filter) {
        static const int maps[] = { SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect) };
        int r;

        r = add_rules(filter, SCMP_ACT_ALLOW, allowed, N(allowed));
        if (r < 0)
                return r;
        r = add_rules(filter, SCMP_ACT_ERRNO(EPERM), answered_eperm, N(answered_eperm));
        if (r < 0)
                return r;
        /* Memory, but none to run code from. */
        for (size_t i = 0; i < N(maps); i++) {
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, maps[i], 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
                if (r < 0 && r != -EDOM && r != -EFAULT)
                        return r;
        }
        /* abort(), but of nobody else: we may have the recorder's user. */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t) getpid(), 0));
        if (r < 0)
                return r;
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP, 0));
}

static int load_filter(void) {
        scmp_filter_ctx filter;
        int r;

        filter = seccomp_init(SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS);
        if (!filter)
                return -ENOMEM;
        if (SANITIZED)
                r = add_rules(filter, SCMP_ACT_KILL_PROCESS, forbidden, N(forbidden));
        else
                r = add_strict_rules(filter);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

static int set_limit(int resource, rlim_t value) {
        struct rlimit limit;

        if (getrlimit((__rlimit_resource_t) resource, &limit) < 0)
                return -errno;
        if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
                value = limit.rlim_max;
        limit = (struct rlimit){ value, value };
        return setrlimit((__rlimit_resource_t) resource, &limit) < 0 ? -errno : 0;
}

static int set_limits(unsigned max_descriptors) {
        const struct {
                int resource;
                rlim_t value;
        } limits[] = {
                { RLIMIT_NOFILE, max_descriptors },
                { RLIMIT_CORE, 0 },
                { RLIMIT_DATA, SANITIZED ? RLIM_INFINITY : DATA_MAX_BYTES },
                { RLIMIT_NPROC, SANITIZED ? RLIM_INFINITY : 0 },
                { RLIMIT_MSGQUEUE, 0 },
        };

        for (size_t i = 0; i < N(limits); i++) {
                int r = set_limit(limits[i].resource, limits[i].value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int drop_sets(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[2] = {};

        return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* Needs CAP_SETPCAP; without it the set stays, and nothing can be gained from it. */
static int drop_bounding(void) {
        for (unsigned cap = 0;; cap++) {
                int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

                if (r < 0)
                        return errno == EINVAL ? 0 : -errno;
                if (r > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return errno == EPERM ? 0 : -errno;
        }
}

static int drop_ambient(void) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* Without the right to it we stay who we are: the recorder's user has nothing to lose but its
 * files. */
static int change_user(const struct confinement *c, bool *ret_refused) {
        bool is_other = getuid() != c->uid, groups_stay = false;

        if (c->uid == (uid_t) -1)
                return 0;
        if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0) {
                if (errno != EPERM)
                        return -errno;
                groups_stay = true;
        }
        if (setresuid(c->uid, c->uid, c->uid) < 0) {
                if (errno != EPERM)
                        return -errno;
                *ret_refused = true;
        } else if (is_other && groups_stay)
                /* Another user with our groups is neither. */
                return -EPERM;
        return 0;
}

static int no_new_privileges(void) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int not_dumpable(void) {
        /* The leak check of the sanitizers must trace us. */
        return !SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* What the kernel says of us, but for the filter, which would not let us ask. */
static int verify_credentials(const struct confinement *c, bool refused) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2];
        uid_t real, effective, saved;

        if (syscall(SYS_capget, &header, caps) < 0)
                return -errno;
        for (unsigned i = 0; i < 2; i++)
                if (caps[i].effective || caps[i].permitted || caps[i].inheritable)
                        return -EPERM;
        for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) > 0)
                        return -EPERM;
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
                return -EPERM;
        if (getresuid(&real, &effective, &saved) < 0)
                return -errno;
        /*
         * Root must not have stayed root when somebody else was asked for, unless the kernel said
         * no: without a capability it owns files, and the filter opens none.
         */
        if (real != effective || real != saved ||
            (c->uid != (uid_t) -1 && c->uid != 0 && real == 0 && !refused))
                return -EPERM;
        return 0;
}

static int verify_filter(void) {
        return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER ? 0 : -EPERM;
}

int confine(const struct confinement *c, const char **ret_step) {
        bool refused = false;
        int r;

#define STEP(name, expression)                                                                     \
        do {                                                                                       \
                r = (expression);                                                                  \
                if (r < 0) {                                                                       \
                        *ret_step = (name);                                                        \
                        return r;                                                                  \
                }                                                                                  \
        } while (0)

        STEP("limit resources", set_limits(c->max_descriptors));
        STEP("drop the bounding set", drop_bounding());
        STEP("change user", change_user(c, &refused));
        STEP("drop ambient capabilities", drop_ambient());
        STEP("drop capabilities", drop_sets());
        STEP("forbid new privileges", no_new_privileges());
        STEP("hide memory", not_dumpable());
        STEP("verify credentials", verify_credentials(c, refused));
        STEP("filter system calls", load_filter());
        STEP("verify the filter", verify_filter());
#undef STEP
        return 0;
}
