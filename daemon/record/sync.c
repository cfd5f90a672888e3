/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync.h"

struct sync {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wanted;
        bool requested;
        bool stop;
        int fds[SYNC_FILES_MAX];
        unsigned n_fds;
};

static void *sync_thread(void *userdata) {
        struct sync *s = userdata;

        pthread_mutex_lock(&s->lock);
        for (;;) {
                while (!s->requested && !s->stop)
                        pthread_cond_wait(&s->wanted, &s->lock);
                if (s->stop)
                        break;
                s->requested = false;
                pthread_mutex_unlock(&s->lock);
                for (unsigned i = 0; i < s->n_fds; i++)
                        /* A disk that fails is the kernel's to report; the next round tries again.
                         */
                        (void) fdatasync(s->fds[i]);
                pthread_mutex_lock(&s->lock);
        }
        pthread_mutex_unlock(&s->lock);
        return NULL;
}

int sync_new(struct sync **ret, const int *fds, unsigned n_fds) {
        struct sync *s;
        sigset_t all, before;
        int r;

        if (n_fds > SYNC_FILES_MAX)
                return -EINVAL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        for (unsigned i = 0; i < n_fds; i++)
                s->fds[s->n_fds++] = fds[i];
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->wanted, NULL);

        /* Signals are the event loop's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&s->thread, NULL, sync_thread, s);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                free(s);
                return -r;
        }
        *ret = s;
        return 0;
}

void sync_request(struct sync *s) {
        pthread_mutex_lock(&s->lock);
        s->requested = true;
        pthread_cond_signal(&s->wanted);
        pthread_mutex_unlock(&s->lock);
}

struct sync *sync_free(struct sync *s) {
        if (!s)
                return NULL;
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->wanted);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->wanted);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return NULL;
}
