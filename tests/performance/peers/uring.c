// The least a greeting server in C can be on io_uring: what `greet serve --runtime uring` is measured by.
//
// uring [lines]: listens on a free port of 127.0.0.1 and prints it. One ring: multishot accept, multishot receive into
// provided buffers, and a send for each receive. A name is what one receive delivers, or with `lines` a line. No limits, no
// UTF-8, no timeouts; only what must be done for a reply. It trusts that clients read their replies.

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

// What one receive takes; the shortest name, 1 byte with its line feed, has a reply of 9.
enum { READ = 16 * 1024, LONGEST_REPLIES = 9 * READ, BUFFERS = 1024, ENTRIES = 4096, LONGEST_NAME = 2048 };

// The two lowest bits of a completion's user data say what is complete; the rest is a connection, or the replies sent.
enum { ACCEPT, RECEIVE, SEND };

// The part of a line that is not whole yet.
struct rest {
    size_t length;
    char bytes[LONGEST_NAME];
};

struct replies {
    struct replies *next; // in the list of those that are free
    char bytes[LONGEST_REPLIES];
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char memory[BUFFERS][READ];
static struct replies *spare;
static struct rest *rests; // by connection; NULL without `lines`
static int listener;

static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&ring)))
        io_uring_submit(&ring);
    return entry;
}

static void accept_connections(void)
{
    struct io_uring_sqe *accept = entry();
    io_uring_prep_multishot_accept(accept, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(accept, ACCEPT);
}

static void receive(int connection)
{
    struct io_uring_sqe *receive = entry();
    io_uring_prep_recv_multishot(receive, connection, NULL, 0, 0);
    receive->flags |= IOSQE_BUFFER_SELECT;
    receive->buf_group = 0;
    io_uring_sqe_set_data64(receive, (uint64_t)connection << 2 | RECEIVE);
}

static void send_bytes(int connection, const char *bytes, size_t length, struct replies *replies)
{
    struct io_uring_sqe *send = entry();
    io_uring_prep_send(send, connection, bytes, length, MSG_WAITALL);
    io_uring_sqe_set_data64(send, (uint64_t)(uintptr_t)replies | SEND);
}

static size_t reply(char *to, const char *rest, size_t rest_length, const char *name, size_t length, const char *end, size_t end_length)
{
    memcpy(to, "Hello, ", 7);
    memcpy(to + 7, rest, rest_length);
    memcpy(to + 7 + rest_length, name, length);
    memcpy(to + 7 + rest_length + length, end, end_length);
    return 7 + rest_length + length + end_length;
}

// Answers what was received. 0, or -1 if the conversation is over.
static int answer(int connection, const char *bytes, size_t length)
{
    struct replies *replies = spare ? spare : malloc(sizeof *replies);
    size_t made = 0;

    if (!replies)
        return -1;
    spare = spare ? spare->next : NULL;
    if (!rests) {
        if (length == 4 && memcmp(bytes, "exit", 4) == 0)
            goto over;
        made = reply(replies->bytes, NULL, 0, bytes, length, "!", 1);
    } else {
        struct rest *rest = &rests[connection];
        const char *end;
        while ((end = memchr(bytes, '\n', length))) {
            size_t size = end - bytes;
            if (rest->length == 0 && size == 4 && memcmp(bytes, "exit", 4) == 0)
                goto over;
            made += reply(replies->bytes + made, rest->bytes, rest->length, bytes, size, "!\n", 2);
            rest->length = 0;
            length -= size + 1;
            bytes = end + 1;
        }
        if (rest->length + length > LONGEST_NAME)
            goto over;
        memcpy(rest->bytes + rest->length, bytes, length);
        rest->length += length;
    }
    if (made > 0) {
        send_bytes(connection, replies->bytes, made, replies);
        return 0;
    }
    replies->next = spare;
    spare = replies;
    return 0;

over:
    replies->next = spare;
    spare = replies;
    return -1;
}

static void on_received(int connection, const struct io_uring_cqe *completion)
{
    bool over = completion->res <= 0 && completion->res != -ENOBUFS;

    if (completion->flags & IORING_CQE_F_BUFFER) {
        unsigned buffer = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        if (completion->res > 0 && answer(connection, memory[buffer], completion->res) < 0) {
            // The receive ends by this, and its last completion closes the connection.
            shutdown(connection, SHUT_RDWR);
        }
        io_uring_buf_ring_add(buffers, memory[buffer], READ, buffer, io_uring_buf_ring_mask(BUFFERS), 0);
        io_uring_buf_ring_advance(buffers, 1);
    }
    if (over)
        close(connection);
    else if (!(completion->flags & IORING_CQE_F_MORE))
        receive(connection);
}

static void on_accepted(int connection)
{
    int on = 1;

    if (connection < 0)
        return;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (rests)
        rests[connection].length = 0;
    send_bytes(connection, "Welcome!", 8, NULL);
    receive(connection);
}

static void on_completion(const struct io_uring_cqe *completion)
{
    uint64_t data = completion->user_data;

    switch (data & 3) {
    case ACCEPT:
        on_accepted(completion->res);
        if (!(completion->flags & IORING_CQE_F_MORE))
            accept_connections();
        break;
    case RECEIVE:
        on_received(data >> 2, completion);
        break;
    case SEND: {
        struct replies *replies = (struct replies *)(uintptr_t)(data & ~(uint64_t)3);
        if (replies) {
            replies->next = spare;
            spare = replies;
        }
    }
    }
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "uring: %s: %s\n", what, strerror(error));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int result;
    struct io_uring_params options = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
    struct io_uring_buf_reg registration = { .ring_entries = BUFFERS };
    struct rlimit files;

    if (argc > 1 && strcmp(argv[1], "lines") == 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        if (!(rests = calloc(files.rlim_cur, sizeof *rests)))
            return fail("cannot allocate", errno);
    }
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
        return fail("cannot listen", errno);
    if ((result = io_uring_queue_init_params(ENTRIES, &ring, &options)) < 0)
        return fail("no ring", -result);
    if (posix_memalign((void **)&buffers, sysconf(_SC_PAGESIZE), BUFFERS * sizeof(struct io_uring_buf)) != 0)
        return fail("cannot allocate", ENOMEM);
    registration.ring_addr = (uintptr_t)buffers;
    if ((result = io_uring_register_buf_ring(&ring, &registration, 0)) < 0)
        return fail("no ring of buffers", -result);
    io_uring_buf_ring_init(buffers);
    for (int buffer = 0; buffer < BUFFERS; buffer++)
        io_uring_buf_ring_add(buffers, memory[buffer], READ, buffer, io_uring_buf_ring_mask(BUFFERS), buffer);
    io_uring_buf_ring_advance(buffers, BUFFERS);

    accept_connections();
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("Waiting for connection on 127.0.0.1:%d...\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, completion)
        {
            on_completion(completion);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
