// The least a greeting server in C can be as one epoll loop: what `greet serve --runtime tokio` is measured by.
//
// epoll: listens on a free port of 127.0.0.1 and prints it. A name is what one read delivers. No limits, no UTF-8, no
// timeouts, and a client that does not read its reply is dropped: only what must be done for a reply.

#define _GNU_SOURCE // accept4
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME = 1024, EVENTS = 256 };

static int answer(int connection)
{
    char name[NAME], reply[NAME + 8] = "Hello, ";
    ssize_t length = read(connection, name, sizeof name);

    if (length <= 0 || (length == 4 && memcmp(name, "exit", 4) == 0))
        return -1;
    memcpy(reply + 7, name, length);
    reply[7 + length] = '!';
    return write(connection, reply, length + 8) == length + 8 ? 0 : -1;
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), loop = epoll_create1(0), on = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[EVENTS];

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0
        || loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("epoll: cannot listen");
        return EXIT_FAILURE;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("Waiting for connection on 127.0.0.1:%d...\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            int connection = events[index].data.fd;
            if (connection != listener) {
                if (answer(connection) < 0)
                    close(connection);
            } else if ((connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.fd = connection;
                if (write(connection, "Welcome!", 8) != 8 || epoll_ctl(loop, EPOLL_CTL_ADD, connection, &event) < 0)
                    close(connection);
            }
        }
    }
}
