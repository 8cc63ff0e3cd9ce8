// The least a greeting server in C can be as one epoll loop, for clients that have many names in flight: one a line.
//
// epoll-lines [PORT]: listens on that port of 127.0.0.1, or on a free one, and prints it. Several share a port by SO_REUSEPORT. A
// client that does not read its replies is dropped.

#define _GNU_SOURCE // accept4
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lines.h"

enum { EVENTS = 256 };

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), loop = epoll_create1(0), on = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL }, events[EVENTS];

    if (argc > 1)
        address.sin_port = htons(atoi(argv[1]));
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0
        || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0
        || loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("epoll-lines: cannot listen");
        return EXIT_FAILURE;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("Waiting for connection on 127.0.0.1:%d...\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            struct lines *lines = events[index].data.ptr;
            int connection;
            if (lines) {
                if (answer_lines(lines) < 0) {
                    close(lines->connection);
                    free(lines);
                }
            } else if ((connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.ptr = lines = calloc(1, sizeof *lines);
                if (lines)
                    lines->connection = connection;
                if (!lines || write(connection, "Welcome!", 8) != 8
                    || epoll_ctl(loop, EPOLL_CTL_ADD, connection, &event) < 0) {
                    close(connection);
                    free(lines);
                }
            }
        }
    }
}
