// A load for a greeting server: many clients in one epoll loop, each with one name of 16 bytes in flight; checks each reply.
//
// load ADDRESS PORT CLIENTS SECONDS: opens the connections and prints `ready`. For each line on its standard input it
// runs for so long and prints `REPLIES NANOSECONDS`. At the end of its standard input it lets go.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 16, REPLY = 7 + NAME + 1, EVENTS = 256 };

struct client {
    int connection;
    size_t received; // of the reply
    char name[NAME + 1], reply[REPLY + 1];
};

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void open_client(struct client *client, unsigned number, const char *host, int port, int loop)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    char greeting[8];
    int on = 1;

    snprintf(client->name, sizeof client->name, "client %09u", number % 1000000000u);
    snprintf(client->reply, sizeof client->reply, "Hello, %s!", client->name);
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("load: no IPv4 address");
    client->connection = socket(AF_INET, SOCK_STREAM, 0);
    if (client->connection < 0 || connect(client->connection, (struct sockaddr *)&address, sizeof address) < 0)
        fail("load: cannot connect");
    setsockopt(client->connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (recv(client->connection, greeting, sizeof greeting, MSG_WAITALL) != sizeof greeting
        || memcmp(greeting, "Welcome!", sizeof greeting) != 0)
        fail("load: no greeting");
    if (epoll_ctl(loop, EPOLL_CTL_ADD, client->connection, &event) < 0)
        fail("load: cannot poll");
}

static void ask(struct client *client)
{
    client->received = 0;
    if (write(client->connection, client->name, NAME) != NAME)
        fail("load: cannot write");
}

// Whether the reply is complete.
static int hear(struct client *client)
{
    char bytes[REPLY];
    ssize_t length = read(client->connection, bytes, REPLY - client->received);

    if (length <= 0)
        fail("load: the server ended a conversation");
    if (memcmp(bytes, client->reply + client->received, length) != 0) {
        fprintf(stderr, "load: a wrong reply to %s: %.*s\n", client->name, (int)length, bytes);
        exit(EXIT_FAILURE);
    }
    client->received += length;
    return client->received == REPLY;
}

int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS];
    int loop = epoll_create1(0);

    if (count != 5) {
        fprintf(stderr, "usage: load ADDRESS PORT CLIENTS SECONDS\n");
        return 2;
    }
    int port = atoi(arguments[2]), number = atoi(arguments[3]);
    struct client *clients = calloc(number, sizeof *clients);
    if (!clients || loop < 0)
        fail("load");
    for (int index = 0; index < number; index++)
        open_client(&clients[index], index, arguments[1], port, loop);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
        long long replies = 0, begin = now(), end = begin + (long long)(atof(arguments[4]) * 1e9), time = begin;
        int asked = number;
        for (int index = 0; index < number; index++)
            ask(&clients[index]);
        // Once the time is over nobody asks again, but every reply is waited for.
        while (asked > 0) {
            int ready = epoll_wait(loop, events, EVENTS, 10000);
            if (ready <= 0)
                fail("load: no reply in 10 s");
            for (int index = 0; index < ready; index++) {
                if (hear(events[index].data.ptr)) {
                    replies++;
                    if (time < end)
                        ask(events[index].data.ptr);
                    else
                        asked--;
                }
            }
            time = now();
        }
        printf("%lld %lld\n", replies, time - begin);
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
