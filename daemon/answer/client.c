/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/answer/client.h"
#include "wire/frame.h"

/* Of a turn, in the unit of call.h: some 300 microseconds. */
#define TURN_BUDGET     16384U
#define COST_OF_REQUEST 128U

/* A reader that had fallen behind gets more when it has taken all but so much. */
#define RESUME_BYTES (REPLY_PAUSE_BYTES / 4)

/* Beyond so much in the buffers of all clients, a single reply may have REPLY_PAUSE_BYTES at the
 * most. */
#define BUFFERED_MAX_BYTES (64U * 1024 * 1024)
/* A buffer that is kept for the next reply. */
#define SPARE_MAX_BYTES (1024U * 1024)
/* Taken from a client that is told what is wrong before the connection is closed. */
#define DISCARD_MAX_BYTES (1024U * 1024)

/* Why a client keeps us waiting. */
enum stuck {
        STUCK_NOT,
        STUCK_INPUT,  /* the rest of a request is missing */
        STUCK_OUTPUT, /* a large reply is not taken */
        STUCK_FLOOD,  /* replies are not taken, and all the room for requests is full of more */
        STUCK_MAX,
};

static const uint64_t patience_usec[STUCK_MAX] = {
        [STUCK_INPUT] = 60ULL * 1000000,
        [STUCK_OUTPUT] = 60ULL * 1000000,
        [STUCK_FLOOD] = 5ULL * 1000000,
};

struct client {
        struct client_host *host;
        sd_event_source *io;
        sd_event_source *work; /* NULL: nothing to go on with */
        int fd;
        uint32_t watched; /* EPOLLIN, EPOLLOUT */
        struct view view;
        struct frame frame;
        struct replies replies;
        struct call call;
        enum progress progress; /* what the last step came to; CALL_DONE: there is no call */
        size_t buffered_bytes;  /* our part of the host's */
        uint64_t stuck_since_usec;
        enum stuck stuck;
        bool drained; /* all that was there has been received */
        bool sent;    /* something, in this turn */
        bool eof;     /* and no more will come */
        bool closing; /* the last word is said: close when it is sent */
        bool rung;
};

uid_t client_uid(const struct client *c) {
        return c->view.uid;
}

/* The next reply takes the buffer that another has left. */
static void borrow_spare(struct client *c) {
        struct jsonw *spare = &c->host->spare;
        struct jsonw *w = &c->replies.w;

        if (w->data || !spare->data)
                return;
        w->data = spare->data;
        w->allocated = spare->allocated;
        spare->data = NULL;
        spare->allocated = 0;
}

static void return_spare(struct client *c) {
        struct jsonw *spare = &c->host->spare;
        struct jsonw *w = &c->replies.w;

        if (w->size > 0 || !w->data)
                return;
        if (!spare->data && w->allocated <= SPARE_MAX_BYTES) {
                spare->data = w->data;
                spare->allocated = w->allocated;
                w->data = NULL;
                w->allocated = 0;
        } else
                replies_done(&c->replies);
}

static void count_buffered(struct client *c) {
        c->host->buffered_bytes -= c->buffered_bytes;
        c->buffered_bytes = c->replies.w.allocated;
        c->host->buffered_bytes += c->buffered_bytes;
}

/* Receives until there is no more or no room for it. */
static int receive(struct client *c) {
        c->drained = false;
        while (!c->eof) {
                size_t room;
                ssize_t n;
                char *to;
                int r;

                r = frame_space(&c->frame, &to, &room);
                if (r < 0)
                        return r;
                if (room == 0)
                        return 0;
                n = recv(c->fd, to, room, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n > 0)
                        frame_received(&c->frame, (size_t) n);
                c->eof = n == 0;
                if (n < (ssize_t) room) {
                        c->drained = true;
                        return 0;
                }
        }
        c->drained = true;
        return 0;
}

/* Sends what the other end takes now. */
static int flush(struct client *c) {
        struct replies *out = &c->replies;

        while (replies_unsent(out) > 0) {
                ssize_t n = send(c->fd, out->w.data + out->sent, replies_unsent(out),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                replies_sent(out, (size_t) n);
                c->sent = true;
        }
        return 0;
}

/* What goes wrong here goes wrong once more at the end of the turn. */
static void send_ready(void *userdata) {
        (void) flush(userdata);
}

/* Somebody at a shell is told what was wrong; a program that sent such a thing is past help. */
static int refuse(struct client *c, const char *reason) {
        c->host->service->requests_refused++;
        if (c->replies.end != '\n')
                return -EBADMSG;
        c->closing = true;
        return reply_named_error(&c->replies, ERROR_BAD_REQUEST, "reason", reason);
}

static int take_request(struct client *c, const char *text, size_t size) {
        struct message_problem problem;
        struct message m;
        int r;

        r = message_parse(&m, text, size, &problem);
        if (r == -EBADMSG)
                return refuse(c, problem.text);
        if (r < 0)
                return r;
        c->call = (struct call){
                .service = c->host->service,
                .view = &c->view,
                .replies = &c->replies,
        };
        r = call_start(&c->call, &m);
        message_done(&m);
        if (r <= 0)
                return r;
        c->progress = CALL_AGAIN;
        /* A follower's doorbell must be watched before its first look, or it misses what comes
         * then. */
        c->host->changed(c->host->userdata);
        return 0;
}

static int next_request(struct client *c, uint64_t *budget, bool *ret_idle) {
        const char *text;
        size_t size;
        int r;

        r = frame_next(&c->frame, c->drained, &text, &size, &c->replies.end);
        if (r < 0)
                c->host->service->requests_refused++;
        if (r <= 0) {
                *ret_idle = true;
                return r;
        }
        budget_spend(budget, COST_OF_REQUEST);
        return take_request(c, text, size);
}

static int next_step(struct client *c, uint64_t *budget) {
        int r = call_step(&c->call, budget);

        if (r < 0)
                return r;
        c->progress = (enum progress) r;
        c->rung = false;
        if (r == CALL_DONE)
                call_done(&c->call);
        return 0;
}

/* Goes on with the present call, then with the requests that are there. */
static int work(struct client *c, uint64_t *budget) {
        bool idle = false;

        while (!idle && !c->closing) {
                int r;

                if (c->call.method) {
                        if (c->progress == CALL_WAIT && !c->rung)
                                break;
                        r = next_step(c, budget);
                        idle = c->progress != CALL_DONE;
                } else if (replies_unsent(&c->replies) >= REPLY_PAUSE_BYTES) {
                        c->progress = CALL_FULL;
                        break;
                } else if (*budget == 0) {
                        c->progress = CALL_AGAIN;
                        break;
                } else {
                        c->progress = CALL_DONE;
                        r = next_request(c, budget, &idle);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool must_wait_for_reader(const struct client *c) {
        return c->progress == CALL_FULL && replies_unsent(&c->replies) > RESUME_BYTES;
}

/* A turn: 0, or negative when the connection is to be closed. */
static int take_turn(struct client *c, bool *ret_sent) {
        uint64_t budget = TURN_BUDGET;
        int r;

        c->sent = false;
        r = flush(c);
        if (r < 0)
                return r;
        borrow_spare(c);
        c->replies.limit =
                c->host->buffered_bytes > BUFFERED_MAX_BYTES ? REPLY_PAUSE_BYTES : REPLY_MAX_BYTES;
        while (!must_wait_for_reader(c)) {
                r = work(c, &budget);
                if (r < 0)
                        return r;
                if (c->progress != CALL_DONE || c->closing || c->drained)
                        break;
                /* There was no room for all of it before. */
                r = receive(c);
                if (r < 0)
                        return r;
        }
        r = flush(c);
        if (r < 0)
                return r;
        *ret_sent = c->sent;
        return_spare(c);
        count_buffered(c);
        return 0;
}

static bool is_finished(const struct client *c) {
        if (replies_unsent(&c->replies) > 0)
                return false;
        return c->closing || (c->eof && c->progress == CALL_DONE);
}

static enum stuck why_stuck(const struct client *c) {
        if (c->progress == CALL_FULL && !frame_has_room(&c->frame))
                return STUCK_FLOOD;
        if (replies_unsent(&c->replies) > 2 * REPLY_PAUSE_BYTES && !c->call.method)
                return STUCK_OUTPUT;
        if (frame_is_partial(&c->frame) && c->progress == CALL_DONE)
                return STUCK_INPUT;
        return STUCK_NOT;
}

/* sent: the other end has just taken something. That is no excuse for half a request. */
static void note_stuck(struct client *c, bool sent) {
        enum stuck now = why_stuck(c);

        if (now != c->stuck || (sent && now != STUCK_INPUT))
                sd_event_now(c->host->event, CLOCK_MONOTONIC, &c->stuck_since_usec);
        c->stuck = now;
        if (now != STUCK_NOT)
                c->host->anyone_stuck = true;
}

uint64_t client_deadline(const struct client *c) {
        return c->stuck == STUCK_NOT ? UINT64_MAX : c->stuck_since_usec + patience_usec[c->stuck];
}

static int on_work(sd_event_source *source, void *userdata);

static int watch(struct client *c) {
        uint32_t events = 0;
        bool again;
        int r;

        if (!c->eof && !c->closing && frame_has_room(&c->frame))
                events |= EPOLLIN;
        if (replies_unsent(&c->replies) > 0)
                events |= EPOLLOUT;
        if (events != c->watched) {
                r = sd_event_source_set_io_events(c->io, events);
                if (r < 0)
                        return r;
                c->watched = events;
        }
        again = c->progress == CALL_AGAIN || (c->progress == CALL_FULL && !must_wait_for_reader(c));
        if (!again)
                c->work = sd_event_source_disable_unref(c->work);
        else if (!c->work)
                /*
                 * A new source each time: a deferred one counts as pending since it was made, and
                 * the longest pending has its turn first.
                 */
                return sd_event_add_defer(c->host->event, &c->work, on_work, c);
        return 0;
}

/* Closing with something unread would be a reset, in the eyes of who reads our last word. */
static void discard_input(struct client *c) {
        char bytes[4096];
        size_t total = 0;
        ssize_t n;

        do {
                n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
                if (n > 0)
                        total += (size_t) n;
        } while (n > 0 && total < DISCARD_MAX_BYTES);
}

static void run(struct client *c) {
        struct client_host *host = c->host;
        bool sent = false;
        int r;

        r = take_turn(c, &sent);
        if (r < 0 || is_finished(c)) {
                if (c->closing)
                        discard_input(c);
                host->closed(c, host->userdata);
        } else {
                note_stuck(c, sent);
                if (watch(c) < 0)
                        host->closed(c, host->userdata);
        }
        host->changed(host->userdata);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct client *c = userdata;

        (void) source;
        (void) fd;
        /* Nobody is there any more to take an answer. */
        if (revents & (EPOLLHUP | EPOLLERR) || (revents & EPOLLIN && receive(c) < 0)) {
                struct client_host *host = c->host;

                host->closed(c, host->userdata);
                host->changed(host->userdata);
                return 0;
        }
        run(c);
        return 0;
}

static int on_work(sd_event_source *source, void *userdata) {
        struct client *c = userdata;

        (void) source;
        c->work = sd_event_source_disable_unref(c->work);
        run(c);
        return 0;
}

void client_ring(struct client *c) {
        if (!c->call.method || c->progress != CALL_WAIT)
                return;
        c->rung = true;
        run(c);
}

int client_new(struct client **ret, struct client_host *host, int fd, const struct view *view) {
        struct client *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct client){
                .host = host,
                .fd = -1,
                .watched = EPOLLIN,
                .view = *view,
        };
        replies_init(&c->replies);
        c->replies.send = send_ready;
        c->replies.userdata = c;
        r = sd_event_add_io(host->event, &c->io, fd, c->watched, on_io, c);
        if (r < 0) {
                client_free(c);
                return r;
        }
        c->fd = fd;
        *ret = c;
        return 0;
}

struct client *client_free(struct client *c) {
        if (!c)
                return NULL;
        call_done(&c->call);
        sd_event_source_disable_unref(c->work);
        sd_event_source_disable_unref(c->io);
        replies_done(&c->replies);
        count_buffered(c);
        frame_done(&c->frame);
        if (c->fd >= 0)
                close(c->fd);
        free(c);
        return NULL;
}
