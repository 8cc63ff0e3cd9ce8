// A network interface of lwIP's on a Linux TAP device, for lwip.c. A board has its own driver in place of this file.

#include <fcntl.h>
#include <linux/if_tun.h>
#include <lwip/etharp.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/sys.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MTU = 1500, FRAME = MTU + 14 };

static int tap;

static err_t send_frame(struct netif *netif, struct pbuf *frame) {
    uint8_t bytes[FRAME];
    (void)netif;
    u16_t length = pbuf_copy_partial(frame, bytes, sizeof bytes, 0);
    return write(tap, bytes, length) == (ssize_t)length ? ERR_OK : ERR_IF;
}

static void receive_frames(void *argument) {
    struct netif *netif = argument;
    uint8_t bytes[FRAME];
    for (;;) {
        ssize_t length = read(tap, bytes, sizeof bytes);
        if (length <= 0) continue;
        // In one piece: Debian's lwIP is built with blocks of PBUF_POOL that are smaller than it believes.
        struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
        if (frame == NULL) continue; // lost, as on any network
        pbuf_take(frame, bytes, (u16_t)length);
        if (netif->input(frame, netif) != ERR_OK) pbuf_free(frame);
    }
}

// For netif_add; the state is the name of the TAP device.
err_t tap_init(struct netif *netif) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", (const char *)netif->state);
    tap = open("/dev/net/tun", O_RDWR);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0) {
        perror("cannot open the TAP device");
        exit(1);
    }
    memcpy(netif->hwaddr, "\x02\0\0\0\0\1", 6);
    netif->hwaddr_len = 6;
    netif->mtu = MTU;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP;
    netif->output = etharp_output;
    netif->linkoutput = send_frame;
    sys_thread_new("tap", receive_frames, netif, 0, 0);
    return ERR_OK;
}
