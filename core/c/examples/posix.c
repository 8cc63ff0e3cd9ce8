// A server for POSIX systems: any number of clients up to CLIENTS, one thread, poll. Compiled with -DECHO it is an echo server.
//
//     posix [PORT]    listens on 127.0.0.1; port 0, the default, is one that the system chooses

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "greet.h"

#ifndef NAME
#define NAME 256 // the longest name: the capacity that the library was built with
#endif

// Both machines have the same functions, except for init and receive.
#ifdef ECHO
typedef greet_echo machine;
#define MACHINE(function) greet_echo_##function
#define INIT(storage, now) greet_echo_init(storage, sizeof(storage), 300000000, now)
#define RECEIVE(machine, now, bytes, length) greet_echo_receive(machine, now, bytes, length)
#else
typedef greet_server machine;
#define MACHINE(function) greet_server_##function
#define INIT(storage, now) greet_server_init(storage, sizeof(storage), NULL, now)
#define RECEIVE(machine, now, bytes, length) greet_server_receive(machine, now, bytes, length, NULL)
#endif

enum { CLIENTS = 64, READ = 1024, WRITE = 1024 };
static const uint64_t DELIVERY_LIMIT = 10000000; // microseconds
static const uint64_t DELIVERY_LOOK = 10000;     // the system has no event for an acknowledgement

struct connection {
    int socket; // -1: free
    uint64_t storage[GREET_SERVER_SIZE(NAME) / 8], delivery_storage[GREET_DELIVERY_SIZE / 8];
    machine *server;
    greet_delivery *delivery; // once the server is over
    uint64_t look;            // when the delivery is looked at again
    bool blocked, fin_sent, peer_ended, discards;
    uint8_t read[READ], write[WRITE];
    size_t read_start, read_end, write_start, write_end;
};

static struct connection connections[CLIENTS];

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void release(struct connection *c) {
    close(c->socket);
    c->socket = -1;
}

// Sends what the server gives. False if the socket takes no more now, or the connection is lost.
static bool send_all(struct connection *c) {
    c->blocked = false;
    for (;;) {
        if (c->write_start == c->write_end) {
            c->write_start = 0;
            c->write_end = MACHINE(transmit)(c->server, now(), c->write, sizeof c->write);
            if (c->write_end == 0) return true;
        }
        ssize_t sent = send(c->socket, c->write + c->write_start, c->write_end - c->write_start, 0);
        if (sent >= 0) {
            c->write_start += (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            c->blocked = true;
            return false;
        } else if (errno != EINTR) {
            release(c);
            return false;
        }
    }
}

// Reads if the server took everything. False if there is nothing to offer now, or the connection is lost.
static bool read_some(struct connection *c) {
    if (c->read_start < c->read_end) return true;
    if (c->peer_ended) return false;
    ssize_t count = recv(c->socket, c->read, sizeof c->read, 0);
    if (count > 0) {
        c->read_start = 0;
        c->read_end = (size_t)count;
        return true;
    }
    if (count == 0) {
        c->peer_ended = true;
        MACHINE(receive_end)(c->server, now());
        return true;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) release(c);
    return false;
}

// The server is over: keeps the connection until the client has everything.
static void deliver(struct connection *c) {
    int unacknowledged = 0;
#ifdef TIOCOUTQ // Linux: bytes that are not acknowledged, and the FIN
    ioctl(c->socket, TIOCOUTQ, &unacknowledged);
#endif
    if (c->delivery == NULL) {
        c->delivery = greet_delivery_init(c->delivery_storage, sizeof c->delivery_storage, now(), (size_t)unacknowledged);
    }
    switch (greet_delivery_look(c->delivery, now(), (size_t)unacknowledged, DELIVERY_LIMIT, &c->look)) {
    case GREET_RELEASE_WAIT: {
        // After the client's FIN the system delivers the rest of a closed socket by itself.
        ssize_t count = recv(c->socket, c->read, 1, MSG_PEEK);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) release(c);
        break;
    }
    case GREET_RELEASE_DISCARD: {
        ssize_t count = recv(c->socket, c->read, sizeof c->read, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) release(c);
        break;
    }
    case GREET_RELEASE_CLOSE:
    case GREET_RELEASE_RESET: // with unread input the system sends a reset
        release(c);
    }
    if (c->look > now() + DELIVERY_LOOK) c->look = now() + DELIVERY_LOOK;
}

// Moves bytes as far as they go without waiting.
static void step(struct connection *c) {
    for (;;) {
        MACHINE(handle_timeout)(c->server, now());
        bool was_blocked = c->blocked;
        if (!send_all(c)) {
            if (c->socket < 0 || MACHINE(state)(c->server) != GREET_STATE_OVER) return;
        } else if (was_blocked) {
            MACHINE(progress)(c->server, now());
        }
        greet_state state = MACHINE(state)(c->server);
        if (state == GREET_STATE_OVER && !c->fin_sent && c->blocked) {
            release(c); // the client takes nothing more
            return;
        }
        if (state != GREET_STATE_OPEN && !c->fin_sent) {
            shutdown(c->socket, SHUT_WR);
            c->fin_sent = true;
            MACHINE(delivered)(c->server, now());
            continue;
        }
        if (state == GREET_STATE_OVER) {
            deliver(c);
            return;
        }
        bool had_ended = c->peer_ended;
        if (!read_some(c)) return;
        if (c->read_start == c->read_end) {
            if (had_ended == c->peer_ended) return;
            continue; // the client's FIN may end the conversation
        }
        size_t taken = RECEIVE(c->server, now(), c->read + c->read_start, c->read_end - c->read_start);
        c->read_start += taken;
        if (taken == 0 && MACHINE(state)(c->server) == GREET_STATE_OPEN) return; // until its deadline
    }
}

static void accept_all(int listener) {
    for (struct connection *c = connections; c < connections + CLIENTS; c++) {
        if (c->socket >= 0) continue;
        int socket = accept(listener, NULL, NULL);
        if (socket < 0) return;
        fcntl(socket, F_SETFL, O_NONBLOCK);
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        memset(c, 0, sizeof *c);
        c->socket = socket;
        c->server = INIT(c->storage, now());
        if (c->server == NULL) {
            fprintf(stderr, "the library was built for names of %zu bytes, not %d\n", greet_server_capacity(), NAME);
            exit(1);
        }
        step(c);
    }
}

// When a connection has something to do, whatever its socket does.
static uint64_t deadline(const struct connection *c) {
    return c->delivery != NULL ? c->look : MACHINE(deadline)(c->server);
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(count > 1 ? (uint16_t)atoi(arguments[1]) : 0);
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0) {
        perror("cannot listen");
        return 1;
    }
    fcntl(listener, F_SETFL, O_NONBLOCK);
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (struct connection *c = connections; c < connections + CLIENTS; c++) c->socket = -1;

    for (;;) {
        struct pollfd polled[CLIENTS + 1];
        uint64_t time = now(), next = time + 3600000000u;
        bool full = true;
        for (int i = 0; i < CLIENTS; i++) {
            struct connection *c = &connections[i];
            bool waits_for_input = !c->peer_ended && c->read_start == c->read_end && c->delivery == NULL;
            polled[i] = (struct pollfd){.fd = c->socket};
            polled[i].events = (short)((c->blocked ? POLLOUT : 0) | (waits_for_input ? POLLIN : 0));
            if (polled[i].events == 0) polled[i].fd = -1; // its deadline only: a hang-up would be reported again and again
            if (c->socket < 0) full = false;
            else if (deadline(c) < next) next = deadline(c);
        }
        polled[CLIENTS] = (struct pollfd){.fd = full ? -1 : listener, .events = POLLIN};
        poll(polled, CLIENTS + 1, next <= time ? 0 : (int)((next - time + 999) / 1000));
        for (int i = 0; i < CLIENTS; i++) {
            struct connection *c = &connections[i];
            if (c->socket >= 0 && (polled[i].revents != 0 || deadline(c) <= now())) step(c);
        }
        accept_all(listener);
    }
}
