// A load for a greeting server: many clients in one epoll loop, each with the same number of names in flight; checks each reply.
//
// load ADDRESS PORT CLIENTS SECONDS [NAMES SIZE]: opens the connections and prints `ready`. For each line on its standard input
// it runs for so long and prints `REPLIES NANOSECONDS`. At the end of its standard input it lets go. Each client has NAMES names
// of SIZE bytes in flight (1 of 16 bytes); more than one are sent as lines.

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

enum { EVENTS = 256, READ = 64 * 1024 };

// How many names are in flight, their size, and the lengths of a name and of a reply on the connection.
static size_t names = 1, size = 16, name_length, reply_length;

struct client {
    int connection;
    size_t received; // of the present reply
    char *asked, *replies; // as many names as are in flight; the replies to them, and as much again as one read takes
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

    client->asked = malloc(names * name_length + 1);
    client->replies = malloc(READ + reply_length + 1);
    if (!client->asked || !client->replies)
        fail("load");
    for (size_t index = 0; index < names; index++)
        sprintf(client->asked + index * name_length, names > 1 ? "client %0*u\n" : "client %0*u", (int)size - 7, number % 1000000000u);
    for (size_t filled = 0; filled < READ; filled += reply_length)
        sprintf(client->replies + filled, names > 1 ? "Hello, %.*s!\n" : "Hello, %.*s!", (int)size, client->asked);
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

static void ask(struct client *client, size_t count)
{
    ssize_t length = count * name_length;

    if (length > 0 && write(client->connection, client->asked, length) != length)
        fail("load: cannot write");
}

// Reads once: how many replies are complete.
static size_t hear(struct client *client)
{
    static char bytes[READ];
    ssize_t length = read(client->connection, bytes, READ - client->received);

    if (length <= 0)
        fail("load: the server ended a conversation");
    if (memcmp(bytes, client->replies + client->received, length) != 0) {
        fprintf(stderr, "load: a wrong reply to %.*s: %.*s\n", (int)size, client->asked, (int)length, bytes);
        exit(EXIT_FAILURE);
    }
    size_t received = client->received + length;
    client->received = received % reply_length;
    return received / reply_length;
}

int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS];
    int loop = epoll_create1(0);

    if (count == 7) {
        names = atoi(arguments[5]);
        size = atoi(arguments[6]);
    }
    if ((count != 5 && count != 7) || names < 1 || size < 16) {
        fprintf(stderr, "usage: load ADDRESS PORT CLIENTS SECONDS [NAMES SIZE], with a SIZE of at least 16\n");
        return 2;
    }
    name_length = size + (names > 1);
    reply_length = 7 + size + 1 + (names > 1);
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
        long long asked = number * (long long)names;
        for (int index = 0; index < number; index++)
            ask(&clients[index], names);
        // Once the time is over nobody asks again, but every reply is waited for.
        while (asked > 0) {
            int ready = epoll_wait(loop, events, EVENTS, 10000);
            if (ready <= 0)
                fail("load: no reply in 10 s");
            for (int index = 0; index < ready; index++) {
                size_t heard = hear(events[index].data.ptr);
                replies += heard;
                if (time < end)
                    ask(events[index].data.ptr, heard);
                else
                    asked -= heard;
            }
            time = now();
        }
        printf("%lld %lld\n", replies, time - begin);
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
