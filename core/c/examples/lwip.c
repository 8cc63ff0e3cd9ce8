// A server over lwIP's raw API. Here lwIP runs on Linux, over a TAP device; on a board the network
// interface in start() differs, and main().
//
//     lwip [DEVICE]    serves at 192.168.69.1, port 9999, on this TAP device (default tap0)

#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/timeouts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "greet.h"

enum { CLIENTS = 16, NAME = 256, BLOCK = 512, TIME_WAITS = 8 };
static const uint64_t DELIVERY_LIMIT = 10000000; // microseconds
static const uint64_t DELIVERY_LOOK = 100000;    // lwIP has no event for the acknowledgement of a FIN

struct connection {
    struct tcp_pcb *pcb; // NULL: free
    uint64_t server_storage[GREET_SERVER_SIZE(NAME) / 8], delivery_storage[GREET_DELIVERY_SIZE / 8];
    greet_server *server;
    greet_delivery *delivery; // once the server is over
    struct pbuf *input;       // received and not taken yet
    size_t read;              // how many bytes of it are the rest of the last read
    bool fin_sent, peer_ended, end_told;
};

static struct connection connections[CLIENTS];
static uint8_t block[BLOCK];

err_t tap_init(struct netif *netif); // in tap.c
static err_t step(struct connection *c);

static uint64_t now(void) {
    static uint32_t last, wraps; // lwIP counts milliseconds in 32 bits
    uint32_t time = sys_now();
    wraps += time < last;
    last = time;
    return (((uint64_t)wraps << 32) + time) * 1000;
}

static void on_time(void *connection) {
    step(connection);
}

static void forget(struct connection *c) {
    sys_untimeout(on_time, c);
    if (c->input != NULL) pbuf_free(c->input);
    c->input = NULL;
    c->pcb = NULL;
}

// A connection in TIME-WAIT keeps its client's port for 2 minutes: a SYN from that port is not answered. On a board
// MEMP_NUM_TCP_PCB is the limit, and lwIP gives up the oldest. Debian's lwIP allocates without a limit.
static void limit_time_waits(void) {
    int count = 0;
    struct tcp_pcb *next; // the newest is the first
    for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = next) {
        next = pcb->next;
        if (++count > TIME_WAITS) tcp_abort(pcb);
    }
}

// The connection is no longer this program's. ERR_ABRT if it is no longer lwIP's either: a callback has to say so.
static err_t let_go(struct connection *c, bool reset) {
    struct tcp_pcb *pcb = c->pcb;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    forget(c);
    if (!reset && tcp_close(pcb) == ERR_OK) return ERR_OK;
    tcp_abort(pcb);
    return ERR_ABRT;
}

static void discard(struct connection *c, size_t count) {
    tcp_recved(c->pcb, (u16_t)count);
    c->input = pbuf_free_header(c->input, (u16_t)count);
}

// Gives lwIP what the server gives, as far as there is room.
static void send_all(struct connection *c) {
    for (;;) {
        size_t room = c->fin_sent || tcp_sndqueuelen(c->pcb) + 2 >= TCP_SND_QUEUELEN ? 0 : tcp_sndbuf(c->pcb);
        size_t length = greet_server_transmit(c->server, now(), block, room < sizeof block ? room : sizeof block);
        if (length == 0 || tcp_write(c->pcb, block, (u16_t)length, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
    }
    tcp_output(c->pcb);
}

static void set_timer(struct connection *c, uint64_t time) {
    sys_untimeout(on_time, c);
    if (time == GREET_NEVER) return;
    uint64_t wait = time > now() ? (time - now() + 999) / 1000 : 0;
    sys_timeout(wait < 3600000 ? (u32_t)wait : 3600000, on_time, c);
}

// The server is over: keeps the connection until the client has everything.
static err_t deliver(struct connection *c) {
    size_t unacknowledged = c->pcb->snd_lbb - c->pcb->lastack; // a FIN takes a sequence number too
    uint64_t until = 0;
    if (c->delivery == NULL) {
        c->delivery = greet_delivery_init(c->delivery_storage, sizeof c->delivery_storage, now(), unacknowledged);
    }
    greet_release release = greet_delivery_look(c->delivery, now(), unacknowledged, DELIVERY_LIMIT, &until);
    while (c->input != NULL && (c->peer_ended || release == GREET_RELEASE_DISCARD)) discard(c, c->input->len);
    // After the client's FIN lwIP delivers the rest of a closed connection by itself.
    if (c->peer_ended || release == GREET_RELEASE_CLOSE) return let_go(c, false);
    if (release == GREET_RELEASE_RESET) return let_go(c, true);
    set_timer(c, until < now() + DELIVERY_LOOK ? until : now() + DELIVERY_LOOK);
    return ERR_OK;
}

// Moves bytes as far as they go without waiting, and sets the timer for the rest.
static err_t step(struct connection *c) {
    for (;;) {
        greet_server_handle_timeout(c->server, now());
        send_all(c);
        greet_state state = greet_server_state(c->server);
        if (state != GREET_STATE_OPEN && !c->fin_sent && tcp_shutdown(c->pcb, 0, 1) == ERR_OK) {
            c->fin_sent = true;
            greet_server_delivered(c->server, now());
            continue;
        }
        if (state == GREET_STATE_OVER) return deliver(c);
        if (c->input == NULL) {
            if (!c->peer_ended || c->end_told) break;
            c->end_told = true;
            greet_server_receive_end(c->server, now());
            continue;
        }
        if (c->read == 0) c->read = c->input->tot_len < sizeof block ? c->input->tot_len : sizeof block;
        pbuf_copy_partial(c->input, block, (u16_t)c->read, 0);
        size_t taken = greet_server_receive(c->server, now(), block, c->read, NULL);
        if (taken == 0) break; // until there is room for a reply, or until its deadline
        c->read -= taken;
        discard(c, taken);
    }
    set_timer(c, greet_server_deadline(c->server));
    return ERR_OK;
}

static err_t on_received(void *connection, struct tcp_pcb *pcb, struct pbuf *input, err_t error) {
    struct connection *c = connection;
    (void)pcb, (void)error;
    if (input == NULL) c->peer_ended = true;
    else if (c->input == NULL) c->input = input;
    else pbuf_cat(c->input, input);
    return step(c);
}

static err_t on_acknowledged(void *connection, struct tcp_pcb *pcb, u16_t length) {
    struct connection *c = connection;
    (void)pcb, (void)length;
    greet_server_progress(c->server, now());
    return step(c);
}

static void on_lost(void *connection, err_t error) {
    (void)error;
    if (connection != NULL) forget(connection);
}

static err_t on_accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
    (void)argument;
    limit_time_waits();
    for (struct connection *c = connections; error == ERR_OK && c < connections + CLIENTS; c++) {
        if (c->pcb != NULL) continue;
        memset(c, 0, sizeof *c);
        c->pcb = pcb;
        c->server = greet_server_init(c->server_storage, sizeof c->server_storage, NULL, now());
        if (c->server == NULL) break;
        tcp_nagle_disable(pcb);
        tcp_arg(pcb, c);
        tcp_recv(pcb, on_received);
        tcp_sent(pcb, on_acknowledged);
        tcp_err(pcb, on_lost);
        return step(c);
    }
    if (pcb != NULL) tcp_abort(pcb);
    return ERR_ABRT;
}

static void start(void *device) {
    static struct netif netif;
    ip4_addr_t address, mask, gateway;
    IP4_ADDR(&address, 192, 168, 69, 1);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 192, 168, 69, 100);
    netif_add(&netif, &address, &mask, &gateway, device, tap_init, tcpip_input);
    netif_set_default(&netif);
    netif_set_link_up(&netif);
    netif_set_up(&netif);
    struct tcp_pcb *listener = tcp_new();
    if (listener == NULL || tcp_bind(listener, IP4_ADDR_ANY, 9999) != ERR_OK) exit(1);
    tcp_accept(tcp_listen(listener), on_accepted);
    puts("listening on 192.168.69.1:9999");
    fflush(stdout);
}

int main(int count, char **arguments) {
    tcpip_init(start, count > 1 ? arguments[1] : "tap0");
    for (;;) pause();
}
