// The least a greeting server in C can be with a thread a connection, for clients that have many names in flight: one a line.
//
// threads-lines: listens on a free port of 127.0.0.1 and prints it.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lines.h"

enum { STACK = 256 * 1024 };

static void *converse(void *argument)
{
    struct lines lines = { .connection = (int)(intptr_t)argument };
    int on = 1;

    setsockopt(lines.connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (write(lines.connection, "Welcome!", 8) == 8) {
        while (answer_lines(&lines) == 0)
            ;
    }
    close(lines.connection);
    return NULL;
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_attr_t attributes;

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) {
        perror("threads-lines: cannot listen");
        return EXIT_FAILURE;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("Waiting for connection on 127.0.0.1:%d...\n", ntohs(address.sin_port));
    fflush(stdout);

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    for (;;) {
        pthread_t thread;
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0 && pthread_create(&thread, &attributes, converse, (void *)(intptr_t)connection) != 0)
            close(connection);
    }
}
