// The least a greeting server in C can be with a thread a connection: what `greet serve --runtime threads` is measured by.
//
// threads: listens on a free port of 127.0.0.1 and prints it. A name is what one read delivers. No limits, no UTF-8, no
// timeouts: only what must be done for a reply.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME = 1024, STACK = 64 * 1024 };

static void *converse(void *argument)
{
    int connection = (int)(intptr_t)argument, on = 1;
    char name[NAME], reply[NAME + 8] = "Hello, ";

    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (write(connection, "Welcome!", 8) == 8) {
        ssize_t length;
        while ((length = read(connection, name, sizeof name)) > 0 && !(length == 4 && memcmp(name, "exit", 4) == 0)) {
            memcpy(reply + 7, name, length);
            reply[7 + length] = '!';
            if (write(connection, reply, length + 8) != length + 8)
                break;
        }
    }
    close(connection);
    return NULL;
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_attr_t attributes;

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) {
        perror("threads: cannot listen");
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
