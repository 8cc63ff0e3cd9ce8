// An echo server on the raw API of lwIP, over a TAP device that exists and is up: what many boards run, on this computer.
//
// echo DEVICE ADDRESS NETMASK [drop]: listens on port 7. With `drop` it has the usual mistake of such servers: what does not fit
// into the send buffer at once is dropped.

#include <lwip/ip4_addr.h>
#include <lwip/memp.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <netif/tapif.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// One connection: what was received and is not sent back yet, and whether the client has closed its side.
struct echo {
    struct pbuf *owed;
    bool ended;
};

// Debian's library believes that its buffers have 592 bytes, while it writes 1,514 into them: the file with their sizes was compiled
// with the TCP_MSS of <netinet/tcp.h>. The program's definition takes the place of the library's.
LWIP_MEMPOOL_DECLARE(PBUF_POOL, PBUF_POOL_SIZE, LWIP_MEM_ALIGN_SIZE(sizeof(struct pbuf)) + PBUF_POOL_BUFSIZE, "")

static bool drops;
static struct netif tap;
static ip4_addr_t address, netmask;

static void fail(const char *what)
{
    fprintf(stderr, "echo: %s\n", what);
    exit(EXIT_FAILURE);
}

// Sends as much as fits. The receive window opens by what was sent, so that a client that does not read is not read from.
static err_t give(struct echo *echo, struct tcp_pcb *connection)
{
    while (echo->owed != NULL) {
        u16_t length = LWIP_MIN(echo->owed->len, tcp_sndbuf(connection));
        bool fits = length > 0 && tcp_write(connection, echo->owed->payload, length, TCP_WRITE_FLAG_COPY) == ERR_OK;
        if (!fits && !drops)
            break;
        if (drops)
            length = echo->owed->len;
        echo->owed = pbuf_free_header(echo->owed, length);
        tcp_recved(connection, length);
    }
    tcp_output(connection);
    if (echo->ended && echo->owed == NULL) {
        // First, as tcp_close() may free the connection. If there is no memory for the FIN, lwIP sends it later.
        tcp_arg(connection, NULL);
        tcp_recv(connection, NULL);
        tcp_sent(connection, NULL);
        tcp_poll(connection, NULL, 0);
        tcp_err(connection, NULL);
        free(echo);
        tcp_close(connection);
    }
    return ERR_OK;
}

static err_t on_receive(void *argument, struct tcp_pcb *connection, struct pbuf *received, err_t error)
{
    struct echo *echo = argument;

    (void)error;
    if (received == NULL)
        echo->ended = true;
    else if (echo->owed == NULL)
        echo->owed = received;
    else
        pbuf_cat(echo->owed, received); // the window bounds its length
    return give(echo, connection);
}

static err_t on_sent(void *argument, struct tcp_pcb *connection, u16_t length)
{
    (void)length;
    return give(argument, connection);
}

static err_t on_poll(void *argument, struct tcp_pcb *connection)
{
    return give(argument, connection);
}

// The connection was reset, or timed out. It exists no more.
static void on_error(void *argument, err_t error)
{
    struct echo *echo = argument;

    (void)error;
    if (echo->owed != NULL)
        pbuf_free(echo->owed);
    free(echo);
}

static err_t on_accept(void *argument, struct tcp_pcb *connection, err_t error)
{
    struct echo *echo = calloc(1, sizeof *echo);

    (void)argument;
    if (error != ERR_OK || echo == NULL) {
        free(echo);
        return ERR_MEM; // lwIP then resets the connection
    }
    tcp_arg(connection, echo);
    tcp_recv(connection, on_receive);
    tcp_sent(connection, on_sent);
    tcp_err(connection, on_error);
    tcp_poll(connection, on_poll, 1);
    tcp_nagle_disable(connection);
    return ERR_OK;
}

// Runs in the thread of the stack, where alone the raw API may be used.
static void start(void *argument)
{
    struct tcp_pcb *listener = tcp_new();

    (void)argument;
    if (netif_add(&tap, &address, &netmask, NULL, NULL, tapif_init, tcpip_input) == NULL)
        fail("there is no memory for the network interface");
    netif_set_default(&tap);
    netif_set_up(&tap);
    if (listener == NULL || tcp_bind(listener, IP4_ADDR_ANY, 7) != ERR_OK || (listener = tcp_listen(listener)) == NULL)
        fail("there is no memory for the listener");
    tcp_accept(listener, on_accept);
    printf("Waiting for connection on %s:7...\n", ip4addr_ntoa(&address));
    fflush(stdout);
}

int main(int count, char **arguments)
{
    drops = count == 5 && strcmp(arguments[4], "drop") == 0;
    if ((count != 4 && !drops) || !ip4addr_aton(arguments[2], &address) || !ip4addr_aton(arguments[3], &netmask))
        fail("usage: echo DEVICE ADDRESS NETMASK [drop]");
    if (setenv("PRECONFIGURED_TAPIF", arguments[1], 1) != 0) // where lwIP looks for the name
        fail("there is no memory");
    tcpip_init(start, NULL);
    for (;;)
        pause();
}
